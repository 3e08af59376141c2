"""Where rows end in a text, so that it can be cut. The rule here: exactly where Python's csv module ends them, and fast where files are plain.

A quote opens a value only at its beginning. So in a text that begins with a row, every second quote has to stand behind a delimiter, a line end or
another quote; then a line end is inside of a value if an odd number of quotes is before it. Where that is not so (`1,5" pipe`), the csv
module itself tells.
"""

import csv
import io
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reconciler.engine.dialect import Dialect

# The longest row there can be, in bytes.
LONGEST = 8 << 20
csv.field_size_limit(max(csv.field_size_limit(), 2 * LONGEST))


class Seams(Protocol):
    def last(self, start: int, stop: int) -> int:
        """The last end of a row behind `start` and not behind `stop`; 0 when there is none."""

    def first(self, start: int) -> int:
        """The first end of a row behind `start`; 0 when there is none."""


def pieces(text: bytes, size: int, dialect: Dialect, is_whole: bool) -> Iterator[bytes]:
    """The text's rows in pieces of `size` bytes, up to twice as many; what comes behind the last end of a row is left out.

    `is_whole` says that no more text will come.
    """
    seams = _seams(text, dialect, is_whole)
    start = 0
    while start < len(text):
        rest = len(text) - start
        end = seams.last(start, start + (rest if rest < 2 * size else size)) or seams.first(start)
        if not end:
            return
        yield text[start:end]
        start = end


def line_ends(text: bytes) -> int:
    ends = text.count(b"\n")
    return ends + text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else ends


def spans(text: bytes, dialect: Dialect) -> Iterator[tuple[int, int, int]]:
    """The line that each row begins on, counted from 0, and its bytes from and to. `text` is whole rows; blank lines are none."""
    ends = _ends_of_lines(text)
    if dialect.quotechar.encode() not in text and b"\r" not in text:
        # A line is a row then, which needs no csv module to tell.
        yield from ((line, begin, end) for line, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)) if end - begin > 1)
        return
    for line, length, is_blank in _rows(text, dialect):
        if not is_blank:
            yield line, ends[line - 1] if line else 0, ends[line + length - 1]


def _seams(text: bytes, dialect: Dialect, is_whole: bool) -> Seams:
    quotes = _quotes(text, dialect)
    if quotes is None:
        return _Stray(text, dialect, is_whole)
    mark = b"\n"
    seams = _Plain(text, mark, quotes)
    # A CR at the very end may be the first half of a CRLF.
    return seams if seams.first(0) else _Plain(text if is_whole else text.removesuffix(b"\r"), b"\r", quotes)


def _quotes(text: bytes, dialect: Dialect) -> NDArray[np.intp] | None:
    """Where the quotes are; None when some of them open no value and close none."""
    quote = dialect.quotechar.encode()
    if quote not in text:
        return np.empty(0, np.intp)
    content = np.frombuffer(text, np.uint8)
    places = np.flatnonzero(content == ord(quote))
    opening = places[::2]
    before = content[opening[1:] - 1 if opening[0] == 0 else opening - 1]
    lawful = np.zeros(256, np.bool_)
    lawful[[ord(mark) for mark in dialect.special]] = True
    return places if lawful[before].all() else None


class _Plain:
    def __init__(self, text: bytes, mark: bytes, quotes: NDArray[np.intp]) -> None:
        self._text = text
        self._mark = mark
        self._quotes = quotes

    def last(self, start: int, stop: int) -> int:
        while (place := self._text.rfind(self._mark, start, stop)) >= 0:
            before = int(self._quotes.searchsorted(place))
            if before % 2 == 0:
                return place + 1
            stop = int(self._quotes[before - 1])
        return 0

    def first(self, start: int) -> int:
        while (place := self._text.find(self._mark, start)) >= 0:
            before = int(self._quotes.searchsorted(place))
            if before % 2 == 0:
                return place + 1
            if before == len(self._quotes):
                return 0
            start = int(self._quotes[before]) + 1
        return 0


class _Stray:
    def __init__(self, text: bytes, dialect: Dialect, is_whole: bool) -> None:
        ends = _ends_of_lines(text)
        last = [line + length - 1 for line, length, _ in _rows(text, dialect)]
        if last and not is_whole and not text.endswith(b"\n") and ends[last[-1]] == len(text):
            last.pop()  # it may go on
        self._ends = [ends[line] for line in last]

    def last(self, start: int, stop: int) -> int:
        index = bisect_right(self._ends, stop) - 1
        return self._ends[index] if index >= 0 and self._ends[index] > start else 0

    def first(self, start: int) -> int:
        index = bisect_left(self._ends, start + 1)
        return self._ends[index] if index < len(self._ends) else 0


def _rows(text: bytes, dialect: Dialect) -> Iterator[tuple[int, int, bool]]:
    """The first line and the number of lines of each row that is closed, and whether it is a blank line, which is no row."""
    # In Latin 1, so that a byte is a character; a character that is cut at the end does no harm.
    lines = _Lines(text.decode("latin-1"))
    reader = csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quotechar)
    begin = 0
    for row in reader:
        if lines.is_over:
            return
        yield begin, reader.line_num - begin, not row
        begin = reader.line_num


class _Lines:
    """The lines of a text and one more, which makes a row of its own, or the end of one that was still open."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self.is_over = False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self.is_over:
            raise StopIteration
        line = self._lines.readline()
        self.is_over = not line
        return line or "x"


def _ends_of_lines(text: bytes) -> list[int]:
    if b"\r" not in text:
        ends = (np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1).tolist()
        return ends if text.endswith(b"\n") else [*ends, len(text)]
    end, ends = 0, []
    for line in io.StringIO(text.decode("latin-1"), newline=""):
        end += len(line)
        ends.append(end)
    return ends
