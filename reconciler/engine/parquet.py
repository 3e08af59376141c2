"""Parquet as intake and output. The rule here: a column keeps its type on the way through, and the memory does not grow with the file."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet

from reconciler.engine.intake import Rows, check_names
from reconciler.engine.text import texts
from reconciler.errors import Cancelled, ScoringError

MAGIC = b"PAR1"
SUFFIX = ".parquet"
_BUFFER = 1 << 20
# Rows of a group of the output: enough for readers to skip by, few enough to hold.
_GROUP_ROWS, _GROUP_BYTES = 1 << 17, 32 << 20


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by how it begins and ends."""
    try:
        with open(path, "rb") as file:
            if file.read(len(MAGIC)) != MAGIC or path.stat().st_size < 2 * len(MAGIC):
                return False
            file.seek(-len(MAGIC), os.SEEK_END)
            return file.read() == MAGIC
    except OSError:
        return False  # whoever opens it next says why


class ParquetIntake:
    unit = "row"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pa.parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from error
        self._schema = self._file.schema_arrow
        self.header = self._schema.names
        self._size = path.stat().st_size
        self._read = 0
        try:
            check_names(path, self.header)
        except ScoringError:
            self._file.close()
            raise

    @property
    def bytes_read(self) -> int:
        """In proportion to the rows that are read: a row has no bytes of its own in this format."""
        rows = self._file.metadata.num_rows
        return self._size * self._read // rows if rows else self._size

    @property
    def types(self) -> Sequence[pa.DataType]:
        return list(self._schema.types)

    def pieces(self, columns: Sequence[str], rows: int, size: int | None, is_halted: Callable[[], bool]) -> Iterator["ParquetPiece"]:
        try:
            batches = self._file.iter_batches(rows, columns=columns or self.header[:1], use_threads=False)
            for batch in batches:
                if is_halted():
                    raise Cancelled("The job was aborted")
                yield ParquetPiece(self._read, batch)
                self._read += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from error

    def close(self) -> None:
        self._file.close()

    def _unreadable(self, error: Exception) -> ScoringError:
        return ScoringError("The intake cannot be read", f"{self.path}: {' '.join(str(error).split()).removesuffix('.')}.")


@dataclass(frozen=True)
class ParquetPiece:
    first_row: int
    rows: pa.RecordBatch

    def read(self) -> Rows:
        return Rows(self.rows, self.rows.num_rows, {})

    def located(self, places: Sequence[int]) -> list[tuple[int, str]]:
        """Rows are counted from 1; what was read of one is shown as its values, separated by commas."""
        chosen = self.rows.take(pa.array(places, pa.int64()))
        columns = [texts(column).to_pylist() for column in chosen.columns]
        return [(self.first_row + place + 1, ",".join(map(str, values))) for place, *values in zip(places, *columns, strict=True)]


class ParquetOutput:
    """Takes batches of one schema and writes them in larger groups."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        try:
            self._file = open(path, "wb")  # noqa: SIM115 - closed on leaving the context
            self._writer = pa.parquet.ParquetWriter(self._file, schema)
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> "ParquetOutput":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):  # `finish` has told, if it came so far
            self._file.close()

    @property
    def bytes_written(self) -> int:
        return self._file.tell()

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._put()

    def finish(self) -> None:
        self._put()
        try:
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def _put(self) -> None:
        if not self._waiting:
            return
        try:
            self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema), row_group_size=self._rows)
        except OSError as error:
            raise self._unwritable(error) from error
        self._waiting, self._rows, self._bytes = [], 0, 0

    def _unwritable(self, error: OSError) -> ScoringError:
        return ScoringError("The output cannot be written", f"{self.path}: {error.strerror or error}.")
