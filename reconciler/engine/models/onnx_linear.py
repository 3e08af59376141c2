"""ONNX models that are linear in their features. The rule here: what looks linear is believed only when its terms give the session's own predictions.

Looked for is what scikit-learn's converters write, over a table that was at most scaled and shifted, column by column: one LinearRegressor or
LinearClassifier, or, for inputs of doubles, one product with a matrix and what is added to it. A linear model that is written in another way is a
model like any other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
from numpy.typing import NDArray
from onnx.helper import get_attribute_value

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.labels import Label, order_of
from reconciler.engine.models.model import Feature, Model, Scores, linear_terms
from reconciler.engine.models.onnx_graph import graph_labels
from reconciler.errors import ModelError, ScoringError

Inputs = Callable[[pa.RecordBatch], dict[str, NDArray[Any]]]

# How close a sum of the terms must come to the session's own prediction.
_CLOSE = {onnx.TensorProto.FLOAT: 1e-4, onnx.TensorProto.DOUBLE: 1e-9}
_CHECKED = 64


def _logistic(raw: Scores) -> Scores:
    """Of each class by itself, and then as shares."""
    each: Scores = 1 / (1 + np.exp(-raw))
    shares: Scores = each / each.sum(axis=1, keepdims=True) if raw.ndim == 2 else each
    return shares


def _softmax(raw: Scores) -> Scores:
    if raw.ndim == 1:
        return _logistic(raw)
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    shares: Scores = powers / powers.sum(axis=1, keepdims=True)
    return shares


_LINKS: dict[bytes, Callable[[Scores], Scores]] = {b"LOGISTIC": _logistic, b"SOFTMAX": _softmax}


@dataclass(frozen=True)
class _Linear:
    """What a graph computes out of `tensor`: `coefficients` are (outputs, features), `constants` (outputs,); `labels` those of its outputs."""

    tensor: str
    coefficients: Scores
    constants: Scores
    labels: list[Label]
    link: bytes


@dataclass(frozen=True)
class LinearOnnxModel:
    """`coefficients` are (outputs, features), for the features scaled and shifted; `constants` are (outputs,); `link` makes probabilities."""

    model: Model
    table: Callable[[pa.RecordBatch], NDArray[Any]]
    shift: Scores
    scale: Scores
    coefficients: Scores
    constants: Scores
    link: Callable[[Scores], Scores]

    @property
    def features(self) -> tuple[Feature, ...]:
        return self.model.features

    @property
    def rows_at_once(self) -> int:
        return self.model.rows_at_once

    def predict(self, rows: pa.RecordBatch) -> Scores:
        return self.model.predict(rows)

    def terms(self, rows: pa.RecordBatch) -> Scores:
        return linear_terms(self.table(rows) * self.scale + self.shift, self.coefficients, self.constants)


def linear(metadata: Metadata, graph: onnx.ModelProto, model: Model, inputs: Inputs) -> Model:
    """The model with its terms if it is linear, and as it was if not."""
    found = _found(metadata, graph, model, inputs)
    if found is None or not _is_right(metadata, found, _CLOSE.get(graph.graph.input[0].type.tensor_type.elem_type, 0)):
        return model
    return found


def _found(metadata: Metadata, graph: onnx.ModelProto, model: Model, inputs: Inputs) -> LinearOnnxModel | None:
    width = len(model.features)
    read = (_operator, _product)
    step = next((step for each in read if (step := each(metadata, graph, width))), None)
    if step is None or len(graph.graph.input) != 1:
        return None
    scaling = _scaling(graph.graph, step.tensor, width)
    weights = _weights(metadata, step)
    if scaling is None or weights is None:
        return None
    name = graph.graph.input[0].name
    return LinearOnnxModel(model, lambda rows: inputs(rows)[name], *scaling, *weights, _LINKS.get(step.link, _logistic))


def _operator(metadata: Metadata, graph: onnx.ModelProto, width: int) -> _Linear | None:
    """The one operator for linear models."""
    nodes = [node for node in graph.graph.node if node.op_type in ("LinearRegressor", "LinearClassifier")]
    if len(nodes) != 1:
        return None
    attributes = {attribute.name: get_attribute_value(attribute) for attribute in nodes[0].attribute}
    coefficients = np.array(attributes["coefficients"], np.float64)
    if coefficients.size % width:
        return None
    coefficients = coefficients.reshape(-1, width)
    constants = np.array(attributes.get("intercepts", np.zeros(len(coefficients))), np.float64)
    labels = [label.decode() for label in attributes.get("classlabels_strings", ())] or list(attributes.get("classlabels_ints", ()))
    return _Linear(nodes[0].input[0], coefficients, constants, labels, attributes.get("post_transform", b"NONE"))


def _product(metadata: Metadata, graph: onnx.ModelProto, width: int) -> _Linear | None:
    """The one product with a constant matrix, and the constant that is added to it."""
    known = _constants(graph.graph)
    nodes = [node for node in graph.graph.node if node.op_type == "MatMul"]
    if len(nodes) != 1 or nodes[0].input[1] not in known or known[nodes[0].input[1]].size % width:
        return None
    coefficients = known[nodes[0].input[1]].reshape(width, -1).T
    added = [node for node in graph.graph.node if node.op_type == "Add" and node.input[0] == nodes[0].output[0]]
    constants = known.get(added[0].input[1]) if len(added) == 1 else None
    try:
        labels = graph_labels(metadata, graph) if metadata.class_labels else []
    except ModelError:
        return None
    link = b"SOFTMAX" if any(node.op_type == "Softmax" for node in graph.graph.node) else b"LOGISTIC"
    return _Linear(nodes[0].input[0], coefficients, np.zeros(len(coefficients)) if constants is None else constants, labels, link)


def _constants(graph: onnx.GraphProto) -> dict[str, Scores]:
    """Numbers that do not depend on the input, in one row."""
    tensors = (each for each in graph.initializer if each.data_type in _CLOSE)
    return {each.name: np.asarray(onnx.numpy_helper.to_array(each), np.float64).reshape(-1) for each in tensors}


def _weights(metadata: Metadata, step: _Linear) -> tuple[Scores, Scores] | None:
    """Coefficients and constants of each output, in the order of the metadata's labels; of the positive class alone for a binary model."""
    coefficients, constants = step.coefficients, step.constants
    if metadata.target_type == "Regression":
        return (coefficients, constants) if len(coefficients) == len(constants) == 1 else None
    try:
        order = order_of(metadata, step.labels)
    except ModelError:
        return None
    if not len(coefficients) == len(constants) == len(order):
        return None
    if metadata.target_type == "Multiclass":
        return coefficients[order], constants[order]
    # Of two classes, softmax goes by the difference, and the logistic function is given one as the other's negative.
    positive, negative = order
    halves = 1 if step.link == b"SOFTMAX" else 2
    return (coefficients[[positive]] - coefficients[[negative]]) / halves, (constants[[positive]] - constants[[negative]]) / halves


def _scaling(graph: onnx.GraphProto, tensor: str, width: int) -> tuple[Scores, Scores] | None:
    """Shift and scale of each column on the way from the graph's input to the tensor; None if that is not all that happens to it."""
    makers = {output: node for node in graph.node for output in node.output}
    constants = _constants(graph)
    steps: list[tuple[Scores, Scores]] = []
    while tensor != graph.input[0].name:
        node = makers.get(tensor)
        step = _step(node, constants, width) if node else None
        if node is None or step is None:
            return None
        steps.append(step)
        tensor = node.input[0]
    shift, scale = np.zeros(width), np.ones(width)
    for by, times in reversed(steps):
        shift, scale = shift * times + by, scale * times
    return shift, scale


def _step(node: onnx.NodeProto, constants: Mapping[str, Scores], width: int) -> tuple[Scores, Scores] | None:
    """What the node does to each column: (shift, scale), scaled before it is shifted."""
    if node.op_type in ("Identity", "Cast"):
        return np.zeros(width), np.ones(width)
    if node.op_type == "Scaler":
        attributes = {attribute.name: np.array(get_attribute_value(attribute), np.float64) for attribute in node.attribute}
        offset, scale = (np.broadcast_to(attributes.get(name, usual), width) for name, usual in (("offset", np.zeros(1)), ("scale", np.ones(1))))
        return -offset * scale, scale
    constant = constants.get(node.input[1]) if len(node.input) == 2 else None
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or constant is None or len(constant) not in (1, width):
        return None
    by = np.broadcast_to(constant, width)
    shift = {"Add": by, "Sub": -by}.get(node.op_type, np.zeros(width))
    scale = {"Mul": by, "Div": 1 / by if node.op_type == "Div" else by}.get(node.op_type, np.ones(width))
    return shift, scale


def _is_right(metadata: Metadata, model: LinearOnnxModel, close: float) -> bool:
    """Whether the terms give what the session predicts, for some rows of usual values."""
    usual = np.random.default_rng(0).normal(size=(_CHECKED, len(model.features)))
    values = (usual - model.shift) / np.where(model.scale == 0, 1, model.scale)
    rows = pa.RecordBatch.from_arrays([pa.array(column) for column in values.T], names=[feature.name for feature in model.features])
    raw = model.terms(rows).sum(axis=-1)
    try:
        return bool(np.allclose(model.predict(rows), raw if metadata.target_type == "Regression" else model.link(raw), close, close))
    except ScoringError:
        return False
