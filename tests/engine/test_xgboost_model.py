"""XGBoost. The rule here: every row scores as the library's own predict has it for a pandas frame."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import table
import xgboost

from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.registry import load_model
from reconciler.errors import ModelError, ScoringError

Scored = Callable[..., bytes]
FORMATS = pytest.mark.parametrize("name", ["model.json", "model.ubj"])


def known(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the categories that the library has no prediction for."""
    return rows.assign(color=rows.color.replace("purple", "blue"), level=rows.level.replace(7, 2))


def framed(rows: pd.DataFrame) -> pd.DataFrame:
    """As the library wants it: categories of its own kind."""
    return rows.assign(color=pd.Categorical(rows.color), level=pd.Categorical(rows.level))


def trained(objective: str = "reg:squarederror", labels: Any = None, rounds: int = 8, **more: Any) -> xgboost.Booster:
    rows = table.training()
    data = xgboost.DMatrix(framed(rows), table.target(rows) if labels is None else labels, enable_categorical=True)
    return xgboost.train({"objective": objective, "max_depth": 4, "nthread": 1, "seed": 1, "max_cat_to_onehot": 2, **more}, data, rounds)


def saved(folder: Path, booster: xgboost.Booster, name: str = "model.ubj") -> Path:
    booster.save_model(folder / name)
    return folder


def expected(booster: xgboost.Booster, rows: pd.DataFrame, **how: Any) -> Any:
    return booster.predict(xgboost.DMatrix(framed(rows), enable_categorical=True), **how).astype(float)


def binary() -> xgboost.Booster:
    return trained("binary:logistic", table.target(table.training()) > 0)


def multiclass() -> xgboost.Booster:
    return trained("multi:softprob", np.digitize(table.target(table.training()), [-0.5, 1]), num_class=3)


@FORMATS
@pytest.mark.parametrize("booster", ["gbtree", "dart"])
def test_regression_scores_as_the_library(tmp_path: Path, scored: Scored, name: str, booster: str) -> None:
    model, rows = trained(booster=booster), known(table.unseen())
    output = scored(table.folder_for(saved(tmp_path, model, name), "regression"), table.as_csv(rows))
    assert table.numbers(output) == expected(model, rows).tolist()


@FORMATS
def test_binary_scores_as_the_library(tmp_path: Path, scored: Scored, name: str) -> None:
    model, rows = binary(), known(table.unseen())
    output = scored(table.folder_for(saved(tmp_path, model, name), "binary"), table.as_csv(rows))
    wanted = expected(model, rows)
    assert table.numbers(output, "t_yes_PREDICTION") == wanted.tolist()
    assert table.column(output, "t_PREDICTION") == np.where(wanted >= 0.5, "yes", "no").tolist()


@FORMATS
def test_multiclass_scores_as_the_library(tmp_path: Path, scored: Scored, name: str) -> None:
    model, rows = multiclass(), known(table.unseen())
    output = scored(table.folder_for(saved(tmp_path, model, name), "multiclass"), table.as_csv(rows))
    assert [table.numbers(output, f"t_{label}_PREDICTION") for label in ("low", "mid", "high")] == expected(model, rows).T.tolist()


def test_numbers_may_be_categories(tmp_path: Path, scored: Scored) -> None:
    model = trained()
    spelled = "x,color,z,level\n" + "".join(f"0.5,10,0.1,{level}\n" for level in ("30", "30.0", "3e1", "2"))
    rows = pd.DataFrame({"x": 0.5, "color": "10", "z": 0.1, "level": [30, 30, 30, 2]})
    assert table.numbers(scored(table.folder_for(saved(tmp_path, model), "regression"), spelled)) == expected(model, rows).tolist()


def test_numbers_alone_score_as_the_library(tmp_path: Path, scored: Scored) -> None:
    rows = table.training()[["x", "z"]]
    for booster in ("gbtree", "gblinear"):
        # A linear model has no way for missing values, and takes them for zeros.
        model = xgboost.train(
            {"booster": booster, "nthread": 1, "updater": "coord_descent"} if booster == "gblinear" else {"nthread": 1},
            xgboost.DMatrix(rows, table.target(table.training())),
            5,
        )
        given = known(table.unseen())[["x", "z"]]
        output = scored(table.folder_for(saved(tmp_path, model), "regression"), table.as_csv(given))
        assert table.numbers(output) == model.predict(xgboost.DMatrix(given)).astype(float).tolist()


def test_a_model_without_names_takes_those_of_the_metadata(tmp_path: Path, scored: Scored) -> None:
    rows = table.training()[["x", "z"]].to_numpy()
    model = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, table.target(table.training())), 5)
    folder = saved(tmp_path, model)
    given = known(table.unseen())[["x", "z"]]
    output = scored(table.folder_for(folder, "regression", feature_names=["x", "z"]), table.as_csv(given))
    assert table.numbers(output) == model.predict(xgboost.DMatrix(given.to_numpy())).astype(float).tolist()
    for names, sentence in (([], "does not say which columns its 2 features are"), (["x"], "has 2 features, but feature_names lists 1")):
        with pytest.raises(ModelError) as caught:
            load_model(read_metadata(table.folder_for(folder, "regression", feature_names=names)))
        assert sentence in caught.value.detail


def test_a_file_of_an_older_release_scores_too(tmp_path: Path, scored: Scored) -> None:
    """Without what later releases have added."""
    rows, given = table.training()[["x", "z"]], table.unseen()[["x", "z"]]
    model = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, table.target(table.training())), 5)
    saved(tmp_path, model, "model.json")
    document = json.loads((tmp_path / "model.json").read_bytes())
    del document["learner"]["learner_model_param"]["num_target"]
    document["learner"]["learner_model_param"]["base_score"] = document["learner"]["learner_model_param"]["base_score"].strip("[]")
    inner = document["learner"]["gradient_booster"]["model"]
    del inner["cats"], inner["iteration_indptr"]
    for tree in inner["trees"]:
        for key in [key for key in tree if key.startswith("categories") or key == "split_type"]:
            del tree[key]
    (tmp_path / "model.json").write_text(json.dumps(document, separators=(",", ":")))
    output = scored(table.folder_for(tmp_path, "regression"), table.as_csv(given))
    assert table.numbers(output) == model.predict(xgboost.DMatrix(given)).astype(float).tolist()


def test_early_stopping_counts_as_in_the_api_that_saved_it(tmp_path: Path, scored: Scored) -> None:
    rows, y = table.training()[["x", "z"]], table.target(table.training())
    model = xgboost.XGBRegressor(n_estimators=60, learning_rate=0.9, early_stopping_rounds=3, n_jobs=1, random_state=1)
    model.fit(rows[:150], y[:150], eval_set=[(rows[150:], y[150:])], verbose=False)
    assert model.best_iteration < model.get_booster().num_boosted_rounds() - 1
    model.save_model(tmp_path / "model.json")
    given = known(table.unseen())[["x", "z"]]
    output = scored(table.folder_for(tmp_path, "regression"), table.as_csv(given))
    assert table.numbers(output) == model.predict(given).astype(float).tolist()


@pytest.mark.parametrize(
    ("target_type", "model", "shape"), [("regression", trained, (90, 5)), ("binary", binary, (90, 5)), ("multiclass", multiclass, (90, 3, 5))]
)
def test_contributions_are_the_librarys(tmp_path: Path, target_type: str, model: Callable[[], xgboost.Booster], shape: tuple[int, ...]) -> None:
    booster, rows = model(), known(table.unseen())
    loaded: Any = load_model(read_metadata(table.folder_for(saved(tmp_path, booster), target_type)))
    given = table.batch(rows, loaded.features)
    contributions = loaded.contributions(given)
    assert contributions.shape == shape
    assert np.array_equal(contributions, expected(booster, rows, pred_contribs=True))
    assert contributions.sum(axis=-1) == pytest.approx(expected(booster, rows, output_margin=True), abs=1e-5)


def test_a_new_category_has_no_prediction(tmp_path: Path, scored: Scored) -> None:
    """The library (3.2) says so itself, but only of what lies behind its last category in the alphabet."""
    folder = table.folder_for(saved(tmp_path, trained()), "regression")
    for color in ("violet", "purple", "a"):
        with pytest.raises(ScoringError) as caught:
            scored(folder, f"x,color,z,level\n0,{color},0,1\n")
        assert f"color is '{color}', which the model was not trained with" in caught.value.detail
    frame = framed(pd.DataFrame({"x": [0.0], "color": ["violet"], "z": [0.0], "level": [1]}))
    with pytest.raises(xgboost.core.XGBoostError, match="Found a category not in the training set"):
        trained().predict(xgboost.DMatrix(frame, enable_categorical=True))


def test_infinity_is_refused_as_the_library_does(tmp_path: Path, scored: Scored) -> None:
    folder = table.folder_for(saved(tmp_path, trained()), "regression")
    with pytest.raises(ScoringError) as caught:
        scored(folder, "x,color,z,level\n1e400,red,0,1\n")
    assert "XGBoost says:" in caught.value.detail
    assert "Stack trace" not in caught.value.detail


@pytest.mark.parametrize(
    ("target_type", "model", "sentence"),
    [
        ("binary", trained, "its objective is reg:squarederror, so its scores are no probabilities"),
        ("multiclass", lambda: trained("multi:softmax", np.arange(300) % 3, num_class=3), "its objective is multi:softmax"),
        ("multiclass", lambda: trained("multi:softprob", np.arange(300) % 4, num_class=4), "gives 4 scores for a row"),
        ("regression", multiclass, "gives 3 scores for a row"),
    ],
)
def test_a_model_that_does_not_fit_is_explained(tmp_path: Path, target_type: str, model: Callable[[], xgboost.Booster], sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(read_metadata(table.folder_for(saved(tmp_path, model()), target_type)))
    assert sentence in caught.value.detail


@FORMATS
@pytest.mark.parametrize("damaged", table.DAMAGED)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, damaged: Callable[[bytes], bytes]) -> None:
    path = saved(tmp_path, trained(), name) / name
    path.write_bytes(damaged(path.read_bytes()))
    with pytest.raises(ModelError):
        load_model(read_metadata(table.folder_for(tmp_path, "regression")))


def test_no_altered_byte_ends_the_process(tmp_path: Path) -> None:
    """In a process of its own: what the library cannot take would end this one."""
    code = f"""
import random
from pathlib import Path
import pyarrow as pa
from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.registry import load_model
from reconciler.errors import ReconcilerError
path = Path({str(tmp_path / "model.ubj")!r})
whole, chance, refused = path.read_bytes(), random.Random(5), 0
for _ in range(400):
    content = bytearray(whole)
    content[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(content)
    try:
        model = load_model(read_metadata(path.parent))
        arrays = [pa.array(["red", None, "?"] if each.is_text else [0.5, None, 9e9]) for each in model.features]
        assert len(model.predict(pa.RecordBatch.from_arrays(arrays, [each.name for each in model.features]))) == 3
    except ReconcilerError:
        refused += 1
print(refused)
"""
    table.folder_for(saved(tmp_path, trained()), "regression")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
