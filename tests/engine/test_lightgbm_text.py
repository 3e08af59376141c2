"""Damaged models. The rule here: each is refused with a sentence; the library, which would end the process, never sees one."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.engine.models.lightgbm_text import damage


@pytest.fixture
def text(specs: Path) -> str:
    return (specs / "models/diabetes/model.txt").read_text()


def edited(pattern: str, replacement: str) -> Callable[[str], str]:
    """One line of the first tree becomes another of the same length, so that only its meaning is wrong."""
    return lambda text: re.sub(pattern, lambda found: replacement.ljust(len(found[0])), text, count=1, flags=re.MULTILINE)


@pytest.mark.parametrize("model", ["breast_cancer", "diabetes"])
def test_the_shipped_models_are_whole(specs: Path, model: str) -> None:
    assert damage((specs / "models" / model / "model.txt").read_text()) is None


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_cut_file_is_damaged(text: str, share: float) -> None:
    trees = text[: text.index("end of trees")]
    assert damage(trees[: int(len(trees) * share)]) is not None


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (edited(r"^Tree=1$", "Tree=9"), "tree 1 is not where tree_sizes says"),
        (edited(r"^left_child=.*$", "left_child=0 0 0 0 0 0 0"), "its splits do not form a tree"),
        (edited(r"^right_child=.*$", "right_child=900 1 2 3 4 5 6"), "its splits do not form a tree"),
        (edited(r"^split_feature=.*$", "split_feature=99 0 0 0 0 0 0"), "a feature that the model does not have"),
        (edited(r"^leaf_value=.*$", "leaf_value=1 2"), "leaf_value do not have a value for each split or leaf"),
        (edited(r"^threshold=.*$", "threshold=x"), "cut off or damaged"),
        (edited(r"^decision_type=.*$", "decision_type=1 1 1 1 1 1 1"), "a set of categories that it does not have"),
        (edited(r"^end of trees$", "end"), "`end of trees` is missing"),
        (edited(r"^feature_names=.*$", "feature_names=a"), "not as many as its features"),
    ],
)
def test_a_damaged_tree_is_found(text: str, edit: Callable[[str], str], sentence: str) -> None:
    changed = edit(text)
    assert changed != text
    assert sentence in (damage(changed) or "")
