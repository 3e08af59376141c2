"""Linear ONNX models. The rule here: the terms are scikit-learn's own decision function, and what is not linear has none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import helper
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, PolynomialFeatures, RobustScaler, StandardScaler

from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.model import AdditiveModel, Model
from reconciler.engine.models.registry import load_model

NAMES = ["u", "v", "w"]
# The numbers of a graph's input, and how far its sums may be from the estimator's own.
each_kind = pytest.mark.parametrize(("kind", "close"), [(np.float32, 1e-4), (np.float64, 1e-9)], ids=["floats", "doubles"])
each_answer = pytest.mark.parametrize(  # ONNX has no maps of doubles
    ("kind", "close", "zipmap"), [(np.float32, 1e-4, True), (np.float32, 1e-4, False), (np.float64, 1e-9, False)], ids=["maps", "floats", "doubles"]
)
VALUES = (np.random.default_rng(5).normal(size=(150, 3)) * [3, 0.1, 1] + [5, 0, -2]).astype(np.float32)
TARGET = VALUES @ [0.5, 8, -1] + 1
CLASSES = np.digitize(TARGET, np.quantile(TARGET, [0.3, 0.6]))


def loaded(folder: Path, graph: onnx.ModelProto, target_type: str, **inference: Any) -> Model:
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    document = {"targetType": target_type, "inferenceModel": {"targetName": "t", "feature_names": NAMES} | inference}
    (folder / "model-metadata.yaml").write_text(json.dumps(document))
    return load_model(read_metadata(folder))


def rows() -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(column.astype(float)) for column in VALUES.T], names=NAMES)


@each_kind
@pytest.mark.parametrize("scaler", [StandardScaler, MinMaxScaler, RobustScaler])
@pytest.mark.parametrize("regressor", [LinearRegression, Ridge, lambda: Lasso(0.01)])
def test_terms_of_a_regressor_add_up_to_its_prediction(tmp_path: Path, scaler: Any, regressor: Any, kind: Any, close: float) -> None:
    pipeline = make_pipeline(scaler(), regressor()).fit(VALUES.astype(kind), TARGET)
    model = loaded(tmp_path, to_onnx(pipeline, VALUES[:1].astype(kind), target_opset=17), "regression")
    assert isinstance(model, AdditiveModel)
    terms = model.terms(rows())
    assert terms.shape == (150, 4)
    assert terms.sum(axis=1) == pytest.approx(pipeline.predict(VALUES.astype(kind)), abs=close)
    assert terms.sum(axis=1) == pytest.approx(model.predict(rows()), abs=close)


@each_answer
@pytest.mark.parametrize("positive", ["yes", "no"])
def test_terms_of_two_classes_are_log_odds_of_the_positive_one(tmp_path: Path, zipmap: bool, positive: str, kind: Any, close: float) -> None:
    classifier = make_pipeline(StandardScaler(), LogisticRegression()).fit(VALUES.astype(kind), np.where(CLASSES, "yes", "no"))
    labels = {"positiveClassLabel": positive, "negativeClassLabel": "no" if positive == "yes" else "yes"}
    graph = to_onnx(classifier, VALUES[:1].astype(kind), target_opset=17, options={"zipmap": zipmap})
    model = loaded(tmp_path, graph, "binary", **labels)
    assert isinstance(model, AdditiveModel)
    raw = classifier.decision_function(VALUES.astype(kind))
    assert model.terms(rows()).sum(axis=1) == pytest.approx(raw if positive == "yes" else -raw, abs=close)


@each_answer
def test_terms_of_classes_are_in_the_order_of_the_metadata(tmp_path: Path, zipmap: bool, kind: Any, close: float) -> None:
    classifier = LogisticRegression().fit(VALUES.astype(kind), CLASSES)
    graph = to_onnx(classifier, VALUES[:1].astype(kind), target_opset=17, options={"zipmap": zipmap})
    model = loaded(tmp_path, graph, "multiclass", classLabels=["2", "0", "1"])
    assert isinstance(model, AdditiveModel)
    terms = model.terms(rows())
    assert terms.shape == (150, 3, 4)
    assert terms.sum(axis=2) == pytest.approx(classifier.decision_function(VALUES.astype(kind))[:, [2, 0, 1]], abs=10 * close)


@pytest.mark.parametrize(
    ("estimator", "target_type", "kind"),
    [
        pytest.param(RandomForestClassifier(3, random_state=0), "multiclass", np.float32, id="trees"),
        pytest.param(RandomForestClassifier(3, random_state=0), "multiclass", np.float64, id="trees over doubles"),
        pytest.param(make_pipeline(Normalizer(), Ridge()), "regression", np.float32, id="rows scaled as a whole"),
        pytest.param(make_pipeline(Normalizer(), Ridge()), "regression", np.float64, id="rows of doubles scaled as a whole"),
        pytest.param(make_pipeline(PolynomialFeatures(2), Ridge()), "regression", np.float32, id="products of features"),
        pytest.param(PoissonRegressor(), "regression", np.float32, id="exponential"),
        pytest.param(PoissonRegressor(), "regression", np.float64, id="exponential of doubles"),
    ],
)
def test_other_models_have_no_terms(tmp_path: Path, estimator: Any, target_type: str, kind: Any) -> None:
    estimator.fit(VALUES.astype(kind), CLASSES)
    model = loaded(tmp_path, to_onnx(estimator, VALUES[:1].astype(kind), target_opset=17), target_type, classLabels=["0", "1", "2"])
    assert not isinstance(model, AdditiveModel)
    assert len(model.predict(rows())) == 150


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_graph_that_does_more_than_it_seems_to_has_no_terms(tmp_path: Path, kind: Any) -> None:
    graph = to_onnx(LinearRegression().fit(VALUES, TARGET), VALUES[:1].astype(kind), target_opset=17)
    (last,) = graph.graph.output
    graph.graph.node[-1].output[0] = "linear"
    graph.graph.node.append(helper.make_node("Exp", ["linear"], [last.name]))
    model = loaded(tmp_path, graph, "regression")
    assert not isinstance(model, AdditiveModel)
    assert np.log(model.predict(rows())) == pytest.approx(TARGET, abs=1e-3)
