"""LightGBM. The rule here: every value, category and gap scores as the library's own predict has it."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import table
from numpy.typing import NDArray

from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.registry import load_model
from reconciler.errors import ModelError

Scored = Callable[..., bytes]
METADATA = "targetType: {}\ninferenceModel: {{targetName: t, positiveClassLabel: p, negativeClassLabel: n, classLabels: [a, b, c]}}\n"
COLORS = ["NA", "blue", "red", "10"]
LEVELS: list[Any] = [1, 2.5, 30]
FLAGS = [False, True]


def folder_for(folder: Path, booster: lightgbm.Booster | str, target_type: str = "regression") -> Path:
    text = booster if isinstance(booster, str) else booster.model_to_string()
    (folder / "model.txt").write_text(text)
    (folder / "model-metadata.yaml").write_text(METADATA.format(target_type))
    return folder


def trained(objective: str = "regression", **more: Any) -> lightgbm.Booster:
    rng = np.random.default_rng(3)
    values = np.column_stack([rng.normal(size=400), *(rng.integers(0, size, 400) for size in (4, 3, 2))]).astype(float)
    values[rng.random(values.shape) < 0.1] = np.nan
    known = np.nan_to_num(values)
    target: NDArray[Any] = known[:, 0] + (known[:, 1] == 2) * 2 + (known[:, 2] == 1) - (known[:, 3] == 0)
    if objective != "regression":
        target = np.digitize(target, [0, 1][: 2 if objective == "multiclass" else 1])
    parameters = {"objective": objective, "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "min_data_per_group": 5, **more}
    data = lightgbm.Dataset(values, target, feature_name=["x", "color", "level", "flag"], categorical_feature=["color", "level", "flag"])
    return lightgbm.train(parameters, data, 10)


def with_categories(booster: lightgbm.Booster, categories: list[list[Any]]) -> str:
    """As the file of a model trained on a pandas frame ends: the values of the categories, in the order of their codes."""
    return booster.model_to_string().replace("pandas_categorical:null", "pandas_categorical:" + json.dumps(categories))


def numbers(content: bytes, column: str = "t_PREDICTION") -> list[float]:
    return [float(row[column]) for row in csv.DictReader(io.StringIO(content.decode()))]


def test_categories_score_as_their_codes(tmp_path: Path, scored: Scored) -> None:
    booster = trained()
    folder = folder_for(tmp_path, with_categories(booster, [COLORS, LEVELS, FLAGS]))
    gap = float("nan")
    rows: list[tuple[str, list[float]]] = [
        (",,,", [gap, gap, gap, gap]),
        ("NaN,purple,7,maybe", [gap, gap, gap, gap]),
        ("0.5,purple,many,", [0.5, gap, gap, gap]),
        ('0.5,"",,', [0.5, gap, gap, gap]),
    ]
    spellings = [["1", "1.0", "01"], ["2.5", "2.50", "25e-1"], ["30", "3e1", "30.0"]]
    for color, name in enumerate(COLORS):
        for level, texts in enumerate(spellings):
            for flag, truth in enumerate(FLAGS):
                rows += [(f"-1.5,{name},{text},{truth}", [-1.5, color, level, flag]) for text in texts]
    content = "x,color,level,flag\n" + "".join(line + "\n" for line, _ in rows)
    assert numbers(scored(folder, content)) == list(booster.predict(np.array([codes for _, codes in rows])))


def test_numbered_categories_are_numbers(tmp_path: Path, scored: Scored) -> None:
    booster = trained()
    content = "flag,level,color,x\n1,2,3,0.5\n0,9,,\n,,,1e400\n"
    values = np.array([[0.5, 3, 2, 1], [np.nan, np.nan, 9, 0], [np.inf, np.nan, np.nan, np.nan]])
    assert numbers(scored(folder_for(tmp_path, booster), content)) == list(booster.predict(values))


def test_a_model_without_parameters_finds_its_categories(tmp_path: Path, scored: Scored) -> None:
    booster = trained()
    text = with_categories(booster, [COLORS, LEVELS, FLAGS])
    content = "x,color,level,flag\n1,blue,2.5,True\n"
    expected = scored(folder_for(tmp_path, text), content)
    bare = text.replace("[categorical_feature: 1,2,3]\n", "")
    assert bare != text
    assert scored(folder_for(tmp_path, bare), content) == expected


def test_missing_values_score_as_nan(specs: Path, scored: Scored, tmp_path: Path) -> None:
    booster = lightgbm.Booster(model_file=specs / "models/diabetes/model.txt")
    header, *rows = (specs / "data/diabetes/2026-09.csv").read_text().splitlines()
    words = ["", '""', "NA", "NaN", "null", " ", "n/a"]
    cells = [row.split(",") for row in rows]
    for index, row in enumerate(cells):
        row[1 + index % 10] = words[index % len(words)]
    values = np.array([[float("nan") if cell in words else float(cell) for cell in row[1:]] for row in cells])
    content = "\n".join([header, *(",".join(row) for row in cells)])
    assert numbers(scored(specs / "models/diabetes", content), "progression_PREDICTION") == list(booster.predict(values))


def as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({"color": "category", "level": "category"})


@pytest.mark.parametrize(
    ("target_type", "objective", "names"),
    [
        pytest.param("regression", {"objective": "regression"}, ["t_PREDICTION"], id="regression"),
        pytest.param("binary", {"objective": "binary"}, ["t_p_PREDICTION"], id="binary"),
        pytest.param("multiclass", {"objective": "multiclass", "num_class": 3}, [f"t_{label}_PREDICTION" for label in "abc"], id="multiclass"),
    ],
)
def test_a_frame_scores_as_the_library_has_it(tmp_path: Path, scored: Scored, target_type: str, objective: dict[str, Any], names: list[str]) -> None:
    """Gaps, categories that no model has met, columns in another order and others among them."""
    frame = table.training()
    target = table.target(frame)
    if target_type != "regression":
        target = np.digitize(target, [-0.5, 1] if target_type == "multiclass" else [0])
    parameters = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "min_data_per_group": 5}
    booster = lightgbm.train(parameters | objective, lightgbm.Dataset(as_categories(frame), target), 10)
    output = scored(folder_for(tmp_path, booster, target_type), table.as_csv(table.unseen()))
    expected = np.asarray(booster.predict(as_categories(table.unseen())[table.NAMES]))
    assert [table.numbers(output, name) for name in names] == expected.reshape(len(expected), -1).T.tolist()


def test_multiclass_has_a_column_for_each_class(tmp_path: Path, scored: Scored) -> None:
    booster = trained("multiclass", num_class=3)
    content = "x,color,level,flag\n0.5,1,1,1\n-2,0,0,0\n"
    output = scored(folder_for(tmp_path, booster, "multiclass"), content)
    expected = booster.predict(np.array([[0.5, 1, 1, 1], [-2, 0, 0, 0]]))
    assert [numbers(output, f"t_{label}_PREDICTION") for label in "abc"] == np.asarray(expected).T.tolist()


def test_contributions_of_a_multiclass_model_are_those_of_each_class(tmp_path: Path) -> None:
    booster = trained("multiclass", num_class=3)
    values = np.array([[0.5, 1, 1, 1], [-2, 0, 0, 0], [np.nan, 3, np.nan, 1]])
    model: Any = load_model(read_metadata(folder_for(tmp_path, booster, "multiclass")))
    rows = pa.RecordBatch.from_arrays([pa.array(column, from_pandas=True) for column in values.T], [each.name for each in model.features])
    contributions = model.contributions(rows)
    assert contributions.shape == (3, 3, 5)
    assert np.array_equal(contributions.reshape(3, -1), booster.predict(values, pred_contrib=True))
    assert contributions.sum(axis=-1) == pytest.approx(booster.predict(values, raw_score=True), abs=1e-9)


def test_a_call_takes_fewer_rows_of_a_larger_model(tmp_path: Path) -> None:
    small = load_model(read_metadata(folder_for(tmp_path, trained())))
    large = load_model(read_metadata(folder_for(tmp_path, trained(num_iterations=400, num_leaves=3))))
    assert small.rows_at_once > large.rows_at_once


@pytest.mark.filterwarnings("ignore:Found 'num_iterations'")
@pytest.mark.parametrize(
    ("target_type", "text", "sentence"),
    [
        ("binary", lambda: trained().model_to_string(), "its objective is regression, so its scores are no probabilities"),
        ("binary", lambda: trained("cross_entropy_lambda").model_to_string(), "its objective is cross_entropy_lambda, so its scores are no prob"),
        ("binary", lambda: trained().model_to_string().replace("objective=regression\n", ""), "it has no objective"),
        ("multiclass", lambda: trained("binary").model_to_string(), "its objective is binary"),
        ("multiclass", lambda: trained("multiclass", num_class=4).model_to_string(), "gives 4 scores for a row"),
        ("regression", lambda: trained("multiclass", num_class=3).model_to_string(), "gives 3 scores for a row"),
        ("regression", lambda: with_categories(trained(), [COLORS]), "lists categories for 1 columns, but has 3 categorical columns"),
        ("regression", lambda: with_categories(trained(), [COLORS, LEVELS[:1], FLAGS]), "so their order cannot be told"),
        ("regression", lambda: with_categories(trained(), [[[each] for each in COLORS], LEVELS, FLAGS]), "which is no text, number or boolean"),
        ("regression", lambda: "tree\nversion=v4\n", "Save it again with Booster.save_model"),
        ("regression", lambda: trained().model_to_string()[:900], "Save it again with Booster.save_model"),
    ],
)
def test_a_model_that_cannot_score_is_explained(tmp_path: Path, target_type: str, text: Callable[[], str], sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(read_metadata(folder_for(tmp_path, text(), target_type)))
    assert sentence in caught.value.detail
    assert "model.txt" in caught.value.detail
