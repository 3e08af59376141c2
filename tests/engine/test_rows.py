"""Rows that are wrong. The rule here: rows in are rows scored and rows failed, and each failed one is named and keeps its place."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from skl2onnx import to_onnx
from sklearn.linear_model import LinearRegression

from reconciler.engine.job import Progress, ScoringJob, Tally, Tolerance
from reconciler.engine.pipeline import score
from reconciler.errors import ScoringError
from reconciler.options import Options

Run = Callable[..., "Ended"]
BAD = 'id,a,b\nr1,1,2\nr2,x,2\nr3,1\n\n"r4\n",1,2\nr5,1,2,3\nr6,3,y\nr7,4,5\n'


class Ended:
    """A job that ended: its tally, its rows by name of column, its rejects, the last it reported."""

    def __init__(self, job: ScoringJob, tally: Tally, progress: Progress) -> None:
        encoding = job.options.csv_settings.encoding
        self.tally = tally
        self.progress = progress
        self.text = job.output.read_bytes().decode(encoding)
        self.rows = list(csv.DictReader(io.StringIO(self.text, newline="")))
        rejects = job.rejects_file.read_text(encoding="utf-8") if job.rejects_file.exists() else ""
        self.rejects = [tuple(row) for row in csv.reader(io.StringIO(rejects, newline=""))]

    def column(self, name: str) -> list[str]:
        return [row[name] for row in self.rows]

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.tally.scored, self.tally.failed, self.tally.skipped


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def scored(folder: Path, content: str | bytes, tolerance: Tolerance | None = None, **options: Any) -> Ended:
        (tmp_path / "in.csv").write_bytes(content.encode() if isinstance(content, str) else content)
        job = ScoringJob(folder, tmp_path / "in.csv", tmp_path / "out.csv", Options(**options), tolerance=tolerance or Tolerance())
        seen: list[Progress] = []
        tally = score(job, report=seen.append, is_cancelled=lambda: False)
        return Ended(job, tally, seen[-1])

    return scored


def test_a_failed_row_keeps_its_place_and_what_is_passed_through(regression: Path, run: Run) -> None:
    ended = run(regression, BAD, passthrough_columns_set="all", include_prediction_status=True)
    assert ended.counts == (3, 4, 0)
    assert ended.column("prediction_status") == [
        "OK",
        "line 3, column a: 'x' is not a number",
        "line 4: the row has 2 fields where the header has 3 fields",
        "OK",
        "line 8: the row has 4 fields where the header has 3 fields",
        "line 9, column b: 'y' is not a number",
        "OK",
    ]
    assert [bool(text) for text in ended.column("y_PREDICTION")] == [True, False, False, True, False, False, True]
    # Which column a field of a ragged row belongs to cannot be told.
    assert ended.column("id") == ["r1", "r2", "", "r4\n", "", "r6", "r7"]
    assert ended.column("a") == ["1", "x", "", "1", "", "3", "4"]


def test_a_failed_row_is_in_the_output_without_a_status_too(regression: Path, run: Run) -> None:
    ended = run(regression, BAD)
    assert [bool(text) for text in ended.column("y_PREDICTION")] == [True, False, False, True, False, False, True]


def test_the_rejects_name_every_failed_row_with_its_content(regression: Path, run: Run) -> None:
    assert run(regression, BAD).rejects == [
        ("line", "column", "reason", "content"),
        ("3", "a", "'x' is not a number", "r2,x,2"),
        ("4", "", "the row has 2 fields where the header has 3 fields", "r3,1"),
        ("8", "", "the row has 4 fields where the header has 3 fields", "r5,1,2,3"),
        ("9", "b", "'y' is not a number", "r6,3,y"),
    ]


def test_rejects_of_a_former_run_are_gone_when_nothing_fails(regression: Path, run: Run) -> None:
    assert run(regression, BAD).rejects
    assert run(regression, "a,b\n1,2\n").rejects == []


def test_the_first_few_failures_are_named_in_the_progress(regression: Path, run: Run) -> None:
    ended = run(regression, "a,b\n" + "x,1\n" * 50 + "1,1\n")
    assert (ended.progress.rows, ended.progress.failed) == (51, 50)
    assert ended.progress.named == tuple(f"line {line}, column a: 'x' is not a number" for line in range(2, 22))
    assert len(ended.rejects) == 51


def test_too_many_failed_rows_end_the_job(regression: Path, run: Run, tmp_path: Path) -> None:
    few = "a,b\n" + "x,1\n" * 3 + "1,1\n" * 6
    assert run(regression, few, Tolerance(rows=2, share=0.5)).counts == (6, 3, 0)
    assert run(regression, few, Tolerance(rows=3, share=0.0)).counts == (6, 3, 0)
    with pytest.raises(ScoringError, match="Too many rows failed") as caught:
        run(regression, few, Tolerance(rows=2, share=0.3))
    assert "in.csv, line 2, column a: 'x' is not a number" in caught.value.detail
    assert len((tmp_path / "out.csv.rejects.csv").read_text().splitlines()) == 4


def test_a_job_of_which_no_row_can_be_scored_ends(regression: Path, run: Run) -> None:
    with pytest.raises(ScoringError, match="No row could be scored"):
        run(regression, "a,b\n1\n")


@pytest.mark.parametrize("content", ["a,b\n" + "x,1\n" * 5000 + "1,1\n", "a,b\n1\n"])
def test_without_abort_on_error_no_number_of_failures_ends_a_job(regression: Path, run: Run, content: str) -> None:
    ended = run(regression, content, abort_on_error=False)
    assert sum(ended.counts) == len(content.splitlines()) - 1 == len(ended.rows)


def test_a_header_alone_has_no_row_that_failed(regression: Path, run: Run) -> None:
    assert run(regression, "a,b\n").counts == (0, 0, 0)


def test_a_bad_row_fails_its_chunk_when_rows_are_not_tried_alone(regression: Path, run: Run) -> None:
    good, chunk = "1,2\n" * 1024, {"chunk_size": 4096, "disable_row_level_error_handling": True, "include_prediction_status": True}
    content = "a,b\n" + good + "x,2\n" + "1,2\n" * 1023 + good * 2
    assert run(regression, content).counts == (4095, 1, 0)
    ended = run(regression, content, abort_on_error=False, **chunk)
    assert ended.counts == (3072, 1024, 0)
    assert ended.column("prediction_status")[1024] == "line 1026, column a: 'x' is not a number"
    told = "line 1027: the row is in a chunk with a row that failed: line 1026, column a: 'x' is not a number"
    assert ended.column("prediction_status")[1025] == told
    assert set(ended.column("prediction_status")[:1024]) == set(ended.column("prediction_status")[2048:]) == {"OK"}


def test_scores_that_are_no_number_fail_their_rows_alone(tmp_path: Path, run: Run) -> None:
    values = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(to_onnx(LinearRegression().fit(values, values[:, 0]), values[:1]).SerializeToString())
    (folder / "model-metadata.yaml").write_text("targetType: regression\ninferenceModel: {targetName: y, feature_names: [a, b]}\n")
    content = "a,b\n1,2\n1,\n2,inf\n3,4\n"
    ended = run(folder, content, include_prediction_status=True)
    assert ended.counts == (2, 2, 0)
    told = ended.column("prediction_status")
    assert told[1] == "line 3: the model gave nan; it may not take the row's missing or infinite values"
    assert "line 4: the model gave" in told[2]


def casting_model() -> onnx.ModelProto:
    """Reads its text feature `a` as a number; ONNX Runtime fails on a whole batch when one text is none."""
    given = helper.make_tensor_value_info("a", onnx.TensorProto.STRING, [None, 1])
    output = helper.make_tensor_value_info("score", onnx.TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph([helper.make_node("Cast", ["a"], ["score"], to=onnx.TensorProto.FLOAT)], "casts", [given], [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_row_on_which_the_model_fails_takes_no_other_with_it(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(casting_model().SerializeToString())
    (folder / "model-metadata.yaml").write_text("targetType: regression\ninferenceModel: {targetName: y}\n")
    texts = [str(float(row)) for row in range(5000)]
    texts[333] = texts[334] = texts[4999] = "none"
    ended = run(folder, "a\n" + "\n".join(texts), include_prediction_status=True)
    assert ended.counts == (4997, 3, 0)
    assert [text or "none" for text in ended.column("y_PREDICTION")] == texts
    assert ended.column("prediction_status")[333].startswith("line 335: The model failed: ONNX Runtime says:")
    whole = run(folder, "a\n" + "\n".join(texts), disable_row_level_error_handling=True, abort_on_error=False)
    assert (sum(whole.counts), whole.column("y_PREDICTION")[:1000]) == (5000, [""] * 1000)


@pytest.mark.parametrize("rows", [1, 7, 20_000])
def test_rows_that_fail_do_not_change_the_others(regression: Path, run: Run, rows: int) -> None:
    """The scores of the good rows, and their order, are those of a file without the bad ones."""
    good = [f"{row % 97},{row % 89}" for row in range(rows)]
    bad = ["x,1", "1", "1,2,3", '"1\n",y']
    mixed = [line for row, text in enumerate(good) for line in ([text, bad[row % 4]] if row % 50 == 0 else [text])]
    clean = run(regression, "a,b\n" + "\n".join(good) + "\n")
    ended = run(regression, "a,b\n" + "\n".join(mixed) + "\n", abort_on_error=False)
    assert ended.counts == (rows, len(mixed) - rows, 0)
    assert [text for text in ended.column("y_PREDICTION") if text] == clean.column("y_PREDICTION")


@pytest.mark.parametrize("encoding", ["latin_1", "cp1252", "ascii", "shift_jis", "utf-16", "utf-8-sig", "iso2022_jp"])
def test_a_label_that_the_encoding_lacks_fails_its_rows(tmp_path: Path, binary: Path, run: Run, encoding: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.txt").write_bytes((binary / "model.txt").read_bytes())
    metadata = (binary / "model-metadata.yaml").read_text().replace('"1"', "č")
    (folder / "model-metadata.yaml").write_text(metadata, encoding="utf-8")
    rename = {"y_č_PREDICTION": "p", "POSITIVE_CLASS": None}
    content = "a,b\n-5,1\n5,1\n".encode(encoding)
    options = {"prediction_threshold": 0.5, "column_names_remapping": rename, "include_prediction_status": True}
    ended = run(folder, content, csv_settings={"encoding": encoding}, **options)
    is_unicode = encoding.startswith("utf")
    assert ended.counts == ((2, 0, 0) if is_unicode else (1, 1, 0))
    assert ended.column("y_PREDICTION") == ["0.0", "č" if is_unicode else ""]
    told = f"line 3, column y_PREDICTION: {encoding} has no '\\u010d' (U+010D), so the row cannot be written"
    assert ended.column("prediction_status") == ["OK", "OK" if is_unicode else told]


def test_warnings_say_which_predictions_are_outliers(tmp_path: Path, regression: Path, run: Run) -> None:
    (tmp_path / "model.txt").write_bytes((regression / "model.txt").read_bytes())
    metadata = (regression / "model-metadata.yaml").read_text()
    (tmp_path / "model-metadata.yaml").write_text(metadata.replace("{targetName: y", "{targetName: y, outlierLimits: {low: -0.5, high: 0.5}"))
    ended = run(tmp_path, "a,b\n0,0\n5,-5\n-5,5\nx,1\n", prediction_warning_enabled=True, include_prediction_status=True)
    assert list(ended.rows[0]) == ["y_PREDICTION", "IS_OUTLIER_PREDICTION", "prediction_status"]
    assert ended.column("IS_OUTLIER_PREDICTION") == ["False", "True", "True", ""]
    assert [abs(float(text or 0)) > 0.5 for text in ended.column("y_PREDICTION")] == [False, True, True, False]


def test_warnings_are_refused_where_the_model_has_no_limits(regression: Path, run: Run) -> None:
    with pytest.raises(ScoringError) as caught:
        run(regression, "a,b\n1,2\n", prediction_warning_enabled=True)
    assert "outlierLimits" in caught.value.detail


def test_explanations_stay_with_their_rows(regression: Path, run: Run) -> None:
    content = "a,b\n1,2\nx,2\n1\n3,4\n"
    ended = run(regression, content, max_explanations=1)
    clean = run(regression, "a,b\n1,2\n3,4\n", max_explanations=1)
    assert [row for row in ended.rows if row["y_PREDICTION"]] == clean.rows
    assert [set(row.values()) for row in ended.rows if not row["y_PREDICTION"]] == [{""}, {""}]
