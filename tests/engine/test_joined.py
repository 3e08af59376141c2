"""Several files as one intake. The rule here: the first file's columns are the intake's, and a row is found by its file."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from reconciler.engine.csv_intake import CsvIntake
from reconciler.engine.dialect import Dialect
from reconciler.engine.file import local_file
from reconciler.engine.intake import Intake
from reconciler.engine.joined import JoinedIntake
from reconciler.engine.parquet import ParquetIntake
from reconciler.errors import ScoringError


def never() -> bool:
    return False


def csv(path: Path, content: str) -> Callable[[], Intake]:
    path.write_text(content)
    return lambda: CsvIntake(local_file(path), Dialect(), never, path.name)


def joined(*files: Callable[[], Intake], size: int = 0) -> JoinedIntake:
    return JoinedIntake("files", files, size)


def rows(intake: JoinedIntake, *columns: str) -> list[tuple[str | None, ...]]:
    with closing(intake):
        tables = [piece.read().table for piece in intake.pieces(columns, 2, None, never)]
    return [tuple(row[column] for column in columns) for table in tables for row in table.to_pylist()]


def test_the_rows_come_file_by_file(tmp_path: Path) -> None:
    intake = joined(csv(tmp_path / "1.csv", "a,b\n1,2\n3,4\n5,6\n"), csv(tmp_path / "2.csv", "a,b\n"), csv(tmp_path / "3.csv", "a,b\n7,8\n"))
    assert rows(intake, "a", "b") == [("1", "2"), ("3", "4"), ("5", "6"), ("7", "8")]


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    assert rows(joined(csv(tmp_path / "1.csv", "a,b\n1,2\n"), csv(tmp_path / "2.csv", "b,a\n4,3\n")), "a", "b") == [("1", "2"), ("3", "4")]


def test_bytes_are_those_of_all_files(tmp_path: Path) -> None:
    files = csv(tmp_path / "1.csv", "a\n1\n"), csv(tmp_path / "2.csv", "a\n22\n")
    intake = joined(*files, size=9)
    assert rows(intake, "a") == [("1",), ("22",)]
    assert intake.bytes_read == intake.bytes_total == 9


def test_a_wrong_row_names_its_file(tmp_path: Path) -> None:
    with closing(joined(csv(tmp_path / "1.csv", "a,b\n1,2\n"), csv(tmp_path / "2.csv", "a,b\n1,2,3\n"))) as intake:
        found = [(piece.file, piece.located([0])) for piece in intake.pieces(["a"], 9, None, never) if piece.read().faults]
    assert found == [("2.csv", [(2, "1,2,3")])]


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        pytest.param("a", "it lacks b", id="fewer"),
        pytest.param("a,b,c", "it has c as well", id="more"),
        pytest.param("a,c", "it lacks b", id="others"),
    ],
)
def test_a_file_with_other_columns_ends_the_intake(tmp_path: Path, header: str, sentence: str) -> None:
    with pytest.raises(ScoringError) as caught:
        rows(joined(csv(tmp_path / "1.csv", "a,b\n1,2\n"), csv(tmp_path / "2.csv", f"{header}\n")), "a")
    assert caught.value.detail == f"{tmp_path / '2.csv'}: {sentence}. The first file decides."


def test_a_file_with_other_types_ends_the_intake(tmp_path: Path) -> None:
    def parquet(name: str, values: pa.Array) -> Callable[[], Intake]:
        pyarrow.parquet.write_table(pa.table({"a": values}), tmp_path / name)
        return partial(ParquetIntake, local_file(tmp_path / name), name)

    with pytest.raises(ScoringError) as caught:
        rows(joined(parquet("1.parquet", pa.array([1])), parquet("2.parquet", pa.array(["x"]))), "a")
    assert caught.value.detail == f"{tmp_path / '2.parquet'}: its a is string, not int64. The first file decides."
