"""ONNX models as scikit-learn's converters export them. The rule here: columns and classes are matched by name and label, never by position.

The file is looked at before it is run: no operators from outside, no data from outside of the model's folder.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
from numpy.typing import NDArray

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.model import Feature, Scores, matrix
from reconciler.errors import ModelError

_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
_LABEL_ATTRIBUTES = frozenset({"classlabels_strings", "classlabels_int64s", "classlabels_ints"})
_TEXT = "tensor(string)"
_NUMBERS: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(double)": np.float64}
_ROWS = 2048

Label = str | int


@dataclass(frozen=True)
class OnnxModel:
    """`inputs` makes the session's feed out of rows, `scores` our block out of the session's answer."""

    session: onnxruntime.InferenceSession
    features: tuple[Feature, ...]
    inputs: Callable[[pa.RecordBatch], dict[str, NDArray[Any]]]
    outputs: list[str]
    scores: Callable[[list[Any]], Scores]
    rows_at_once: int = _ROWS

    def predict(self, rows: pa.RecordBatch) -> Scores:
        return self.scores(self.session.run(self.outputs, self.inputs(rows)))


def load(metadata: Metadata) -> OnnxModel:
    graph = _safe_graph(metadata)
    session = _session(metadata)
    features, inputs = _inputs(metadata, session, graph)
    outputs, scores = _outputs(metadata, session, graph)
    return OnnxModel(session, features, inputs, outputs, scores)


def _safe_graph(metadata: Metadata) -> onnx.ModelProto:
    path = metadata.artifact
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own, under several names
        raise _unloadable(metadata, "it is not an ONNX file") from error
    if foreign := sorted({entry.domain for entry in model.opset_import} - _DOMAINS - {function.domain for function in model.functions}):
        raise _unloadable(metadata, f"it needs operators of {', '.join(foreign)}, which are code from outside; export it with standard operators")
    folder = path.parent.resolve()
    for location in _external_locations(model):
        if not (folder / location).resolve().is_relative_to(folder):
            raise _unloadable(metadata, f"its data is in {location}, outside of the model's folder; save it with the data inside")
    return model


def _external_locations(message: Any) -> Iterator[str]:
    """Every file that some tensor, however deep in the graph, names as the place of its data."""
    if isinstance(message, onnx.TensorProto):
        yield from (entry.value for entry in message.external_data if entry.key == "location")
        return
    for descriptor, value in message.ListFields():
        if descriptor.type == descriptor.TYPE_MESSAGE:
            for part in value if isinstance(value, Sequence) else [value]:
                yield from _external_locations(part)


def _session(metadata: Metadata) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One thread in here: the pipeline calls from as many as there are cores, and sums of floats cannot depend on the machine.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(metadata.artifact), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common root
        raise _unloadable(metadata, f"ONNX Runtime says: {' '.join(str(error).split())}") from error


# Inputs


def _inputs(
    metadata: Metadata, session: onnxruntime.InferenceSession, graph: onnx.ModelProto
) -> tuple[tuple[Feature, ...], Callable[[pa.RecordBatch], dict[str, NDArray[Any]]]]:
    nodes = session.get_inputs()
    for node in nodes:
        if node.type != _TEXT and node.type not in _NUMBERS:
            raise _unloadable(metadata, f"its input {node.name} is {node.type}; export it with inputs of float, double or string")
    if _is_table(nodes):
        return _table_input(metadata, nodes[0], graph)
    features = tuple(Feature(node.name, is_text=node.type == _TEXT) for node in nodes)
    return features, lambda rows: {node.name: _column(rows.column(node.name), node.type) for node in nodes}


def _is_table(nodes: Sequence[Any]) -> bool:
    return len(nodes) == 1 and nodes[0].type != _TEXT and nodes[0].shape[-1] != 1


def _table_input(
    metadata: Metadata, node: Any, graph: onnx.ModelProto
) -> tuple[tuple[Feature, ...], Callable[[pa.RecordBatch], dict[str, NDArray[Any]]]]:
    names = _feature_names(metadata, graph)
    width = node.shape[-1]
    if isinstance(width, int) and width != len(names):
        raise _unloadable(metadata, f"its input {node.name} has {width} columns, but feature_names lists {len(names)}")
    return tuple(Feature(name) for name in names), lambda rows: {node.name: matrix(rows, _NUMBERS[node.type])}


def _feature_names(metadata: Metadata, graph: onnx.ModelProto) -> Sequence[str]:
    stored = {entry.key: entry.value for entry in graph.metadata_props}.get("feature_names")
    names = json.loads(stored) if stored else metadata.feature_names
    if not names:
        advice = "add the list feature_names to inferenceModel in model-metadata.yaml, or as JSON to the model's metadata_props"
        raise _unloadable(metadata, f"its one input does not say which columns it takes; {advice}")
    return [str(name) for name in names]


def _column(values: pa.Array, kind: str) -> NDArray[Any]:
    """An input of one column: (n, 1). Missing text is the empty text: ONNX has no other."""
    if kind == _TEXT:
        return np.asarray(values.fill_null("").to_numpy(zero_copy_only=False), object).reshape(-1, 1)
    return matrix(pa.RecordBatch.from_arrays([values], names=["value"]), _NUMBERS[kind])


# Outputs


def _outputs(metadata: Metadata, session: onnxruntime.InferenceSession, graph: onnx.ModelProto) -> tuple[list[str], Callable[[list[Any]], Scores]]:
    nodes = session.get_outputs()
    if metadata.target_type == "Regression":
        if len(nodes) != 1 or nodes[0].type not in _NUMBERS:
            raise _unfit(metadata, "a regression model has one output of numbers; this one is no regressor")
        return [nodes[0].name], lambda answer: np.asarray(answer[0], np.float64).reshape(-1)
    for node in nodes:
        if node.type.startswith("seq(map("):
            return [node.name], lambda answer: _from_maps(metadata, answer[0])
    for node in nodes:
        if node.type in _NUMBERS and len(node.shape) == 2:
            return [node.name], _from_table(metadata, node, graph)
    raise _unfit(metadata, "it gives no probabilities; export the classifier with them")


def _from_maps(metadata: Metadata, maps: list[dict[Label, float]]) -> Scores:
    order = _order(metadata, list(maps[0]))
    return _shaped(metadata, np.array([list(each.values()) for each in maps], np.float64)[:, order])


def _from_table(metadata: Metadata, node: Any, graph: onnx.ModelProto) -> Callable[[list[Any]], Scores]:
    order = _order(metadata, _labels(metadata, graph))
    if isinstance(node.shape[1], int) and node.shape[1] != len(order):
        raise _unfit(metadata, f"its output {node.name} has {node.shape[1]} columns for {len(order)} classes")
    return lambda answer: _shaped(metadata, np.asarray(answer[0], np.float64)[:, order])


def _shaped(metadata: Metadata, probabilities: Scores) -> Scores:
    return probabilities[:, 0] if metadata.target_type == "Binary" else probabilities


def _labels(metadata: Metadata, graph: onnx.ModelProto) -> list[Label]:
    """The model's own labels in the order of its probabilities: the one list in the graph that has the metadata's labels."""
    found = {tuple(labels) for labels in _label_lists(graph) if sorted(_matched(metadata, labels)) == list(range(len(metadata.class_labels)))}
    if len(found) == 1:
        return list(found.pop())
    said = "several orders of its labels" if found else "no list of the labels " + ", ".join(metadata.class_labels)
    raise _unfit(metadata, f"it holds {said}; correct the labels in the metadata, or export with zipmap on")


def _label_lists(graph: onnx.ModelProto) -> Iterator[list[Label]]:
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.name in _LABEL_ATTRIBUTES:
                yield [label.decode() for label in attribute.strings] or list(attribute.ints)
        # Converters pick the label of the best class out of a constant list.
        if node.op_type == "ArrayFeatureExtractor" and node.input[0] in tensors:
            constants = onnx.numpy_helper.to_array(tensors[node.input[0]]).reshape(-1).tolist()
            yield [label.decode() if isinstance(label, bytes) else label for label in constants]


def _order(metadata: Metadata, labels: Sequence[Label]) -> list[int]:
    """For each of the metadata's labels, the place of that label in the model."""
    matched = _matched(metadata, labels)
    if sorted(matched) != list(range(len(metadata.class_labels))):
        model, written = ", ".join(map(str, labels)), ", ".join(metadata.class_labels)
        raise _unfit(metadata, f"its labels are {model}, those of the metadata {written}; they must be the same")
    return [matched.index(place) for place in range(len(labels))]


def _matched(metadata: Metadata, labels: Sequence[Label]) -> list[int]:
    """The place of each label among the metadata's, -1 for one that is not there."""
    return [next((place for place, text in enumerate(metadata.class_labels) if _is_same(text, label)), -1) for label in labels]


def _is_same(text: str, label: Label) -> bool:
    if text == str(label):
        return True
    try:
        return not isinstance(label, str) and float(text) == label
    except ValueError:
        return False


def _unloadable(metadata: Metadata, why: str) -> ModelError:
    return ModelError("The ONNX model cannot be used", f"{metadata.artifact}: {why}.")


def _unfit(metadata: Metadata, why: str) -> ModelError:
    return ModelError("The model does not fit its metadata", f"{metadata.artifact}: {why}.")
