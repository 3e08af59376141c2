"""The values of variables. The rule here: a given text replaces a default and becomes a value of the default's type."""

from collections.abc import Mapping
from typing import Any

from reconciler.spec.expression import Scope, fill
from reconciler.spec.problem import Problems, did_you_mean
from reconciler.spec.reader import Unreadable, read
from reconciler.spec.section import Entry

_KEYS = ("default", "description")
_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    ((int, float), "a number"),
    (list, "a list such as [a, b]"),
    (dict, "a mapping such as {a: 1}"),
)


def variable_values(declared: Mapping[str, Entry], given: Mapping[str, str], problems: Problems) -> dict[str, Any]:
    for name in given.keys() - declared.keys():
        detail = f'A value is given for "{name}", which is not declared.' + did_you_mean(name, declared, "variable")
        problems.add(None, "Unknown variable", detail)
    return {name: _value(entry, given.get(name), problems) for name, entry in declared.items()}


def _value(entry: Entry, given: str | None, problems: Problems) -> Any:
    body = {} if entry.value is None else entry.value
    if not isinstance(body, dict):
        detail = f"A variable is a mapping: write {entry.name}: {{default: …}}."
        problems.add(entry.spot, "Invalid variable", detail)
        return ""
    for key in body.keys() - set(_KEYS):
        problems.add(entry.spot / key, "Unknown key", f'"{key}" is not a key of a variable.' + did_you_mean(key, _KEYS, "key"), is_key=True)
    if not isinstance(body.get("description", ""), str | None):
        problems.add(entry.spot / "description", "Invalid value", "description must be a text.")
    # Without variables: a default that names one is told so, while `$${` becomes `${`.
    default = fill(body.get("default"), Scope(None), entry.spot / "default", problems)
    if given is not None:
        return _typed(given, default, entry, problems)
    if "default" not in body:
        detail = f'"{entry.name}" has no default. Give it a value: -var={entry.name}=…'
        problems.add(entry.spot, "Missing variable", detail, is_key=True)
    return default


def _typed(text: str, default: Any, entry: Entry, problems: Problems) -> Any:
    expected = next((pair for pair in _TYPES if isinstance(default, pair[0])), None)
    if expected is None:
        return text
    value = _parsed(text)
    if isinstance(value, expected[0]) and isinstance(value, bool) == isinstance(default, bool):
        return value
    detail = f'The text given for "{entry.name}" must be {expected[1]}, as its default is.'
    problems.add(entry.spot, "Invalid variable", detail, is_key=True)
    return default


def _parsed(text: str) -> Any:
    try:
        reading = read(text)
    except Unreadable:
        return None
    return None if reading.flaws else reading.value
