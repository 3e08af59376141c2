"""Query parameters. The rule here: an unknown name and a bad value are refused with 422, all at once; nothing is silently ignored."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from starlette.datastructures import QueryParams

from reconciler.service import moment
from reconciler.service.refusal import invalid

Parser = Callable[[str], Any]


def text(value: str) -> str:
    return value


def time(value: str) -> datetime:
    try:
        return moment.parsed(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r} is not an RFC 3339 time such as 2026-10-01T00:00:00Z") from None


def whole(minimum: int, maximum: int = 1_000_000_000) -> Parser:
    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) < 12 and minimum <= int(value) <= maximum):
            raise ValueError(f"{value!r} is not a whole number from {minimum} to {maximum}")
        return int(value)

    return parse


def one_of(choices: Iterable[str], synonyms: Mapping[str, str] | None = None) -> Parser:
    allowed = tuple(choices)

    def parse(value: str) -> str:
        chosen = (synonyms or {}).get(value, value)
        if chosen not in allowed:
            raise ValueError(f"{value!r} is not one of: {', '.join(allowed)}")
        return chosen

    return parse


def read(query: QueryParams, parsers: Mapping[str, Parser]) -> dict[str, list[Any]]:
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
