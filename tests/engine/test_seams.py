"""Where rows end. The rule here: Python's csv module is right, wherever a text is cut."""

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.engine.dialect import Dialect
from reconciler.engine.seams import line_ends, pieces, spans

NASTY = st.lists(st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", "a", "é", ' "x" ', '"q\n"', ',"', '",', '"\n', "'"]), max_size=40).map("".join)
DIALECTS = st.sampled_from([Dialect(), Dialect(";", "'"), Dialect("\t", '"'), Dialect('"', ","), Dialect("a", "'")])

END = "\x1f" * 16


def rows(text: bytes, dialect: Dialect) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text.decode(), newline=""), delimiter=dialect.delimiter, quotechar=dialect.quotechar)
    return [row for row in reader if row]


def is_closed(text: bytes, dialect: Dialect) -> bool:
    lines = [*io.StringIO(text.decode(), newline=""), END]
    return list(csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quotechar))[-1] == [END]


@given(text=NASTY, size=st.integers(1, 60), dialect=DIALECTS)
@example(text='a,5" pipe\n"b\n",c\n', size=1, dialect=Dialect())
@example(text='"a"x"\n"b\nc",d\n', size=2, dialect=Dialect())
@settings(max_examples=600, deadline=None, derandomize=True)
def test_the_pieces_are_the_text_and_each_is_whole_rows(text: str, size: int, dialect: Dialect) -> None:
    content = text.encode() + b"\n"
    cut = list(pieces(content, size, dialect, is_whole=True))
    assert content.startswith(b"".join(cut))
    if is_closed(content, dialect):
        assert b"".join(cut) == content
        assert [row for piece in cut for row in rows(piece, dialect)] == rows(content, dialect)
    else:
        found = [row for piece in cut for row in rows(piece, dialect)]
        assert found == rows(content, dialect)[: len(found)]
        assert len(found) < len(rows(content, dialect))


@given(text=NASTY, dialect=DIALECTS)
@settings(max_examples=400, deadline=None, derandomize=True)
def test_spans_are_the_rows_of_the_csv_module(text: str, dialect: Dialect) -> None:
    content = text.encode() + b"\n"
    if not is_closed(content, dialect):
        return
    found = list(spans(content, dialect))
    assert [rows(content[begin:end], dialect)[0] for _, begin, end in found] == rows(content, dialect)
    assert [line_ends(content[:begin]) for _, begin, _ in found] == [line for line, _, _ in found]


@given(text=NASTY, at=st.integers(0, 80), dialect=DIALECTS)
@settings(max_examples=600, deadline=None, derandomize=True)
def test_what_is_still_to_come_moves_no_end_of_a_row(text: str, at: int, dialect: Dialect) -> None:
    content = text.encode() + b"\n"
    first = b"".join(pieces(content[:at], 1, dialect, is_whole=False))
    rest = content[len(first) :]
    if is_closed(content, dialect):
        assert rows(first, dialect) + rows(rest, dialect) == rows(content, dialect)
        assert line_ends(first) + line_ends(rest) == line_ends(content)


@pytest.mark.parametrize("size", [1, 10, 100, 1000])
def test_pieces_are_as_large_as_they_should_be(size: int) -> None:
    content = b'1,"x\ny"\n' * 500
    lengths = [len(piece) for piece in pieces(content, size, Dialect(), is_whole=True)]
    assert sum(lengths) == len(content)
    assert max(lengths) < 2 * size + 8
