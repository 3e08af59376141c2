"""The intake as pieces of rows. The rule here: a value is what the source wrote, and a row that does not fit the header is counted, not lost."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from reconciler.engine.failure import Faults
from reconciler.errors import ScoringError

_LISTED = 20


@dataclass(frozen=True)
class Rows:
    """The rows of a piece. `table` has those that fit the header, the others are `faults`; `count` is of both.

    A null is a value that is missing: in CSV, an empty field without quotes.
    """

    table: pa.RecordBatch
    count: int
    faults: Faults


class Piece(Protocol):
    """Some rows in a row, of one `file` if the intake has several. Its methods are called in any thread."""

    @property
    def file(self) -> str | None: ...

    def read(self) -> Rows: ...

    def located(self, places: Sequence[int]) -> list[tuple[int, str]]:
        """For each of these rows, its number in the intake and how the intake wrote it. `places` are counted from 0, and sorted."""


class Intake(Protocol):
    """Raises ScoringError, at once for a header that cannot be used, and in `pieces` for what cannot be told apart into rows."""

    @property
    def name(self) -> str:
        """As a message names it: a path, a URL, a table."""

    @property
    def header(self) -> Sequence[str]: ...

    @property
    def unit(self) -> str:
        """What a row is found by: its `line`, or its `row`."""

    @property
    def bytes_read(self) -> int: ...

    @property
    def bytes_total(self) -> int:
        """0 when nobody knows."""

    @property
    def types(self) -> Sequence[pa.DataType]:
        """Of the columns of the header."""

    def pieces(self, columns: Sequence[str], rows: int, size: int | None, is_halted: Callable[[], bool]) -> Iterator[Piece]:
        """All rows in order, with these columns; `rows` at once or so, or as many as have `size` bytes, if it is given."""

    def close(self) -> None: ...


def check_names(name: str, names: Sequence[str]) -> None:
    """Raises ScoringError for a header with one name twice."""
    if repeated := sorted(column for column, count in Counter(names).items() if count > 1):
        listed = ", ".join(column or "(no name)" for column in repeated[:_LISTED]) + (" and others" if len(repeated) > _LISTED else "")
        raise ScoringError("Columns have the same name", f"{name}: the header names {listed} more than once. Give each column its own name.")
