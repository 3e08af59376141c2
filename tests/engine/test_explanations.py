"""Explanations. The rule here: they are the library's own contributions, for every row, and add up to its raw prediction."""

import csv
import io
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.linear_model import LinearRegression

from reconciler.engine.explanations import Explainer
from reconciler.engine.job import ScoringJob
from reconciler.engine.models.model import Feature
from reconciler.engine.pipeline import score
from reconciler.errors import Cancelled, ScoringError
from reconciler.options import Options

Scored = Callable[..., bytes]
Table = NDArray[np.float64]
NEAR = 1e-9
METADATA = "targetType: {}\ninferenceModel: {{targetName: t, feature_names: [u, v], classLabels: [a, b, c]}}\n"
EXAMPLES = [
    pytest.param("breast_cancer", "breast_cancer.csv", id="binary"),
    pytest.param("diabetes", "diabetes/2026-09.csv", id="regression"),
    pytest.param("diabetes", "diabetes/2026-10.csv", id="another month"),
]


def table(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def booster_of(folder: Path) -> lightgbm.Booster:
    return lightgbm.Booster(model_file=folder / "model.txt")


def values_of(booster: lightgbm.Booster, rows: list[dict[str, str]]) -> Table:
    return np.array([[float(row[name] or "nan") for name in booster.feature_name()] for row in rows])


def explained(row: dict[str, str], count: int) -> Iterator[tuple[str, float, str, str]]:
    for place in range(1, count + 1):
        name, strength, value, signs = (
            row[f"EXPLANATION_{place}_{part}"] for part in ("FEATURE_NAME", "STRENGTH", "ACTUAL_VALUE", "QUALITATIVE_STRENGTH")
        )
        yield name, float(strength), value, signs


def cells(row: dict[str, str]) -> set[str]:
    return {cell for name, cell in row.items() if name.startswith(("EXPLANATION_", "SHAP_"))}


def signs_of(strength: float, share: float) -> str:
    return ("-" if strength < 0 else "+") * (3 if share >= 0.2 else 2 if share >= 0.05 else 1)


@pytest.mark.parametrize("count", [1, 3, 10])
@pytest.mark.parametrize(("model", "data"), EXAMPLES)
def test_every_row_is_explained_as_the_library_does(specs: Path, scored: Scored, model: str, data: str, count: int) -> None:
    given = table((specs / "data" / data).read_bytes())
    booster = booster_of(specs / "models" / model)
    values, names = values_of(booster, given), booster.feature_name()
    contributions, raw = np.asarray(booster.predict(values, pred_contrib=True)), np.asarray(booster.predict(values, raw_score=True))
    rows = table(scored(specs / "models" / model, specs / "data" / data, max_explanations=count))
    assert len(rows) == len(given) > 100
    for row, source, said, prediction in zip(rows, given, contributions, raw, strict=True):
        order = sorted(range(len(names)), key=lambda index: -abs(said[index]))[:count]
        total = sum(abs(said[:-1]))
        expected = [(names[index], said[index], source[names[index]], signs_of(said[index], abs(said[index]) / total)) for index in order]
        found = list(explained(row, count))
        assert [(name, value, signs) for name, _, value, signs in found] == [(name, value, signs) for name, _, value, signs in expected]
        assert [strength for _, strength, _, _ in found] == pytest.approx([strength for _, strength, _, _ in expected], abs=NEAR)
        assert float(row["SHAP_BASE_VALUE"]) == pytest.approx(said[-1], abs=NEAR)
        parts = float(row["SHAP_BASE_VALUE"]) + sum(strength for _, strength, _, _ in found) + float(row["SHAP_REMAINING_TOTAL"])
        assert parts == pytest.approx(prediction, abs=NEAR)


def test_predictions_are_the_same_with_explanations(specs: Path, scored: Scored) -> None:
    bare = table(scored(specs / "models/breast_cancer", specs / "data/breast_cancer.csv"))
    with_them = table(scored(specs / "models/breast_cancer", specs / "data/breast_cancer.csv", max_explanations=2))
    assert [{name: row[name] for name in bare[0]} for row in with_them] == bare


@pytest.mark.parametrize(
    ("options", "is_explained"),
    [
        ({}, lambda p: True),
        ({"explanation_algorithm": "shap"}, lambda p: True),
        ({"threshold_high": 0.8}, lambda p: p > 0.8),
        ({"threshold_low": 0.2}, lambda p: p < 0.2),
        ({"threshold_high": 0.8, "threshold_low": 0.2}, lambda p: p > 0.8 or p < 0.2),
        ({"threshold_high": 1.0}, lambda p: False),
    ],
)
def test_thresholds_say_which_rows(specs: Path, scored: Scored, options: dict[str, Any], is_explained: Callable[[float], bool]) -> None:
    rows = table(scored(specs / "models/breast_cancer", specs / "data/breast_cancer.csv", max_explanations=2, **options))
    whole = table(scored(specs / "models/breast_cancer", specs / "data/breast_cancer.csv", max_explanations=2))
    for row, full in zip(rows, whole, strict=True):
        assert row == full if is_explained(float(row["diagnosis_malignant_PREDICTION"])) else cells(row) == {""}


def test_a_prediction_on_a_threshold_is_not_beyond_it(regression: Path, scored: Scored) -> None:
    prediction = float(table(scored(regression, "a,b\n1,2\n"))[0]["y_PREDICTION"])
    for bound in ("threshold_high", "threshold_low"):
        row = table(scored(regression, "a,b\n1,2\n", max_explanations=1, **{bound: prediction}))[0]
        assert cells(row) == {""}


def test_the_columns_stand_between_the_status_and_those_passed_through(regression: Path, scored: Scored) -> None:
    options = {"include_prediction_status": True, "passthrough_columns": ["id"], "column_names_remapping": {"SHAP_BASE_VALUE": "base"}}
    header = list(table(scored(regression, "id,a,b\n7,1,2\n", max_explanations=1, **options))[0])
    each = ["FEATURE_NAME", "STRENGTH", "ACTUAL_VALUE", "QUALITATIVE_STRENGTH"]
    names = [f"EXPLANATION_1_{part}" for part in each]
    assert header == ["y_PREDICTION", "prediction_status", *names, "base", "SHAP_REMAINING_TOTAL", "id"]


def test_a_model_with_fewer_features_leaves_cells_empty(regression: Path, scored: Scored) -> None:
    (row,) = table(scored(regression, "a,b\n1,2\n", max_explanations=100))
    assert {row["EXPLANATION_1_FEATURE_NAME"], row["EXPLANATION_2_FEATURE_NAME"]} == {"a", "b"}
    assert {cell for name, cell in row.items() if name.startswith("EXPLANATION_") and int(name.split("_")[1]) > 2} == {""}
    assert float(row["SHAP_REMAINING_TOTAL"]) == 0


def test_values_are_shown_as_the_source_wrote_them(regression: Path, scored: Scored) -> None:
    written = [("1.50", "NA"), ("", "2e0"), ("true", '""'), ("1e400", "-0")]
    rows = table(scored(regression, "a,b\n" + "".join(f"{a},{b}\n" for a, b in written), max_explanations=2))
    found = [{name: value for name, _, value, _ in explained(row, 2)} for row in rows]
    assert found == [{"a": a, "b": b.strip('"')} for a, b in written]
    values = np.array([[1.5, np.nan], [np.nan, 2], [1, np.nan], [np.inf, 0]])
    contributions = np.asarray(booster_of(regression).predict(values, pred_contrib=True))
    strengths = [{name: strength for name, strength, _, _ in explained(row, 2)} for row in rows]
    assert [[each["a"], each["b"]] for each in strengths] == [pytest.approx(list(said[:2]), abs=NEAR) for said in contributions]


def test_categories_are_explained(tmp_path: Path, scored: Scored) -> None:
    rng = np.random.default_rng(3)
    values = np.column_stack([rng.normal(size=300), rng.integers(0, 3, 300)]).astype(float)
    data = lightgbm.Dataset(values, values[:, 0] + (values[:, 1] == 2) * 3, feature_name=["x", "color"], categorical_feature=["color"])
    booster = lightgbm.train({"verbosity": -1, "num_threads": 1, "min_data_per_group": 5}, data, 10)
    text = booster.model_to_string().replace("pandas_categorical:null", 'pandas_categorical:[["red", "green", "blue"]]')
    rows = table(scored(folder_for(tmp_path, text), "color,x\nblue,0.5\npurple,0.5\n", max_explanations=2))
    said = np.asarray(booster.predict(np.array([[0.5, 2], [0.5, np.nan]]), pred_contrib=True))
    for row, contributions, color in zip(rows, said, ["blue", "purple"], strict=True):
        found = {name: (strength, value) for name, strength, value, _ in explained(row, 2)}
        assert found == {"x": (pytest.approx(contributions[0]), "0.5"), "color": (pytest.approx(contributions[1]), color)}


class Fixed:
    """A model whose contributions are given; it remembers how many rows it was asked for."""

    rows_at_once = 1

    def __init__(self, *strengths: float) -> None:
        self.features = tuple(Feature(f"f{index}") for index in range(len(strengths)))
        self.strengths = strengths
        self.asked: list[int] = []

    def predict(self, rows: pa.RecordBatch) -> Table:
        return np.zeros(rows.num_rows)

    def contributions(self, rows: pa.RecordBatch) -> Table:
        self.asked.append(rows.num_rows)
        return np.tile([*self.strengths, 7.0], (rows.num_rows, 1))


def explained_by(model: Fixed, rows: int, is_halted: Callable[[], bool] = lambda: False, **options: Any) -> list[list[str]]:
    names = [feature.name for feature in model.features]
    texts = pa.RecordBatch.from_arrays([pa.array([f"{name}.{row}" for row in range(rows)]) for name in names], names)
    numbers = pa.RecordBatch.from_arrays([pa.nulls(rows, pa.float64())] * len(names), names)
    found = Explainer(model, names, Options(**options), is_halted).cells(texts, numbers, np.zeros(rows))
    return [column.to_pylist() for column in found]


def test_ties_go_by_the_order_of_the_features() -> None:
    columns = explained_by(Fixed(1.0, -2.0, 2.0, -1.0, 0.0), 2, max_explanations=5)
    assert [columns[4 * place][0] for place in range(5)] == ["f1", "f2", "f0", "f3", "f4"]
    assert [columns[4 * place + 2] for place in range(2)] == [["f1.0", "f1.1"], ["f2.0", "f2.1"]]


def test_signs_say_the_share_of_the_rows_total() -> None:
    columns = explained_by(Fixed(60.0, -20.0, 15.0, -4.9, 0.1), 1, max_explanations=5)
    assert [columns[4 * place + 3] for place in range(5)] == [["+++"], ["---"], ["++"], ["-"], ["+"]]
    assert explained_by(Fixed(0.0), 1, max_explanations=1) == [["f0"], ["0.0"], ["f0.0"], ["+"], ["7.0"], ["0.0"]]


def test_the_model_is_asked_for_few_rows_and_not_after_a_stop() -> None:
    model = Fixed(1.0)
    explained_by(model, 100, max_explanations=1)
    assert sum(model.asked) == 101
    assert max(model.asked) <= 64
    stopped = Fixed(1.0)
    with pytest.raises(Cancelled):
        explained_by(stopped, 100, lambda: len(stopped.asked) == 3, max_explanations=1)
    assert len(stopped.asked) == 3


def test_rows_that_are_not_wanted_cost_the_model_nothing() -> None:
    model = Fixed(1.0)
    explained_by(model, 100, max_explanations=1, threshold_high=0.5)
    assert model.asked == [1]


def test_a_job_that_explains_stops_within_a_second(specs: Path, tmp_path: Path) -> None:
    header, *rows = (specs / "data/breast_cancer.csv").read_text().splitlines()
    (tmp_path / "in.csv").write_text("\n".join([header, *rows * 100]))
    job = ScoringJob(specs / "models/breast_cancer", tmp_path / "in.csv", tmp_path / "out.csv", Options(max_explanations=3))
    done: list[int] = []
    asked: list[float] = []

    def is_cancelled() -> bool:
        if done and done[-1] > 0:
            asked.append(time.monotonic())
        return bool(asked)

    with pytest.raises(Cancelled):
        score(job, report=lambda progress: done.append(progress.rows), is_cancelled=is_cancelled)
    assert time.monotonic() - asked[0] < 2
    assert done[-1] < len(rows) * 100


def folder_for(folder: Path, model: str | onnx.ModelProto, target_type: str = "regression") -> Path:
    (folder / "model-metadata.yaml").write_text(METADATA.format(target_type))
    if isinstance(model, str):
        (folder / "model.txt").write_text(model)
    else:
        onnx.save(model, folder / "model.onnx")
    return folder


def linear_trees() -> str:
    values = np.random.default_rng(0).normal(size=(200, 2))
    data = lightgbm.Dataset(values, values[:, 0], feature_name=["u", "v"], params={"linear_tree": True})
    return str(lightgbm.train({"verbosity": -1, "num_threads": 1, "linear_tree": True}, data, 3).model_to_string())


def without_counts() -> str:
    values = np.random.default_rng(0).normal(size=(200, 2))
    data = lightgbm.Dataset(values, values[:, 0], feature_name=["u", "v"])
    text = lightgbm.train({"verbosity": -1, "num_threads": 1}, data, 3).model_to_string()
    return re.sub(r"^(leaf_count|internal_count)=.*$", lambda line: re.sub(r"\d", "0", line[0]), text, flags=re.MULTILINE)


def three_classes() -> str:
    values = np.random.default_rng(0).normal(size=(200, 2))
    data = lightgbm.Dataset(values, np.digitize(values[:, 0], [-0.5, 0.5]), feature_name=["u", "v"])
    return str(lightgbm.train({"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1}, data, 3).model_to_string())


def onnx_model() -> onnx.ModelProto:
    values = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    return to_onnx(LinearRegression().fit(values, values[:, 0]), values[:1], target_opset=17)


@pytest.mark.parametrize(
    ("model", "target_type", "sentence"),
    [
        (onnx_model, "regression", "max_explanations: Only LightGBM models can be explained here"),
        (three_classes, "multiclass", "explains regression and binary models, not multiclass ones yet"),
        (without_counts, "regression", "its file lacks the counts of its leaves"),
        (linear_trees, "regression", "not implemented for linear trees"),
    ],
)
def test_a_model_that_cannot_be_explained_is_refused_before_the_first_row(
    tmp_path: Path, scored: Scored, bad: Callable[..., str], model: Callable[[], Any], target_type: str, sentence: str
) -> None:
    folder = folder_for(tmp_path, model(), target_type)
    with pytest.raises(ScoringError) as caught:
        scored(folder, "u,v\n1,2\n", max_explanations=3)
    assert sentence in bad(caught)
    assert not (tmp_path / "out.csv").exists()
    assert table(scored(folder, "u,v\n1,2\n"))
