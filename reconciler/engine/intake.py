"""The intake as pieces of rows, every value a string. The rule here: a value is what the source wrote; only an unquoted empty one is null."""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from reconciler.engine.dialect import Dialect
from reconciler.engine.position import Position
from reconciler.engine.source import BLOCK, Source
from reconciler.errors import ScoringError

_LISTED = 20


@dataclass(frozen=True)
class Piece:
    """Some rows in a row; `first_row` is the number of the first among all rows of data, counted from 0."""

    first_row: int
    rows: pa.RecordBatch


class Intake:
    """A CSV file. Raises ScoringError, at once for a header that cannot be used and in `pieces` for rows."""

    def __init__(self, path: Path, dialect: Dialect, is_halted: Callable[[], bool]) -> None:
        self.path = path
        self.dialect = dialect
        self.position = Position(path, dialect, is_halted)
        self.header = self._header()
        self._source = self._open(len(self.header))

    @property
    def bytes_read(self) -> int:
        return self._source.position

    def pieces(self, columns: Sequence[str], rows: int) -> Iterator[Piece]:
        """The rows with these columns, in pieces of at most `rows`."""
        first = 0
        for batch in self._without_end(self._batches(columns)):
            for start in range(0, batch.num_rows, rows):
                yield Piece(first + start, batch.slice(start, rows))
            first += batch.num_rows

    def close(self) -> None:
        self._source.close()

    def _open(self, width: int) -> Source:
        return Source(self.path, self.dialect, self.dialect.delimiter.join([self.dialect.end] * width).encode() + b"\n")

    def _header(self) -> list[str]:
        source = self._open(1)
        try:
            # Cut inside a character, if the block is full; the header is long over by then.
            beginning = source.read().decode("utf-8", errors="ignore")
        finally:
            source.close()
        names = next(row for _, row in self.dialect.rows(io.StringIO(beginning, newline="")))
        if names == [self.dialect.end]:
            raise ScoringError("The intake is empty", f"{self.path} has no header. Write one line with the names of the columns.")
        if any(self.dialect.end in name for name in names):
            raise self.position.unclosed(1)
        if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
            listed = ", ".join(name or "(no name)" for name in repeated[:_LISTED]) + (" and others" if len(repeated) > _LISTED else "")
            raise ScoringError("Columns have the same name", f"{self.path}: the header names {listed} more than once. Give each column its own name.")
        return names

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        try:
            with self._reader(columns) as reader:
                yield from reader
        except pa.ArrowInvalid as error:
            raise self.position.malformed(len(self.header)) or self._unreadable(error) from error

    def _reader(self, columns: Sequence[str]) -> pa.csv.CSVStreamingReader:
        return pa.csv.open_csv(
            pa.PythonFile(self._source, mode="r"),
            # The header row is skipped and its names given, so that they are the ones checked above.
            pa.csv.ReadOptions(block_size=BLOCK, use_threads=False, column_names=self.header, skip_rows_after_names=1),
            pa.csv.ParseOptions(delimiter=self.dialect.delimiter, quote_char=self.dialect.quotechar, newlines_in_values=True),
            pa.csv.ConvertOptions(
                include_columns=list(columns),
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _without_end(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        last = None
        for batch in batches:
            if last is not None:
                yield last
            last = batch
        if last is None or last.column(0)[-1].as_py() != self.dialect.end:
            raise self.position.malformed(len(self.header)) or self._unreadable("its last row is cut off")
        yield last.slice(0, last.num_rows - 1)

    def _unreadable(self, why: object) -> ScoringError:
        return ScoringError("The intake is not CSV", f"{self.path}: {why}. Check csv_settings (delimiter, quotechar, encoding).")
