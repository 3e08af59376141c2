"""A model's class labels and the metadata's. The rule here: they meet by label, never by position."""

from collections.abc import Iterable, Sequence

from reconciler.engine.metadata import Metadata
from reconciler.errors import ModelError

# bytes and numpy's kinds of these too; compared by their text, and numbers by value.
Label = str | int | float


def order_of(metadata: Metadata, labels: Sequence[Label]) -> list[int]:
    """For each of the metadata's labels, the place of that label in the model. Raises ModelError when they are not the same."""
    matched = places(metadata, labels)
    if sorted(matched) != list(range(len(metadata.class_labels))):
        model, written = ", ".join(map(str, labels)), ", ".join(metadata.class_labels)
        raise unfit(metadata, f"its labels are {model}, those of the metadata {written}; they must be the same")
    return [matched.index(place) for place in range(len(labels))]


def places(metadata: Metadata, labels: Iterable[Label]) -> list[int]:
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
