"""What differs between two specs, field by field. The rule here: called only for what changed, because a structural diff is dear."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from reconciler.fingerprint import canonical_json

MISSING = object()


class FieldChange(NamedTuple):
    """One field, old and new; MISSING where there was or will be none."""

    path: tuple[str, ...]
    before: Any
    after: Any


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every field of a nested mapping with its path; a list is one field, and so is an empty mapping below the top."""
    if isinstance(value, Mapping) and (value or not path):
        for key in value:
            yield from leaves(value[key], (*path, str(key)))
    else:
        yield path, value


def field_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldChange]:
    """The fields that differ, by path. A change inside a list is a change of the whole list."""
    from deepdiff import DeepDiff  # 0.2 s of import, needed only when something changed

    changed: dict[tuple[str, ...], FieldChange] = {}
    # Spelled as for the digests, so that both tell the same values apart. A column may be called `__x`, which deepdiff takes for private.
    old, new = json.loads(canonical_json(before)), json.loads(canonical_json(after))
    for group in DeepDiff(old, new, view="tree", ignore_private_variables=False).values():
        for item in group:
            path = _field_path(before, after, item.path(output_format="list"))
            for leaf in _expand(path, _at(before, path), _at(after, path)):
                changed[leaf.path] = leaf
    return sorted(changed.values(), key=lambda change: change.path)


def _field_path(before: Any, after: Any, path: list[Any]) -> tuple[str, ...]:
    """The path down to the first list: `['options', 'passthroughColumns', 1]` names the field passthroughColumns."""
    for length in range(len(path)):
        if isinstance(_at(before, path[:length]), list) or isinstance(_at(after, path[:length]), list):
            return tuple(str(part) for part in path[:length])
    return tuple(str(part) for part in path)


def _expand(path: tuple[str, ...], before: Any, after: Any) -> Iterator[FieldChange]:
    """A block that was added or removed is shown by its fields."""
    if isinstance(before, Mapping) != isinstance(after, Mapping) and MISSING in (before, after):
        block, is_added = (after, True) if before is MISSING else (before, False)
        for leaf, value in leaves(block, path):
            yield FieldChange(leaf, MISSING, value) if is_added else FieldChange(leaf, value, MISSING)
    else:
        yield FieldChange(path, before, after)


def _at(value: Any, path: Any) -> Any:
    for part in path:
        if not isinstance(value, Mapping | list) or (isinstance(value, Mapping) and part not in value):
            return MISSING
        value = value[part]
    return value
