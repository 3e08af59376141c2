"""An XGBoost model's file, JSON or UBJSON. The rule here: what would bring the process down is found before the library reads it.

The library trusts the file (3.2.0: a cut or altered UBJSON file ends the process with a segmentation fault, a child that points astray is followed
out of memory). So the file is read here first, and the shape of every tree is checked.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Document = Mapping[str, Any]

# UBJSON's numbers are big-endian: the mark, struct's code and numpy's.
_NUMBERS = {
    b"i": (">b", ">i1"),
    b"U": (">B", ">u1"),
    b"I": (">h", ">i2"),
    b"l": (">i", ">i4"),
    b"L": (">q", ">i8"),
    b"d": (">f", ">f4"),
    b"D": (">d", ">f8"),
}
_WORDS = {b"T": True, b"F": False, b"Z": None}
_DEEPEST = 64

_OF_NODES = (
    "left_children",
    "right_children",
    "parents",
    "split_indices",
    "split_conditions",
    "default_left",
    "base_weights",
    "loss_changes",
    "sum_hessian",
)
_OF_CATEGORIES = ("categories_nodes", "categories_segments", "categories_sizes")
_CATEGORICAL = 1
_NO_PARENT = 2**31 - 1
_MOST_CATEGORIES = 1 << 24  # from here on a float32 is no longer every whole number


def document_of(content: bytes) -> Document:
    """Raises ValueError for what is neither JSON nor UBJSON, or is cut off."""
    try:
        found = json.loads(content) if content.lstrip()[:2] not in (b"{L", b"{i", b"{U", b"{l", b"{I") else _Ubjson(content).document()
    except (UnicodeDecodeError, RecursionError, struct.error, OverflowError) as error:
        raise ValueError(str(error) or "it is damaged") from error
    if not isinstance(found, Mapping) or not isinstance(found.get("learner"), Mapping):
        raise ValueError("it has no learner")
    return found


class _Ubjson:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0

    def document(self) -> Any:
        value = self._value(self._take(1), 0)
        if self._content[self._place :].strip(b"\0"):
            raise ValueError("something follows its end")
        return value

    def _take(self, count: int) -> bytes:
        taken = self._content[self._place : self._place + count]
        if count < 0 or len(taken) != count:
            raise ValueError("it is cut off")
        self._place += count
        return taken

    def _value(self, mark: bytes, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        if mark in _NUMBERS:
            code = _NUMBERS[mark][0]
            return struct.unpack(code, self._take(struct.calcsize(code)))[0]
        if mark in _WORDS:
            return _WORDS[mark]
        if mark == b"S":
            return self._text()
        if mark == b"{":
            return self._object(depth)
        if mark == b"[":
            return self._array(depth)
        raise ValueError(f"{mark!r} is no mark of UBJSON")

    def _length(self) -> int:
        length = self._value(self._take(1), _DEEPEST)
        if not isinstance(length, int) or isinstance(length, bool) or not 0 <= length <= len(self._content):
            raise ValueError("it has a length that cannot be")
        return length

    def _text(self) -> str:
        return self._take(self._length()).decode()

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (mark := self._take(1)) != b"}":
            self._place -= len(mark)
            key = self._text()
            if key in found:
                raise ValueError(f"it has {key} twice")
            found[key] = self._value(self._take(1), depth + 1)
        return found

    def _array(self, depth: int) -> Any:
        mark = self._take(1)
        if mark == b"$":
            kind = self._take(1)
            if kind not in _NUMBERS or self._take(1) != b"#":
                raise ValueError("it has an array of no known kind")
            number = np.dtype(_NUMBERS[kind][1])
            return np.frombuffer(self._take(self._length() * number.itemsize), number)
        if mark == b"#":
            return [self._value(self._take(1), depth + 1) for _ in range(self._length())]
        found = []
        while mark != b"]":
            found.append(self._value(mark, depth + 1))
            mark = self._take(1)
        return found


def outputs_of(parameters: Document) -> int:
    """How many numbers the model gives for a row, by its `learner_model_param`; releases before 1.6 know of no targets."""
    return max(int(parameters["num_class"]), int(parameters.get("num_target", 1)), 1)


def damage(document: Document) -> str | None:
    """What is wrong with the model, None if it can be given to the library."""
    try:
        learner = document["learner"]
        parameters = learner["learner_model_param"]
        features = int(parameters["num_feature"])
        for key in ("feature_names", "feature_types"):
            if len(learner.get(key, ())) not in (0, features):
                return f"its {key} are not as many as its features"
        booster = learner["gradient_booster"]
        if booster["name"] == "gblinear":
            return (
                None if len(booster["model"]["weights"]) == (features + 1) * outputs_of(parameters) else "its weights are not as many as its features"
            )
        return _trees_damage(booster, parameters, features)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        return f"it is cut off or damaged ({error})"


def _trees_damage(booster: Document, parameters: Document, features: int) -> str | None:
    model = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
    trees = model["trees"]
    if int(model["gbtree_model_param"]["num_trees"]) != len(trees) or len(model["tree_info"]) != len(trees):
        return "its trees are not as many as it says"
    if not np.isin(_whole(model["tree_info"]), np.arange(outputs_of(parameters))).all():
        return "it has a tree for a class that it does not have"
    if booster["name"] == "dart" and len(booster["weight_drop"]) != len(trees):
        return "it has no weight for each tree"
    rounds = _whole(model.get("iteration_indptr", [0, len(trees)]))
    if len(rounds) and (rounds[0] != 0 or rounds[-1] != len(trees) or (np.diff(rounds) < 0).any()):
        return "its rounds are damaged"
    for number, tree in enumerate(trees):
        if problem := _tree_damage(tree, features):
            return f"tree {number}: {problem}"
    return _encoding_damage(model.get("cats", {}), features)


def _tree_damage(tree: Document, features: int) -> str | None:
    nodes = int(tree["tree_param"]["num_nodes"])
    if int(tree["tree_param"].get("size_leaf_vector", 0)) > 1:
        return "its leaves hold vectors, which this engine does not read; train with multi_strategy=one_output_per_tree"
    if nodes < 1 or int(tree["tree_param"]["num_feature"]) != features:
        return "it was made for other features"
    if wrong := [key for key in _OF_NODES if len(tree[key]) != nodes]:
        return f"{', '.join(wrong)} do not have a value for each node"
    left, right = _whole(tree["left_children"]), _whole(tree["right_children"])
    inner = left != -1
    hanging = np.concatenate([left[inner], right[inner]])
    # Every node hangs from one split at the most and the root from none; so no walk goes astray or in circles.
    if ((hanging < 1) | (hanging >= nodes)).any() or len(np.unique(hanging)) != len(hanging) or (right[~inner] != -1).any():
        return "its splits do not form a tree"
    parents, places = _whole(tree["parents"]), np.flatnonzero(inner)
    if parents[0] != _NO_PARENT or (parents[left[inner]] != places).any() or (parents[right[inner]] != places).any():
        return "its nodes do not know the splits that they hang from"
    splits = _whole(tree["split_indices"])[inner]
    if ((splits < 0) | (splits >= features)).any():
        return "it splits on a feature that the model does not have"
    return _category_damage(tree, inner, nodes)


def _category_damage(tree: Document, inner: NDArray[np.bool_], nodes: int) -> str | None:
    if "split_type" not in tree:
        return None  # of a release before 1.3, which had no categories
    kinds = _whole(tree["split_type"])
    if len(kinds) != nodes:
        return "split_type does not have a value for each node"
    owners, starts, sizes = (_whole(tree[key]) for key in _OF_CATEGORIES)
    categories = _whole(tree["categories"])
    if not np.array_equal(owners, np.flatnonzero((kinds == _CATEGORICAL) & inner)) or not np.isin(kinds, (0, _CATEGORICAL)).all():
        return "its categorical splits are damaged"
    expected = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(sizes) else sizes
    if (sizes < 0).any() or not np.array_equal(starts, expected) or sizes.sum() != len(categories):
        return "its sets of categories are damaged"
    if ((categories < 0) | (categories >= _MOST_CATEGORIES)).any():
        return "it splits on categories that cannot be"
    return None


def _encoding_damage(encoding: Document, features: int) -> str | None:
    """The categories that the model was trained with, feature after feature; a text's bytes lie between two offsets."""
    columns: Sequence[Document] = encoding.get("enc", ())
    if not len(columns):
        return None
    segments, order = _whole(encoding["feature_segments"]), _whole(encoding["sorted_idx"])
    counts = [len(column["offsets"]) - 1 if "offsets" in column else len(column["values"]) for column in columns]
    counts = [max(count, 0) for count in counts]
    if len(columns) != features or not np.array_equal(segments, np.concatenate([[0], np.cumsum(counts)])):
        return "its categories are not those of its features"
    if len(order) != sum(counts):
        return "the order of its categories is damaged"
    for start, count, column in zip(segments, counts, columns, strict=False):
        if not np.array_equal(np.sort(order[start : start + count]), np.arange(count)):
            return "the order of its categories is damaged"
        offsets = _whole(column.get("offsets", ()))
        if len(offsets) and (offsets[0] != 0 or offsets[-1] != len(column["values"]) or (np.diff(offsets) < 0).any()):
            return "the texts of its categories are damaged"
    return None


def _whole(values: Any) -> NDArray[np.int64]:
    """Raises ValueError for what is no list of whole numbers."""
    found = np.asarray(values)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ValueError("a list of whole numbers holds something else")
    return found.astype(np.int64)
