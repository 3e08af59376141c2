"""All families at once. The rule here: what holds for one holds for each: many rows in threads, wrong columns, values that are no numbers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import catboost
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import table
import xgboost
from skl2onnx import to_onnx
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.registry import load_model
from reconciler.errors import ModelError, ScoringError

Scored = Callable[..., bytes]
NUMBERS = ["x", "z"]
TRAIN, TARGET = table.training()[NUMBERS].fillna(0), table.target(table.training())
CUSTOM = """
import joblib, pandas as pd
def load_model(code_dir): return joblib.load(code_dir + "/model.pkl")
def score(data, model, **kwargs): return pd.DataFrame({"Predictions": model.predict(data[["x", "z"]])})
"""


def of_lightgbm(folder: Path) -> Any:
    model = lightgbm.train({"verbosity": -1, "num_threads": 1, "seed": 1}, lightgbm.Dataset(TRAIN, TARGET), 5)
    model.save_model(folder / "model.txt")
    return model.predict


def of_xgboost(folder: Path) -> Any:
    model = xgboost.XGBRegressor(n_estimators=5, n_jobs=1).fit(TRAIN, TARGET)
    model.save_model(folder / "model.ubj")
    return model.predict


def of_catboost(folder: Path) -> Any:
    model = catboost.CatBoostRegressor(iterations=5, verbose=0, allow_writing_files=False, thread_count=1).fit(TRAIN, TARGET)
    model.save_model(str(folder / "model.cbm"))
    return model.predict


def of_skops(folder: Path) -> Any:
    model = HistGradientBoostingRegressor(max_iter=5).fit(TRAIN, TARGET)
    skops.io.dump(model, folder / "model.skops")
    return model.predict


def of_onnx(folder: Path) -> Any:
    model = LinearRegression().fit(TRAIN, TARGET)
    (folder / "model.onnx").write_bytes(to_onnx(model, TRAIN.to_numpy()[:1], target_opset=17).SerializeToString())
    return model.predict


def of_pickle(folder: Path) -> Any:
    model = HistGradientBoostingRegressor(max_iter=5).fit(TRAIN, TARGET)
    joblib.dump(model, folder / "model.pkl")
    return model.predict


def of_custom(folder: Path) -> Any:
    (folder / "custom.py").write_text(CUSTOM)
    return of_pickle(folder)


FAMILIES: Mapping[str, Callable[[Path], Any]] = {
    "LightGBM": of_lightgbm,
    "XGBoost": of_xgboost,
    "CatBoost": of_catboost,
    "skops": of_skops,
    "ONNX": of_onnx,
    "pickle": of_pickle,
    "custom.py": of_custom,
}
each_family = pytest.mark.parametrize("saved", FAMILIES.values(), ids=FAMILIES)


def made(folder: Path, saved: Callable[[Path], Any]) -> Any:
    table.folder_for(folder, "regression", feature_names=NUMBERS)
    return saved(folder)


@each_family
def test_many_rows_score_as_the_library_in_order(tmp_path: Path, scored: Scored, saved: Callable[[Path], Any]) -> None:
    predict = made(tmp_path, saved)
    rows = pd.DataFrame(np.random.default_rng(3).normal(size=(30_000, 2)), columns=NUMBERS)
    output = scored(tmp_path, rows[["z", "x"]].to_csv(index=False), is_trusted=True)
    assert np.array(table.numbers(output)) == pytest.approx(np.asarray(predict(rows), float), rel=1e-5 if saved is of_onnx else 1e-12)


@each_family
def test_a_column_that_is_missing_is_named_before_a_row_is_written(tmp_path: Path, scored: Scored, saved: Callable[[Path], Any]) -> None:
    made(tmp_path, saved)
    with pytest.raises(ScoringError) as caught:
        scored(tmp_path, "X,z\n1,2\n", is_trusted=True)
    assert "lacks x" in caught.value.detail
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("saved", [each for name, each in FAMILIES.items() if name != "custom.py"])
def test_a_text_is_no_number(tmp_path: Path, scored: Scored, saved: Callable[[Path], Any]) -> None:
    made(tmp_path, saved)
    good, bad = table.rows_of(scored(tmp_path, "x,z\n1,2\nmany,2\n", is_trusted=True, include_prediction_status=True))
    assert good["prediction_status"] == "OK"
    assert "column x: 'many' is not a number" in bad["prediction_status"]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lightgbm.LGBMClassifier(n_estimators=5, verbosity=-1, n_jobs=1), id="LightGBM"),
        pytest.param(xgboost.XGBClassifier(n_estimators=5, n_jobs=1), id="XGBoost"),
        pytest.param(catboost.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False, thread_count=1), id="CatBoost"),
    ],
)
@pytest.mark.parametrize("name", ["model.pkl", "model.skops"])
def test_estimators_of_other_libraries_may_be_pickled(tmp_path: Path, scored: Scored, model: Any, name: str) -> None:
    model.fit(TRAIN, (TARGET > 0).astype(int))
    (joblib if name.endswith("pkl") else skops.io).dump(model, tmp_path / name)
    table.folder_for(tmp_path, "binary", positiveClassLabel="1", negativeClassLabel="0")
    rows = table.unseen()[NUMBERS].fillna(0)
    output = scored(tmp_path, table.as_csv(rows), is_trusted=True)
    assert table.numbers(output, "t_1_PREDICTION") == model.predict_proba(rows)[:, 1].astype(float).tolist()


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lightgbm.LGBMRegressor(n_estimators=5, verbosity=-1, n_jobs=1), id="LightGBM"),
        pytest.param(xgboost.XGBRegressor(n_estimators=5, n_jobs=1), id="XGBoost"),
        pytest.param(catboost.CatBoostRegressor(iterations=5, verbose=0, allow_writing_files=False, thread_count=1), id="CatBoost"),
    ],
)
@pytest.mark.parametrize("name", ["model.pkl", "model.skops"])
def test_regressors_of_other_libraries_may_be_pickled(tmp_path: Path, scored: Scored, model: Any, name: str) -> None:
    model.fit(TRAIN, TARGET)
    (joblib if name.endswith("pkl") else skops.io).dump(model, tmp_path / name)
    table.folder_for(tmp_path, "regression")
    rows = table.unseen()[NUMBERS].fillna(0)
    assert table.numbers(scored(tmp_path, table.as_csv(rows), is_trusted=True)) == model.predict(rows).astype(float).tolist()


def test_a_pickle_beside_a_model_that_needs_no_trust_is_left_alone(tmp_path: Path) -> None:
    made(tmp_path, of_xgboost)
    of_pickle(tmp_path)
    assert read_metadata(tmp_path).artifact.name == "model.ubj"


def test_json_beside_a_model_is_no_model(tmp_path: Path) -> None:
    made(tmp_path, of_catboost)
    (tmp_path / "input_example.json").write_text('{"columns": ["x"]}')
    assert read_metadata(tmp_path).artifact.name == "model.cbm"


@pytest.mark.parametrize("suffix", ["ubj", "cbm", "onnx", "skops", "pkl", "lgb"])
@pytest.mark.parametrize("other", [each for name, each in FAMILIES.items() if name != "custom.py"])
def test_a_model_under_another_familys_name_is_refused(tmp_path: Path, suffix: str, other: Callable[[Path], Any]) -> None:
    (tmp_path / "other").mkdir()
    other(tmp_path / "other")
    (found,) = (tmp_path / "other").iterdir()
    if {found.suffix, f".{suffix}"} in ({f".{suffix}"}, {".txt", ".lgb"}):
        return
    (tmp_path / f"model.{suffix}").write_bytes(found.read_bytes())
    with pytest.raises(ModelError):
        load_model(read_metadata(table.folder_for(tmp_path, "regression", feature_names=NUMBERS), is_trusted=True))
