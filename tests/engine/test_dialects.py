"""Any file in any dialect. The rule here: what Python's csv module wrote is scored, row by row, and what we write it reads back."""

import csv
import io
import os
import pkgutil
import random
from collections.abc import Callable
from encodings import __path__ as encodings_path
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.engine.dialect import Dialect, problem
from reconciler.engine.job import ScoringJob, Tally
from reconciler.engine.pipeline import score
from reconciler.errors import ScoringError
from reconciler.options import CsvSettings, Options

# `RECONCILER_FUZZ_EXAMPLES=20000` mutates for long.
EXAMPLES = int(os.environ.get("RECONCILER_FUZZ_EXAMPLES", "300"))

MARKS = st.sampled_from([",", ";", "tab", "|", "'", " ", ".", "x", "\\", "^", "~"])
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "shift_jis", "ms_kanji", "latin_1", "cp1252", "euc_jp", "cp037"])
VALUES = st.lists(st.sampled_from([*"abé,;|\"' .x\\^~0\t\n\r", "\r\n", '""', "表", "ソ", "007", "1.10"]), max_size=6).map("".join)


def codecs_of_files() -> list[str]:
    names = sorted({module.name for module in pkgutil.iter_modules(encodings_path)} - {"aliases", "mbcs", "oem"})
    return [name for name in names if problem(CsvSettings.model_construct(encoding=name)) is None]


def encodable(text: str, encoding: str) -> str:
    return "".join(mark for mark in text if mark.encode(encoding, "ignore").decode(encoding) == mark)


def scored(folder: Path, content: bytes, options: Options, tmp_path: Path) -> tuple[Tally, bytes]:
    (tmp_path / "in.csv").write_bytes(content)
    job = ScoringJob(folder, tmp_path / "in.csv", tmp_path / "out.csv", options)
    return score(job, report=lambda progress: None, is_cancelled=lambda: False), job.output.read_bytes()


def read(content: bytes, dialect: Dialect) -> list[list[str]]:
    text = io.StringIO(content.decode(dialect.encoding), newline="")
    return [row for row in csv.reader(text, delimiter=dialect.delimiter, quotechar=dialect.quotechar) if row]


@given(
    delimiter=MARKS,
    quotechar=MARKS.filter(lambda mark: mark != "tab") | st.just('"'),
    encoding=ENCODINGS,
    # Python's writer quotes only the line end it is given, so both characters must be in it if it quotes minimally.
    form=st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\r\n", csv.QUOTE_ALL), ("\n", csv.QUOTE_ALL), ("\r", csv.QUOTE_ALL)]),
    rows=st.lists(st.tuples(VALUES, st.sampled_from(["1", "", "-2.5e3", "none", "oops"]), VALUES), max_size=6),
    chunk_size=st.sampled_from(["auto", 20]),
)
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_dialect_passes_through_and_every_row_comes_out(
    regression: Path,
    tmp_path: Path,
    delimiter: str,
    quotechar: str,
    encoding: str,
    form: tuple[str, int],
    rows: list[tuple[str, str, str]],
    chunk_size: Any,
) -> None:
    quotechar = '"' if delimiter == quotechar else quotechar
    settings_of = {"delimiter": delimiter, "quotechar": quotechar, "encoding": encoding}
    dialect = Dialect.of(CsvSettings(**settings_of))  # type: ignore[arg-type]
    if encodable(dialect.special, encoding) != dialect.special:
        return
    rows = [(encodable(first, encoding), number, encodable(last, encoding)) for first, number, last in rows]
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=dialect.delimiter, quotechar=quotechar, lineterminator=form[0], quoting=form[1])  # type: ignore[arg-type]
    writer.writerows([("p", "a", "b", "q"), *((first, number, "2", last) for first, number, last in rows)])
    options = Options(
        csv_settings=settings_of,  # type: ignore[arg-type]
        passthrough_columns=["p", "q"],
        include_prediction_status=True,
        abort_on_error=False,
        chunk_size=chunk_size,
    )
    tally, content = scored(regression, written.getvalue().encode(encoding), options, tmp_path)
    found = read(content, dialect)
    assert [(row[2], row[3]) for row in found] == [("p", "q"), *((first, last) for first, _, last in rows)]
    is_bad = [number == "oops" for _, number, _ in rows]
    assert [row[1] != "OK" for row in found[1:]] == [row[0] == "" for row in found[1:]] == is_bad
    assert (tally.scored, tally.failed) == (is_bad.count(False), is_bad.count(True))


@pytest.mark.parametrize("encoding", codecs_of_files())
def test_every_codec_of_python_is_read_and_written(regression: Path, tmp_path: Path, encoding: str) -> None:
    alphabet = encodable("aZ09 ~+é表ソЖאا่ㅎü€\x1a\x85", encoding)
    words = ["".join(random.Random(seed).choices(alphabet, k=20)) for seed in range(60)]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([("a", "b", "word"), *((str(row), "2", word) for row, word in enumerate(words))])
    options = Options(csv_settings={"encoding": encoding}, passthrough_columns=["word"], chunk_size=20)  # type: ignore[arg-type]
    tally, content = scored(regression, text.getvalue().encode(encoding), options, tmp_path)
    assert [row[1] for row in read(content, Dialect(encoding=encoding))] == ["word", *words]
    assert tally.scored == 60


@pytest.mark.parametrize("name", ["base64", "rot13", "punycode", "idna", "undefined", "unicode_escape", "hex"])
def test_what_is_no_encoding_of_files_is_refused(name: str) -> None:
    assert "is not an encoding of text files" in (problem(CsvSettings.model_construct(encoding=name)) or "")


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("\ufeffa,b\n1,2\n".encode(), "utf-8"),
        ("\ufeffa,b\n1,2\n".encode("utf-16-be"), "utf-16"),
        ("\ufeffa,b\n1,2\n".encode("utf-16-le"), "utf-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "utf-16"),
        ("\ufeffa,b\n1,2\n".encode("utf-16-be"), "utf-16-be"),
        ("\ufeffa,b\n1,2\n".encode("utf-32-le"), "utf-32"),
        (b"a,b\n1,2\n", "utf-8-sig"),
    ],
)
def test_a_bom_may_be_there_or_not(regression: Path, tmp_path: Path, content: bytes, encoding: str) -> None:
    tally, _ = scored(regression, content, Options(csv_settings={"encoding": encoding}), tmp_path)  # type: ignore[arg-type]
    assert (tally.scored, tally.failed) == (1, 0)


SEEDS = (
    b"id,a,b\n1,2,3\n4,5,6\n7,8,9\n",
    b'id,a,b\r\n"x ""y""",1,2\r\n"line\r\nend",,\r\n"",3,4\r\n',
    'id;a;b\n"é;表";1;2\n\n007;1.10;none\n'.encode(),
    b"id\ta\tb\rx\t1\t2\r\ty\t2\t3\r",
    b"id,a,b\n" + b"0001,1.25,2.5\n" * 400,
)
PATCHES = (
    b'"',
    b'""',
    b",",
    b";",
    b"\n",
    b"\r\n",
    b"\r",
    b"\xff",
    b"\xe9",
    b"\0",
    b"\xef\xbb\xbf",
    b"x",
    b"1e400",
    b"inf",
    b",,,",
    b'"\n"',
    b" ",
    b"\t",
)


def mutated(chance: random.Random) -> bytes:
    content = bytearray(chance.choice(SEEDS))
    for _ in range(chance.choice([1, 1, 2, 5])):
        place, length = chance.randrange(len(content) + 1), chance.choice([0, 0, 1, 3, 30])
        kind = chance.random()
        if kind < 0.6:
            content[place : place + length] = chance.choice(PATCHES)
        elif kind < 0.8:
            del content[place : place + length]
        else:
            content[place:place] = content[chance.randrange(len(content) + 1) :][: chance.choice([5, 40, 400])]
    return bytes(content)


def test_a_mutated_file_gives_a_clear_error_or_the_right_answer(regression: Path, tmp_path: Path, bad: Callable[..., str]) -> None:
    """Rows in are rows scored and rows failed: never a crash, a hang or a silent loss. What a row is, Python's csv module says."""
    for seed in range(EXAMPLES):
        chance = random.Random(seed)
        content = mutated(chance)
        settings_of = chance.choice(
            [{}, {}, {"delimiter": ";"}, {"delimiter": "tab"}, {"quotechar": "'"}, {"encoding": "latin_1"}, {"encoding": "cp932"}]
        )
        dialect = Dialect.of(CsvSettings(**settings_of))
        options = Options(
            csv_settings=settings_of,  # type: ignore[arg-type]
            passthrough_columns_set="all",
            include_prediction_status=True,
            abort_on_error=False,
            chunk_size=chance.choice(["auto", 20]),
        )
        try:
            tally, written = scored(regression, content, options, tmp_path)
        except ScoringError as error:
            assert error.summary and error.detail.strip(), seed
            continue
        given, found = read(content.removeprefix(b"\xef\xbb\xbf"), dialect), read(written, dialect)
        header = given[0]
        assert found[0] == ["y_PREDICTION", "prediction_status", *header], seed
        assert len(found) == len(given) == tally.scored + tally.failed + 1, seed
        for row, out in zip(given[1:], found[1:], strict=True):
            is_ragged = len(row) != len(header)
            assert out[2:] == ([""] * len(header) if is_ragged else row), (seed, row, out)
            assert (out[0] == "") == (out[1] != "OK"), (seed, row, out)
            assert out[1] != "OK" or not is_ragged, (seed, row, out)
        assert tally.scored == sum(row[1] == "OK" for row in found[1:]), seed
