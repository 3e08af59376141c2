"""One job's way from intake to output. The rule here: everything that can be wrong with header, model and options is found before the first row."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pyarrow as pa

from reconciler.engine.background import background_rows
from reconciler.engine.csv_text import header_line, lines
from reconciler.engine.dialect import Dialect
from reconciler.engine.explanations import Explainer
from reconciler.engine.features import Features
from reconciler.engine.flow import TICK, Flow
from reconciler.engine.intake import Intake, Piece
from reconciler.engine.job import Progress, ScoringJob, Tally
from reconciler.engine.layout import output_columns, passthrough
from reconciler.engine.metadata import Metadata
from reconciler.engine.models.model import Model, Scores
from reconciler.engine.models.registry import load_model
from reconciler.engine.output import Output
from reconciler.engine.predictions import Scored, first_impossible
from reconciler.errors import Cancelled, ScoringError


def run(job: ScoringJob, metadata: Metadata, report: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Tally:
    _check_files(job)
    halt = threading.Event()
    dialect = Dialect.of(job.options.csv_settings)
    with closing(Intake(job.intake, dialect, halt.is_set)) as intake:
        scorer = Scorer(metadata, load_model(metadata), intake, job, halt.is_set)
        with Output(job.output, dialect) as output:
            pulse = Pulse(intake, output, report, is_cancelled)
            output.write(scorer.header)
            flow = Flow(scorer.text, _workers(), halt)
            with closing(flow.results(scorer.pieces(), pulse.beat)) as results:
                for text, rows in results:
                    output.write(text)
                    pulse.rows += rows
            output.finish()
            pulse.report()
            return Tally(pulse.rows, 0, 0, intake.bytes_read, output.bytes_written)


class Scorer:
    """Pieces of the intake into lines of the output; `text` is called from several threads at once."""

    def __init__(self, metadata: Metadata, model: Model, intake: Intake, job: ScoringJob, is_halted: Callable[[], bool]) -> None:
        self._metadata = metadata
        self._model = model
        self._intake = intake
        self._features = Features(model.features, intake)
        self._columns = output_columns(metadata, job.options, intake.header)
        self._explainer = self._explaining(job, is_halted)
        self._read = dict.fromkeys([*self._features.columns, *passthrough(job.options, intake.header)])

    @property
    def header(self) -> bytes:
        return header_line([column.name for column in self._columns], self._intake.dialect)

    def pieces(self) -> Iterator[Piece]:
        rows = self._model.rows_at_once
        return self._intake.pieces(list(self._read), min(rows, self._explainer.rows_at_once) if self._explainer else rows)

    def text(self, piece: Piece) -> tuple[bytes, int]:
        features = self._features.read(piece)
        scores = self._scores(piece, features)
        scored = Scored(piece.rows, scores, self._explainer.cells(piece.rows, features, scores) if self._explainer else ())
        cells = [column.cells(scored) for column in self._columns]
        return lines(cells, self._intake.dialect), piece.rows.num_rows

    def _explaining(self, job: ScoringJob, is_halted: Callable[[], bool]) -> Explainer | None:
        if not job.options.max_explanations:
            return None
        background = partial(background_rows, job, self._model.features, is_halted)
        return Explainer(self._model, self._metadata, self._features.columns, job.options, background, is_halted)

    def _scores(self, piece: Piece, features: pa.RecordBatch) -> Scores:
        scores = self._model.predict(features)
        if len(scores) != piece.rows.num_rows:
            detail = f"It gave {len(scores)} predictions for {piece.rows.num_rows} rows; it must give one for each row."
            raise ScoringError("The model failed", detail)
        impossible = first_impossible(scores, self._metadata)
        if impossible is not None:
            line = self._intake.position.line(piece.first_row + impossible)
            given = ", ".join(str(score) for score in scores[impossible].reshape(-1))
            detail = (
                f"{self._intake.path}, line {line}: the model gave {given}. It may not take the row's missing or infinite values; correct the row."
            )
            raise ScoringError("A row has no prediction", detail)
        return scores


class Pulse:
    """Reports and looks for an abort, now and then however often it is called."""

    def __init__(self, intake: Intake, output: Output, report: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> None:
        self.rows = 0
        self._intake = intake
        self._output = output
        self._report = report
        self._is_cancelled = is_cancelled
        self._bytes_total = intake.path.stat().st_size
        self._next = 0.0

    def beat(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + TICK
        if self._is_cancelled():
            raise Cancelled("The job was aborted", f"It was stopped after {self.rows} rows.")
        self.report()

    def report(self) -> None:
        self._report(Progress(self.rows, self._intake.bytes_read, self._bytes_total, self._output.bytes_written))


def _check_files(job: ScoringJob) -> None:
    if not job.intake.is_file():
        raise ScoringError("The intake does not exist", f"{job.intake} is not a file.")
    if job.output.exists() and job.output.samefile(job.intake):
        raise ScoringError("Intake and output are the same file", f"{job.output} would be emptied before it is read. Choose another output.")


def _workers() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
