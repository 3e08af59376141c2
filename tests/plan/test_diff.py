"""What differs between two specs, field by field."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.fingerprint import canonical_json
from reconciler.plan.diff import MISSING, FieldChange, field_changes, leaves

texts = st.text(st.characters(codec="ascii"), max_size=4)
values = st.recursive(st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0]) | texts, lambda v: st.lists(v, max_size=2))
specs = st.recursive(
    st.dictionaries(texts, values, max_size=3), lambda inner: st.dictionaries(texts, values | inner, min_size=1, max_size=3), max_leaves=6
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"a": 1}, {"a": 1}, [], id="equal"),
        pytest.param({"a": 1}, {"a": 1.0}, [], id="integer-and-float-of-one-value"),
        pytest.param({"a": 1}, {"a": 2}, [FieldChange(("a",), 1, 2)], id="value-changed"),
        pytest.param({"a": 1}, {"a": "1"}, [FieldChange(("a",), 1, "1")], id="type-changed"),
        pytest.param({"a": 1}, {"a": True}, [FieldChange(("a",), 1, True)], id="true-is-not-1"),
        pytest.param({"a": None}, {}, [FieldChange(("a",), None, MISSING)], id="null-is-not-absent"),
        pytest.param({}, {"a": 1}, [FieldChange(("a",), MISSING, 1)], id="field-added"),
        pytest.param({"a": 1}, {}, [FieldChange(("a",), 1, MISSING)], id="field-removed"),
        pytest.param({"x": {"a": 1, "b": 2}}, {"x": {"a": 1, "b": 3}}, [FieldChange(("x", "b"), 2, 3)], id="nested"),
        pytest.param({"a": [1, 2]}, {"a": [1, 3]}, [FieldChange(("a",), [1, 2], [1, 3])], id="list-is-one-field"),
        pytest.param({"a": [1, 2]}, {"a": [2, 1]}, [FieldChange(("a",), [1, 2], [2, 1])], id="order-in-a-list-counts"),
        pytest.param({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, [FieldChange(("a",), [{"b": 1}], [{"b": 2}])], id="mapping-in-a-list"),
        pytest.param(
            {}, {"x": {"b": 2, "a": 1}}, [FieldChange(("x", "a"), MISSING, 1), FieldChange(("x", "b"), MISSING, 2)], id="block-added-by-fields"
        ),
        pytest.param({"x": {"a": 1}}, {}, [FieldChange(("x", "a"), 1, MISSING)], id="block-removed-by-fields"),
        pytest.param({"a": {"b": 1}}, {"a": 1}, [FieldChange(("a",), {"b": 1}, 1)], id="block-replaced-by-a-value"),
        pytest.param({"a": {"__b": 1}}, {"a": {"__b": 2}}, [FieldChange(("a", "__b"), 1, 2)], id="name-with-two-underscores"),
        pytest.param({"a": {"b['c']": 1}}, {"a": {"b['c']": 2}}, [FieldChange(("a", "b['c']"), 1, 2)], id="name-with-brackets-and-quotes"),
    ],
)
def test_changes(before: dict[str, Any], after: dict[str, Any], expected: list[FieldChange]) -> None:
    assert field_changes(before, after) == expected


@settings(derandomize=True, deadline=None, max_examples=60)
@given(specs, specs)
def test_fields_differ_exactly_where_the_digests_do(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert bool(field_changes(before, after)) == (canonical_json(before) != canonical_json(after))
    assert field_changes(before, before) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({}, [], id="empty"),
        pytest.param({"a": 1, "b": {"c": [2], "d": {}}}, [(("a",), 1), (("b", "c"), [2]), (("b", "d"), {})], id="nested"),
    ],
)
def test_leaves(value: dict[str, Any], expected: list[Any]) -> None:
    assert list(leaves(value)) == expected
