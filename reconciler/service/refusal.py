"""What a request is answered when it is not granted. The rule here: a status of the API, a sentence, and the fields it is about."""

import re
from collections.abc import Iterable

from reconciler.api.schema import Problem

Errors = dict[str, str | dict[str, str]]

# pydantic puts the alternatives of a union among the fields: `csvSettings.delimiter.literal['tab']`.
_FIELD = re.compile(r"\w+")
_MOST = 100


class Refusal(Exception):
    def __init__(self, status: int, message: str, errors: Errors | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors

    @property
    def body(self) -> dict[str, object]:
        return {"message": self.message} | ({"errors": self.errors} if self.errors else {})


def invalid(problems: Iterable[Problem]) -> Refusal:
    """422 with every problem, by field; those inside a block are an object of their own. Of very many, the first are enough."""
    everything = list(problems)
    found = [(_fields(where), sentence) for where, sentence in everything[:_MOST]]
    message = "; ".join(dict.fromkeys(f"{'.'.join(where)}: {sentence.removesuffix('.')}" for where, sentence in found))
    more = f"; and {len(everything) - _MOST} more" if len(everything) > _MOST else ""
    return Refusal(422, message + more, _by_field(found))


def _fields(where: tuple[str | int, ...]) -> list[str]:
    return [str(part) for part in where if _FIELD.fullmatch(str(part))] or ["body"]


def _by_field(found: list[tuple[list[str], str]]) -> Errors:
    blocks: dict[str, dict[str, str]] = {}
    for (top, *rest), sentence in found:
        block = blocks.setdefault(top, {})
        place = ".".join(rest)
        block[place] = f"{block[place]}; {sentence}" if place in block else sentence
    return {top: block[""] if set(block) == {""} else {place or "block": text for place, text in block.items()} for top, block in blocks.items()}
