"""Explanations as columns. The rule here: every row's are compared with the library's own, and add up to the prediction."""

import csv
import io
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
from numpy.typing import NDArray
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from reconciler.engine.explanations import Explainer, explanation_names
from reconciler.engine.job import ScoringJob
from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.model import Feature
from reconciler.engine.pipeline import score
from reconciler.engine.signs import signs
from reconciler.errors import Cancelled, ScoringError
from reconciler.options import Options

Scored = Callable[..., bytes]
Table = NDArray[np.float64]
NEAR = 1e-9
PARTS = ("FEATURE_NAME", "STRENGTH", "ACTUAL_VALUE", "QUALITATIVE_STRENGTH")
METADATA = """
targetType: {}
inferenceModel: {{targetName: t, feature_names: [u, v], classLabels: [a, b, c], positiveClassLabel: yes, negativeClassLabel: no}}
"""
DIABETES = read_metadata(Path(__file__).parents[2] / "specs/models/diabetes")  # a regression
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


def explained(row: dict[str, str], count: int, prefix: str = "") -> Iterator[tuple[str, float, str, str]]:
    for place in range(1, count + 1):
        name, strength, value, marks = (row[f"{prefix}EXPLANATION_{place}_{part}"] for part in PARTS)
        yield name, float(strength), value, marks


def cells(row: dict[str, str]) -> set[str]:
    return {cell for name, cell in row.items() if name.startswith(("EXPLANATION_", "SHAP_"))}


def signs_of(contributions: Table, order: list[int]) -> list[str]:
    """Of one row's contributions, its features in this order."""
    said = signs(contributions[None, :-1][:, np.argsort(-np.abs(contributions[:-1]), kind="stable")])
    return [said[place][0].as_py() for place in range(len(order))]


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
        expected = [(names[index], said[index], source[names[index]], marks) for index, marks in zip(order, signs_of(said, order), strict=True)]
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
    names = [f"EXPLANATION_1_{part}" for part in PARTS]
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
    explainer = Explainer(model, DIABETES, model.features, names, Options(**options), lambda: numbers, is_halted)
    return [column.to_pylist() for column in explainer.cells(texts, numbers, np.zeros(rows))]


def test_ties_go_by_the_order_of_the_features() -> None:
    columns = explained_by(Fixed(1.0, -2.0, 2.0, -1.0, 0.0), 2, max_explanations=5)
    assert [columns[4 * place][0] for place in range(5)] == ["f1", "f2", "f0", "f3", "f4"]
    assert [columns[4 * place + 2] for place in range(2)] == [["f1.0", "f1.1"], ["f2.0", "f2.1"]]


def test_signs_stand_with_their_strengths() -> None:
    columns = explained_by(Fixed(-20.0, 60.0, 0.1, 15.0, -4.9), 1, max_explanations=3)
    assert [columns[4 * place + 3] for place in range(3)] == [["+++"], ["--"], ["++"]]
    assert explained_by(Fixed(0.0), 1, max_explanations=1) == [["f0"], ["0.0"], ["f0.0"], ["<-"], ["7.0"], ["0.0"]]


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


@pytest.mark.parametrize("algorithm", ["shap", "xemp"])
@pytest.mark.parametrize(("model", "data"), [("breast_cancer", "breast_cancer.csv"), ("forest", "wine.csv")])
def test_a_job_that_explains_stops_within_a_second(specs: Path, tmp_path: Path, algorithm: str, model: str, data: str) -> None:
    header, *rows = (specs / "data" / data).read_text().splitlines()
    (tmp_path / "in.csv").write_text("\n".join([header, *rows * 100]))
    folder = specs / "models" / model if model != "forest" else large_forest(tmp_path, header.split(",")[1:])
    options = Options(max_explanations=3, explanation_algorithm=algorithm)
    job = ScoringJob(folder, tmp_path / "in.csv", tmp_path / "out.csv", options)
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


def large_forest(folder: Path, names: list[str]) -> Path:
    values = np.random.default_rng(0).normal(size=(400, len(names))).astype(np.float32)
    regressor = RandomForestRegressor(200, max_depth=6, random_state=0).fit(values, values[:, 0] * values[:, 1])
    (folder / "model-metadata.yaml").write_text(f"targetType: regression\ninferenceModel: {{targetName: t, feature_names: [{', '.join(names)}]}}\n")
    onnx.save(to_onnx(regressor, values[:1], target_opset=17), folder / "model.onnx")
    return folder


def folder_for(folder: Path, model: str | onnx.ModelProto, target_type: str = "regression") -> Path:
    (folder / "model-metadata.yaml").write_text(METADATA.format(target_type))
    if isinstance(model, str):
        (folder / "model.txt").write_text(model)
    else:
        onnx.save(model, folder / "model.onnx")
    return folder


def trained(**params: Any) -> lightgbm.Booster:
    values = np.random.default_rng(0).normal(size=(300, 2))
    data = lightgbm.Dataset(values, np.digitize(values[:, 0] * values[:, 1], [-0.5, 0.5]), feature_name=["u", "v"])
    return lightgbm.train({"num_class": 3, "verbosity": -1, "num_threads": 1} | params, data, 3)


def forest() -> tuple[RandomForestClassifier, onnx.ModelProto]:
    values = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    classes = np.digitize(values[:, 0] * values[:, 1], [-0.3, 0.3])
    classifier = RandomForestClassifier(8, max_depth=4, random_state=0).fit(values, np.array(["a", "b", "c"])[classes])
    return classifier, to_onnx(classifier, values[:1], target_opset=17)


DATA = np.random.default_rng(7).normal(size=(60, 2)).round(3).tolist()
INTAKE = "v,id,u\n" + "".join(f"{v},{row},{u}\n" for row, (u, v) in enumerate(DATA))


@pytest.mark.parametrize("objective", ["multiclass", "multiclassova"])
@pytest.mark.parametrize(
    ("options", "of"),
    [
        pytest.param({}, lambda probabilities: [int(np.argmax(probabilities))], id="the predicted class"),
        pytest.param({"explanation_num_top_classes": 2}, lambda probabilities: list(np.argsort(-probabilities)[:2]), id="two classes"),
        pytest.param({"explanation_num_top_classes": 3}, lambda probabilities: list(np.argsort(-probabilities)), id="all classes"),
        pytest.param({"explanation_class_names": ["c", "a"]}, lambda probabilities: [2, 0], id="by name"),
        pytest.param({"explanation_class_names": []}, lambda probabilities: [int(np.argmax(probabilities))], id="no names"),
    ],
)
def test_classes_are_explained_as_the_library_does(
    tmp_path: Path, scored: Scored, objective: str, options: dict[str, Any], of: Callable[[Table], list[int]]
) -> None:
    booster = trained(objective=objective)
    rows = table(scored(folder_for(tmp_path, booster.model_to_string(), "multiclass"), INTAKE, max_explanations=2, **options))
    said = np.asarray(booster.predict(DATA, pred_contrib=True)).reshape(len(DATA), 3, 3)
    raw, probabilities = np.asarray(booster.predict(DATA, raw_score=True)), np.asarray(booster.predict(DATA))
    each = ["", *(f"_EXPLANATION_{place}_{part}" for place in (1, 2) for part in PARTS), "_SHAP_BASE_VALUE", "_SHAP_REMAINING_TOTAL"]
    count = len(of(probabilities[0]))
    assert list(rows[0])[4:] == [f"CLASS_{place}{name}" for place in range(1, count + 1) for name in each]
    for index, row in enumerate(rows):
        for place, chosen in enumerate(of(probabilities[index]), 1):
            prefix = f"CLASS_{place}_"
            assert row[f"CLASS_{place}"] == "abc"[chosen]
            found = {name: strength for name, strength, _, _ in explained(row, 2, prefix)}
            assert [found["u"], found["v"]] == pytest.approx(said[index, chosen, :2], abs=NEAR)
            assert {name: float(value) for name, _, value, _ in explained(row, 2, prefix)} == dict(zip("uv", DATA[index], strict=True))
            parts = float(row[prefix + "SHAP_BASE_VALUE"]) + sum(found.values()) + float(row[prefix + "SHAP_REMAINING_TOTAL"])
            assert parts == pytest.approx(raw[index, chosen], abs=NEAR)


def test_classes_beyond_those_of_the_model_leave_cells_empty(tmp_path: Path, scored: Scored) -> None:
    folder = folder_for(tmp_path, trained(objective="multiclass").model_to_string(), "multiclass")
    row = table(scored(folder, INTAKE, max_explanations=1, explanation_num_top_classes=5))[0]
    assert {row["CLASS_1"], row["CLASS_2"], row["CLASS_3"]} == {"a", "b", "c"}
    assert {cell for name, cell in row.items() if name.startswith(("CLASS_4", "CLASS_5"))} == {""}
    assert sum(name.startswith("CLASS_5") for name in row) == 7


def test_a_threshold_of_classes_is_for_the_predicted_one(tmp_path: Path, scored: Scored) -> None:
    folder = folder_for(tmp_path, trained(objective="multiclass").model_to_string(), "multiclass")
    whole = table(scored(folder, INTAKE, max_explanations=1, explanation_class_names=["a"]))
    rows = table(scored(folder, INTAKE, max_explanations=1, explanation_class_names=["a"], threshold_high=0.45))
    beyond = [max(float(row[f"t_{label}_PREDICTION"]) for label in "abc") > 0.45 for row in rows]
    assert len(set(beyond)) == 2
    for row, full, is_beyond in zip(rows, whole, beyond, strict=True):
        assert row == full if is_beyond else {cell for name, cell in row.items() if name.startswith("CLASS_")} == {""}


def test_an_unknown_class_is_refused(tmp_path: Path, scored: Scored, bad: Callable[..., str]) -> None:
    folder = folder_for(tmp_path, trained(objective="multiclass").model_to_string(), "multiclass")
    with pytest.raises(ScoringError) as caught:
        scored(folder, INTAKE, max_explanations=1, explanation_class_names=["d", "a", "e"])
    assert "explanation_class_names: The model has no class d, e; its classes are a, b, c" in bad(caught)
    assert not (tmp_path / "out.csv").exists()


def attributes(graph: onnx.ModelProto) -> Iterator[Table]:
    """The scaler's offset and scale, the positive class's coefficients and its intercept: float32, as the graph has them."""
    scaler, classifier = graph.graph.node[:2]
    named = {each.name: np.array(onnx.helper.get_attribute_value(each), object) for node in (scaler, classifier) for each in node.attribute}
    yield from (named[name].astype(float) for name in ("offset", "scale"))
    yield from (named[name].astype(float).reshape(2, -1)[1] for name in ("coefficients", "intercepts"))


def test_a_linear_model_is_explained_in_closed_form(tmp_path: Path, scored: Scored) -> None:
    """Computed in float64 from the coefficients of the graph, which are scikit-learn's as float32. The session's own arithmetic is float32 too."""
    values = np.random.default_rng(0).normal(3, 2, size=(200, 2)).astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(values, np.where(values @ [1, -2] > -3, "yes", "no"))
    graph = to_onnx(pipeline, values[:1], target_opset=17)
    rows = table(scored(folder_for(tmp_path, graph, "binary"), INTAKE, max_explanations=2))
    offset, scale, coefficients, intercept = attributes(graph)
    exact = np.array(DATA, np.float32).astype(float)
    expected = (exact - exact.mean(axis=0)) * scale * coefficients
    raw = (exact - offset) * scale @ coefficients + intercept
    assert raw == pytest.approx(pipeline.decision_function(exact), rel=1e-5, abs=1e-5)
    for row, strengths, prediction in zip(rows, expected, raw, strict=True):
        found = {name: strength for name, strength, _, _ in explained(row, 2)}
        assert [found["u"], found["v"]] == pytest.approx(strengths, abs=NEAR)
        parts = float(row["SHAP_BASE_VALUE"]) + sum(found.values()) + float(row["SHAP_REMAINING_TOTAL"])
        assert parts == pytest.approx(prediction, abs=NEAR)
        assert 1 / (1 + np.exp(-parts)) == pytest.approx(float(row["t_yes_PREDICTION"]), abs=1e-5)


def linear_trees() -> str:
    values = np.random.default_rng(0).normal(size=(200, 2))
    data = lightgbm.Dataset(values, values[:, 0] * values[:, 1], feature_name=["u", "v"], params={"linear_tree": True})
    return str(lightgbm.train({"verbosity": -1, "num_threads": 1, "linear_tree": True}, data, 3).model_to_string())


def without_counts() -> str:
    values = np.random.default_rng(0).normal(size=(200, 2))
    data = lightgbm.Dataset(values, values[:, 0] * values[:, 1], feature_name=["u", "v"])
    text = lightgbm.train({"verbosity": -1, "num_threads": 1}, data, 3).model_to_string()
    return re.sub(r"^(leaf_count|internal_count)=.*$", lambda line: re.sub(r"\d", "0", line[0]), text, flags=re.MULTILINE)


def averages(predict: Callable[[Table], Table], background: NDArray[Any], row: list[Any]) -> tuple[Table, Table, Table]:
    """What two features add to the mean prediction of the background, and that mean: by the definition."""
    u, v, both = np.copy(background), np.copy(background), np.copy(background)
    u[:, 0], v[:, 1] = row
    both[:] = row
    none, first, second, last = (predict(rows).mean(axis=0) for rows in (background, u, v, both))
    return ((first - none) + (last - second)) / 2, ((second - none) + (last - first)) / 2, none


@pytest.mark.parametrize("model", [linear_trees, without_counts])
def test_what_the_library_cannot_explain_is_sampled(tmp_path: Path, scored: Scored, model: Callable[[], str]) -> None:
    text = model()
    background = np.random.default_rng(5).normal(size=(20, 2)).round(3)
    (tmp_path / "background.csv").write_text("u,v\n" + "".join(f"{u},{v}\n" for u, v in background))
    rows = table(scored(folder_for(tmp_path, text), INTAKE, max_explanations=2))
    booster = lightgbm.Booster(model_str=text)
    for row, values in zip(rows, DATA, strict=True):
        u, v, base = averages(lambda data: np.asarray(booster.predict(data)), background, values)
        found = {name: strength for name, strength, _, _ in explained(row, 2)}
        assert (found["u"], found["v"], float(row["SHAP_BASE_VALUE"])) == pytest.approx((u, v, base), abs=NEAR)
        assert base + sum(found.values()) == pytest.approx(float(row["t_PREDICTION"]), abs=NEAR)


def test_classes_of_a_forest_are_sampled_as_probabilities(tmp_path: Path, scored: Scored) -> None:
    _, model = forest()
    folder = folder_for(tmp_path, model, "multiclass")
    rows = table(scored(folder, INTAKE, max_explanations=2, explanation_class_names=["c", "b"]))
    for row in rows:
        for place, label in enumerate("cb", 1):
            prefix = f"CLASS_{place}_"
            found = sum(strength for _, strength, _, _ in explained(row, 2, prefix))
            parts = float(row[prefix + "SHAP_BASE_VALUE"]) + found + float(row[prefix + "SHAP_REMAINING_TOTAL"])
            assert parts == pytest.approx(float(row[f"t_{label}_PREDICTION"]), abs=1e-6)


def test_texts_are_explained_as_a_whole(tmp_path: Path, scored: Scored) -> None:
    rng = np.random.default_rng(3)
    data = np.column_stack([rng.normal(size=90).astype(np.float32).astype(object), rng.choice(["red", "blue", ""], 90).astype(object)])
    steps = ColumnTransformer([("text", OneHotEncoder(handle_unknown="ignore"), [1])], remainder="passthrough")
    classifier = make_pipeline(steps, LogisticRegression()).fit(data, np.where((data[:, 1] == "red") ^ (data[:, 0] > 0), "yes", "no"))
    types = [("x", FloatTensorType([None, 1])), ("color", StringTensorType([None, 1]))]
    folder = folder_for(tmp_path, to_onnx(classifier, initial_types=types, target_opset=17), "binary")
    background = "".join(f"{color},{x}\n" for x, color in data[:20])
    (tmp_path / "background.csv").write_text("color,x\n" + background)
    explained_rows = [[0.5, "red"], [-1.25, "blue"], [2.0, "green"], [0.0, ""]]
    rows = table(scored(folder, "x,color\n" + "".join(f"{x},{color}\n" for x, color in explained_rows), max_explanations=2))
    for row, values in zip(rows, explained_rows, strict=True):
        x, color, base = averages(lambda mixed: classifier.predict_proba(mixed)[:, 1], data[:20], values)
        found = {name: (strength, value) for name, strength, value, _ in explained(row, 2)}
        assert found["x"] == (pytest.approx(x, abs=1e-6), str(values[0]))
        assert found["color"] == (pytest.approx(color, abs=1e-6), values[1])
        assert float(row["SHAP_BASE_VALUE"]) == pytest.approx(base, abs=1e-6)


def test_xemp_has_strengths_and_no_sums(tmp_path: Path, scored: Scored) -> None:
    classifier, model = forest()
    background = np.random.default_rng(5).normal(size=(20, 2)).round(3)
    (tmp_path / "background.csv").write_text("u,v\n" + "".join(f"{u},{v}\n" for u, v in background))
    folder = folder_for(tmp_path, model, "multiclass")
    rows = table(scored(folder, INTAKE, max_explanations=1, explanation_algorithm="xemp"))
    assert list(rows[0])[4:] == ["CLASS_1", *(f"CLASS_1_EXPLANATION_1_{part}" for part in PARTS)]

    def dependence(place: int, value: float, label: int) -> float:
        mixed = background.copy()
        mixed[:, place] = value
        return float(classifier.predict_proba(mixed.astype(np.float32))[:, label].mean())

    for row, values in zip(rows[:10], DATA, strict=False):
        label = "abc".index(row["t_PREDICTION"])
        expected = [
            dependence(place, values[place], label) - np.mean([dependence(place, each[place], label) for each in background]) for place in (0, 1)
        ]
        ((name, strength, _, marks),) = explained(row, 1, "CLASS_1_")
        assert row["CLASS_1"] == row["t_PREDICTION"]
        assert (name, strength) == ("uv"[int(np.argmax(np.abs(expected)))], pytest.approx(max(expected, key=abs), abs=1e-6))
        assert marks[-1] == ("+" if strength > 0 else "-")


@pytest.mark.parametrize("algorithm", ["shap", "xemp"])
def test_a_row_has_the_same_explanation_in_every_job(tmp_path: Path, scored: Scored, algorithm: str) -> None:
    _, model = forest()
    (tmp_path / "background.csv").write_text("v,u\n" + "".join(f"{v},{u}\n" for u, v in DATA[:25]))
    folder = folder_for(tmp_path, model, "multiclass")
    options = {"max_explanations": 2, "explanation_algorithm": algorithm, "passthrough_columns": ["id"]}
    header, *lines = INTAKE.splitlines(keepends=True)
    whole = {row["id"]: row for row in table(scored(folder, INTAKE, **options))}
    assert {row["id"]: row for row in table(scored(folder, header + "".join(reversed(lines * 3)), **options))} == whole
    affinity = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(affinity)})
    try:
        assert {row["id"]: row for row in table(scored(folder, INTAKE, **options))} == whole
    finally:
        os.sched_setaffinity(0, affinity)


def test_the_first_rows_are_the_background_of_a_folder_without_one(tmp_path: Path, scored: Scored) -> None:
    _, model = forest()
    folder = folder_for(tmp_path, model, "multiclass")
    without = scored(folder, INTAKE, max_explanations=2)
    (tmp_path / "background.csv").write_text(INTAKE)
    assert scored(folder, INTAKE, max_explanations=2) == without
    (tmp_path / "background.csv").write_text("u,v\n1,2\n")
    assert scored(folder, INTAKE, max_explanations=2) != without


@pytest.mark.parametrize("algorithm", ["shap", "xemp"])
@pytest.mark.parametrize("own", ["", "u,v\n0.5,1\n,0\n1,1\n"])
def test_a_row_that_the_model_cannot_take_is_none_to_compare_with(tmp_path: Path, scored: Scored, algorithm: str, own: str) -> None:
    """It fails alone, wherever it stands."""
    frame = pd.DataFrame(DATA[:50], columns=["u", "v"])
    network = MLPRegressor(hidden_layer_sizes=(3,), solver="lbfgs", max_iter=2000, random_state=1).fit(frame, frame.u * frame.v)
    skops.io.dump(network, tmp_path / "model.skops")
    (tmp_path / "model-metadata.yaml").write_text(METADATA.format("regression"))
    if own:
        (tmp_path / "background.csv").write_text(own)
    rows = table(scored(tmp_path, "u,v\n1,2\n,3\n2,1\n", max_explanations=2, include_prediction_status=True, explanation_algorithm=algorithm))
    assert [row["prediction_status"] == "OK" for row in rows] == [True, False, True]
    assert [bool(row["EXPLANATION_2_STRENGTH"]) for row in rows] == [True, False, True]


@pytest.mark.parametrize(
    ("background", "sentence"),
    [
        ("u,w\n1,2\n", "background.csv lacks v. "),
        ("u,v\n1,x\n", "background.csv, line 2, column v: 'x' is not a number"),
        ("", "background.csv has no header"),
        ("u,v\n", "background.csv holds no rows"),
    ],
)
def test_a_bad_background_is_explained(tmp_path: Path, scored: Scored, bad: Callable[..., str], background: str, sentence: str) -> None:
    _, model = forest()
    folder = folder_for(tmp_path, model, "multiclass")
    (tmp_path / "background.csv").write_text(background)
    with pytest.raises(ScoringError) as caught:
        scored(folder, INTAKE, max_explanations=2)
    assert sentence in bad(caught)
    assert table(scored(folder, INTAKE))


def test_an_empty_intake_has_nothing_to_explain(tmp_path: Path, scored: Scored) -> None:
    _, model = forest()
    content = scored(folder_for(tmp_path, model, "multiclass"), "u,v\n", max_explanations=1)
    assert content.decode().count("\n") == 1


def test_names_are_in_the_header_that_the_cells_fill() -> None:
    metadata = replace(DIABETES, target_type="Multiclass", class_labels=("a", "b"))
    names = explanation_names(metadata, Options(max_explanations=1, explanation_num_top_classes=2, explanation_algorithm="xemp"))
    each = [f"EXPLANATION_1_{part}" for part in PARTS]
    assert names == ["CLASS_1", *(f"CLASS_1_{name}" for name in each), "CLASS_2", *(f"CLASS_2_{name}" for name in each)]
