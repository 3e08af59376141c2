"""Rows that are wrong. The rule here: each is named by its place, the column to blame and the reason, and never lost.

The rejects file is CSV in UTF-8: the file (if the intake has several), where the row is, the column, the reason, and the row as it was written.
"""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from reconciler.errors import ScoringError

# How many failed rows are named in the job's log.
NAMED = 20
_LONGEST = 60


@dataclass(frozen=True)
class Fault:
    """Why a row cannot be scored, and the column to blame, if one is."""

    reason: str
    column: str | None = None


# By the row's place in its piece, counted from 0.
Faults = Mapping[int, Fault]


@dataclass(frozen=True)
class Failure:
    """A row that was not scored. `number` is its line in a CSV file, its row in another; `text` is what the intake wrote."""

    unit: str
    number: int
    fault: Fault
    text: str
    file: str | None = None  # of an intake that has several

    def __str__(self) -> str:
        file = f"{self.file}, " if self.file else ""
        column = f", column {self.fault.column}" if self.fault.column else ""
        return f"{file}{self.unit} {self.number}{column}: {self.fault.reason}"


def quoted(text: str) -> str:
    """A value for a sentence."""
    return repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


class Rejects:
    """The file of the failed rows: there if there is one, and on the disk when `finish` returned."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None
        try:
            path.unlink(missing_ok=True)  # of a former run
        except OSError as error:
            raise self._unwritable(error) from error

    def add(self, failures: Sequence[Failure]) -> None:
        if not failures:
            return
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open(self.path, "w", encoding="utf-8", newline="")  # noqa: SIM115 - closed by close()
                csv.writer(self._file).writerow([*_file(failures[0], "file"), failures[0].unit, "column", "reason", "content"])
            rows = ([*_file(each, each.file), each.number, each.fault.column or "", each.fault.reason, each.text] for each in failures)
            csv.writer(self._file).writerows(rows)
        except OSError as error:
            raise self._unwritable(error) from error

    def finish(self) -> None:
        if self._file is None:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _unwritable(self, error: OSError) -> ScoringError:
        return ScoringError("The file of the failed rows cannot be written", f"{self.path}: {error.strerror or error}.")


def _file(failure: Failure, cell: str | None) -> list[str]:
    """A column more where the intake has several files."""
    return [] if failure.file is None else [cell or ""]
