"""The rows that a row is compared with to be explained. The rule here: the same file gives the same rows, however the job is cut.

They are `background.csv` beside the model, where its owner says what is usual, or else the first rows of the intake: known before the first row is
scored, read once, and bounded. They may be few or unlike the rest (a sorted intake), which is what `background.csv` is for.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reconciler.engine.dialect import Dialect
from reconciler.engine.failure import Failure
from reconciler.engine.features import Features
from reconciler.engine.intake import Intake
from reconciler.engine.intakes import open_intake
from reconciler.engine.job import ScoringJob
from reconciler.engine.models.model import Feature, Model, Scores
from reconciler.engine.place import Place
from reconciler.errors import Cancelled, ModelError, ScoringError
from reconciler.options import CsvSettings

FILE = "background.csv"
# Rows read at the most.
ROWS = 1000
_SEED = 20_261_122


def background_rows(job: ScoringJob, features: Sequence[Feature], is_halted: Callable[[], bool]) -> pa.RecordBatch:
    """At most ROWS rows with exactly `features`. Raises ScoringError, as for the intake itself, and for a wrong row of the folder's own."""
    own = job.folder / FILE
    path, settings = (own, CsvSettings()) if own.is_file() else (_apart(job.intake), job.options.csv_settings)
    with closing(open_intake(path, Dialect.of(settings), is_halted)) as intake:
        rows, wrong = _first_rows(intake, features, is_halted)
    if path == own and wrong:
        raise ScoringError("The background is wrong", f"{own}, {wrong}. Correct the row, or remove it.")
    if path == own and not rows.num_rows:
        raise ScoringError("The background is empty", f"{own} holds no rows. Add some that are usual for the model, or remove the file.")
    return rows


def _apart(intake: Path | Place) -> Path | Place:
    """The same rows under a name of their own: the intake is open, and what it has put on the way is not ours to clear."""
    return replace(intake, job=f"{intake.job}_background") if isinstance(intake, Place) else intake


def _first_rows(intake: Intake, wanted: Sequence[Feature], is_halted: Callable[[], bool]) -> tuple[pa.RecordBatch, Failure | None]:
    """The first rows that are not wrong, and the first of them that is."""
    features = Features(wanted, intake)
    found, count = [nothing(wanted).slice(0, 0)], 0
    wrong: Failure | None = None
    for piece in intake.pieces(list(dict.fromkeys(features.columns)), ROWS, None, is_halted):
        rows = piece.read()
        read, faults = features.read(rows.table)
        if wrong is None and (faults or rows.faults):
            of_piece = np.delete(np.arange(rows.count), list(rows.faults))
            every = dict(rows.faults) | {int(of_piece[place]): fault for place, fault in faults.items()}
            ((number, text),) = piece.located([min(every)])
            wrong = Failure(intake.unit, number, every[min(every)], text, piece.file)
        good = np.delete(np.arange(read.num_rows), list(faults))[: ROWS - count]
        found.append(read.take(pa.array(good)))
        count += len(good)
        if count == ROWS:
            break
    return pa.RecordBatch.from_arrays([pa.concat_arrays(column) for column in zip(*found, strict=True)], names=found[-1].schema.names), wrong


def nothing(features: Sequence[Feature]) -> pa.RecordBatch:
    """A row in which every value is missing."""
    return pa.RecordBatch.from_arrays(
        [pa.nulls(1, pa.string() if each.is_text else pa.float64()) for each in features], [each.name for each in features]
    )


class Mixtures:
    """A model's predictions for rows that are put together from `size` rows of the background and one row of the intake."""

    def __init__(self, model: Model, rows: pa.RecordBatch, size: int, is_halted: Callable[[], bool]) -> None:
        """`size` rows are drawn, without repetition and with a fixed seed, from those that the model has a prediction for."""
        self._model = model
        self._is_halted = is_halted
        usable = np.flatnonzero(self._are_usable(rows))
        if not len(usable):
            raise ScoringError("The model cannot be explained", f"It has a prediction for none of the {rows.num_rows} rows of the background.")
        drawn = np.random.default_rng(_SEED).permutation(usable)[:size]
        self._rows = rows.take(pa.array(np.sort(drawn)))
        self.size = len(drawn)
        self.features = rows.num_columns

    def _are_usable(self, rows: pa.RecordBatch) -> NDArray[np.bool_]:
        """Which rows the model has a prediction for. When it fails, each half is tried alone, down to the row that is the cause."""
        try:
            return np.asarray(np.isfinite(self._predictions(rows)).all(axis=1))
        except (Cancelled, ModelError):
            raise
        except ScoringError:
            half = rows.num_rows // 2
            halves = (rows.slice(0, half), rows.slice(half)) if half else ()
            return np.concatenate([self._are_usable(some) for some in halves]) if halves else np.array([False])

    def background(self) -> Scores:
        """(size, outputs): the predictions of the background itself."""
        return self._predictions(self._rows)

    def predictions(self, row: pa.RecordBatch, sources: NDArray[np.intp]) -> Scores:
        """(n, outputs) for `sources` of (n, features): from which row each value is taken; `size` stands for `row`, which is one row."""
        columns = [pa.concat_arrays([mine, its]) for mine, its in zip(self._rows.columns, row.columns, strict=True)]
        places = [pa.array(sources[:, index]) for index in range(self.features)]
        mixed = [column.take(place) for column, place in zip(columns, places, strict=True)]
        answer = self._predictions(pa.RecordBatch.from_arrays(mixed, names=row.schema.names))
        if not np.isfinite(answer).all():
            detail = f"The model has no prediction for a mixture of it and others. Put a {FILE} of complete rows beside the model."
            raise ScoringError("A row cannot be explained", detail)
        return answer

    def _predictions(self, rows: pa.RecordBatch) -> Scores:
        return predictions(self._model, rows, self._is_halted)


def predictions(model: Model, rows: pa.RecordBatch, is_halted: Callable[[], bool]) -> Scores:
    """(n, outputs), in calls of a fixed size: a model's last digit may depend on how many rows it is given. Raises Cancelled, ScoringError."""
    answers: list[Scores] = []
    for start in range(0, rows.num_rows, model.rows_at_once):
        if is_halted():
            raise Cancelled("The job was aborted")
        some = rows.slice(start, model.rows_at_once)
        answers.append(model.predict(some).reshape(some.num_rows, -1))
    return np.concatenate(answers) if answers else np.empty((0, 1))
