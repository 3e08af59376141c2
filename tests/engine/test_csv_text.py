"""Writing. The rule here: Python's csv module reads back what was given, and a number reads back bit for bit."""

import csv
import io
import math
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.engine.csv_text import lines, number_text
from reconciler.engine.dialect import Dialect
from reconciler.engine.job import ScoringJob
from reconciler.engine.pipeline import score
from reconciler.errors import ScoringError
from reconciler.options import Options

MARKS = st.sampled_from([",", ";", "tab", "|", '"', "'", " ", ".", "5", "e", "\\", "$", "^", "]", "-"])
CHARACTERS = st.sampled_from([*"abé,;|\"' .5\\$^]-\t\n\r", "\r\n", '""', "表", "ソ"])
VALUES = st.one_of(st.just(""), st.lists(CHARACTERS, max_size=6).map("".join))
FLOATS = st.lists(st.floats(allow_nan=False), min_size=1, max_size=50)


@given(FLOATS)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_numbers_read_back_bit_for_bit(numbers: list[float]) -> None:
    texts = number_text(np.array(numbers)).to_pylist()
    assert [struct.pack("d", float(text)) for text in texts] == [struct.pack("d", number) for number in numbers]
    assert all(len(text) <= len(repr(number)) + 4 for text, number in zip(texts, numbers, strict=True))


@pytest.mark.parametrize(("number", "text"), [(1.0, "1.0"), (0.5, "0.5"), (-0.0, "-0.0"), (100.0, "100.0"), (1e300, "1e+300"), (math.inf, "inf")])
def test_numbers_are_short(number: float, text: str) -> None:
    assert number_text(np.array([number])).to_pylist() == [text]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ([["a", None, ""], ["x", "y", "z"]], 'a,x\n,y\n"",z\n'),
        ([["a,b", 'q"', "l\nf", "c\rr", " s "]], '"a,b"\n"q"""\n"l\nf"\n"c\rr"\n s \n'),
        ([[None, "", "x"]], '""\n""\nx\n'),
        ([["1"], [None]], "1,\n"),
        ([[None], [None]], ",\n"),
        ([[]], ""),
    ],
)
def test_quotes_only_where_needed(columns: list[list[str | None]], text: str) -> None:
    assert lines([pa.array(column, pa.string()) for column in columns], Dialect()).decode() == text


def test_a_slice_is_written_alone() -> None:
    column = pa.array(["a,", "b", None, "d"]).slice(1, 2)
    assert lines([column, column], Dialect()) == b"b,b\n,\n"


@given(
    delimiter=MARKS,
    quotechar=MARKS.filter(lambda mark: mark != "tab"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp932", "utf-32-be"]),
    # Python's writer quotes only the line end it is given, so both characters must be in it if it quotes minimally.
    form=st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\r\n", csv.QUOTE_ALL), ("\n", csv.QUOTE_ALL), ("\r", csv.QUOTE_ALL)]),
    rows=st.lists(st.tuples(VALUES, VALUES), max_size=6),
)
@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_dialect_passes_through(
    regression: Path, tmp_path: Path, delimiter: str, quotechar: str, encoding: str, form: tuple[str, int], rows: list[tuple[str, str]]
) -> None:
    delimiter, quotechar = (delimiter, quotechar) if delimiter != quotechar else (",", '"')
    if encoding == "cp932":
        rows = [(first.replace("é", ""), second.replace("é", "")) for first, second in rows]
    end, quoting = form
    mark = "\t" if delimiter == "tab" else delimiter
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=mark, quotechar=quotechar, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([("p", "a", "b", "q"), *((first, "1", "2", second) for first, second in rows)])
    (tmp_path / "in.csv").write_bytes(written.getvalue().encode(encoding))
    options = Options(
        csv_settings={"delimiter": delimiter, "quotechar": quotechar, "encoding": encoding},  # type: ignore[arg-type]
        passthrough_columns=["p", "q"],
    )
    score(ScoringJob(regression, tmp_path / "in.csv", tmp_path / "out.csv", options), report=lambda progress: None, is_cancelled=lambda: False)
    text = (tmp_path / "out.csv").read_bytes().decode(encoding)
    found = list(csv.reader(io.StringIO(text, newline=""), delimiter=mark, quotechar=quotechar))
    assert [(row[1], row[2]) for row in found] == [("p", "q"), *rows]
    assert all(float(row[0]) == float(row[0]) for row in found[1:])


def test_a_label_outside_of_the_encoding_is_named(tmp_path: Path, binary: Path, scored: Callable[..., bytes], bad: Callable[..., str]) -> None:
    (tmp_path / "model.txt").write_bytes((binary / "model.txt").read_bytes())
    metadata = (binary / "model-metadata.yaml").read_text().replace('"1"', "décès")
    (tmp_path / "model-metadata.yaml").write_text(metadata, encoding="utf-8")
    with pytest.raises(ScoringError) as caught:
        scored(tmp_path, "a,b\n1,2\n", csv_settings={"encoding": "ascii"})
    assert "ascii has no 'é' (U+00E9)" in bad(caught)
