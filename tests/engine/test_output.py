"""The scored file. The rule here: a full or closed disk is a sentence."""

from pathlib import Path

import pytest

from reconciler.engine.dialect import Dialect
from reconciler.engine.output import Output
from reconciler.errors import ScoringError


def test_a_former_file_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("much longer than before")
    with Output(tmp_path / "out.csv", Dialect()) as output:
        output.write(b"a\n")
        output.finish()
    assert (tmp_path / "out.csv").read_bytes() == b"a\n"


def test_a_bom_is_written_once(tmp_path: Path) -> None:
    with Output(tmp_path / "out.csv", Dialect(encoding="utf-16")) as output:
        output.write("é\n".encode())
        output.write("ü\n".encode())
        output.finish()
    assert (tmp_path / "out.csv").read_bytes() == "é\nü\n".encode("utf-16")
    assert output.bytes_written == 10


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_a_sentence() -> None:
    with Output(Path("/dev/full"), Dialect()) as output, pytest.raises(ScoringError) as caught:
        output.write(b"a\n")
    assert caught.value.detail == "/dev/full: No space left on device."


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ScoringError) as caught:
        Output(tmp_path / "no" / "out.csv", Dialect())
    assert "No such file or directory" in caught.value.detail
