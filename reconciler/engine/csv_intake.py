"""A CSV file as the intake. The rule here: it is cut where rows end, so that its pieces can be read at once, each in a thread.

Only an unquoted empty field is null; every other value is the text between its delimiters. Blank lines are no rows.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.csv

from reconciler.engine import seams
from reconciler.engine.dialect import BOM, Dialect
from reconciler.engine.failure import Fault
from reconciler.engine.file import File
from reconciler.engine.intake import Rows, check_names
from reconciler.engine.source import BLOCK, Source
from reconciler.errors import Cancelled, ScoringError

_BOM = BOM.encode()
_SMALLEST = 1 << 12


class CsvIntake:
    unit = "line"

    def __init__(self, file: File, dialect: Dialect, is_halted: Callable[[], bool], part: str | None = None) -> None:
        """`part` is what the file is called among others of one intake."""
        self.name = file.name
        self.bytes_total = file.size
        self.dialect = dialect
        self._part = part
        self._source = Source(file, dialect)
        self._blocks = self._source.blocks(is_halted)
        try:
            self._text = b""  # read, and not given out yet
            self._line = 1  # on which it begins
            self._is_whole = False
            self.header = self._header()
        except BaseException:
            self.close()
            raise

    @property
    def bytes_read(self) -> int:
        return self._source.position

    @property
    def types(self) -> Sequence[pa.DataType]:
        return [pa.string()] * len(self.header)

    def pieces(self, columns: Sequence[str], rows: int, size: int | None, is_halted: Callable[[], bool]) -> Iterator["CsvPiece"]:
        reader = Reader(self.header, columns, self.dialect)
        # A small piece costs more for each row; a large one keeps an abort waiting.
        bound = min(max(size, _SMALLEST), seams.LONGEST) if size else min(max(rows * self._row_length(), _SMALLEST), BLOCK)
        while True:
            while not self._is_whole and len(self._text) < bound:
                self._read()
            if is_halted():
                raise Cancelled("The job was aborted")
            given = 0
            for text in seams.pieces(self._text, bound, self.dialect, self._is_whole):
                yield CsvPiece(self._part, text, self._line, reader)
                self._line += seams.line_ends(text)
                given += len(text)
            self._text = self._text[given:]
            if self._is_whole:
                break
            if len(self._text) > seams.LONGEST:
                raise self._too_long()
            self._read()
        if self._text:
            raise self._unclosed()

    def close(self) -> None:
        self._blocks.close()
        self._source.close()

    def _header(self) -> list[str]:
        while (begun := self._text.lstrip(b"\r\n")) == b"" and not self._is_whole:
            self._read()
        if not begun:
            raise ScoringError("The intake is empty", f"{self.name} has no header. Write one line with the names of the columns.")
        self._give_out(self._text[: len(self._text) - len(begun)])
        while (record := next(seams.pieces(self._text, 1, self.dialect, self._is_whole), b"")) == b"":
            if self._is_whole:
                raise self._unclosed()
            if len(self._text) > seams.LONGEST:
                raise self._too_long()
            self._read()
        # One row and no more, also where a CR ends it in a file of LFs.
        _, _, end = next(seams.spans(record, self.dialect))
        _, names = next(self.dialect.rows(io.StringIO(record[:end].decode(), newline="")))
        check_names(self.name, names)
        self._give_out(record[:end])
        return names

    def _read(self) -> None:
        """One more block; the last line of the last one is ended."""
        block = next(self._blocks, None)
        if block is None:
            self._is_whole = True
            self._text += b"\n" if self._text and not self._text.endswith(b"\n") else b""
        else:
            self._text += block

    def _give_out(self, text: bytes) -> None:
        self._text = self._text[len(text) :]
        self._line += seams.line_ends(text)

    def _row_length(self) -> int:
        return max(1, len(self._text) // max(1, seams.line_ends(self._text)))

    def _unclosed(self) -> ScoringError:
        mark = self.dialect.quotechar
        closed = max((end for _, _, end in seams.spans(self._text, self.dialect)), default=0)
        line = self._line + seams.line_ends(self._text[:closed])
        detail = f"{self.name}: the row that begins on line {line} opens a quote ({mark}) that is never closed. Close or double it."
        return ScoringError("A quote is not closed", detail)

    def _too_long(self) -> ScoringError:
        which = f"the row that begins on line {self._line} is longer than {seams.LONGEST >> 20} MB"
        return ScoringError("A row is too long", f"{self.name}: {which}; most likely a quote is opened and not closed. Close or double it.")


@dataclass(frozen=True)
class Reader:
    """Reads these columns of rows that are wholly there."""

    header: Sequence[str]
    columns: Sequence[str]
    dialect: Dialect

    def table(self, text: bytes, on_ragged: Callable[[pa.csv.InvalidRow], str]) -> pa.RecordBatch:
        dialect = self.dialect
        if text.startswith(_BOM):
            text = b"\n" + text  # of a value: Arrow drops one that its text begins with
        table = pa.csv.read_csv(
            pa.BufferReader(text),
            pa.csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=self.header),
            pa.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quotechar,
                newlines_in_values=dialect.quotechar.encode() in text,
                invalid_row_handler=on_ragged,
            ),
            pa.csv.ConvertOptions(
                # The first column too, if none is wanted: it has the number of rows.
                include_columns=self.columns or self.header[:1],
                column_types=dict.fromkeys(self.header, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                check_utf8=False,
            ),
        )
        batches = table.to_batches()  # one, for one block; none for no rows
        return batches[0] if len(batches) == 1 else pa.RecordBatch.from_pylist([], table.schema)


@dataclass(frozen=True)
class CsvPiece:
    file: str | None
    text: bytes
    first_line: int
    reader: Reader

    def read(self) -> Rows:
        faults: dict[int, Fault] = {}

        def on_ragged(row: pa.csv.InvalidRow) -> str:
            faults[row.number - 1] = Fault(f"the row has {_fields(row.actual_columns)} where the header has {_fields(row.expected_columns)}")
            return "skip"

        table = self.reader.table(self.text, on_ragged)
        return Rows(table, table.num_rows + len(faults), faults)

    def located(self, places: Sequence[int]) -> list[tuple[int, str]]:
        wanted, found = set(places), []
        for place, (line, begin, end) in enumerate(seams.spans(self.text, self.reader.dialect)):
            if place in wanted:
                found.append((self.first_line + line, self.text[begin:end].decode().rstrip("\r\n")))
        return found


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"
