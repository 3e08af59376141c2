"""A file on its way up. The rule here: the bytes as they are, and what changes while it is sent is never taken for the whole.

In parts, each is a CSV file of its own, as the official client sends them: the header's own bytes, then whole records. Nothing is written
anew, so parts put together are the file again. Where records cannot be told apart for certain, the file is one part.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import ServiceError

PART = 8 << 20
_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
# Encodings in which a byte that looks like a quote or a newline is one.
_PLAIN = frozenset({"utf-8", "utf-8-sig", "ascii", "iso8859-1", "iso8859-15", "cp1252"})


@dataclass(frozen=True)
class Part:
    """`header`, and the file's bytes from `start` to `end`."""

    start: int
    end: int
    header: bytes = b""

    @property
    def size(self) -> int:
        return len(self.header) + self.end - self.start


class Rows:
    """An open file, of the size and time that it had when it was opened."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._seen = self._look()
        self.size = self._seen[0]

    async def content(self, part: Part, on_sent: Callable[[int], None]) -> AsyncIterator[bytes]:
        """Raises ServiceError before the last block when the file has changed: the service must not take what it has for the whole."""
        if part.header:
            yield part.header
        position = part.start
        while position < part.end:
            wanted = min(_BLOCK, part.end - position)
            block = await asyncio.to_thread(self._read, position, wanted)
            if len(block) < wanted or (position + wanted == part.end and await asyncio.to_thread(self._look) != self._seen):
                raise ServiceError(
                    "The intake changed while it was sent",
                    f"{self._path} had {self.size} bytes when its upload began, and was written to since. Nothing of it is scored; run apply again.",
                )
            position += len(block)
            yield block
            on_sent(position)

    def parts(self, quotechar: str, codec: str, size: int = PART) -> Iterator[Part]:
        """Each of whole records and of some `size` bytes, or of one record when that is longer. Reads the file: for a thread."""
        quote, header = quotechar.encode("utf-8"), b""
        if codec in _PLAIN and len(quote) == 1:
            header = _header(self._read(0, _BLOCK), quote)
        start = 0
        while start < self.size or not start:
            end = self._end(start, quote, size) if header else self.size
            yield Part(start, end, header if start else b"")
            if end == self.size:
                return
            start = end

    def _end(self, start: int, quote: bytes, size: int) -> int:
        """Where the last whole record ends that fits."""
        position, is_open = start, False
        while position + size < self.size:
            block = self._read(position, size)
            if (end := _last_end(block, quote, is_open)) and (position + end > start):
                return position + end
            is_open ^= bool(block.count(quote) % 2)
            position += size
        return self.size

    def _read(self, position: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, position)

    def _look(self) -> tuple[int, int]:
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns


@contextmanager
def opened(path: Path) -> Iterator[Rows]:
    """Raises ServiceError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ServiceError("The intake cannot be read", f"{path}: {error.strerror}.") from None
    try:
        yield Rows(path, descriptor)
    finally:
        os.close(descriptor)


def _header(beginning: bytes, quote: bytes) -> bytes:
    """The first record with its line end; nothing when it is not plain where that is."""
    text, at = beginning.removeprefix(_BOM), -1
    while (at := text.find(b"\n", at + 1)) >= 0:
        if text.count(quote, 0, at) % 2 == 0:
            record = text[:at].removesuffix(b"\r")
            return text[: at + 1] if record and b"\r" not in record else b""
    return b""


def _last_end(block: bytes, quote: bytes, is_open: bool) -> int:
    """Behind the last newline that is not within quotes; 0 when there is none. `is_open`: the block begins within quotes."""
    is_open ^= bool(block.count(quote) % 2)
    end = len(block)
    while end > 0:
        begin = block.rfind(quote, 0, end)
        if not is_open and (at := block.rfind(b"\n", begin + 1, end)) >= 0:
            return at + 1
        end, is_open = begin, not is_open
    return 0
