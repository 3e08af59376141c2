"""scikit-learn's estimators, through skops and through pickles. The rule here: every row scores as the estimator itself has it."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import cloudpickle
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import table
import xgboost
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.mixture import GaussianMixture
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC, OneClassSVM

from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.registry import load_model
from reconciler.errors import ModelError

Scored = Callable[..., bytes]
NUMBERS = ["x", "z", "level"]


def dumped(folder: Path, estimator: Any, name: str = "model.skops") -> Path:
    if name.endswith(".skops"):
        skops.io.dump(estimator, folder / name)
    elif name.endswith(".joblib"):
        joblib.dump(estimator, folder / name, compress=3)
    else:
        (folder / name).write_bytes((cloudpickle if name.startswith("cloud") else pickle).dumps(estimator))
    return folder


def close(values: Any) -> Any:
    """Sums of products differ in the last bit with the layout of a table in memory, and so with the rows that are summed at once."""
    return pytest.approx(np.asarray(values).tolist(), rel=1e-12, abs=1e-14)


FORMATS = pytest.mark.parametrize("name", ["model.skops", "model.pkl", "cloud.pickle", "model.joblib"])


def prepared(*texts: Any) -> Any:
    """Numbers filled and scaled, the text one-hot; a color that it was not fitted on has none of them."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    colors = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False))
    return make_column_transformer((numbers, ["x", "z"]), (colors, ["color"]), ("passthrough", ["level"]), *texts)


def fitted(estimator: Any, labels: Callable[[Any], Any] = np.asarray) -> Any:
    return make_pipeline(prepared(), estimator).fit(table.training(), labels(table.target(table.training())))


def imputed(estimator: Any) -> Any:
    return make_pipeline(SimpleImputer(), estimator).fit(table.training()[NUMBERS], table.target(table.training()))


@FORMATS
def test_a_regression_pipeline_scores_as_itself(tmp_path: Path, scored: Scored, name: str) -> None:
    model, rows = fitted(Ridge()), table.unseen()
    output = scored(table.folder_for(dumped(tmp_path, model, name), "regression"), table.as_csv(rows), is_trusted=not name.endswith("skops"))
    assert table.numbers(output) == close(model.predict(rows))


@pytest.mark.parametrize("parts", [(), (("drop", ["color"]),), (("drop", ["x", "color"]),)])
def test_a_column_that_the_pipeline_drops_may_hold_anything(tmp_path: Path, scored: Scored, parts: Any) -> None:
    frame, rows = table.training(), table.unseen()
    model = make_pipeline(make_column_transformer((SimpleImputer(), ["x", "z"]), *parts), Ridge()).fit(frame, table.target(frame))
    output = scored(table.folder_for(dumped(tmp_path, model, "model.skops"), "regression"), table.as_csv(rows))
    assert table.numbers(output) == close(model.predict(rows))


def test_a_bare_table_of_which_a_column_is_dropped_is_given_a_bare_table(tmp_path: Path, scored: Scored) -> None:
    values = np.random.default_rng(1).normal(size=(50, 3))
    model = make_pipeline(make_column_transformer((SimpleImputer(), [0, 2])), Ridge()).fit(values, values[:, 0])
    folder = table.folder_for(dumped(tmp_path, model, "model.skops"), "regression", feature_names=["a", "b", "c"])
    assert table.numbers(scored(folder, "a,b,c\n1,2,3\n")) == close(model.predict([[1, 2, 3]]))


@FORMATS
def test_a_binary_pipeline_scores_as_itself(tmp_path: Path, scored: Scored, name: str) -> None:
    model, rows = fitted(LogisticRegression(), table.yes_or_no), table.unseen()
    output = scored(table.folder_for(dumped(tmp_path, model, name), "binary"), table.as_csv(rows), is_trusted=not name.endswith("skops"))
    assert table.numbers(output, "t_yes_PREDICTION") == close(model.predict_proba(rows)[:, 1])
    assert table.column(output, "t_PREDICTION") == model.predict(rows).tolist()


@FORMATS
def test_a_multiclass_pipeline_scores_as_itself(tmp_path: Path, scored: Scored, name: str) -> None:
    model, rows = fitted(RandomForestClassifier(8, random_state=0), table.classes), table.unseen()
    output = scored(table.folder_for(dumped(tmp_path, model, name), "multiclass"), table.as_csv(rows), is_trusted=not name.endswith("skops"))
    wanted = dict(zip(model.classes_, model.predict_proba(rows).T.tolist(), strict=True))
    assert {label: table.numbers(output, f"t_{label}_PREDICTION") for label in ("low", "mid", "high")} == wanted


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(HistGradientBoostingRegressor(max_iter=5), id="histogram boosting"),
        pytest.param(GradientBoostingRegressor(n_estimators=5), id="boosting"),
        pytest.param(RandomForestRegressor(5, random_state=0), id="forest"),
        pytest.param(MLPRegressor(hidden_layer_sizes=(4,), random_state=0, max_iter=2000, tol=0.01), id="network"),
        pytest.param(make_pipeline(FunctionTransformer(np.exp), LinearRegression()), id="functions"),
    ],
)
def test_reviewed_types_need_no_trust(tmp_path: Path, scored: Scored, estimator: Any) -> None:
    model, rows = imputed(estimator), table.unseen()[NUMBERS].fillna(0)
    output = scored(table.folder_for(dumped(tmp_path, model), "regression"), table.as_csv(rows))
    assert table.numbers(output) == close(model.predict(rows))


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(KNeighborsClassifier(algorithm="kd_tree"), id="neighbours"),
        pytest.param(CalibratedClassifierCV(LinearSVC(), cv=2), id="calibrated"),
        pytest.param(GaussianNB(), id="bayes"),
    ],
)
def test_reviewed_classifiers_need_no_trust(tmp_path: Path, scored: Scored, estimator: Any) -> None:
    model, rows = fitted(estimator, table.yes_or_no), table.unseen()
    folder = table.folder_for(dumped(tmp_path, model), "binary")
    assert table.numbers(scored(folder, table.as_csv(rows)), "t_yes_PREDICTION") == close(model.predict_proba(rows)[:, 1])


def test_categories_of_histogram_boosting_are_text(tmp_path: Path, scored: Scored) -> None:
    train, rows = table.training(), table.unseen()
    encoder = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), ["color"]),
        remainder="passthrough",
    )
    model = make_pipeline(encoder, HistGradientBoostingClassifier(max_iter=5, categorical_features=[0]))
    model.fit(train, table.yes_or_no(table.target(train)))
    output = scored(table.folder_for(dumped(tmp_path, model), "binary"), table.as_csv(rows))
    assert table.numbers(output, "t_yes_PREDICTION") == model.predict_proba(rows)[:, 1].tolist()


def test_words_are_text(tmp_path: Path, scored: Scored) -> None:
    words = pd.DataFrame({"x": [1.0, 2, 3, 4], "note": ["good, very", "bad", "good", "so bad"]})
    model = make_pipeline(make_column_transformer((TfidfVectorizer(), "note"), remainder="passthrough"), Ridge()).fit(words, [1, 0, 1, 0])
    output = scored(table.folder_for(dumped(tmp_path, model), "regression"), words.to_csv(index=False))
    assert table.numbers(output) == close(model.predict(words))


def test_a_table_without_names_takes_those_of_the_metadata(tmp_path: Path, scored: Scored) -> None:
    rows = table.unseen()[["x", "z"]].fillna(0)
    model = LinearRegression().fit(table.training()[["x", "z"]].fillna(0).to_numpy(), table.target(table.training()))
    folder = table.folder_for(dumped(tmp_path, model), "regression", feature_names=["x", "z"])
    assert table.numbers(scored(folder, table.as_csv(rows))) == close(model.predict(rows.to_numpy()))
    for names, sentence in (([], "fitted on a table without names"), (["x"], "has 2 features, but feature_names lists 1")):
        with pytest.raises(ModelError) as caught:
            load_model(read_metadata(table.folder_for(tmp_path, "regression", feature_names=names)))
        assert sentence in caught.value.detail


@pytest.mark.parametrize(
    "estimator",
    [pytest.param(RandomForestClassifier(5, random_state=0), id="a list"), pytest.param(OneVsRestClassifier(LogisticRegression()), id="a table")],
)
def test_multilabel_scores_as_itself(tmp_path: Path, scored: Scored, estimator: Any) -> None:
    model = fitted(estimator, lambda values: np.column_stack([values < 0, values > 1, np.abs(values) < 1]).astype(int))
    rows = table.unseen()
    output = scored(table.folder_for(dumped(tmp_path, model), "multilabel"), table.as_csv(rows))
    answer = model.predict_proba(rows)
    wanted = np.column_stack([each[:, 1] for each in answer]) if isinstance(answer, list) else answer
    assert [table.numbers(output, f"t_{label}_PROBABILITY") for label in ("low", "mid", "high")] == [close(each) for each in wanted.T]


@pytest.mark.parametrize(
    "estimator",
    [pytest.param(KMeans(3, random_state=0, n_init=1), id="numbers"), pytest.param(GaussianMixture(3, random_state=0), id="probabilities")],
)
def test_clustering_scores_as_itself(tmp_path: Path, scored: Scored, estimator: Any) -> None:
    model, rows = fitted(estimator), table.unseen()
    output = scored(table.folder_for(dumped(tmp_path, model), "clustering"), table.as_csv(rows))
    wanted = model.predict_proba(rows) if hasattr(model, "predict_proba") else np.eye(3)[model.predict(rows)]
    assert [table.numbers(output, f"{label}_PREDICTION") for label in ("low", "mid", "high")] == [close(each) for each in wanted.T]
    assert table.column(output, "PREDICTION") == [["low", "mid", "high"][place] for place in model.predict(rows)]


@pytest.mark.parametrize(
    ("estimator", "score"),
    [
        (IsolationForest(n_estimators=10, random_state=0), "score_samples"),
        (LocalOutlierFactor(novelty=True), "score_samples"),
        (OneClassSVM(), "score_samples"),
    ],
)
def test_an_anomaly_scores_higher_the_stranger_it_is(tmp_path: Path, scored: Scored, estimator: Any, score: str) -> None:
    model, rows = fitted(estimator), table.unseen()
    output = scored(table.folder_for(dumped(tmp_path, model), "anomaly"), table.as_csv(rows))
    assert table.numbers(output, "ANOMALY_SCORE") == close(-getattr(model, score)(rows))
    strange = table.as_csv(pd.DataFrame({"x": [0.0, 500.0], "color": "red", "z": 0.0, "level": 2}))
    usual, far = table.numbers(scored(tmp_path, strange), "ANOMALY_SCORE")
    assert far > usual


def test_a_pickle_without_trust_is_refused(tmp_path: Path) -> None:
    folder = table.folder_for(dumped(tmp_path, fitted(Ridge()), "model.pkl"), "regression")
    with pytest.raises(ModelError) as caught:
        read_metadata(folder)
    assert caught.value.summary == "The model is not trusted"
    assert "to load model.pkl (pickled Python) is to run the code that its maker put there" in caught.value.detail
    assert "trust: true" in caught.value.detail


class Stranger(Ridge):
    """Of a type that nobody has reviewed."""


def test_a_type_that_was_not_reviewed_needs_trust(tmp_path: Path, scored: Scored) -> None:
    model = Stranger().fit(table.training()[["level"]], table.target(table.training()))
    folder = table.folder_for(dumped(tmp_path, model), "regression")
    with pytest.raises(ModelError) as caught:
        load_model(read_metadata(folder))
    assert f"it holds {Stranger.__module__}.Stranger, which nobody has reviewed" in caught.value.detail
    assert len(table.numbers(scored(folder, "level\n1\n2\n", is_trusted=True))) == 2


@pytest.mark.parametrize("damaged", table.DAMAGED)
@FORMATS
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, damaged: Callable[[bytes], bytes]) -> None:
    path = dumped(tmp_path, fitted(Ridge()), name) / name
    path.write_bytes(damaged(path.read_bytes()))
    with pytest.raises(ModelError):
        load_model(read_metadata(table.folder_for(tmp_path, "regression"), is_trusted=True))


def test_any_zip_file_is_no_model(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("schema.json", "{}")
    (tmp_path / "model.skops").write_bytes(content.getvalue())
    with pytest.raises(ModelError):
        load_model(read_metadata(table.folder_for(tmp_path, "regression")))


class ShyRegressor(BaseEstimator):
    """One that does not say what it is."""

    def fit(self, rows: Any, target: Any) -> "ShyRegressor":
        self.mean_ = float(np.mean(target))
        return self

    def predict(self, rows: Any) -> Any:
        return np.full(len(rows), self.mean_)


NUMBER, LEVEL = table.training()[["level"]], table.target(table.training())


@pytest.mark.parametrize(
    ("target_type", "model", "sentence"),
    [
        ("regression", lambda: fitted(LogisticRegression(), table.yes_or_no), "it is a classifier, but targetType is Regression"),
        ("binary", lambda: fitted(Ridge()), "which has no predict_proba"),
        ("multiclass", lambda: fitted(LogisticRegression(), table.yes_or_no), "its labels are no, yes, those of the metadata low, mid, high"),
        ("anomaly", lambda: fitted(Ridge()), "has no decision_function"),
        ("clustering", lambda: fitted(Ridge()), "it is a regressor, but targetType is Clustering"),
        ("clustering", lambda: lightgbm.LGBMRegressor(n_estimators=1, verbosity=-1).fit(NUMBER, LEVEL), "it is a regressor"),
        ("clustering", lambda: xgboost.XGBRegressor(n_estimators=1).fit(NUMBER, LEVEL), "it is a regressor"),
        (
            "clustering",
            lambda: catboost.CatBoostRegressor(iterations=1, verbose=0, allow_writing_files=False).fit(NUMBER, LEVEL),
            "it is a regressor",
        ),
        ("regression", lambda: {"a": 1}, "without names"),
    ],
)
def test_a_model_that_does_not_fit_is_explained(tmp_path: Path, target_type: str, model: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(read_metadata(table.folder_for(dumped(tmp_path, model()), target_type), is_trusted=True))
    assert sentence in caught.value.detail


@pytest.mark.parametrize(
    ("target_type", "estimator", "sentence"),
    [
        ("clustering", ShyRegressor(), "it gives something else than the number of a cluster"),
        ("clustering", KMeans(4, random_state=0, n_init=1), "it gave cluster 3, but classLabels lists 3 from 0 on"),
        ("clustering", GaussianMixture(4, random_state=0), "it gives 4 probabilities for a row, but classLabels lists 3"),
    ],
)
def test_an_answer_of_another_shape_is_the_models_fault_and_no_rows(
    tmp_path: Path, scored: Scored, target_type: str, estimator: Any, sentence: str
) -> None:
    folder = table.folder_for(dumped(tmp_path, fitted(estimator)), target_type)
    with pytest.raises(ModelError) as caught:
        scored(folder, table.as_csv(table.training()), is_trusted=True, abort_on_error=False)
    assert sentence in caught.value.detail
    assert (tmp_path / "out.csv").read_bytes().count(b"\n") <= 1  # no row


def test_what_an_estimator_refuses_is_a_sentence(tmp_path: Path, scored: Scored) -> None:
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(pd.DataFrame({"color": ["red", "blue"]}), ["yes", "no"])
    folder = table.folder_for(dumped(tmp_path, model), "binary")
    good, bad = table.rows_of(scored(folder, "color\nred\npurple\n", include_prediction_status=True))
    assert good["prediction_status"] == "OK"
    assert "ValueError: Found unknown categories" in bad["prediction_status"]
