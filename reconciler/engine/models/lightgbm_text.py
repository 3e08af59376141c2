"""The text of a LightGBM model. The rule here: what would bring the process down is found before the library reads it.

The library reads trees in parallel and cannot raise from there: a cut or damaged file ends the whole process (4.7.0: `terminate called`),
and a tree whose nodes point astray is followed out of memory. So the shape of every tree is checked first.
"""

import re
from collections.abc import Iterator, Mapping

import numpy as np

# How many values a tree of `leaves` leaves has: one for each split, one for each leaf.
_OF_SPLITS = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
_OF_SPLITS_IF_GIVEN = ("split_gain", "internal_value", "internal_weight", "internal_count")
_OF_LEAVES_IF_GIVEN = ("leaf_weight", "leaf_count")
_CATEGORICAL = 1  # the bit of decision_type


def header_value(text: str, key: str) -> str:
    """A line `key=value` above the first tree; empty if there is none."""
    found = re.search(rf"^{key}=(.*)$", text.split("\nTree=", 1)[0], re.MULTILINE)
    return found[1].strip() if found else ""


def categorical_columns(text: str) -> list[int]:
    if parameter := re.search(r"^\[categorical_feature: ([\d,]*)\]$", text, re.MULTILINE):
        return sorted(int(index) for index in parameter[1].split(",") if index)
    return [place for place, info in enumerate(_infos(text)) if _lists_categories(info)]


def largest_category(text: str, place: int) -> float:
    """The largest number among the categories of a column; -1 if they are not listed."""
    info = _infos(text)[place]
    return max(map(float, info.split(":"))) if _lists_categories(info) else -1


def _infos(text: str) -> list[str]:
    return header_value(text, "feature_infos").split(" ")


def _lists_categories(info: str) -> bool:
    """The range of a number is [low:high], the values of a category are 1:2:3."""
    return ":" in info and not info.startswith("[")


def damage(text: str) -> str | None:
    """What is wrong with the file, None if it can be given to the library."""
    try:
        features = int(header_value(text, "max_feature_idx")) + 1
        if len(header_value(text, "feature_names").split()) != features:
            return "its feature_names are not as many as its features"
        for number, tree in enumerate(_trees(text)):
            if problem := _tree_damage(tree, features):
                return f"tree {number}: {problem}"
    except (ValueError, KeyError) as error:
        return f"it is cut off or damaged ({error})"
    return None


def _trees(text: str) -> Iterator[Mapping[str, str]]:
    """Each tree's values by key. The sizes in the header are the ones the library goes by, so they must lead from tree to tree."""
    content = text.encode()
    start = content.index(b"\nTree=") + 1
    for number, size in enumerate(map(int, header_value(text, "tree_sizes").split())):
        lines = content[start : start + size].decode().splitlines()
        if not lines or lines[0] != f"Tree={number}":
            raise ValueError(f"tree {number} is not where tree_sizes says")
        yield dict(line.split("=", 1) for line in lines if "=" in line)
        start += size
    if not content.startswith(b"end of trees", start):
        raise ValueError("the line `end of trees` is missing")


def _tree_damage(tree: Mapping[str, str], features: int) -> str | None:
    leaves = int(tree["num_leaves"])
    splits = leaves - 1
    expected = dict.fromkeys(("leaf_value", *_given(tree, _OF_LEAVES_IF_GIVEN)), leaves) if splits else {"leaf_value": 1}
    expected |= dict.fromkeys((*_OF_SPLITS, *_given(tree, _OF_SPLITS_IF_GIVEN)), splits) if splits else {}
    values = {key: np.array(tree[key].split(), float) for key in expected}
    if wrong := [key for key, count in expected.items() if len(values[key]) != count]:
        return f"{', '.join(wrong)} do not have a value for each split or leaf"
    if not splits:
        return None
    if not np.isin(values["split_feature"], np.arange(features)).all():
        return "it splits on a feature that the model does not have"
    # Every node but the root, and every leaf (-1, -2, …), hangs from exactly one split; so no walk goes astray or in circles.
    hanging = np.sort(np.concatenate([values["left_child"], values["right_child"]]))
    if not np.array_equal(hanging, [*range(-leaves, 0), *range(1, splits)]):
        return "its splits do not form a tree"
    return _category_damage(tree, values["decision_type"].astype(int), values["threshold"])


def _category_damage(tree: Mapping[str, str], kinds: np.ndarray[tuple[int], np.dtype[np.int_]], thresholds: np.ndarray) -> str | None:
    """A categorical split's threshold is the number of a set of categories, which is a piece of `cat_threshold`."""
    sets = int(tree["num_cat"])
    used = thresholds[kinds & _CATEGORICAL == _CATEGORICAL]
    if not np.isin(used, np.arange(sets)).all():
        return "it splits on a set of categories that it does not have"
    if not sets:
        return None
    bounds = np.array(tree["cat_boundaries"].split(), int)
    words = tree["cat_threshold"].split()
    if len(bounds) != sets + 1 or bounds[0] != 0 or bounds[-1] != len(words) or (np.diff(bounds) < 0).any():
        return "its sets of categories are damaged"
    return None


def _given(tree: Mapping[str, str], keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(key for key in keys if tree.get(key))
