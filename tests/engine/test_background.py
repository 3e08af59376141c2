"""The background. The rule here: a bounded number of the first rows, or the folder's own."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from reconciler.engine.background import ROWS, background_rows
from reconciler.engine.job import ScoringJob
from reconciler.engine.models.model import Feature
from reconciler.errors import ScoringError
from reconciler.options import Options

FEATURES = (Feature("b"), Feature("text", is_text=True))


def rows_of(folder: Path, intake: str, features: tuple[Feature, ...] = FEATURES, **options: Any) -> pa.RecordBatch:
    (folder / "in.csv").write_text(intake)
    return background_rows(ScoringJob(folder, folder / "in.csv", folder / "out.csv", Options(**options)), features, lambda: False)


def test_the_first_rows_are_taken_in_their_order(tmp_path: Path) -> None:
    long = "x" * 2000  # so that they are in several blocks
    rows = rows_of(tmp_path, "text,a,b\n" + "".join(f"{long}{row},,{row}\n" for row in range(ROWS + 700)))
    assert rows.schema.names == ["b", "text"]
    assert rows.column("b").to_pylist() == [float(row) for row in range(ROWS)]
    assert rows.column("text")[ROWS - 1].as_py() == f"{long}{ROWS - 1}"


def test_the_folders_own_rows_come_first_in_its_own_dialect(tmp_path: Path) -> None:
    (tmp_path / "background.csv").write_text('b,text\n1.5,"a;b"\n,\n')
    rows = rows_of(tmp_path, "b;text\n7;x\n", csv_settings={"delimiter": ";"})
    assert rows.to_pydict() == {"b": [1.5, None], "text": ["a;b", None]}
    (tmp_path / "background.csv").unlink()
    assert rows_of(tmp_path, "b;text\n7;x\n", csv_settings={"delimiter": ";"}).to_pydict() == {"b": [7.0], "text": ["x"]}


def test_an_intake_without_rows_has_no_background(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "b,text\n")
    assert (rows.num_rows, rows.schema.names) == (0, ["b", "text"])


@pytest.mark.parametrize(("own", "sentence"), [("b,text\n", "holds no rows"), ("b\n1\n", "lacks text"), ("", "has no header")])
def test_a_bad_file_is_named(tmp_path: Path, own: str, sentence: str) -> None:
    (tmp_path / "background.csv").write_text(own)
    with pytest.raises(ScoringError) as caught:
        rows_of(tmp_path, "b,text\n1,x\n")
    assert f"background.csv {sentence}" in caught.value.detail
