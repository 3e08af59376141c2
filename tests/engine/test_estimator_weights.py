"""Linear scikit-learn estimators. The rule here: the terms are the estimator's own decision function, and what is not linear has none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import skops.io
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, PolynomialFeatures, RobustScaler, StandardScaler

from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.model import AdditiveModel, Model
from reconciler.engine.models.registry import load_model

VALUES = np.random.default_rng(5).normal(size=(150, 3)) * [3, 0.1, 1] + [5, 0, -2]
FRAME = pd.DataFrame(VALUES, columns=["u", "v", "w"])
TARGET = VALUES @ [0.5, 8, -1] + 30
CLASSES = np.digitize(TARGET, np.quantile(TARGET, [0.3, 0.6]))


def loaded(folder: Path, estimator: Any, target_type: str, **inference: Any) -> Model:
    skops.io.dump(estimator, folder / "model.skops")
    (folder / "model-metadata.yaml").write_text(json.dumps({"targetType": target_type, "inferenceModel": {"targetName": "t"} | inference}))
    return load_model(read_metadata(folder))


def terms(model: Model) -> Any:
    assert isinstance(model, AdditiveModel)
    return model.terms(pa.RecordBatch.from_pandas(FRAME)).sum(axis=-1)


@pytest.mark.parametrize("scalers", [[], [StandardScaler], [MinMaxScaler, RobustScaler], [MaxAbsScaler]])
@pytest.mark.parametrize("regressor", [LinearRegression(), Ridge(), Lasso(0.01)])
def test_terms_of_a_regressor_add_up_to_its_prediction(tmp_path: Path, scalers: list[Any], regressor: Any) -> None:
    pipeline = make_pipeline(*(scaler() for scaler in scalers), regressor).fit(FRAME, TARGET)
    assert terms(loaded(tmp_path, pipeline, "regression")) == pytest.approx(pipeline.predict(FRAME), abs=1e-9)


@pytest.mark.parametrize("positive", ["yes", "no"])
def test_terms_of_two_classes_are_log_odds_of_the_positive_one(tmp_path: Path, positive: str) -> None:
    classifier = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, np.where(CLASSES, "yes", "no"))
    labels = {"positiveClassLabel": positive, "negativeClassLabel": "no" if positive == "yes" else "yes"}
    raw = classifier.decision_function(FRAME)
    assert terms(loaded(tmp_path, classifier, "binary", **labels)) == pytest.approx(raw if positive == "yes" else -raw, abs=1e-9)


def test_terms_of_classes_are_in_the_order_of_the_metadata(tmp_path: Path) -> None:
    classifier = LogisticRegression().fit(FRAME, CLASSES)
    model = loaded(tmp_path, classifier, "multiclass", classLabels=["2", "0", "1"])
    assert terms(model) == pytest.approx(classifier.decision_function(FRAME)[:, [2, 0, 1]], abs=1e-9)


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(PoissonRegressor(), id="exponential"),
        pytest.param(make_pipeline(PolynomialFeatures(2), Ridge()), id="products of features"),
        pytest.param(make_pipeline(Normalizer(), Ridge()), id="rows scaled as a whole"),
        pytest.param(make_pipeline(MinMaxScaler(clip=True), Ridge()), id="values cut off"),
    ],
)
def test_other_estimators_have_no_terms(tmp_path: Path, estimator: Any) -> None:
    assert not isinstance(loaded(tmp_path, estimator.fit(FRAME, TARGET), "regression"), AdditiveModel)
