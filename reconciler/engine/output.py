"""The scored file. The rule here: what `finish` returned is on the disk."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, TypeVar

import pyarrow as pa

from reconciler.engine.csv_text import header_line, lines
from reconciler.engine.dialect import Dialect
from reconciler.engine.failure import Fault
from reconciler.engine.intake import Intake
from reconciler.engine.layout import AnyColumn, Passed, Status
from reconciler.engine.parquet import ParquetOutput
from reconciler.engine.predictions import Column
from reconciler.engine.sink import Output, Sink
from reconciler.engine.text import texts
from reconciler.errors import ScoringError

Block = TypeVar("Block")


class Form(Protocol[Block]):
    """How the cells of some rows become a block of the output; called in several threads at once."""

    def block(self, cells: Sequence[pa.Array]) -> Block: ...

    def cleaned(self, cells: Sequence[pa.Array]) -> tuple[list[pa.Array], dict[int, Fault]]:
        """The cells without what this form cannot write, and the rows that hold it."""

    def writable(self, text: str) -> str:
        """A sentence of ours, so that it can be written."""

    def open(self, sink: Sink) -> Output[Block]: ...


class CsvForm:
    def __init__(self, names: Sequence[str], dialect: Dialect) -> None:
        self._names = names
        self._dialect = dialect
        text = header_line(names, dialect).decode()
        try:
            self._header = dialect.bom + text.encode(dialect.codec)
        except UnicodeEncodeError as error:
            detail = (
                f"{dialect.encoding} has no {_character(error)}, which a class label, the target's name or a column name holds. "
                "Choose another csv_settings.encoding, or rename it."
            )
            raise ScoringError("The output cannot be encoded", detail) from error

    def block(self, cells: Sequence[pa.Array]) -> bytes:
        content = lines([texts(column) for column in cells], self._dialect)
        return content if self._dialect.is_utf8 else self._encoded(content)

    def cleaned(self, cells: Sequence[pa.Array]) -> tuple[list[pa.Array], dict[int, Fault]]:
        faults: dict[int, Fault] = {}
        return [self._cleaned(name, texts(column), faults) for name, column in zip(self._names, cells, strict=True)], faults

    def writable(self, text: str) -> str:
        return text.encode(self._dialect.codec, "backslashreplace").decode(self._dialect.codec)

    def open(self, sink: Sink) -> "CsvOutput":
        return CsvOutput(sink, self._header)

    def _encoded(self, content: bytes) -> bytes:
        return content if self._dialect.has_ascii and content.isascii() else content.decode().encode(self._dialect.codec)

    def _cleaned(self, name: str, column: pa.Array, faults: dict[int, Fault]) -> pa.Array:
        values = column.to_pylist()
        for place, text in enumerate(values):
            try:
                (text or "").encode(self._dialect.codec)
            except UnicodeEncodeError as error:
                values[place] = None
                faults.setdefault(place, Fault(f"{self._dialect.encoding} has no {_character(error)}, so the row cannot be written", name))
        return pa.array(values, pa.string())


class CsvOutput:
    """Takes text that is encoded; the header is written at once."""

    def __init__(self, sink: Sink, header: bytes) -> None:
        self.bytes_written = 0
        self._sink = sink
        try:
            self.write(header)
        except BaseException:
            sink.close()
            raise

    def __enter__(self) -> "CsvOutput":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._sink.close()

    def write(self, content: bytes) -> None:
        self._sink.write(content)
        self.bytes_written += len(content)

    def finish(self) -> None:
        self._sink.finish()


class RowsForm:
    def __init__(self, columns: Sequence[AnyColumn], intake: Intake) -> None:
        kinds = dict(zip(intake.header, intake.types, strict=True))
        self.columns = columns
        self.schema = pa.schema([(column.name, _kind(column, kinds)) for column in columns])

    def block(self, cells: Sequence[pa.Array]) -> pa.RecordBatch:
        arrays = [column if column.type == field.type else column.cast(field.type) for column, field in zip(cells, self.schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def cleaned(self, cells: Sequence[pa.Array]) -> tuple[list[pa.Array], dict[int, Fault]]:
        return list(cells), {}

    def writable(self, text: str) -> str:
        return text

    def open(self, sink: Sink) -> ParquetOutput:
        return ParquetOutput(sink, self.schema)


def _kind(column: AnyColumn, kinds: dict[str, pa.DataType]) -> pa.DataType:
    match column:
        case Passed():
            return kinds[column.source]
        case Column(is_number=True):
            return pa.float64()
        case Column() | Status():
            return pa.string()


def _character(error: UnicodeEncodeError) -> str:
    character = error.object[error.start]
    return f"{character!r} (U+{ord(character):04X})"
