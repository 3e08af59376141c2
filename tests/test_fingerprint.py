"""Digests of values, files and folders."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.fingerprint import canonical_json, digest, file_digest, folder_files, listing_digest, short_id, value_digest

PROFILE = settings(derandomize=True, deadline=None, max_examples=60)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
scalars = st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8)


def respelled(value: Any) -> Any:
    """The same meaning in another spelling: keys in the other order, integers as floats, lists as tuples."""
    if isinstance(value, dict):
        return {key: respelled(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return tuple(respelled(item) for item in value)
    return float(value) if type(value) is int else value


def is_same(one: Any, other: Any) -> bool:
    """Equality of JSON: as Python's, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


@PROFILE
@given(values)
def test_key_order_and_the_spelling_of_numbers_never_matter(value: Any) -> None:
    assert value_digest(respelled(value)) == value_digest(value)


@PROFILE
@given(values, values)
def test_two_values_have_one_digest_only_if_they_are_equal(one: Any, other: Any) -> None:
    assert (value_digest(one) == value_digest(other)) == is_same(one, other)


@PROFILE
@given(st.dictionaries(texts, scalars, min_size=1, max_size=4), st.data(), scalars)
def test_change_of_any_value_changes_the_digest(value: dict[str, Any], data: st.DataObject, new: Any) -> None:
    key = data.draw(st.sampled_from(sorted(value)))
    changed = {**value, key: new}
    assert (value_digest(changed) == value_digest(value)) == is_same(value[key], new)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(True, 1, id="true-is-not-1"),
        pytest.param("1", 1, id="text-is-not-a-number"),
        pytest.param(None, {}, id="null-is-not-empty"),
        pytest.param({"a": None}, {}, id="null-is-not-absent"),
        pytest.param([1, 2], [2, 1], id="order-of-a-list-counts"),
        pytest.param("é", "e\u0301", id="two-writings-of-a-letter"),
    ],
)
def test_different_values_have_different_digests(one: Any, other: Any) -> None:
    assert value_digest(one) != value_digest(other)


def test_canonical_json_is_sorted_and_without_spaces() -> None:
    assert canonical_json({"b": [1.0, 1.5, (True,)], "a": "é"}) == '{"a":"é","b":[1,1.5,[true]]}'.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_without_json_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        value_digest({"threshold": [value]})


def test_digest_names_its_algorithm() -> None:
    assert digest(b"") == "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


def test_file_has_the_digest_of_its_bytes_across_blocks(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert file_digest(tmp_path / "file") == digest(content)


def test_folder_lists_its_files_but_no_hidden_ones_and_no_caches(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.bin", "a.txt", ".hidden", ".git/config", "__pycache__/x.pyc", "a/.x", "a/__pycache__/y"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert [path.relative_to(tmp_path).as_posix() for path in folder_files(tmp_path)] == ["a.txt", "a/z.bin", "b.txt"]


def test_folder_below_a_hidden_one_is_listed(tmp_path: Path) -> None:
    (tmp_path / ".cache/model").mkdir(parents=True)
    (tmp_path / ".cache/model/model.txt").touch()
    assert [path.name for path in folder_files(tmp_path / ".cache/model")] == ["model.txt"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"a": "1", "b": "3"}, id="other-bytes"),
        pytest.param({"a": "1", "c": "2"}, id="other-name"),
        pytest.param({"a": "2", "b": "1"}, id="swapped"),
        pytest.param({"a": "1"}, id="one-less"),
    ],
)
def test_listing_changes_with_names_and_bytes(other: dict[str, str]) -> None:
    listing = {"a": "1", "b": "2"}
    assert listing_digest(other) != listing_digest(listing) == listing_digest({"b": "2", "a": "1"})


def test_short_id_has_the_shape_of_a_platform_id() -> None:
    assert len(bytes.fromhex(short_id("deployment:models/churn"))) == 12
    assert short_id("deployment:models/churn") != short_id("deployment:models/churn2")
