"""ONNX models as scikit-learn's converters export them. The rule here: columns and classes are matched by name and label, never by position."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
from numpy.typing import NDArray

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.labels import Label, order_of, unfit
from reconciler.engine.models.model import Feature, Model, Scores, matrix
from reconciler.engine.models.onnx_graph import graph_labels, safe_graph, stored_names, unloadable
from reconciler.engine.models.onnx_linear import linear
from reconciler.errors import ScoringError

_TEXT = "tensor(string)"
_NUMBERS: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(double)": np.float64}
_WHOLE: dict[str, type[np.signedinteger[Any]]] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_ROWS = 2048


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
        inputs = self.inputs(rows)
        try:
            answer = self.session.run(self.outputs, inputs)
        except Exception as error:  # onnxruntime's exceptions have no common root
            raise ScoringError("The model failed", f"ONNX Runtime says: {' '.join(str(error).split())}") from error
        return self.scores(answer)


def load(metadata: Metadata) -> Model:
    graph = safe_graph(metadata)
    session = _session(metadata)
    features, inputs = _inputs(metadata, session, graph)
    outputs, scores = _outputs(metadata, session, graph)
    return linear(metadata, graph, OnnxModel(session, features, inputs, outputs, scores), inputs)


def _session(metadata: Metadata) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One thread in here: the pipeline calls from as many as there are cores, and sums of floats cannot depend on the machine.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(metadata.artifact), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common root
        raise unloadable(metadata, f"ONNX Runtime says: {' '.join(str(error).split())}") from error


def _inputs(
    metadata: Metadata, session: onnxruntime.InferenceSession, graph: onnx.ModelProto
) -> tuple[tuple[Feature, ...], Callable[[pa.RecordBatch], dict[str, NDArray[Any]]]]:
    nodes = session.get_inputs()
    for node in nodes:
        if node.type not in (_TEXT, *_NUMBERS, *_WHOLE):
            raise unloadable(metadata, f"its input {node.name} is {node.type}; export it with inputs of float, double, int64 or string")
    names = stored_names(metadata, graph) or list(metadata.feature_names)
    if _is_table(nodes, names):
        return _table_input(metadata, nodes[0], names)
    features = tuple(Feature(node.name, is_text=node.type == _TEXT) for node in nodes)
    return features, lambda rows: {node.name: _column(node.name, rows.column(node.name), node.type) for node in nodes}


def _is_table(nodes: Sequence[Any], names: Sequence[str]) -> bool:
    """Whether all features come in one tensor. One that is a single column wide goes by its own name, unless another is given."""
    return len(nodes) == 1 and nodes[0].type in _NUMBERS and (bool(names) or nodes[0].shape[-1:] != [1])


def _table_input(
    metadata: Metadata, node: Any, names: Sequence[str]
) -> tuple[tuple[Feature, ...], Callable[[pa.RecordBatch], dict[str, NDArray[Any]]]]:
    if not names:
        advice = "add the list feature_names to inferenceModel in model-metadata.yaml, or as JSON to the model's metadata_props"
        raise unloadable(metadata, f"its one input does not say which columns it takes; {advice}")
    width = node.shape[-1] if node.shape else None
    if isinstance(width, int) and width != len(names):
        raise unloadable(metadata, f"its input {node.name} has {width} columns, but feature_names lists {len(names)}")
    return tuple(Feature(name) for name in names), lambda rows: {node.name: matrix(rows, _NUMBERS[node.type])}


def _column(name: str, values: pa.Array, kind: str) -> NDArray[Any]:
    """An input of one column: (n, 1). Missing text is the empty text: ONNX has no other, and no missing whole number at all."""
    if kind == _TEXT:
        return np.asarray(values.fill_null("").to_numpy(zero_copy_only=False), object).reshape(-1, 1)
    if kind in _WHOLE:
        try:
            return np.asarray(values.cast(pa.from_numpy_dtype(_WHOLE[kind])).to_numpy(zero_copy_only=True)).reshape(-1, 1)
        except pa.ArrowInvalid as error:
            raise ScoringError("The model failed", f"{name} takes whole numbers only, and none may be missing ({error}).") from error
    return matrix(pa.RecordBatch.from_arrays([values], names=["value"]), _NUMBERS[kind])


def _outputs(metadata: Metadata, session: onnxruntime.InferenceSession, graph: onnx.ModelProto) -> tuple[list[str], Callable[[list[Any]], Scores]]:
    nodes = session.get_outputs()
    if metadata.target_type == "Regression":
        if len(nodes) != 1 or nodes[0].type not in _NUMBERS:
            raise unfit(metadata, "a regression model has one output of numbers; this one is no regressor")
        return [nodes[0].name], lambda answer: np.asarray(answer[0], np.float64).reshape(-1)
    for node in nodes:
        if node.type.startswith("seq(map("):
            return [node.name], lambda answer: _from_maps(metadata, answer[0])
    for node in nodes:
        if node.type in _NUMBERS and len(node.shape) == 2:
            return [node.name], _from_table(metadata, node, graph)
    raise unfit(metadata, "it gives no probabilities; export the classifier with them")


def _from_maps(metadata: Metadata, maps: list[dict[Label, float]]) -> Scores:
    labels = list(maps[0])
    table = np.array([[each[label] for label in labels] for each in maps], np.float64)
    return _shaped(metadata, table[:, order_of(metadata, labels)])


def _from_table(metadata: Metadata, node: Any, graph: onnx.ModelProto) -> Callable[[list[Any]], Scores]:
    order = order_of(metadata, graph_labels(metadata, graph))
    if isinstance(node.shape[1], int) and node.shape[1] != len(order):
        raise unfit(metadata, f"its output {node.name} has {node.shape[1]} columns for {len(order)} classes")
    return lambda answer: _shaped(metadata, np.asarray(answer[0], np.float64)[:, order])


def _shaped(metadata: Metadata, probabilities: Scores) -> Scores:
    return probabilities[:, 0] if metadata.target_type == "Binary" else probabilities
