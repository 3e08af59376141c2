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

# Arrow reads a row that begins in one block and ends in the next, so some rows longer than a block are read.
_LONGEST = 2 * BLOCK


@dataclass(frozen=True)
class Position:
    path: Path
    dialect: Dialect
    is_halted: Callable[[], bool] = field(default=lambda: False)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The line each row begins on and its fields; the header first, the dialect's `end` last."""
        csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))
        # What cannot be decoded is the source's to report; here it may lie just behind the row that is looked for.
        with open(self.path, encoding=self.dialect.encoding, errors="replace", newline="") as file:
            for line, row in self.dialect.rows(itertools.chain(_lines(file), [self.dialect.end])):
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
                if self.dialect.end in row[-1]:
                    return None if row == [self.dialect.end] else self.unclosed(line)
                if len(row) != width:
                    return self._ragged(line, len(row), width)
                if _is_too_long(row):
                    return self._too_long(f"the row that begins on line {line}")
        except csv.Error:
            return self._too_long(f"a row after line {line}")
        return None

    def _ragged(self, line: int, found: int, width: int) -> ScoringError:
        detail = f"{self.path}, line {line}: the row has {_count(found)} where the header has {_count(width)}. Repair the row, or check csv_settings."
        return ScoringError("A row does not fit the header", detail)

    def unclosed(self, line: int) -> ScoringError:
        detail = f"{self.path}: the row that begins on line {line} opens a quote ({self.dialect.quotechar}) that is never closed. Close or double it."
        return ScoringError("A quote is not closed", detail)

    def _too_long(self, which: str) -> ScoringError:
        detail = f"{self.path}: {which} is longer than {BLOCK >> 20} MB; most likely a quote is opened and not closed. Close or double it."
        return ScoringError("A row is too long", detail)


def _lines(file: TextIO) -> Iterator[str]:
    """Lines with their ends. A file without line ends does not fill the memory: its first line is longer than Arrow reads any."""
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST), "")):
        if len(line) == _LONGEST:
            raise csv.Error("line too long")
        yield line.removeprefix(BOM) if number == 0 else line


def _is_too_long(row: list[str]) -> bool:
    return sum(map(len, row)) > BLOCK // 4 and sum(len(field.encode()) for field in row) > BLOCK


def _count(fields: int) -> str:
    return "1 field" if fields == 1 else f"{fields} fields"
