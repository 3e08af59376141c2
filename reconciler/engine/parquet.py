"""Parquet as intake and output. The rule here: a column keeps its type on the way through, and the memory does not grow with the file."""

import os
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet

from reconciler.engine.batches import BatchPiece
from reconciler.engine.file import File, unreadable
from reconciler.engine.intake import check_names
from reconciler.engine.sink import Sink
from reconciler.errors import Cancelled, ScoringError

MAGIC = b"PAR1"
SUFFIX = ".parquet"
_BUFFER = 1 << 20
# Types whose rows Arrow cannot choose from, and those that hold the same values.
_PLAIN = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
# Rows of a group of the output: enough for readers to skip by, few enough to hold.
_GROUP_ROWS, _GROUP_BYTES = 1 << 17, 32 << 20
# Of a column's values that a group has once. The library finds them in a table of up to 32 times as much, which is 24 MB for its own limit of 1 MB.
_DICTIONARY_BYTES = 1 << 17


def is_parquet(whole: File) -> bool:
    """Whether a file is Parquet, by how it begins and ends."""
    try:
        with whole.open_anywhere() as file:
            if file.read(len(MAGIC)) != MAGIC or whole.size < 2 * len(MAGIC):
                return False
            file.seek(-len(MAGIC), os.SEEK_END)
            return file.read() == MAGIC
    except OSError:
        return False  # whoever opens it next says why


class ParquetIntake:
    unit = "row"

    def __init__(self, file: File, part: str | None = None) -> None:
        """`part` is what the file is called among others of one intake."""
        self.name = file.name
        self._part = part
        try:
            self._bytes = file.open_anywhere()
        except OSError as error:
            raise unreadable(self.name, error) from error
        try:
            self._file = pa.parquet.ParquetFile(pa.PythonFile(self._bytes, "r"), buffer_size=_BUFFER, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            self._bytes.close()
            raise unreadable(self.name, error) from error
        self._schema = pa.schema([field.with_type(_PLAIN.get(field.type, field.type)) for field in self._file.schema_arrow])
        self.header = self._schema.names
        self.bytes_total = file.size
        self._read = 0
        try:
            check_names(self.name, self.header)
        except ScoringError:
            self.close()
            raise

    @property
    def bytes_read(self) -> int:
        """In proportion to the rows that are read: a row has no bytes of its own in this format."""
        rows = self._file.metadata.num_rows
        return self.bytes_total * self._read // rows if rows else self.bytes_total

    @property
    def types(self) -> Sequence[pa.DataType]:
        return list(self._schema.types)

    def pieces(self, columns: Sequence[str], rows: int, size: int | None, is_halted: Callable[[], bool]) -> Iterator[BatchPiece]:
        try:
            batches = self._file.iter_batches(rows, columns=columns or self.header[:1], use_threads=False)
            for batch in batches:
                if is_halted():
                    raise Cancelled("The job was aborted")
                yield BatchPiece(self._part, self._read, self._checked(batch))
                self._read += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.name, error) from error

    def _checked(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """In our types. Whoever wrote the file may have called bytes a text that are none."""
        for field, column in zip(batch.schema, batch.columns, strict=True):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid as error:
                raise unreadable(f"{self.name}, column {field.name}", error) from error
        return batch.cast(pa.schema([self._schema.field(name) for name in batch.schema.names]))

    def close(self) -> None:
        self._file.close()
        self._bytes.close()


class ParquetOutput:
    """Takes batches of one schema and writes them in larger groups. What `finish` returned is in the sink."""

    def __init__(self, sink: Sink, schema: pa.Schema) -> None:
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0
        self._sink = _Written(sink)
        try:
            self._writer = pa.parquet.ParquetWriter(
                pa.PythonFile(cast(BinaryIO, self._sink), "w"), schema, dictionary_pagesize_limit=_DICTIONARY_BYTES
            )
        except BaseException:
            sink.close()
            raise

    def __enter__(self) -> "ParquetOutput":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._sink.is_left = True
        try:
            self._writer.close()  # else the library would write the end of the file some time later
        finally:
            self._sink.sink.close()

    @property
    def bytes_written(self) -> int:
        return self._sink.size

    def write(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._put()

    def finish(self) -> None:
        self._put()
        self._writer.close()
        self._sink.sink.finish()

    def _put(self) -> None:
        if not self._rows:  # of an intake of blank lines a batch has none
            return
        self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema), row_group_size=self._rows)
        self._waiting, self._rows, self._bytes = [], 0, 0


class _Written:
    """A sink as Arrow writes to it: a file that is closed by nobody but us."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.size = 0
        self.is_left = False

    def write(self, content: bytes) -> int:
        if not self.is_left:
            self.sink.write(content)
        self.size += len(content)
        return len(content)

    def tell(self) -> int:
        return self.size

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False
