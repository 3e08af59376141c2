"""Query parameters. The rule here: an unknown name and a bad value are refused with 422, all at once; nothing is silently ignored."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from starlette.datastructures import QueryParams

from reconciler.service import moment
from reconciler.service.refusal import invalid

Value = TypeVar("Value")


@dataclass(frozen=True)
class Parser(Generic[Value]):
    """How one parameter is read, and how the API's description says so (JSON Schema)."""

    parse: Callable[[str], Value]
    schema: Mapping[str, Any]

    def __call__(self, value: str) -> Value:
        """Raises ValueError."""
        return self.parse(value)


def _time(value: str) -> datetime:
    try:
        return moment.parsed(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r} is not an RFC 3339 time such as 2026-10-01T00:00:00Z") from None


text = Parser(str, {"type": "string"})
time = Parser(_time, {"type": "string", "format": "date-time"})


def whole(minimum: int, maximum: int = 1_000_000_000) -> Parser[int]:
    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) < 12 and minimum <= int(value) <= maximum):
            raise ValueError(f"{value!r} is not a whole number from {minimum} to {maximum}")
        return int(value)

    return Parser(parse, {"type": "integer", "minimum": minimum, "maximum": maximum})


def one_of(choices: Iterable[str], synonyms: Mapping[str, str] | None = None) -> Parser[str]:
    allowed = tuple(choices)

    def parse(value: str) -> str:
        chosen = (synonyms or {}).get(value, value)
        if chosen not in allowed:
            raise ValueError(f"{value!r} is not one of: {', '.join(allowed)}")
        return chosen

    return Parser(parse, {"type": "string", "enum": [*allowed, *(synonyms or {})]})


Parsers = Mapping[str, Parser[Any]]


def read(query: QueryParams, parsers: Parsers) -> dict[str, list[Any]]:
    """The values of each parameter that was given, in order."""
    values: dict[str, list[Any]] = {}
    problems = []
    for name, value in query.multi_items():
        if name not in parsers:
            problems.append(((name,), f"this parameter is unknown; known are: {', '.join(parsers)}"))
            continue
        try:
            values.setdefault(name, []).append(parsers[name](value))
        except ValueError as error:
            problems.append(((name,), str(error)))
    if problems:
        raise invalid(problems)
    return values
