"""An ONNX file, looked at before it is run. The rule here: no operators from outside, no data from outside of the model's folder."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import onnx

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.labels import Label, places, unfit
from reconciler.errors import ModelError

_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
_LABEL_ATTRIBUTES = frozenset({"classlabels_strings", "classlabels_int64s", "classlabels_ints"})


def safe_graph(metadata: Metadata) -> onnx.ModelProto:
    path = metadata.artifact
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own, under several names
        raise unloadable(metadata, "it is not an ONNX file") from error
    if foreign := sorted({entry.domain for entry in model.opset_import} - _DOMAINS - {function.domain for function in model.functions}):
        raise unloadable(metadata, f"it needs operators of {', '.join(foreign)}, which are code from outside; export it with standard operators")
    folder = path.parent.resolve()
    for location in _external_locations(model):
        if not (folder / location).resolve().is_relative_to(folder):
            raise unloadable(metadata, f"its data is in {location}, outside of the model's folder; save it with the data inside")
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


def stored_names(metadata: Metadata, graph: onnx.ModelProto) -> list[str]:
    stored = {entry.key: entry.value for entry in graph.metadata_props}.get("feature_names", "[]")
    try:
        names = json.loads(stored)
    except ValueError:
        names = None
    if not isinstance(names, list) or len(set(map(str, names))) != len(names):
        raise unloadable(metadata, "feature_names in its metadata_props is not a JSON list of different names")
    return [str(name) for name in names]


def label_lists(graph: onnx.ModelProto) -> Iterator[list[Label]]:
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.name in _LABEL_ATTRIBUTES:
                yield [label.decode() for label in attribute.strings] or list(attribute.ints)
        # Converters pick the label of the best class out of a constant list.
        if node.op_type == "ArrayFeatureExtractor" and node.input[0] in tensors:
            constants = onnx.numpy_helper.to_array(tensors[node.input[0]]).reshape(-1).tolist()
            yield [label.decode() if isinstance(label, bytes) else label for label in constants]


def graph_labels(metadata: Metadata, graph: onnx.ModelProto) -> list[Label]:
    """The model's own labels in the order of its probabilities: the one list in the graph that has the metadata's labels."""
    found = {tuple(labels) for labels in label_lists(graph) if sorted(places(metadata, labels)) == list(range(len(metadata.class_labels)))}
    if len(found) == 1:
        return list(found.pop())
    said = "several orders of its labels" if found else "no list of the labels " + ", ".join(metadata.class_labels)
    raise unfit(metadata, f"it holds {said}; correct the labels in the metadata, or export with zipmap on")


def unloadable(metadata: Metadata, why: str) -> ModelError:
    return ModelError("The ONNX model cannot be used", f"{metadata.artifact}: {why}.")
