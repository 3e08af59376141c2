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
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeClassifier

from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.registry import load_model
from reconciler.errors import ModelError

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


def of_catboost(rows: pd.DataFrame) -> pd.DataFrame:
    """As the library wants it: texts for categories, none missing."""
    return rows.assign(**{name: rows[name].astype(object).where(rows[name].notna(), "").astype(str) for name in KINDS}).drop(columns="flag")


@pytest.mark.parametrize(
    ("wrapped", "prefix"),
    [
        pytest.param(lambda model: model, "", id="alone"),
        pytest.param(make_pipeline, "catboostregressor__", id="alone in a pipeline"),
        pytest.param(lambda model: GridSearchCV(model, {"depth": [3]}, cv=2), "", id="in a search"),
    ],
)
def test_categories_of_catboost_are_texts(tmp_path: Path, scored: Scored, wrapped: Callable[[Any], Any], prefix: str) -> None:
    quiet = {"iterations": 8, "verbose": 0, "allow_writing_files": False, "thread_count": 1, "random_seed": 1}
    model = wrapped(catboost.CatBoostRegressor(**quiet))
    model.fit(of_catboost(TRAIN), target(), **{f"{prefix}cat_features": list(KINDS)})
    rows = written(table.unseen())
    output = scored(saved(tmp_path, model, "model.pkl"), table.as_csv(rows), is_trusted=True)
    assert table.numbers(output) == model.predict(of_catboost(rows)).tolist()


def test_an_estimator_without_names_takes_those_of_the_metadata(tmp_path: Path, scored: Scored) -> None:
    rows = table.unseen()[["x", "z"]]
    quiet = {"iterations": 8, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
    for model in (lightgbm.LGBMRegressor(**QUIET, verbosity=-1), xgboost.XGBRegressor(**QUIET), catboost.CatBoostRegressor(**quiet)):
        model.fit(table.training()[["x", "z"]].to_numpy(), target())
        output = scored(saved(tmp_path, model, "model.pkl", feature_names=["x", "z"]), table.as_csv(rows), is_trusted=True)
        assert table.numbers(output) == model.predict(rows.to_numpy()).astype(float).tolist()


@pytest.mark.parametrize("library", ["LightGBM", "XGBoost"])
@pytest.mark.parametrize(("target_type", "objective"), [("regression", "regression"), ("binary", "binary"), ("multiclass", "multiclass")])
def test_a_pickled_booster_is_the_model_in_its_own_format(tmp_path: Path, scored: Scored, library: str, target_type: str, objective: str) -> None:
    labels = {"regression": target(), "binary": target() > 0, "multiclass": np.digitize(target(), [-0.5, 1])}[target_type]
    count = {"num_class": 3} if target_type == "multiclass" else {}
    rows = rows_for(library)
    booster: Any
    if library == "LightGBM":
        data = lightgbm.Dataset(training_for(library), labels)
        booster = lightgbm.train({"objective": objective, "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, **count}, data, 8)
        wanted = np.asarray(booster.predict(framed(rows)))
    else:
        objective = {"regression": "reg:squarederror", "binary": "binary:logistic", "multiclass": "multi:softprob"}[objective]
        matrix = xgboost.DMatrix(training_for(library), labels, enable_categorical=True)
        booster = xgboost.train({"objective": objective, "nthread": 1, **count}, matrix, 8)
        wanted = booster.predict(xgboost.DMatrix(framed(rows), enable_categorical=True)).astype(float)
    output = scored(saved(tmp_path, booster, "model.pkl", target_type), table.as_csv(rows), is_trusted=True)
    named = {"regression": ["t_PREDICTION"], "binary": ["t_yes_PREDICTION"]}.get(target_type, [f"t_{each}_PREDICTION" for each in table.CLASSES])
    assert np.array([table.numbers(output, name) for name in named]).squeeze().T.tolist() == wanted.tolist()
    with pytest.raises(ModelError, match="does not fit its metadata"):
        load_model(read_metadata(table.folder_for(tmp_path, "anomaly"), is_trusted=True))


def test_a_new_category_is_refused_where_xgboost_would_take_it_for_another(tmp_path: Path, scored: Scored) -> None:
    rows = rows_for("XGBoost")
    model = scaled(clone(TREES["XGBoost"][0])).fit(training_for("XGBoost"), target())
    folder = saved(tmp_path, model, "model.pkl")
    good, bad = table.rows_of(
        scored(folder, table.as_csv(rows.head(2).assign(code=["007", "0007"])), is_trusted=True, include_prediction_status=True)
    )
    assert good["prediction_status"] == "OK"
    assert "code is '0007', which the model was not trained with" in bad["prediction_status"]


def test_a_column_that_is_dropped_may_hold_anything(tmp_path: Path, scored: Scored) -> None:
    """A transformer of columns drops what it does not name."""
    numbers = make_pipeline(make_column_transformer((SimpleImputer(), ["x", "z"])), Ridge())
    trained, rows = TRAIN.assign(remark="free text"), rows_for("LightGBM").assign(remark="other")
    for model in (numbers, VotingRegressor([("one", numbers)]), make_pipeline(GridSearchCV(numbers, {}, cv=2))):
        model.fit(trained, target())
        output = scored(saved(tmp_path, model, "model.pkl"), table.as_csv(rows), is_trusted=True)
        assert table.numbers(output) == pytest.approx(model.predict(rows).tolist(), rel=1e-12)


def test_what_a_stack_hands_on_is_read(tmp_path: Path, scored: Scored) -> None:
    numbers = make_pipeline(make_column_transformer((SimpleImputer(), ["x"])), Ridge())
    model = StackingRegressor([("one", numbers)], HistGradientBoostingRegressor(max_iter=3), cv=2, passthrough=True)
    rows = rows_for("LightGBM")[["x", "z"]]
    model.fit(TRAIN[["x", "z"]], target())
    output = scored(saved(tmp_path, model, "model.pkl"), table.as_csv(rows), is_trusted=True)
    assert table.numbers(output) == model.predict(rows).tolist()
    refused = table.rows_of(scored(tmp_path, "x,z\n1,2\n1,many\n", is_trusted=True, include_prediction_status=True))
    assert "'many' is not a number" in refused[1]["prediction_status"]


ENCODERS = {
    "one hot": OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    "one hot, the rare ones together": OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20, sparse_output=False),
    "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    "target": TargetEncoder(cv=KFold(3)),
}


def plain(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Whole numbers, booleans and texts with gaps, as frames may hold them."""
    level = rows.level.astype(object).where(rows.level.notna(), np.nan if kind == "objects" else None)
    objects = rows.assign(level=level, code=rows.code.astype(object), color=rows.color.astype(object))
    if kind == "objects":
        return objects
    if kind == "none":
        return objects.assign(**{name: objects[name].astype(object).where(objects[name].notna(), None) for name in ("code", "color", "flag")})
    return rows.assign(level=rows.level.astype("float64"), flag=rows.flag.astype("boolean"))


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
@pytest.mark.parametrize("kind", ["objects", "none", "numbers"])
def test_encoders_are_given_what_they_were_trained_on(tmp_path: Path, scored: Scored, encoder: Any, kind: str) -> None:
    encoded = ["level", "code", "color", "flag"]
    model = make_pipeline(make_column_transformer((encoder, encoded), (SimpleImputer(), ["x", "z"])), RandomForestRegressor(8, random_state=0))
    model.fit(plain(TRAIN, kind), target())
    rows = rows_for("LightGBM")
    output = scored(saved(tmp_path, model, "model.skops"), table.as_csv(rows), is_trusted=True)
    assert table.numbers(output) == pytest.approx(model.predict(plain(rows, kind)).tolist(), rel=1e-12)


def said(library: str, model: Any, rows: pd.DataFrame) -> tuple[Any, Any]:
    """The library's own contributions, (n, outputs, features + 1), and its own raw scores, (n, outputs)."""
    if library == "LightGBM":
        parts, raw = model.predict(framed(rows), pred_contrib=True), model.predict(framed(rows), raw_score=True)
    elif library == "XGBoost":
        given = xgboost.DMatrix(framed(rows), enable_categorical=True)
        parts, raw = (model.get_booster().predict(given, **what) for what in ({"pred_contribs": True}, {"output_margin": True}))
    else:
        given = catboost.Pool(of_catboost(rows), cat_features=list(KINDS))
        parts, raw = model.get_feature_importance(given, type="ShapValues"), model.predict(given, prediction_type="RawFormulaVal")
    raw = np.asarray(raw, np.float64).reshape(len(rows), -1)
    return np.asarray(parts, np.float64).reshape(len(rows), raw.shape[1], -1), raw


@pytest.mark.parametrize("is_searched", [False, True], ids=["alone", "in a search"])
@pytest.mark.parametrize("target_type", ["regression", "binary", "multiclass"])
@pytest.mark.parametrize("library", ["LightGBM", "XGBoost", "CatBoost"])
def test_contributions_of_categories_are_the_librarys_own_and_add_up(tmp_path: Path, library: str, target_type: str, is_searched: bool) -> None:
    quiet = {"iterations": 8, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
    kinds = {**TREES, "CatBoost": (catboost.CatBoostRegressor(**quiet), catboost.CatBoostClassifier(**quiet))}
    model = clone(kinds[library][target_type != "regression"])
    train, more = (of_catboost(TRAIN), {"cat_features": list(KINDS)}) if library == "CatBoost" else (training_for(library), {})
    labels = {"regression": target(), "binary": (target() > 0).astype(int), "multiclass": np.digitize(target(), [-0.5, 1])}[target_type]
    outer = make_pipeline(GridSearchCV(model, {}, cv=2)) if is_searched else model
    outer.fit(train, labels, **({f"gridsearchcv__{name}": value for name, value in more.items()} if is_searched else more))
    inner = outer[0].best_estimator_ if is_searched else outer
    labelled = {"positiveClassLabel": "1", "negativeClassLabel": "0", "classLabels": ["0", "1", "2"]}
    loaded: Any = load_model(read_metadata(saved(tmp_path, outer, "model.pkl", target_type, **labelled), is_trusted=True))
    rows = rows_for("XGBoost") if library == "XGBoost" else rows_for(library)
    found = loaded.contributions(table.batch(rows, loaded.features)).reshape(len(rows), -1, len(loaded.features) + 1)
    wanted, raw = said(library, inner, rows)
    assert np.array_equal(found, wanted)
    assert found.sum(axis=2) == pytest.approx(raw, abs=1e-5 if library == "XGBoost" else 1e-9)


@pytest.mark.parametrize(
    ("model", "column", "sentence"),
    [
        pytest.param(
            lightgbm.LGBMRegressor(n_estimators=2, verbosity=-1),
            pd.Categorical(table.training().color, categories=table.COLORS, ordered=True),
            "so their order cannot be told. Train with unordered pandas categories only",
            id="ordered",
        ),
        pytest.param(
            make_pipeline(OneHotEncoder(), LinearRegression()),
            pd.Timestamp(2026, 1, 1) + pd.to_timedelta(table.training().level, "D"),
            "the engine reads texts, numbers and booleans",
            id="times",
        ),
        pytest.param(
            make_pipeline(OrdinalEncoder(), LinearRegression()),
            pd.Series([pd.Timestamp(2026, 1, level) for level in table.training().level], dtype=object),
            "the engine reads texts, numbers and booleans",
            id="times as objects",
        ),
    ],
)
def test_what_cannot_be_made_again_is_refused(tmp_path: Path, model: Any, column: Any, sentence: str) -> None:
    model.fit(pd.DataFrame({"column": column}), target())
    with pytest.raises(ModelError) as caught:
        load_model(read_metadata(saved(tmp_path, model, "model.pkl"), is_trusted=True))
    assert sentence in caught.value.detail


def test_a_category_that_is_none_of_its_columns_is_refused(tmp_path: Path) -> None:
    """`level` is named as categorical, and `color` a categorical column: the model lists one column's categories, and has one that is categorical."""
    rows = table.training().assign(color=pd.Categorical(table.training().color))
    model = lightgbm.LGBMRegressor(n_estimators=2, verbosity=-1).fit(rows, target(), categorical_feature=["level"])
    with pytest.raises(ModelError, match="The model's categories are ambiguous"):
        load_model(read_metadata(saved(tmp_path, model, "model.pkl"), is_trusted=True))
    model.booster_.save_model(tmp_path / "model.txt")
    with pytest.raises(ModelError, match="The model's categories are ambiguous"):
        load_model(read_metadata(tmp_path, is_trusted=True))


def test_whole_numbers_are_categories_however_long(tmp_path: Path, scored: Scored) -> None:
    """As floats, these would be one number."""
    ids = [9007199254740992, 9007199254740993]
    rows = pd.DataFrame({"id": pd.Categorical(ids * 50), "x": np.arange(100.0)})
    model = lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=5, verbosity=-1).fit(rows, [0.0, 5.0] * 50)
    output = scored(saved(tmp_path, model, "model.pkl"), "id,x\n9007199254740992,1\n9007199254740993,1\n90071992547409_92,1\n", is_trusted=True)
    wanted = model.predict(pd.DataFrame({"id": pd.Categorical([*ids, None], categories=ids), "x": 1.0}))
    assert table.numbers(output) == wanted.tolist()
    assert len(set(wanted[:2])) == 2


def test_words_for_nothing_are_no_categories_among_numbers(tmp_path: Path, scored: Scored) -> None:
    rows = pd.DataFrame({"level": pd.Categorical(table.training().level), "x": table.training().x})
    model = xgboost.XGBRegressor(n_estimators=5, enable_categorical=True, n_jobs=1).fit(rows, target())
    (tmp_path / "own").mkdir()
    model.save_model(tmp_path / "own/model.json")
    wanted = model.predict(pd.DataFrame({"level": pd.Categorical([30, None, None], categories=rows.level.cat.categories), "x": 0.5}))
    for folder in (saved(tmp_path, model, "model.pkl"), table.folder_for(tmp_path / "own", "regression")):
        assert table.numbers(scored(folder, "level,x\n 3e1,0.5\nNA,0.5\nnan,0.5\n", is_trusted=True)) == wanted.astype(float).tolist()


class Noting(xgboost.XGBRegressor):  # type: ignore[misc]
    """Notes, for each call, whether another one could be made meanwhile."""

    model: Any
    could: list[bool]

    def predict(self, *rows: Any, **how: Any) -> Any:
        Noting.could.append(not Noting.model.turn.locked())
        return super().predict(*rows, **how)


@pytest.mark.parametrize("wrapped", [lambda model: model, make_pipeline, lambda model: TransformedTargetRegressor(make_pipeline(model))])
def test_a_linear_model_of_xgboost_is_called_by_one_thread_at_a_time(tmp_path: Path, wrapped: Callable[[Any], Any]) -> None:
    rows = table.training()[["x", "z"]]
    estimator = wrapped(Noting(booster="gblinear", n_estimators=3, n_jobs=1)).fit(rows, target())
    Noting.model, Noting.could = load_model(read_metadata(saved(tmp_path, estimator, "model.pkl"), is_trusted=True)), []
    assert Noting.model.predict(table.batch(rows, Noting.model.features)).tolist() == estimator.predict(rows).astype(float).tolist()
    assert Noting.could == [False, True]  # the second is our own


def test_an_estimator_of_a_bare_table_of_texts_is_given_one(tmp_path: Path, scored: Scored) -> None:
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    model = make_pipeline(make_column_transformer((encoder, [1, 2]), (SimpleImputer(), [0])), Ridge())
    names = ["x", "code", "level"]
    model.fit(plain(TRAIN, "objects")[names].to_numpy(object), target())
    rows = rows_for("LightGBM")
    output = scored(saved(tmp_path, model, "model.skops", feature_names=names), table.as_csv(rows))
    assert table.numbers(output) == pytest.approx(model.predict(plain(rows, "objects")[names].to_numpy(object)).tolist(), rel=1e-12)


def test_links_of_a_chain_may_be_given_more_columns_than_the_intake_has(tmp_path: Path, scored: Scored) -> None:
    scaler = make_column_transformer((StandardScaler(), [0]), remainder="passthrough")
    model = ClassifierChain(make_pipeline(scaler, DecisionTreeClassifier(max_depth=3)))
    labels = np.column_stack([target() < 0, target() > 1, np.abs(target()) < 1]).astype(int)
    model.fit(table.training()[["x", "z"]].fillna(0), labels)
    rows = table.unseen()[["x", "z"]].fillna(0)
    output = scored(saved(tmp_path, model, "model.pkl", "multilabel"), table.as_csv(rows), is_trusted=True)
    assert [table.numbers(output, f"t_{label}_PROBABILITY") for label in table.CLASSES] == model.predict_proba(rows).T.tolist()


def test_texts_that_catboost_takes_apart_are_as_they_stand(tmp_path: Path, scored: Scored) -> None:
    rows = pd.DataFrame({"note": ["good and bad", "bad", "good", "so bad"] * 25, "size": [1.0, 2.0, 3.0, 4.0] * 25})
    model = catboost.CatBoostClassifier(iterations=3, verbose=0, allow_writing_files=False, text_features=["note"]).fit(rows, [1, 0, 1, 0] * 25)
    folder = saved(tmp_path, model, "model.pkl", "binary", positiveClassLabel="1", negativeClassLabel="0")
    some = pd.DataFrame({"size": [1.0, 2.5, np.nan], "note": ["so good", None, "007"]})
    given = some[["note", "size"]].fillna({"note": ""})
    output = scored(folder, some.to_csv(index=False), is_trusted=True, max_explanations=2)
    assert table.numbers(output, "t_1_PREDICTION") == model.predict_proba(given)[:, 1].tolist()
    parts = model.get_feature_importance(catboost.Pool(given, text_features=["note"]), type="ShapValues")
    for row, contributions in zip(table.rows_of(output), parts, strict=True):
        told = {row[f"EXPLANATION_{place}_FEATURE_NAME"]: float(row[f"EXPLANATION_{place}_STRENGTH"]) for place in (1, 2)}
        assert [told["note"], told["size"], float(row["SHAP_BASE_VALUE"])] == contributions.tolist()


def as_categories(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.astype({name: "category" for name in ("color", "code") if name in rows})


def small(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.apply(lambda column: column.str.lower())


def bands(rows: pd.DataFrame) -> pd.DataFrame:
    """Texts made of numbers, in their place."""
    return rows.assign(x=np.where(rows.x.isna(), "none", np.where(rows.x > 0, "high", "low")))


def turned(rows: pd.DataFrame) -> pd.DataFrame:
    return as_categories(rows)[rows.columns[::-1]]


ONE_HOT = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
OWN = {
    "to categories, beside others": lambda model: make_pipeline(
        make_column_transformer((FunctionTransformer(as_categories), ["code", "color"]), ("passthrough", ["x"])), model
    ).set_output(transform="pandas"),
    "to categories, all columns": lambda model: make_pipeline(FunctionTransformer(as_categories), model),
    "to other texts": lambda model: make_pipeline(
        make_column_transformer((make_pipeline(FunctionTransformer(small), ONE_HOT), ["color", "code"]), ("passthrough", ["x"])), model
    ),
    "to texts of numbers": lambda model: make_pipeline(make_column_transformer((make_pipeline(FunctionTransformer(bands), ONE_HOT), ["x"])), model),
}


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
@pytest.mark.parametrize("library", ["LightGBM", "histograms"])
def test_what_code_of_the_users_own_is_given_is_found_by_trying(tmp_path: Path, scored: Scored, library: str, own: Callable[[Any], Any]) -> None:
    columns = ["x", "color", "code"]
    model = own(clone(TREES[library][0])).fit(plain(TRAIN, "objects")[columns], target())
    rows = rows_for("LightGBM")
    output = scored(saved(tmp_path, model, "model.pkl"), table.as_csv(rows), is_trusted=True)
    assert table.numbers(output) == pytest.approx(model.predict(plain(rows, "objects")[columns]).tolist(), rel=1e-12)


def test_what_cannot_be_found_by_trying_is_refused(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(turned), clone(TREES["LightGBM"][0])).fit(plain(TRAIN, "objects")[["x", "color"]], target())
    with pytest.raises(ModelError) as caught:
        load_model(read_metadata(saved(tmp_path, model, "model.pkl"), is_trusted=True))
    assert "which FunctionTransformer made of x, and it cannot be told whether of texts or of numbers" in caught.value.detail


def test_a_new_text_behind_code_of_the_users_own_is_refused_for_xgboost(tmp_path: Path, scored: Scored) -> None:
    rows = plain(TRAIN, "objects")[["x", "code"]].assign(code=lambda frame: frame.code.fillna("7"))
    model = make_pipeline(FunctionTransformer(as_categories), clone(TREES["XGBoost"][0])).fit(rows, target())
    output = scored(saved(tmp_path, model, "model.pkl"), "x,code\n1,007\n1,0007\n1,7\n", is_trusted=True, include_prediction_status=True)
    wanted = model.predict(pd.DataFrame({"x": [1.0, 1.0], "code": ["007", "7"]})).astype(float)
    good, new, other = table.rows_of(output)
    assert [float(good["t_PREDICTION"]), float(other["t_PREDICTION"])] == wanted.tolist()
    assert "code is '0007', which the model was not trained with" in new["prediction_status"]


def cut(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(x=pd.cut(rows.x, [-9, 0, 9], labels=["low", "high"]), z=(rows.z > 0).astype("category"))


def test_categories_that_are_made_of_numbers_on_the_way_need_nothing(tmp_path: Path, scored: Scored) -> None:
    """Ordered ones, and booleans."""
    rows = table.unseen()[["x", "z"]]
    model = make_pipeline(FunctionTransformer(cut), clone(TREES["LightGBM"][0])).fit(table.training()[["x", "z"]], target())
    output = scored(saved(tmp_path, model, "model.pkl"), table.as_csv(rows), is_trusted=True)
    assert table.numbers(output) == model.predict(rows).tolist()


def test_what_an_estimator_was_to_fit_is_not_looked_at(tmp_path: Path, scored: Scored) -> None:
    inner = make_pipeline(make_column_transformer((StandardScaler(), [0]), remainder="drop"), LogisticRegression())
    rows = table.training()[["x", "z"]].fillna(0)
    model = make_pipeline(SequentialFeatureSelector(inner, n_features_to_select=1, cv=2), Ridge()).fit(rows, (target() > 0).astype(int))
    output = scored(saved(tmp_path, model, "model.pkl"), table.as_csv(rows), is_trusted=True)
    assert table.numbers(output) == pytest.approx(model.predict(rows).tolist(), rel=1e-12)
