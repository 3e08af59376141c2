"""Reading. The rule here: every bad file has its sentence, with the line as an editor counts it."""

import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.csv_intake import CsvIntake
from reconciler.engine.dialect import Dialect
from reconciler.engine.file import local_file
from reconciler.engine.seams import LONGEST
from reconciler.engine.source import BLOCK
from reconciler.errors import ScoringError

MANY = "1,2\n" * 50_000


def values(tmp_path: Path, content: bytes, dialect: Dialect | None = None, rows: int = 3) -> list[tuple[Any, ...]]:
    (tmp_path / "in.csv").write_bytes(content)
    found: list[tuple[Any, ...]] = []
    is_halted = threading.Event().is_set
    with closing(CsvIntake(local_file(tmp_path / "in.csv"), dialect or Dialect(), is_halted)) as intake:
        for piece in intake.pieces(intake.header, rows, None, is_halted):
            read = piece.read()
            assert read.count == read.table.num_rows + len(read.faults)
            found += [tuple(row.values()) for row in read.table.to_pylist()]
            found += [(number, read.faults[place].reason) for place, (number, _) in zip(read.faults, piece.located(list(read.faults)), strict=True)]
    return found


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'a,b\n1,\n"",2\n', [("1", None), ("", "2")]),
        (b"a,b\r\n1,2\r\n3,4", [("1", "2"), ("3", "4")]),
        (b"a,b\r1,2\r3,4\r", [("1", "2"), ("3", "4")]),
        (b"\n\r\na,b\n\n1,2\n\n", [("1", "2")]),
        (b'a,b\n1,"x\ny"\n2,"p""q"\n', [("1", "x\ny"), ("2", 'p"q')]),
        (b'a,b\n1,x"y\n"z"w,3\n', [("1", 'x"y'), ("zw", "3")]),
        (b"\xef\xbb\xbfa,b\n1,2\n", [("1", "2")]),
        (b"a\n1\n\n3\n", [("1",), ("3",)]),
        (b"a,b\n\xef\xbb\xbf1,2\n\xef\xbb\xbf1,2\n", [("\ufeff1", "2")] * 2),
        (b"a,b\r1,2\r\n\r\n3,4\n5,6", [("1", "2"), ("3", "4"), ("5", "6")]),
        (b'a,b\n1,5" pipe\n2,"x\ny"\n\n\n', [("1", '5" pipe'), ("2", "x\ny")]),
        (b'a,b\n"x","y" z\n', [("x", "y z")]),
        (b'"a ""x"""\n1\n', [("1",)]),
        (b"a,b\n" + b"1,2\n" * 7, [("1", "2")] * 7),
        (b"a,b\n", []),
        (b"a,b", []),
    ],
)
def test_rows_are_read_as_they_are_written(tmp_path: Path, content: bytes, expected: list[tuple[Any, ...]]) -> None:
    assert values(tmp_path, content) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "shift_jis", "cp932", "mskanji", "euc_jp"])
def test_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    expected = [("表ソ", "能,十")] * 3  # the second byte of these is a backslash in Shift JIS
    assert values(tmp_path, 'a,b\n表ソ,"能,十"\n表ソ,"能,十"\n表ソ,"能,十"\n'.encode(encoding), Dialect(encoding=encoding)) == expected


def test_a_character_across_blocks_is_read(tmp_path: Path) -> None:
    text = "a\n" + "é" * 100 + "\n"
    for shift in range(3):
        content = (text + ("x" * 97 + "é\n") * (BLOCK // 100) + "y" * shift + "é\n" * 300).encode()
        assert values(tmp_path, content, rows=BLOCK)[-1] == ("é",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "has no header"),
        (b"\n\r\n\n", "has no header"),
        (b"\xef\xbb\xbf", "has no header"),
        (b"a,b,a,,\n1,2,3,4,5\n", "the header names (no name), a more than once"),
        (b"," * 500_000 + b"\n1\n", "the header names (no name) more than once"),
        (b",".join(b"%d" % (number // 2) for number in range(60)), "26 and others more than once"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "row that begins on line 3 opens a quote"),
        (b'a,b\n1,2\n"3,4', "row that begins on line 3 opens a quote"),
        (b'a,"b\n1,2\n', "row that begins on line 1 opens a quote"),
        (b'a,b\n1,x"y\n1,"', "row that begins on line 3 opens a quote"),
        (b'a,b\n1,2\n1,"' + b"x,\n" * LONGEST, "the row that begins on line 3 is longer than 8 MB"),
        (b"a,b\n1,2\n" + b"x" * (2 * LONGEST) + b"\n", "the row that begins on line 3 is longer than 8 MB"),
        (b'a,"b' + b"x\n" * LONGEST, "the row that begins on line 1 is longer than 8 MB"),
        (b"a,b\n1,2,3\n1,\xff\n", "byte 12 (0xff) is not utf-8"),
        (b"a,b\n1,2\n1,\xff\n", "byte 10 (0xff) is not utf-8"),
        (b"a,b\n" + b"1,2\n" * (BLOCK // 4) + b"\xe9,2\n", f"byte {BLOCK + 4} (0xe9) is not utf-8"),
        (b"a,b\n1,\xc3", "byte 6 (0xc3) is not utf-8"),
        (b"a,b\n1,2\n1,\0\n", "line 3 holds it"),
    ],
)
def test_a_bad_file_is_explained(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(ScoringError) as caught:
        values(tmp_path, content)
    assert sentence in caught.value.detail
    assert "in.csv" in caught.value.detail


@pytest.mark.parametrize(("encoding", "where"), [("ascii", "byte 6 (0xe9) is not ascii"), ("shift_jis", "byte 6 (0xe9) is not shift_jis")])
def test_bytes_of_another_encoding_are_found(tmp_path: Path, encoding: str, where: str) -> None:
    with pytest.raises(ScoringError) as caught:
        values(tmp_path, b"a,b\n1,\xe9\n", Dialect(encoding=encoding))
    assert where in caught.value.detail
    assert "csv_settings.encoding" in caught.value.detail


@pytest.mark.parametrize(
    ("content", "line", "fields"),
    [
        (b"a,b\n1,2\n1,2,3\n", 3, 3),
        (b"a,b\n1,2\n\n1\n", 4, 1),
        (b'a,b\n1,"x\ny\nz"\n1,2,3\n', 5, 3),
        (b'a,b\r\n1,"x\r\ny"\r\n\r\n1,2,3\r\n', 5, 3),
        (b"a,b\r1,2\r1,2,3", 3, 3),
        (b'\na,b\n1,x"\n1,"",3\n', 4, 3),
        (b"a,b\n" + MANY.encode() + b"1\n" + MANY.encode(), 50002, 1),
    ],
)
def test_a_row_that_does_not_fit_the_header_is_found_by_its_line(tmp_path: Path, content: bytes, line: int, fields: int) -> None:
    reason = f"the row has {fields} field{'s' * (fields > 1)} where the header has 2 fields"
    assert (line, reason) in values(tmp_path, content, rows=10_000)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc")
def test_a_file_that_cannot_be_read_is_a_sentence() -> None:
    with pytest.raises(ScoringError) as caught:
        CsvIntake(local_file(Path("/proc/self/mem")), Dialect(), threading.Event().is_set)
    assert caught.value.detail == "/proc/self/mem: Input/output error."


def test_a_row_of_some_megabytes_is_read(tmp_path: Path) -> None:
    long = "x,\n" * BLOCK
    assert values(tmp_path, f'a,b\n1,2\n3,"{long}"\n4,5\n'.encode()) == [("1", "2"), ("3", long), ("4", "5")]
