"""Where in the file a row is. The rule here: used on the way to an error only, so exact and simple goes before fast.

Arrow tells at best the number of a row within a block. Here the file is read again with Python's csv module, which keeps count of lines.
"""

import csv
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from reconciler.engine.dialect import BOM, Dialect
from reconciler.engine.source import BLOCK
from reconciler.errors import Cancelled, ScoringError

# Follows the text as a row of its own. If it does not come out as one, a quote was still open at the end of the file.
TOKEN = "reconciler\x1fend\x1fof\x1fintake"


@dataclass(frozen=True)
class Position:
    path: Path
    dialect: Dialect
    is_halted: Callable[[], bool] = field(default=lambda: False)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The line each row begins on and its fields; the header first, the token last."""
        csv.field_size_limit(max(csv.field_size_limit(), BLOCK))
        with open(self.path, encoding=self.dialect.encoding, newline="") as file:
            for line, row in self.dialect.rows(itertools.chain(_lines(file), [TOKEN])):
                if self.is_halted():
                    raise Cancelled("The job was aborted")
                yield line, row

    def line(self, row: int) -> int:
        """The line on which a row of data begins; `row` counts from 0."""
        return next((line for index, (line, _) in enumerate(self.rows()) if index == row + 1), 0)

    def malformed(self, width: int) -> ScoringError | None:
        """The first row that is not `width` fields, or never ends."""
        line = 1
        try:
            for line, row in self.rows():
                if TOKEN in row[-1]:
                    return None if row == [TOKEN] else self.unclosed(line)
                if len(row) != width:
                    return self._ragged(line, len(row), width)
        except csv.Error:
            return self.too_long(line)
        return None

    def _ragged(self, line: int, found: int, width: int) -> ScoringError:
        detail = f"{self.path}, line {line}: the row has {_count(found)} where the header has {_count(width)}. Repair the row, or check csv_settings."
        return ScoringError("A row does not fit the header", detail)

    def unclosed(self, line: int) -> ScoringError:
        detail = f"{self.path}: the row that begins on line {line} opens a quote ({self.dialect.quotechar}) that is never closed. Close or double it."
        return ScoringError("A quote is not closed", detail)

    def too_long(self, line: int) -> ScoringError:
        detail = (
            f"{self.path}: a row after line {line} is longer than {BLOCK >> 20} MB; most likely a quote is opened and not closed. Close or double it."
        )
        return ScoringError("A row is too long", detail)


def _lines(file: TextIO) -> Iterator[str]:
    """Lines with their ends, none longer than a block, so that a file without line ends does not fill the memory."""
    lines = iter(lambda: file.readline(BLOCK), "")
    yield from (line.removeprefix(BOM) if number == 0 else line for number, line in enumerate(lines))


def _count(fields: int) -> str:
    return "1 field" if fields == 1 else f"{fields} fields"
