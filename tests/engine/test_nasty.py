"""A corpus of files as they come. The rule here: what a reader of CSV sees is what is passed through, and every row is counted."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.job import ScoringJob
from reconciler.engine.pipeline import score
from reconciler.options import Options

MARK = "\x1f" * 16
LATIN = {"csv_settings": {"encoding": "latin_1"}}

# Each: the bytes, the options, how many rows are scored and how many fail.
CORPUS: dict[str, tuple[bytes, dict[str, Any], int, int]] = {
    "separators of other worlds": ("t,a,b\nx\u2028y\x1cz\x0b\x0c\x85w,1,2\n".encode(), {}, 1, 0),
    "a next line in latin 1": (b"t,a,b\nx\x85y,1,2\n\x85,1\n", LATIN, 1, 1),
    "marks of ours": (f'{MARK},a,b\n{MARK},1,2\n5" {MARK},1,2\n{MARK}\n'.encode(), {}, 2, 1),
    "quotes everywhere": (b'"t","a","b"\n"x","1","2"\n"""","""1""","2"\n"","",""\n', {}, 2, 1),
    "quotes nowhere they should be": (b't,a,b\nx"y"z,1,2\n"x"y"z,1,2\n"x" ,1,2\n "x",1,2\n', {}, 4, 0),
    "a header that needs quotes": (b'"t,\n""x""",a,b\n1,2,3\n', {}, 1, 0),
    "every line end": (b"t,a,b\r\nx,1,2\ny,1,2\rz,1,2\r\n\r\r\n\nw,1,2", {}, 4, 0),
    "trailing delimiters": (b"t,a,b,\nx,1,2,\ny,1,2\nz,1,2,,\n", {}, 1, 2),
    "blanks": (b"t,a,b\n   \n x , 1 , 2 \n\t,1,2\n", {}, 2, 1),
    "formulas": (b"t,a,b\n=1+1,1,2\n@x,1,2\n-2,1,2\n", {}, 3, 0),
    "ids that look like numbers": (b"t,a,b\n007,1,2\n1.10,1,2\n12345678901234567890,1,2\n1e400,1,2\nNaN,1,2\nnull,1,2\n,1,2\n", {}, 7, 0),
    "numbers at their limits": (b"t,a,b\nx,1e400,-1e-400\ny,9007199254740993,inf\nz,-0.0,.5\nw,0x10,1_0\n", {}, 3, 1),
    "more columns than anybody reads": (b"t,a,b," + b",".join(b"c%d" % n for n in range(3000)) + b"\nx,1,2" + b"," * 3000 + b"\ny,1,2\n", {}, 1, 1),
    "a letter as the delimiter": (
        b"taxb\n1a2a3\n".replace(b"taxb", b"tXaXb").replace(b"1a2a3", b"xX1X2"),
        {"csv_settings": {"delimiter": "X"}},
        1,
        0,
    ),
    "a backslash that escapes nothing": (b't,a,b\n\\,1,2\n"\\",1,2\n\\"x,1,2\n', {}, 3, 0),
    "a trail byte that is a backslash or a pipe": (
        "t|a|b\n表ソ|1|2\nポ|1|2\n".encode("cp932"),
        {"csv_settings": {"delimiter": "|", "encoding": "cp932"}},
        2,
        0,
    ),
    "half of a file": (b"t,a,b\nx,1,2\ny,1", {}, 1, 1),
    "another file behind it": (b"t,a,b\nx,1,2\n\xef\xbb\xbft,a,b\ny,1,2\n", {}, 2, 1),
    "a long text": (b't,a,b\n"' + b"0123456789\n" * 300_000 + b'",1,2\ny,1,2\n', {}, 2, 0),
    "the long tail of a short file": (b"t,a,b\n" + b"\n" * 2_000_000 + b"x,1,2\nx\n", {}, 1, 1),
}


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.parametrize("chunk_size", ["auto", 20])
def test_a_nasty_file_passes_through(regression: Path, tmp_path: Path, name: str, chunk_size: Any) -> None:
    content, settings, good, bad = CORPUS[name]
    options = Options(**settings, passthrough_columns_set="all", abort_on_error=False, include_prediction_status=True, chunk_size=chunk_size)
    dialect = options.csv_settings
    (tmp_path / "in.csv").write_bytes(content)
    job = ScoringJob(regression, tmp_path / "in.csv", tmp_path / "out.csv", options)
    tally = score(job, report=lambda progress: None, is_cancelled=lambda: False)
    assert (tally.scored, tally.failed, tally.skipped) == (good, bad, 0)

    csv.field_size_limit(1 << 24)
    given, found = (
        [row for row in csv.reader(io.StringIO(path.read_bytes().decode(dialect.encoding), newline=""), delimiter=dialect.delimiter) if row]
        for path in (job.intake, job.output)
    )
    assert len(found) == len(given)
    for row, out in zip(given[1:], found[1:], strict=True):
        assert out[2:] == (row if len(row) == len(given[0]) else [""] * len(given[0]))
    failed = [out[1] for out in found[1:] if out[1] != "OK"]
    rejects = list(csv.reader(io.StringIO(job.rejects_file.read_text("utf-8"), newline="")))[1:] if bad else []
    assert [f"line {line}{f', column {column}' if column else ''}: {reason}" for line, column, reason, _ in rejects] == failed
    lines = list(io.StringIO(content.decode(dialect.encoding), newline=""))
    assert all(text.startswith(lines[int(line) - 1].rstrip("\r\n")) for line, _, _, text in rejects)
