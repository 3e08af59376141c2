"""Pieces of the intake into blocks of the output. The rule here: a row that cannot be scored is a fault, and takes no other row with it."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from reconciler.engine.background import background_rows
from reconciler.engine.block import Block, Part, Places, Whole, joined, taken
from reconciler.engine.dialect import Dialect
from reconciler.engine.explanations import Explainer
from reconciler.engine.failure import Failure, Fault
from reconciler.engine.features import Features
from reconciler.engine.intake import Intake, Piece
from reconciler.engine.job import ScoringJob
from reconciler.engine.layout import Passed, output_columns
from reconciler.engine.metadata import Metadata
from reconciler.engine.models.model import Model
from reconciler.engine.output import Form
from reconciler.engine.outputs import form, partitions
from reconciler.engine.predictions import are_possible
from reconciler.engine.text import texts
from reconciler.errors import Cancelled, ModelError, ScoringError


class Scorer:
    """`block` is called from several threads at once."""

    def __init__(self, metadata: Metadata, model: Model, intake: Intake, job: ScoringJob, is_halted: Callable[[], bool]) -> None:
        self._metadata = metadata
        self._model = model
        self._intake = intake
        self._options = job.options
        self._is_halted = is_halted
        self._features = Features(model.features, intake)
        self._columns = output_columns(metadata, job.options, intake.header, partitions(job.output))
        self._explainer = self._explaining(job, is_halted)
        passed = [column.source for column in self._columns if isinstance(column, Passed)]
        self._read = list(dict.fromkeys([*self._features.columns, *passed]))
        self.form: Form[Any] = form(job.output, self._columns, intake, Dialect.of(job.options.csv_settings))

    def pieces(self) -> Iterator[Piece]:
        size = self._options.chunk_size
        return self._intake.pieces(self._read, self._rows_at_once, size if isinstance(size, int) else None, self._is_halted)

    def block(self, piece: Piece) -> Block:
        rows = piece.read()
        features, faults = self._features.read(rows.table)
        good = np.arange(rows.table.num_rows)
        scored = self._scored(rows.table, features, np.delete(good, list(faults)) if faults else good, faults)
        whole = Whole(rows, scored)
        return self._written(piece, whole, whole.faults_of_piece(faults))

    @property
    def _rows_at_once(self) -> int:
        rows = self._model.rows_at_once
        return min(rows, self._explainer.rows_at_once) if self._explainer else rows

    def _explaining(self, job: ScoringJob, is_halted: Callable[[], bool]) -> Explainer | None:
        if not job.options.max_explanations:
            return None
        background = partial(background_rows, job, self._features.wanted, is_halted)
        return Explainer(self._model, self._metadata, self._features.wanted, self._features.columns, job.options, background, is_halted)

    def _scored(self, table: pa.RecordBatch, features: pa.RecordBatch, good: Places, faults: dict[int, Fault]) -> Part:
        """What the model gives for the good rows; one that it cannot score is a fault more."""
        parts: list[Part] = []
        for start in range(0, len(good), self._rows_at_once):
            some = good[start : start + self._rows_at_once]
            for part in self._predicted(taken(features, some), some, faults):
                parts += self._explained(table, features, part, faults)
        return joined(parts)

    def _predicted(self, features: pa.RecordBatch, places: Places, faults: dict[int, Fault]) -> Iterator[Part]:
        """The rows that can be scored, in parts. When the model fails, each half is tried alone, down to the row that is the cause."""
        if self._is_halted():
            raise Cancelled("The job was aborted")
        try:
            scores = self._model.predict(features)
        except (Cancelled, ModelError):
            raise
        except ScoringError as error:
            fault = _fault(error)
            half = len(places) // 2
            if half == 0 or self._options.disable_row_level_error_handling:
                faults.update(dict.fromkeys(places.tolist(), fault))
            else:
                yield from self._predicted(features.slice(0, half), places[:half], faults)
                yield from self._predicted(features.slice(half), places[half:], faults)
            return
        if len(scores) != len(places):
            detail = f"It gave {len(scores)} predictions for {len(places)} rows; it must give one for each row."
            raise ModelError("The model failed", detail)
        is_possible = are_possible(scores, self._metadata)
        if not is_possible.all():
            faults.update((int(places[row]), _impossible(scores[row])) for row in np.flatnonzero(~is_possible))
            places, scores = places[is_possible], scores[is_possible]
        if len(places):
            yield Part(places, scores, ())

    def _explained(self, table: pa.RecordBatch, features: pa.RecordBatch, part: Part, faults: dict[int, Fault]) -> Iterator[Part]:
        """The rows with their explanations. One that has a prediction and cannot be explained is found by halves too."""
        if self._explainer is None:
            yield part
            return
        columns = self._features.columns
        values = pa.RecordBatch.from_arrays([texts(table.column(column)) for column in columns], columns)
        try:
            cells = self._explainer.cells(taken(values, part.places), taken(features, part.places), part.scores)
        except (Cancelled, ModelError):
            raise
        except ScoringError as error:
            half = len(part.places) // 2
            if not half:
                faults[int(part.places[0])] = _fault(error)
                return
            for some in (slice(0, half), slice(half, None)):
                yield from self._explained(table, features, Part(part.places[some], part.scores[some], ()), faults)
        else:
            yield Part(part.places, part.scores, cells)

    def _written(self, piece: Piece, whole: Whole, faults: dict[int, Fault]) -> Block:
        failures, cells = self._cells(piece, whole, faults)
        try:
            return Block(self.form.block(cells), whole.count, failures)
        except UnicodeEncodeError:
            # A row fails that holds what the encoding cannot write, and is written without it.
            _, unwritable = self.form.cleaned(cells)
        failures, cells = self._cells(piece, whole, unwritable | faults)
        cells, _ = self.form.cleaned(cells)
        return Block(self.form.block(cells), whole.count, failures)

    def _cells(self, piece: Piece, whole: Whole, faults: dict[int, Fault]) -> tuple[list[Failure], list[pa.Array]]:
        failures = self._failures(piece, faults)
        if failures and self._options.disable_row_level_error_handling:
            of_chunk = Fault(f"the row is in a chunk with a row that failed: {failures[0]}")
            faults = dict.fromkeys(range(whole.count), of_chunk) | faults
            failures = self._failures(piece, faults)
        told = {place: self.form.writable(str(failure)) for place, failure in zip(sorted(faults), failures, strict=True)}
        return failures, [whole.cells(column, told) for column in self._columns]

    def _failures(self, piece: Piece, faults: dict[int, Fault]) -> list[Failure]:
        places = sorted(faults)
        located = piece.located(places) if places else []
        pairs = zip(places, located, strict=True)
        return [Failure(self._intake.unit, number, faults[place], text, piece.file) for place, (number, text) in pairs]


def _fault(error: ScoringError) -> Fault:
    return Fault(f"{error.summary}: {error.detail}" if error.detail else error.summary)


def _impossible(scores: Any) -> Fault:
    given = ", ".join(str(score) for score in np.reshape(scores, -1))
    if scores is not None and np.isfinite(scores).all():  # of a text, there is none
        return Fault(f"the model gave {given}, which is no probability")
    return Fault(f"the model gave {given}; it may not take the row's missing or infinite values")
