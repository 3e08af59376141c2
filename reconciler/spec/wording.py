"""What pydantic says about a block, in the user's words. The rule here: a summary per kind of problem, and no secret in any detail."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import ValidationError

from reconciler.options import Strict
from reconciler.spec.document import SECRET_KEYS
from reconciler.spec.position import Path
from reconciler.spec.problem import did_you_mean

_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_LIMITS = {
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "string_too_short": "not empty",
    "string_too_long": "at most {max_length} character long",
    "too_long": "at most {max_length} entries long",
}
_PATTERNS = {
    r"^s3://[^/]+/.": "an s3 address such as s3://bucket/folder/file.csv",
    r"^https?://": "an address that begins with https:// or http://",
    r"^(https?|gs)://": "an address such as gs://bucket/file.csv or https://storage.googleapis.com/bucket/file.csv",
    r"^[^\x00]*[^\x00/]$": "the path of a file: not empty, without NUL characters, not ending in /",
}


@dataclass(frozen=True)
class Wrong:
    """One problem in a block: where, what, and whether the key is what must be underlined."""

    path: Path
    summary: str
    detail: str
    is_key: bool = False


def wrongs(error: ValidationError, model: type[Strict], what: str, extra_names: tuple[str, ...] = ()) -> Iterator[Wrong]:
    """`what` the block is ("an s3 intake"); `extra_names` are keys it has beside the model's."""
    expected: dict[Path, list[str]] = {}
    values: dict[Path, Any] = {}
    for item in error.errors(include_url=False):
        kind, path = str(item["type"]), _written(item["loc"], model)
        if kind == "extra_forbidden":
            yield _unknown_key(path, model, what, extra_names)
        elif kind == "missing":
            yield Wrong(path[:-1], "Missing key", sentence_of(f"{_block(path, what)} needs {_snake(path, model)}"), is_key=True)
        elif kind == "union_tag_not_found":
            yield Wrong(path, "Missing key", f"{path[-1]} needs type.", is_key=True)
        elif kind == "union_tag_invalid":
            expected.setdefault((*path, "type"), []).append("one of " + _context(item)["expected_tags"].replace("'", ""))
            values[(*path, "type")] = _context(item)["tag"]
        elif kind == "value_error":
            yield Wrong(path, "Invalid value", sentence_of(item["msg"].removeprefix("Value error, ")))
        else:
            expected.setdefault(path, []).append(_expectation(kind, item))
            values[path] = item["input"]
    for path, sentences in expected.items():
        if any(len(other) > len(path) and other[: len(path)] == path for other in expected):
            continue  # the branch of a union that fits is told in more detail
        yield _wrong_value(path, sentences, values[path])


def shown(value: Any, path: Path = ()) -> str:
    """A value in a sentence, with its kind when that is what may be wrong."""
    if not SECRET_KEYS.isdisjoint(path):
        return "a value that is not shown"
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {json.dumps(value[:80], ensure_ascii=False)}{'…' if len(value) > 80 else ''}"
        case int() | float():
            return f"the number {value}"
        case dict():
            return "a mapping"
    return "a list"


def sentence_of(text: str) -> str:
    """With a capital letter and a full stop; a sentence that begins with a key leaves the key as it is."""
    is_word = text.split(" ", 1)[0] in ("a", "an", "exactly", "thresholds", "monitoring")
    return (text[0].upper() if is_word else text[0]) + text[1:] + ("" if text.endswith(".") else ".")


def _context(item: Any) -> dict[str, Any]:
    context: dict[str, Any] = item.get("ctx", {})
    return context


def _expectation(kind: str, item: Any) -> str:
    context = _context(item)
    if kind == "literal_error":
        words = context["expected"].replace(" or ", ", ").replace("'", "")
        return f"one of {words}" if "," in words else words
    if kind == "string_pattern_mismatch":
        return _PATTERNS[context["pattern"]]
    if kind in _LIMITS:
        return _LIMITS[kind].format(**context)
    return _EXPECTED.get(kind) or str(item["msg"])


def _wrong_value(path: Path, sentences: list[str], value: Any) -> Wrong:
    *outer, last = path
    block = ".".join(str(part) for part in outer)
    name = f"entry {last + 1} of {block}" if isinstance(last, int) else ".".join(str(part) for part in path)
    detail = f"{name} must be {' or '.join(dict.fromkeys(sentences))}; found {shown(value, path)}."
    if isinstance(value, str) and SECRET_KEYS.isdisjoint(path):
        words = [word for sentence in sentences for word in sentence.removeprefix("one of ").split(", ")]
        detail += did_you_mean(value, words)
    return Wrong(path, "Invalid value", detail)


def _unknown_key(path: Path, model: type[Strict], what: str, extra_names: tuple[str, ...]) -> Wrong:
    key = str(path[-1])
    owner, _ = _model_at(model, path[:-1])
    if key in owner.model_fields:
        detail = f'"{key}" and "{owner.model_fields[key].alias}" are one key. Keep one of the two.'
        return Wrong(path, "Duplicate key", detail, is_key=True)
    names = set(owner.model_fields) | {field.alias for field in owner.model_fields.values() if field.alias}
    names = {name for name in names if not name.endswith("_") and name != "db_schema"}
    near = did_you_mean(key, names | set(extra_names) if len(path) == 1 else names)
    snake = sorted(name for name in names if name in owner.model_fields or name in ("async", "schema"))
    fallback = f" It has: {', '.join(snake)}." if len(snake) < 15 and not near else ""
    return Wrong(path, "Unknown key", f'"{key}" is not a key of {_block(path, what)}.{near}{fallback}', is_key=True)


def _block(path: Path, what: str) -> str:
    names = [str(part) for part in path[:-1]]
    return ".".join(names) if names else what


def _snake(path: Path, model: type[Strict]) -> str:
    owner, _ = _model_at(model, path[:-1])
    return next((name for name, field in owner.model_fields.items() if field.alias == path[-1] and name != "db_schema"), str(path[-1]))


def _written(loc: Path, model: type[Strict]) -> Path:
    """`loc` without the names that pydantic gives to the branches of a union."""
    return _model_at(model, loc)[1]


def _model_at(model: type[Strict], loc: Path) -> tuple[type[Strict], Path]:
    """The innermost model on the way along `loc`, and the steps that are keys or positions in what was written."""
    written: list[str | int] = []
    candidates: list[type[Strict]] = [model]
    is_free = False  # inside of a list or a mapping every step is written
    for part in loc:
        field = next((field for name, field in candidates[0].model_fields.items() if part in (name, field.alias)), None) if not is_free else None
        if len(candidates) > 1:
            candidates = [branch for branch in candidates if part in get_args(branch.model_fields["type"].annotation)] or candidates[:1]
        elif field is not None:
            written.append(part)
            inner = list(_models(field.annotation))
            is_free = not inner
            candidates = inner or candidates
        elif not (isinstance(part, str) and _is_branch(part)):
            written.append(part)
    return candidates[0], tuple(written)


def _is_branch(part: str) -> bool:
    return part.startswith(("literal[", "constrained-", "function-", "nullable[", "list[", "dict[")) or part in ("str", "int", "float", "bool")


def _models(annotation: Any) -> Iterator[type[Strict]]:
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, Strict):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType) or hasattr(annotation, "__metadata__"):
        for part in get_args(annotation):
            yield from _models(part)
