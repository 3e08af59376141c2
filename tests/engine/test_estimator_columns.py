"""Estimators with columns of categories. The rule here: a row scores as the estimator's own predict has it for a frame of the trained categories."""

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
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.registry import load_model
from reconciler.errors import ModelError, ScoringError

Scored = Callable[..., bytes]
# In no alphabet's order; some look like numbers or booleans, and one is not in the data.
CODES = ["True", "1.10", "nothing", "007", "7"]
KINDS = {
    "color": pd.CategoricalDtype(["red", "NA", "10", "blue"]),
    "level": pd.CategoricalDtype([30, 1, 2]),
    "code": pd.CategoricalDtype(CODES),
}
FLAG = {"flag": pd.CategoricalDtype([True, False])}


def written(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as a CSV file has them: a code beside the other columns, and more gaps."""
    rng = np.random.default_rng(len(rows))
    chosen = [code for code in CODES if code != "nothing"]
    return rows.assign(
        code=pd.Series(rng.choice(chosen, len(rows))).mask(rng.random(len(rows)) < 0.1),
        flag=pd.Series(rng.random(len(rows)) < 0.5).astype(object).mask(rng.random(len(rows)) < 0.1),
        level=rows.level.astype("Int64").mask(rows.index % 17 == 0),
    )


def rows_for(library: str) -> pd.DataFrame:
    """XGBoost has no prediction for a new category, and takes no booleans for categories."""
    rows = written(table.unseen())
    new = pd.Series(rows.index % 19 == 0)
    if library == "XGBoost":
        return rows.drop(columns="flag").assign(color=rows.color.replace("purple", "blue"), level=rows.level.replace(7, 2))
    return rows.assign(code=rows.code.mask(new, "1.1").mask(rows.index % 23 == 0, "true"))


def framed(rows: pd.DataFrame) -> pd.DataFrame:
    """As whoever trained the model would read them: what is not a trained category is missing."""
    kinds = {name: kind for name, kind in {**KINDS, **FLAG}.items() if name in rows}
    plain = rows.assign(level=[np.nan if pd.isna(level) else int(level) for level in rows.level])
    found = {name: pd.Categorical.from_codes(_codes(plain[name], kind), dtype=kind) for name, kind in kinds.items()}
    return plain.assign(**found)


def _codes(values: pd.Series, kind: pd.CategoricalDtype) -> list[int]:
    known = {category: code for code, category in enumerate(kind.categories)}
    return [-1 if pd.isna(value) else known.get(value, -1) for value in values]


TRAIN = written(table.training())
QUIET = {"n_estimators": 8, "n_jobs": 1}
TREES: Mapping[str, tuple[Any, Any]] = {
    "LightGBM": (
        lightgbm.LGBMRegressor(**QUIET, verbosity=-1, min_child_samples=5),
        lightgbm.LGBMClassifier(**QUIET, verbosity=-1, min_child_samples=5),
    ),
    "XGBoost": (xgboost.XGBRegressor(**QUIET, enable_categorical=True), xgboost.XGBClassifier(**QUIET, enable_categorical=True)),
    "histograms": (
        HistGradientBoostingRegressor(max_iter=8, categorical_features="from_dtype"),
        HistGradientBoostingClassifier(max_iter=8, categorical_features="from_dtype"),
    ),
}


def training_for(library: str) -> pd.DataFrame:
    return framed(TRAIN.drop(columns="flag") if library == "XGBoost" else TRAIN)


def target() -> Any:
    return table.target(table.training()) + (TRAIN.code == "007") * 2 - (TRAIN.code == "7") + TRAIN.flag.isin([True]) * 1.5


def saved(folder: Path, model: Any, name: str, target_type: str = "regression", **inference: Any) -> Path:
    (joblib if name.endswith("pkl") else skops.io).dump(model, folder / name)
    return table.folder_for(folder, target_type, **inference)


each_library = pytest.mark.parametrize("library", TREES)
each_file = pytest.mark.parametrize("name", ["model.pkl", "model.skops"])


@each_file
@each_library
def test_a_regressor_of_categories_scores_as_itself(tmp_path: Path, scored: Scored, library: str, name: str) -> None:
    model, rows = clone(TREES[library][0]).fit(training_for(library), target()), rows_for(library)
    output = scored(saved(tmp_path, model, name), table.as_csv(rows), is_trusted=True)
    assert table.numbers(output) == model.predict(framed(rows)).astype(float).tolist()


@each_file
@each_library
def test_a_classifier_of_categories_scores_as_itself(tmp_path: Path, scored: Scored, library: str, name: str) -> None:
    rows = rows_for(library)
    model = clone(TREES[library][1]).fit(training_for(library), (target() > 0).astype(int))
    folder = saved(tmp_path, model, name, "binary", positiveClassLabel="0", negativeClassLabel="1")
    wanted = model.predict_proba(framed(rows)).astype(float)
    assert table.numbers(scored(folder, table.as_csv(rows), is_trusted=True), "t_0_PREDICTION") == wanted[:, 0].tolist()


@each_library
def test_a_classifier_of_several_classes_scores_as_itself(tmp_path: Path, scored: Scored, library: str) -> None:
    rows = rows_for(library)
    model = clone(TREES[library][1]).fit(training_for(library), np.digitize(target(), [-0.5, 1]))
    folder = saved(tmp_path, model, "model.pkl", "multiclass", classLabels=["2", "0", "1"])
    output = scored(folder, table.as_csv(rows), is_trusted=True)
    wanted = model.predict_proba(framed(rows)).astype(float)
    assert [table.numbers(output, f"t_{label}_PREDICTION") for label in (0, 1, 2)] == wanted.T.tolist()


def scaled(model: Any) -> Any:
    """Some columns changed on the way, those of categories handed through."""
    return make_pipeline(
        make_column_transformer((StandardScaler(), ["z", "x"]), ("passthrough", ["code", "level"]), remainder="passthrough"), model
    ).set_output(transform="pandas")


WRAPPED: Mapping[str, Callable[[Any], Any]] = {
    "alone in a pipeline": make_pipeline,
    "behind a scaler": scaled,
    "in a search": lambda model: GridSearchCV(model, {"max_depth": [3]}, cv=2),
    "a pipeline in a search": lambda model: GridSearchCV(scaled(model), {}, cv=2),
    "for another target": lambda model: TransformedTargetRegressor(model, func=np.cbrt, inverse_func=lambda values: values**3),
    "voting": lambda model: VotingRegressor([("one", model), ("two", scaled(model))]),
    "stacked": lambda model: StackingRegressor([("one", model)], Ridge(), cv=2),
    "part of the columns": lambda model: make_pipeline(make_column_transformer(("passthrough", ["x", "color"])), model).set_output(
        transform="pandas"
    ),
}


@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED)
@each_library
def test_an_estimator_of_categories_scores_as_itself_wherever_it_is(
    tmp_path: Path, scored: Scored, library: str, wrapped: Callable[[Any], Any]
) -> None:
    model, rows = wrapped(clone(TREES[library][0])).fit(training_for(library), target()), rows_for(library)
    (tmp_path / "model.pkl").write_bytes(__import__("cloudpickle").dumps(model))
    output = scored(table.folder_for(tmp_path, "regression"), table.as_csv(rows), is_trusted=True)
    assert table.numbers(output) == pytest.approx(model.predict(framed(rows)).astype(float).tolist(), rel=1e-12)
