"""ONNX. The rule here: columns by name, classes by label, nothing from outside of the folder, and every number is onnxruntime's own for the graph.

scikit-learn's numbers are beside them: of what the converter made float32, they are the same only so far.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import table
from numpy.typing import NDArray
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.registry import load_model
from reconciler.errors import ModelError, ScoringError

Scored = Callable[..., bytes]
VALUES = np.random.default_rng(5).normal(size=(120, 3)).astype(np.float32)
CLASSES = np.digitize(VALUES[:, 0] + VALUES[:, 1], [-0.5, 0.5])
NAMES = ["u", "v", "w"]


def folder_for(folder: Path, model: onnx.ModelProto, target_type: str, **inference: Any) -> Path:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    document = {"targetType": target_type, "inferenceModel": {"targetName": "t"} | inference}
    (folder / "model-metadata.yaml").write_text(json.dumps(document))
    return folder


def intake(values: NDArray[np.float32] = VALUES, names: Sequence[str] = NAMES) -> str:
    """The columns in another order than the model's, among others that it does not ask for; nothing where a value is missing."""
    return table.as_csv(pd.DataFrame(values.astype(float), columns=list(names)))


def answers(folder: Path, feed: Any) -> list[Any]:
    """What a bare session gives for the same values: a table, or something for each input. With several threads a forest's sum has several orders."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    inputs = feed if isinstance(feed, dict) else {session.get_inputs()[0].name: feed}
    found: list[Any] = session.run(None, inputs)
    return found


def probabilities(folder: Path, feed: Any) -> dict[str, list[float]]:
    """Of a classifier, by label, however it gives them."""
    _, found = answers(folder, feed)
    if isinstance(found, list):
        return {str(label): [float(row[label]) for row in found] for label in found[0]}
    return {str(place): each for place, each in enumerate(np.asarray(found, float).T.tolist())}


def with_gaps(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """One in ten is missing."""
    return np.where(np.random.default_rng(9).random(values.shape) < 0.1, np.float32(np.nan), values)


def column(content: bytes, name: str) -> list[str]:
    return [row[name] for row in csv.DictReader(io.StringIO(content.decode()))]


def test_a_regressor_takes_names_from_the_metadata(tmp_path: Path, scored: Scored) -> None:
    regressor = LinearRegression().fit(VALUES, VALUES @ [1.0, 2.0, 3.0])
    folder = folder_for(tmp_path, to_onnx(regressor, VALUES[:1], target_opset=17), "regression", feature_names=NAMES)
    found = [float(text) for text in column(scored(folder, intake()), "t_PREDICTION")]
    assert found == answers(folder, VALUES)[0].reshape(-1).tolist()
    assert found == pytest.approx(regressor.predict(VALUES), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("last", [Ridge(), RandomForestRegressor(5, random_state=0)], ids=["linear", "forest"])
def test_missing_values_are_the_graphs_business(tmp_path: Path, scored: Scored, last: Any) -> None:
    estimator = make_pipeline(SimpleImputer(), last).fit(with_gaps(VALUES), VALUES @ [1.0, 2.0, 3.0])
    folder = folder_for(tmp_path, to_onnx(estimator, VALUES[:1], target_opset=17), "regression", feature_names=NAMES)
    given = with_gaps(3 * VALUES)
    found = [float(text) for text in column(scored(folder, intake(given)), "t_PREDICTION")]
    assert found == answers(folder, given)[0].reshape(-1).tolist()
    assert found == pytest.approx(estimator.predict(given), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("labels", [["2", "0", "1"], ["1.0", "2.0", "0.0"]])
@pytest.mark.parametrize("kind", [LogisticRegression, RandomForestClassifier])
def test_classes_are_matched_by_label(tmp_path: Path, scored: Scored, zipmap: bool, labels: list[str], kind: type[Any]) -> None:
    classifier = kind(**({"n_estimators": 5, "random_state": 0} if kind is RandomForestClassifier else {})).fit(VALUES, CLASSES)
    model = to_onnx(classifier, VALUES[:1], options={"zipmap": zipmap}, target_opset=17)
    output = scored(folder_for(tmp_path, model, "multiclass", classLabels=labels, feature_names=NAMES), intake())
    expected, own = classifier.predict_proba(VALUES), probabilities(tmp_path, VALUES)
    for label in labels:
        found = [float(text) for text in column(output, f"t_{label}_PREDICTION")]
        assert found == own[str(int(float(label)))]
        assert found == pytest.approx(expected[:, int(float(label))], abs=1e-5)


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("positive", ["yes", "no"])
def test_the_positive_class_may_be_either(tmp_path: Path, scored: Scored, zipmap: bool, positive: str) -> None:
    classifier = LogisticRegression().fit(VALUES, np.where(CLASSES == 0, "no", "yes"))
    model = to_onnx(classifier, VALUES[:1], options={"zipmap": zipmap}, target_opset=17)
    negative = "no" if positive == "yes" else "yes"
    folder = folder_for(tmp_path, model, "binary", positiveClassLabel=positive, negativeClassLabel=negative, feature_names=NAMES)
    output = scored(folder, intake())
    _, own = answers(folder, VALUES)
    place = {"no": 0, "yes": 1}[positive]
    assert table.numbers(output, f"t_{positive}_PREDICTION") == [float(row[positive if zipmap else place]) for row in own]
    found = table.numbers(output, "t_yes_PREDICTION")
    assert found == pytest.approx(classifier.predict_proba(VALUES)[:, 1], abs=1e-5)


def test_an_input_for_each_column_may_be_text(tmp_path: Path, scored: Scored) -> None:
    colors = np.array(["red", "blue", ""], object)[CLASSES]
    rows = np.column_stack([VALUES[:, 0].astype(object), colors])
    steps = ColumnTransformer([("text", OneHotEncoder(handle_unknown="ignore"), [1])], remainder="passthrough")
    classifier = make_pipeline(steps, LogisticRegression()).fit(rows, CLASSES)
    types = [("x", FloatTensorType([None, 1])), ("color", StringTensorType([None, 1]))]
    model = to_onnx(classifier, initial_types=types, options={"zipmap": False}, target_opset=17)
    folder = folder_for(tmp_path, model, "multiclass", classLabels=["0", "1", "2"])
    given = np.vstack([rows, [np.float32(0), "green"]])
    output = scored(folder, table.as_csv(pd.DataFrame({"x": given[:, 0].astype(float), "color": given[:, 1]})))
    own = probabilities(folder, {"x": given[:, :1].astype(np.float32), "color": given[:, 1:]})
    expected = classifier.predict_proba(given)
    for label in range(3):
        found = table.numbers(output, f"t_{label}_PREDICTION")
        assert found == own[str(label)]
        assert found == pytest.approx(expected[:, label], abs=1e-5)


def test_a_pipeline_of_a_frame_scores_as_itself(tmp_path: Path, scored: Scored) -> None:
    """An input for each column, of its type; whole numbers stay whole."""
    rows = table.training().assign(color=lambda frame: frame.color.fillna(""), x=lambda frame: frame.x.fillna(0), z=lambda frame: frame.z.fillna(0))
    kinds = {"color": StringTensorType, "level": Int64TensorType, "x": FloatTensorType, "z": FloatTensorType}
    coded = [(name, OneHotEncoder(handle_unknown="ignore"), [name]) for name in ("color", "level")]
    classifier = make_pipeline(ColumnTransformer([*coded, ("numbers", StandardScaler(), ["x", "z"])]), LogisticRegression()).fit(
        rows, table.classes(table.target(rows))
    )
    types = [(name, kinds[name]([None, 1])) for name in rows.columns]
    model = to_onnx(classifier, initial_types=types, options={"zipmap": False}, target_opset=17)
    folder = folder_for(tmp_path, model, "multiclass", classLabels=["low", "mid", "high"])
    given = table.unseen().assign(color=lambda frame: frame.color.fillna(""), x=lambda frame: frame.x.fillna(0), z=lambda frame: frame.z.fillna(0))
    output = scored(folder, table.as_csv(given))
    expected = dict(zip(classifier.classes_, classifier.predict_proba(given).T, strict=True))
    kinds_of = {"color": object, "level": np.int64, "x": np.float32, "z": np.float32}
    own = probabilities(folder, {name: given[[name]].to_numpy().astype(kinds_of[name]) for name in given})
    for place, label in enumerate(classifier.classes_):
        assert table.numbers(output, f"t_{label}_PREDICTION") == own[str(place)]
        assert table.numbers(output, f"t_{label}_PREDICTION") == pytest.approx(expected[label].tolist(), abs=1e-5)
    for level in ("", "1.5"):
        with pytest.raises(ScoringError) as caught:
            scored(folder, f"x,color,z,level\n1,red,1,{level}\n")
        assert "level takes whole numbers only" in caught.value.detail


def test_a_row_without_a_number_for_prediction_is_named(tmp_path: Path, scored: Scored) -> None:
    regressor = LinearRegression().fit(VALUES, VALUES[:, 0])
    folder = folder_for(tmp_path, to_onnx(regressor, VALUES[:1], target_opset=17), "regression", feature_names=NAMES)
    content = scored(folder, "u,v,w\n1,2,3\n1,,3\n", include_prediction_status=True).decode()
    assert content.splitlines()[1].endswith(",OK")
    assert content.splitlines()[2] == ',"line 3: the model gave nan; it may not take the row\'s missing or infinite values"'.replace('"', "")


def classifier_model() -> onnx.ModelProto:
    return to_onnx(LogisticRegression().fit(VALUES, CLASSES), VALUES[:1], options={"zipmap": False}, target_opset=17)


def misnamed_model() -> onnx.ModelProto:
    model = classifier_model()
    model.metadata_props.add(key="feature_names", value='["u", "u", "v"]')
    return model


def foreign_model() -> onnx.ModelProto:
    model = classifier_model()
    model.opset_import.append(helper.make_opsetid("my.operators", 1))
    return model


def outside_model() -> onnx.ModelProto:
    """A tensor within a branch of a branch, with its data elsewhere."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret.bin")
    inner = helper.make_graph([], "inner", [], [], [tensor])
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    return helper.make_model(helper.make_graph([branch], "outer", [], []))


@pytest.mark.parametrize(
    ("model", "inference", "sentence"),
    [
        (classifier_model, {"classLabels": ["0", "1", "2"]}, "does not say which columns it takes"),
        (classifier_model, {"classLabels": ["0", "1", "2"], "feature_names": ["u"]}, "has 3 columns, but feature_names lists 1"),
        (classifier_model, {"classLabels": ["a", "b", "c"], "feature_names": NAMES}, "no list of the labels a, b, c"),
        (classifier_model, {"classLabels": ["0", "1"], "feature_names": NAMES}, "no list of the labels 0, 1"),
        (misnamed_model, {"classLabels": ["0", "1", "2"]}, "not a JSON list of different names"),
        (foreign_model, {"classLabels": ["0", "1", "2"], "feature_names": NAMES}, "needs operators of my.operators"),
        (outside_model, {"classLabels": ["0", "1", "2"]}, "its data is in ../secret.bin, outside of the model's folder"),
    ],
)
def test_a_model_that_cannot_score_is_explained(
    tmp_path: Path, model: Callable[[], onnx.ModelProto], inference: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(read_metadata(folder_for(tmp_path, model(), "multiclass", **inference)))
    assert sentence in caught.value.detail


def test_a_classifier_is_no_regressor(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(read_metadata(folder_for(tmp_path, classifier_model(), "regression", feature_names=NAMES)))
    assert "no regressor" in caught.value.detail


def test_what_the_runtime_cannot_do_is_a_sentence(tmp_path: Path, scored: Scored) -> None:
    columns = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [7, 11])
    graph = helper.make_graph([helper.make_node("Reshape", ["x", "s"], ["y"])], "g", [columns], [out], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder = folder_for(tmp_path, model, "regression", feature_names=NAMES)
    with pytest.raises(ScoringError) as caught:
        scored(folder, intake())
    assert "ONNX Runtime says" in caught.value.detail


def test_a_model_that_loses_rows_is_refused(tmp_path: Path, scored: Scored) -> None:
    columns = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])
    graph = helper.make_graph([helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=0)], "g", [columns], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ScoringError) as caught:
        scored(folder_for(tmp_path, model, "regression", feature_names=NAMES), intake())
    assert "gave 3 predictions for 120 rows" in caught.value.detail


def test_a_model_of_one_feature_takes_the_name_of_its_input(tmp_path: Path, scored: Scored) -> None:
    regressor = LinearRegression().fit(VALUES[:, :1], VALUES[:, 0])
    model = to_onnx(regressor, initial_types=[("u", FloatTensorType([None, 1]))], target_opset=17)
    by_input = scored(folder_for(tmp_path, model, "regression"), intake())
    assert scored(folder_for(tmp_path, model, "regression", feature_names=["u"]), intake()) == by_input
    assert scored(folder_for(tmp_path, model, "regression", feature_names=["w"]), intake()) != by_input


@pytest.mark.parametrize("content", [b"", b"not onnx at all", b"\x08\x07"])
def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    (tmp_path / "model-metadata.yaml").write_text("targetType: regression\ninferenceModel: {targetName: t}\n")
    with pytest.raises(ModelError, match="cannot be used"):
        load_model(read_metadata(tmp_path))
