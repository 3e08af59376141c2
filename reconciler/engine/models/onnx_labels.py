"""A model's class labels and the metadata's. The rule here: they meet by label, never by position."""

from collections.abc import Sequence

import onnx

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.onnx_graph import Label, label_lists
from reconciler.errors import ModelError


def order_of(metadata: Metadata, labels: Sequence[Label]) -> list[int]:
    """For each of the metadata's labels, the place of that label in the model."""
    matched = _matched(metadata, labels)
    if sorted(matched) != list(range(len(metadata.class_labels))):
        model, written = ", ".join(map(str, labels)), ", ".join(metadata.class_labels)
        raise unfit(metadata, f"its labels are {model}, those of the metadata {written}; they must be the same")
    return [matched.index(place) for place in range(len(labels))]


def graph_labels(metadata: Metadata, graph: onnx.ModelProto) -> list[Label]:
    """The model's own labels in the order of its probabilities: the one list in the graph that has the metadata's labels."""
    found = {tuple(labels) for labels in label_lists(graph) if sorted(_matched(metadata, labels)) == list(range(len(metadata.class_labels)))}
    if len(found) == 1:
        return list(found.pop())
    said = "several orders of its labels" if found else "no list of the labels " + ", ".join(metadata.class_labels)
    raise unfit(metadata, f"it holds {said}; correct the labels in the metadata, or export with zipmap on")


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


def unfit(metadata: Metadata, why: str) -> ModelError:
    return ModelError("The model does not fit its metadata", f"{metadata.artifact}: {why}.")
