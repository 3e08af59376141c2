"""The scored file. The rule here: a full or closed disk is a sentence."""

from pathlib import Path

import pyarrow as pa
import pytest

from reconciler.engine.dialect import Dialect
from reconciler.engine.output import CsvForm, CsvOutput
from reconciler.engine.parquet import ParquetOutput
from reconciler.engine.sink import FileSink
from reconciler.errors import ScoringError

SCHEMA = pa.schema([("a", pa.string())])


def test_a_former_file_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("much longer than before")
    with CsvOutput(FileSink(tmp_path / "out.csv"), b"a\n") as output:
        output.finish()
    assert (tmp_path / "out.csv").read_bytes() == b"a\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32", "utf-16-be", "shift_jis", "iso2022_jp", "utf-7", "cp1252"])
def test_pieces_are_one_text_of_the_encoding(tmp_path: Path, encoding: str) -> None:
    word = "表ソ" if "jis" in encoding or "jp" in encoding else "éü"
    form = CsvForm([word], Dialect(encoding=encoding))
    with form.open(FileSink(tmp_path / "out.csv")) as output:
        output.write(form.block([pa.array([word, "a"])]))
        output.write(form.block([pa.array(["b", word])]))
        output.finish()
    content = (tmp_path / "out.csv").read_bytes()
    assert content.decode(encoding) == f"{word}\n{word}\na\nb\n{word}\n"
    assert output.bytes_written == len(content)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_a_sentence() -> None:
    with pytest.raises(ScoringError) as caught:
        CsvOutput(FileSink(Path("/dev/full")), b"a\n")
    assert caught.value.detail == "/dev/full: No space left on device."


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_disk_that_is_full_of_parquet_is_a_sentence() -> None:
    with pytest.raises(ScoringError) as caught, ParquetOutput(FileSink(Path("/dev/full")), SCHEMA) as output:
        output.write(pa.record_batch([pa.array(["x" * 100_000])], schema=SCHEMA))
        output.finish()
    assert "/dev/full" in caught.value.detail


@pytest.mark.parametrize(
    "make", [lambda path: CsvOutput(FileSink(path), b""), lambda path: ParquetOutput(FileSink(path), SCHEMA)], ids=["csv", "parquet"]
)
def test_a_missing_folder_is_a_sentence(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ScoringError) as caught:
        make(tmp_path / "no" / "out.csv")
    assert "No such file or directory" in caught.value.detail
