"""Parquet in and out. The rule here: the same scores as for CSV, and every value passed through with its type."""

import csv
import datetime
import decimal
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reconciler.engine.job import ScoringJob, Tally
from reconciler.engine.parquet import ParquetOutput
from reconciler.engine.pipeline import score
from reconciler.engine.sink import FileSink
from reconciler.errors import ScoringError
from reconciler.options import Options

KINDS: dict[str, list[Any]] = {
    "text": ["007", None, "x,\n"],
    "big": [2**62 + 1, None, -1],
    "float": [0.1, None, 1e300],
    "flag": [True, None, False],
    "day": [datetime.date(2026, 11, 22), None, datetime.date(1, 1, 1)],
    "moment": [datetime.datetime(2026, 11, 22, 1, 2, 3, 4, datetime.UTC), None, None],
    "money": [decimal.Decimal("1.10"), None, decimal.Decimal("-2.00")],
    "bytes": [b"\xff\x00", None, b"abc"],
    "list": [[1, 2], None, []],
}


def mixed() -> pa.Table:
    table = pa.table({"a": [1, 2, None], "b": pa.array([0.5, 1.5, 2.5], pa.float32())} | KINDS)
    categories = pa.array(["x", None, "y"]).dictionary_encode()
    return table.append_column("category", categories).append_column("single", pa.array([0.1, None, 2.0], pa.float32()))


def run(folder: Path, intake: Path, output: Path, **options: Any) -> Tally:
    return score(ScoringJob(folder, intake, output, Options(**options)), report=lambda progress: None, is_cancelled=lambda: False)


def test_scores_are_those_of_the_csv_of_the_same_numbers(regression: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(30_000, 2))
    pq.write_table(pa.table({"b": values[:, 1], "a": values[:, 0]}), tmp_path / "in.parquet", row_group_size=7_000)
    text = io.StringIO()
    csv.writer(text).writerows([("a", "b"), *values.tolist()])
    (tmp_path / "in.csv").write_text(text.getvalue())
    for name in ("in.csv", "in.parquet"):
        assert run(regression, tmp_path / name, tmp_path / f"{name}.out").scored == 30_000
    assert (tmp_path / "in.csv.out").read_bytes() == (tmp_path / "in.parquet.out").read_bytes()
    tally = run(regression, tmp_path / "in.csv", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema == pa.schema([("y_PREDICTION", pa.float64())])
    assert [str(number) for number in table["y_PREDICTION"].to_pylist()] == (tmp_path / "in.csv.out").read_text().split()[1:]
    assert tally.bytes_written == (tmp_path / "out.parquet").stat().st_size


def test_every_type_passes_through_to_parquet(regression: Path, tmp_path: Path) -> None:
    pq.write_table(mixed(), tmp_path / "in.parquet")
    run(regression, tmp_path / "in.parquet", tmp_path / "out.parquet", passthrough_columns_set="all")
    written = pq.read_table(tmp_path / "out.parquet").drop(["y_PREDICTION"])
    assert written.equals(pq.read_table(tmp_path / "in.parquet"))


def test_every_type_passes_through_to_csv_as_text(regression: Path, tmp_path: Path) -> None:
    pq.write_table(mixed(), tmp_path / "in.parquet")
    run(regression, tmp_path / "in.parquet", tmp_path / "out.csv", passthrough_columns=[*KINDS, "category", "single"])
    rows = list(csv.reader(io.StringIO((tmp_path / "out.csv").read_text(), newline="")))
    assert rows[1][1:] == [
        "007",
        "4611686018427387905",
        "0.1",
        "True",
        "2026-11-22",
        "2026-11-22 01:02:03.000004Z",
        "1.10",
        "\\xff\x00",
        "[1, 2]",
        "x",
        "0.1",
    ]
    assert rows[2][1:] == [""] * 11


def test_views_of_texts_pass_through_beside_a_row_that_fails(regression: Path, tmp_path: Path) -> None:
    """As Arrow's newest writers call a text; Arrow cannot choose rows of them."""
    views = {"text": pa.array(["007", None, ""], pa.string_view()), "bytes": pa.array([b"\xff", None, b"a"], pa.binary_view())}
    pq.write_table(pa.table({"a": ["1", "x", "2"], "b": [1, 2, 3]} | views), tmp_path / "in.parquet")
    assert run(regression, tmp_path / "in.parquet", tmp_path / "out.parquet", passthrough_columns_set="all").failed == 1
    output = pq.read_table(tmp_path / "out.parquet").to_pydict()
    assert {name: output[name] for name in views} == {name: values.to_pylist() for name, values in views.items()}


def test_bytes_that_are_no_text_are_said(regression: Path, tmp_path: Path) -> None:
    held = pa.array([b"fine", b"\xff\xfe"])
    texts = pa.Array.from_buffers(pa.string(), 2, held.buffers())
    pq.write_table(pa.table({"a": [1, 2], "b": [1, 2], "note": texts}), tmp_path / "in.parquet")
    with pytest.raises(ScoringError, match="The intake cannot be read") as caught:
        run(regression, tmp_path / "in.parquet", tmp_path / "out.csv", passthrough_columns=["note"])
    assert "in.parquet, column note: Invalid" in caught.value.detail
    assert run(regression, tmp_path / "in.parquet", tmp_path / "out.csv").scored == 2


def test_rows_that_fail_are_found_by_their_number(regression: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["r1", "r2", "r3"], "a": ["1", "x", "3"], "b": [1, 2, 3]}), tmp_path / "in.parquet")
    tally = run(regression, tmp_path / "in.parquet", tmp_path / "out.parquet", passthrough_columns=["id"], include_prediction_status=True)
    assert (tally.scored, tally.failed) == (2, 1)
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert found[1] == {"y_PREDICTION": None, "prediction_status": "row 2, column a: 'x' is not a number", "id": "r2"}
    assert (tmp_path / "out.parquet.rejects.csv").read_text().splitlines() == [
        "row,column,reason,content",
        "2,a,'x' is not a number,\"x,2,r2\"",
    ]


def test_a_value_that_the_encoding_of_the_output_lacks_fails_its_row(regression: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2], "b": [1, 2], "word": ["é", "表"]}), tmp_path / "in.parquet")
    options = {"csv_settings": {"encoding": "latin_1"}, "passthrough_columns": ["word"], "include_prediction_status": True}
    assert run(regression, tmp_path / "in.parquet", tmp_path / "out.csv", **options).failed == 1
    rows = list(csv.reader((tmp_path / "out.csv").read_bytes().decode("latin_1").splitlines()))
    assert rows[1][1:] == ["OK", "é"]
    assert rows[2] == ["", "row 2, column word: latin_1 has no '\\u8868' (U+8868), so the row cannot be written", ""]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (pa.table({"a": [1], "b": [datetime.date(2026, 1, 1)]}), "the model reads numbers from b (date32[day])"),
        (pa.table({"a": [1]}), "lacks b"),
        (pa.Table.from_arrays([pa.array([1])] * 3, ["a", "b", "a"]), "the header names a more than once"),
    ],
)
def test_a_table_that_does_not_fit_is_said_before_the_first_row(
    regression: Path, tmp_path: Path, bad: Callable[..., str], table: pa.Table, sentence: str
) -> None:
    pq.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(ScoringError) as caught:
        run(regression, tmp_path / "in.parquet", tmp_path / "out.csv")
    assert sentence in bad(caught)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("damage", [lambda content: content[:40] + b"\xff" * 60 + content[100:], lambda content: b"PAR1" + content[-4:]])
def test_a_damaged_file_is_a_sentence(regression: Path, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    pq.write_table(pa.table({"a": list(range(1000)), "b": list(range(1000))}), tmp_path / "in.parquet")
    (tmp_path / "in.parquet").write_bytes(damage((tmp_path / "in.parquet").read_bytes()))
    with pytest.raises(ScoringError, match="cannot be read"):
        run(regression, tmp_path / "in.parquet", tmp_path / "out.csv")


def test_a_table_without_rows_gives_one_without_rows(regression: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.int64())}), tmp_path / "in.parquet")
    assert run(regression, tmp_path / "in.parquet", tmp_path / "out.parquet").scored == 0
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


def test_a_csv_of_blank_lines_gives_parquet_without_rows(regression: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b\n\n\n")
    assert run(regression, tmp_path / "in.csv", tmp_path / "out.parquet").scored == 0
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


def test_a_dictionary_stays_small_however_many_values_a_column_has(tmp_path: Path) -> None:
    rows = pa.record_batch({"few": np.arange(100_000) % 100 / 7, "many": np.arange(100_000) / 7})
    with ParquetOutput(FileSink(tmp_path / "out.parquet"), rows.schema) as output:
        output.write(rows)
        output.finish()
    few, many = (pq.read_metadata(tmp_path / "out.parquet").row_group(0).column(index) for index in range(2))
    assert few.total_uncompressed_size < 200_000  # one byte for a value of eight
    assert 0 < many.data_page_offset - many.dictionary_page_offset < 200_000  # what finds its values takes 32 times as much memory
    assert pq.read_table(tmp_path / "out.parquet").equals(pa.Table.from_batches([rows]))
