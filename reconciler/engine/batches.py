"""Rows that come as Arrow's batches, from Parquet or from a database. The rule here: a value keeps its type on the way through."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from reconciler.engine.intake import Rows, check_names
from reconciler.engine.text import texts
from reconciler.errors import Cancelled


@dataclass(frozen=True)
class BatchPiece:
    file: str | None
    first_row: int
    rows: pa.RecordBatch

    def read(self) -> Rows:
        return Rows(self.rows, self.rows.num_rows, {})

    def located(self, places: Sequence[int]) -> list[tuple[int, str]]:
        """Rows are counted from 1; what was read of one is shown as its values, separated by commas."""
        chosen = self.rows.take(pa.array(places, pa.int64()))
        columns = [texts(column).to_pylist() for column in chosen.columns]
        return [(self.first_row + place + 1, ",".join(map(str, values))) for place, *values in zip(places, *columns, strict=True)]


class BatchIntake:
    """A table or the result of a query, as a database gives it. `batches` raise ScoringError; `close` is called once, at the end.

    `name` is how a message calls it.
    """

    unit = "row"
    bytes_total = 0  # nobody knows

    def __init__(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], close: Callable[[], None]) -> None:
        self.name = name
        self.header: Sequence[str] = schema.names
        self.types: Sequence[pa.DataType] = list(schema.types)
        self.bytes_read = 0
        self._batches = batches
        self._close = close
        try:
            check_names(name, self.header)
        except BaseException:
            close()
            raise

    def pieces(self, columns: Sequence[str], rows: int, size: int | None, is_halted: Callable[[], bool]) -> Iterator[BatchPiece]:
        read = 0
        for batch in self._batches:
            self.bytes_read += batch.nbytes
            chosen = batch.select(columns or self.header[:1])
            for start in range(0, chosen.num_rows, rows):
                if is_halted():
                    raise Cancelled("The job was aborted")
                piece = chosen.slice(start, rows)
                yield BatchPiece(None, read, piece)
                read += piece.num_rows

    def close(self) -> None:
        self._close()
