"""Several files as one intake. The rule here: all have the columns of the first, by name, and one is open at a time."""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from reconciler.engine.intake import Intake, Piece
from reconciler.errors import ScoringError

_LISTED = 20


class JoinedIntake:
    """`files` open the files in their order, of `bytes_total` bytes in all; there is at least one. Raises ScoringError."""

    def __init__(self, name: str, files: Sequence[Callable[[], Intake]], bytes_total: int) -> None:
        self.name = name
        self.bytes_total = bytes_total
        self._rest = list(files)
        self._past = 0  # bytes of the files that are closed
        self._open = self._rest.pop(0)()
        self.unit = self._open.unit
        self.header: Sequence[str] = self._open.header
        self.types: Sequence[pa.DataType] = self._open.types

    @property
    def bytes_read(self) -> int:
        return self._past + self._open.bytes_read

    def pieces(self, columns: Sequence[str], rows: int, size: int | None, is_halted: Callable[[], bool]) -> Iterator[Piece]:
        yield from self._open.pieces(columns, rows, size, is_halted)
        while self._rest:
            self._next()
            yield from self._open.pieces(columns, rows, size, is_halted)

    def close(self) -> None:
        self._open.close()

    def _next(self) -> None:
        past = self._past + self._open.bytes_read
        self._open.close()
        self._open = self._rest.pop(0)()
        self._past = past
        kinds, given = dict(zip(self.header, self.types, strict=True)), dict(zip(self._open.header, self._open.types, strict=True))
        if kinds != given:
            raise ScoringError("The files have different columns", f"{self._open.name}: {_difference(kinds, given)}. The first file decides.")


def _difference(wanted: dict[str, pa.DataType], given: dict[str, pa.DataType]) -> str:
    lacks, has = [name for name in wanted if name not in given], [name for name in given if name not in wanted]
    if lacks:
        return f"it lacks {', '.join(lacks[:_LISTED])}"
    if has:
        return f"it has {', '.join(has[:_LISTED])} as well"
    other = next(name for name in wanted if wanted[name] != given[name])
    return f"its {other} is {given[other]}, not {wanted[other]}"
