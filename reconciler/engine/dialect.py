"""How a CSV file is written down: delimiter, quote, encoding. The rule here: one dialect serves intake and output, as the API has it."""

import codecs
import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from reconciler.options import CsvSettings

BOM = "\ufeff"
LINE_ENDS = "\r\n"

# The encodings that begin a file with a BOM: their bytes are the BOM, then those of another codec.
_MARKED = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}
_BOMS = {"utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)}
# Forms of names and literals, not encodings of files.
_NOT_OF_FILES = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape"})
# All of ASCII, and an escape sequence of ISO 2022, whose bytes are ASCII and stand for something else.
_ASCII = "".join(map(chr, range(128))) + '\x1b$B$"\x1b(B'
# What every encoding of CSV files can write, in pieces that end where rows end.
_SAMPLE = ("a,b;c\td\r\n", '1,"x ""y""\n2|3"\r\n', "~+-.\n")


@dataclass(frozen=True)
class Dialect:
    delimiter: str = ","
    quotechar: str = '"'
    encoding: str = "utf-8"

    @classmethod
    def of(cls, settings: CsvSettings) -> "Dialect":
        return cls("\t" if settings.delimiter == "tab" else settings.delimiter, settings.quotechar, settings.encoding)

    @cached_property
    def codec(self) -> str:
        """What encodes any rows of a file but for the BOM that the file begins with."""
        name = codecs.lookup(self.encoding).name
        return _MARKED.get(name, name)

    @cached_property
    def bom(self) -> bytes:
        return BOM.encode(self.codec) if codecs.lookup(self.encoding).name in _MARKED else b""

    @property
    def is_utf8(self) -> bool:
        """Whether the bytes of a file are UTF-8, with a BOM or without."""
        return self.codec == "utf-8"

    @cached_property
    def has_ascii(self) -> bool:
        """Whether ASCII bytes stand for themselves, each of them and wherever it begins a character."""
        try:
            return _ASCII.encode().decode(self.codec) == _ASCII
        except UnicodeError:
            return False

    def decoder(self, beginning: bytes) -> codecs.IncrementalDecoder:
        """For a file that begins so: four bytes tell whether there is a BOM. UTF-16 and UTF-32 without one are little-endian."""
        marks = _BOMS.get(codecs.lookup(self.encoding).name, (b"",))
        return codecs.getincrementaldecoder(self.encoding if beginning.startswith(marks) else self.codec)("strict")

    @property
    def special(self) -> str:
        """The characters that a value cannot hold unless it is quoted."""
        return self.delimiter + self.quotechar + LINE_ENDS

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
    if not _is_of_files(dialect.encoding):
        return f"{dialect.encoding} is not an encoding of text files; use a Python codec such as utf-8, latin_1 or shift_jis"
    return None


@lru_cache(maxsize=64)
def _is_of_files(encoding: str) -> bool:
    """Whether rows that are encoded one by one are a file, and whether the file reads back byte by byte. Asked for each of many jobs."""
    dialect = Dialect(encoding=encoding)
    try:
        if codecs.lookup(dialect.encoding).name in _NOT_OF_FILES:
            return False
        content = dialect.bom + b"".join(piece.encode(dialect.codec) for piece in _SAMPLE)
        decoder = codecs.getincrementaldecoder(dialect.encoding)("strict")
        text = "".join(decoder.decode(content[place : place + 1]) for place in range(len(content))) + decoder.decode(b"", True)
    except (LookupError, UnicodeError, TypeError):
        return False
    return text == "".join(_SAMPLE)
