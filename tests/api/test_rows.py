"""A file in parts: each a CSV file of whole records, and together the file again, as the service puts them together."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.api.rows import Part, opened
from reconciler.engine.dialect import Dialect
from reconciler.service.parts import join
from reconciler.service.refusal import Refusal

PROFILE = settings(derandomize=True, deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


def cut(path: Path, content: bytes, size: int, quotechar: str = '"', codec: str = "utf-8") -> list[bytes]:
    """The bodies of the parts."""
    path.write_bytes(content)
    with opened(path) as file:
        return [part.header + content[part.start : part.end] for part in file.parts(quotechar, codec, size)]


@pytest.mark.parametrize(
    ("content", "size", "parts"),
    [
        pytest.param(b"a\n1\n2\n3\n", 4, [b"a\n1\n", b"a\n2\n3\n"], id="whole-records"),
        pytest.param(b"a\n1\n2\n3", 4, [b"a\n1\n", b"a\n2\n3"], id="no-newline-at-the-end"),
        pytest.param(b"a\r\n1\r\n2\r\n", 5, [b"a\r\n", b"a\r\n1\r\n", b"a\r\n2\r\n"], id="crlf"),
        pytest.param(b'a\n"1\n\n\n2"\n3\n', 4, [b"a\n", b'a\n"1\n\n\n2"\n', b"a\n3\n"], id="newlines-in-quotes"),
        pytest.param(b"\xef\xbb\xbfa\n1\n2\n", 7, [b"\xef\xbb\xbfa\n1\n", b"a\n2\n"], id="bom"),
        pytest.param(b"a\na\na\na\n", 4, [b"a\na\n", b"a\na\na\n"], id="rows-like-the-header"),
        pytest.param(b"a\nlong-record\n1\n", 4, [b"a\n", b"a\nlong-record\n", b"a\n1\n"], id="record-longer-than-a-part"),
        pytest.param(b"a\r1\r2\r3\r", 4, [b"a\r1\r2\r3\r"], id="cr-alone-is-one-part"),
        pytest.param(b"\na\n1\n2\n", 4, [b"\na\n1\n2\n"], id="blank-first-line-is-one-part"),
        pytest.param(b"", 4, [b""], id="empty"),
        pytest.param(b"a,b", 2, [b"a,b"], id="header-alone"),
        pytest.param(b'a\n5" pipe\n2\n3\n4\n', 4, [b"a\n", b'a\n5" pipe\n2\n3\n4\n'], id="stray-quote"),
    ],
)
def test_file_is_cut_between_records(tmp_path: Path, content: bytes, size: int, parts: list[bytes]) -> None:
    assert cut(tmp_path / "rows.csv", content, size) == parts


@pytest.mark.parametrize(("codec", "quotechar"), [("utf-16", '"'), ("shift_jis", '"'), ("unheard-of", '"'), ("utf-8", "“")])
def test_where_records_cannot_be_told_apart_the_file_is_one_part(tmp_path: Path, codec: str, quotechar: str) -> None:
    assert cut(tmp_path / "rows.csv", b"a\n1\n2\n3\n", 4, quotechar, codec) == [b"a\n1\n2\n3\n"]


@PROFILE
@given(
    content=st.one_of(
        st.text(alphabet='a"\r\n,é\ufeff', max_size=60).map(str.encode),
        st.lists(st.tuples(st.sampled_from(["a", "b\nb", 'c"c', "\r\n", ""]), st.sampled_from(["x", "é\n", "a"])), max_size=12).map(
            lambda rows: _written([("a", "x"), *rows])
        ),
    ),
    size=st.integers(1, 20),
)
def test_parts_put_together_are_the_file(tmp_path: Path, content: bytes, size: int) -> None:
    bodies = cut(tmp_path / "rows.csv", content, size)
    paths = [tmp_path / str(number) for number in range(len(bodies))]
    for path, body in zip(paths, bodies, strict=True):
        path.write_bytes(body)
    try:
        join(paths, tmp_path / "whole", Dialect())
    except Refusal as refusal:
        assert refusal.message == "the uploaded file is empty"
        assert not content.decode().strip("\ufeff\r\n")
    else:
        assert (tmp_path / "whole").read_bytes() == content


@PROFILE
@given(rows=st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=12), size=st.integers(1, 40))
def test_each_part_is_a_csv_file_of_its_own(tmp_path: Path, rows: list[tuple[str, str]], size: int) -> None:
    rows = [(one.replace("\x00", ""), other.replace("\x00", "")) for one, other in rows]
    content = _written([("one", "other"), *rows])
    read = [list(csv.reader(io.StringIO(body.decode(), newline=""))) for body in cut(tmp_path / "rows.csv", content, size)]
    assert all(part[0] == ["one", "other"] for part in read)
    assert [tuple(row) for part in read for row in part[1:]] == rows


def test_part_knows_its_size() -> None:
    assert Part(2, 10, b"a\n").size == 10


def _written(rows: list[tuple[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
