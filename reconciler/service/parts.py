"""An intake that came in parts, put together. The rule here: the rows of the parts in order, under the header of the first.

A part that repeats the header is a CSV file of its own: the header goes, and the part before it ends its last line. A part that does not is
the next bytes of one file that was cut anywhere, so nothing comes in between.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from reconciler.engine.dialect import Dialect
from reconciler.service.upload import Text

_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"


def join(parts: Sequence[Path], whole: Path, dialect: Dialect) -> None:
    """Raises Refusal when what they make is empty, or not in its encoding."""
    text = Text(dialect.encoding)
    header = header_record(_beginning(parts[0]), dialect)
    last = b"\n"
    with open(whole, "wb", buffering=_BLOCK) as file:
        for number, path in enumerate(parts):
            with open(path, "rb", buffering=0) as part:
                if number and skip_header(part, header) and last != b"\n":
                    file.write(b"\n")
                while chunk := part.read(_BLOCK):
                    text.feed(chunk)
                    file.write(chunk)
                    last = chunk[-1:]
    text.end()


def header_record(beginning: bytes, dialect: Dialect) -> bytes:
    """The first record without its line end; nothing when it is longer than what is looked at, or not written in ASCII's superset."""
    if "\n".encode(dialect.encoding) != b"\n":
        return b""
    text, quote = beginning.removeprefix(_BOM), dialect.quotechar.encode()
    end = 0
    for line in text.splitlines(keepends=True):
        end += len(line)
        if text.count(quote, 0, end) % 2 == 0:
            return text[:end].rstrip(b"\r\n")
    return b""


def skip_header(part: BinaryIO, header: bytes) -> bool:
    """Leaves the part at its first byte, or behind the header when it repeats that."""
    read = part.read(len(_BOM) + len(header) + 2)
    text = read.removeprefix(_BOM)
    rest = text.removeprefix(header)
    ends = [end for end in (b"\r\n", b"\n", b"\r") if rest.startswith(end)]
    is_header = bool(header) and text.startswith(header) and (bool(ends) or not rest)
    part.seek(len(read) - len(rest) + len(ends[0] if ends else b"") if is_header else 0)
    return is_header


def _beginning(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(_BLOCK)
