"""How a CSV file is written down: delimiter, quote, encoding. The rule here: one dialect serves intake and output, as the API has it."""

import codecs
import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reconciler.options import CsvSettings

BOM = "\ufeff"
LINE_ENDS = "\r\n"


@dataclass(frozen=True)
class Dialect:
    delimiter: str = ","
    quotechar: str = '"'
    encoding: str = "utf-8"

    @classmethod
    def of(cls, settings: CsvSettings) -> "Dialect":
        return cls("\t" if settings.delimiter == "tab" else settings.delimiter, settings.quotechar, settings.encoding)

    @property
    def is_utf8(self) -> bool:
        return codecs.lookup(self.encoding).name == "utf-8"

    @property
    def special(self) -> str:
        """The characters that a value cannot hold unless it is quoted."""
        return self.delimiter + self.quotechar + LINE_ENDS

    @property
    def end(self) -> str:
        """A row that we add to the text. If it does not come out as a row of its own, a quote was still open at the end of the file."""
        return next(mark for mark in "\x1f\x1e\x1d" if mark not in self.special) * 16

    def rows(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """The line each row begins on, counted from 1, and its fields. Blank lines are no rows, as in Arrow."""
        reader = csv.reader(lines, delimiter=self.delimiter, quotechar=self.quotechar)
        begin = 1
        for row in reader:
            if row:
                yield begin, row
            begin = reader.line_num + 1


def problem(settings: CsvSettings) -> str | None:
    """Why the engine cannot read and write this dialect, None when it can."""
    dialect = Dialect.of(settings)
    if any(not mark.isascii() or mark in "\r\n\0" for mark in (dialect.delimiter, dialect.quotechar)):
        return "delimiter and quotechar must be ASCII characters other than a line end and NUL"
    if dialect.delimiter == dialect.quotechar:
        return "delimiter and quotechar are the same character"
    try:
        "".encode(dialect.encoding)
        codecs.getincrementaldecoder(dialect.encoding)
        codecs.getincrementalencoder(dialect.encoding)
    except (LookupError, UnicodeError):
        return f"{dialect.encoding} is not an encoding of text files; use a Python codec such as utf-8, latin_1 or shift_jis"
    return None
