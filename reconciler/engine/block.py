"""The rows of a piece put together again, scored and failed. The rule here: a row that went in comes out, in its place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reconciler.engine.csv_text import constant
from reconciler.engine.failure import Failure, Fault
from reconciler.engine.intake import Rows
from reconciler.engine.layout import AnyColumn, Passed, Status
from reconciler.engine.models.model import Scores
from reconciler.engine.predictions import Scored

Places = NDArray[np.intp]


@dataclass(frozen=True)
class Block:
    """A part of the output, ready to be written."""

    content: Any
    rows: int
    failures: Sequence[Failure]


@dataclass(frozen=True)
class Part:
    """The scores of some rows of a table, and the cells that explain them; `places` are theirs in the table."""

    places: Places
    scores: Scores
    explanations: Sequence[pa.Array]


def joined(parts: Sequence[Part]) -> Part:
    if not parts:
        return Part(np.arange(0), np.empty(0), ())
    if len(parts) == 1:
        return parts[0]
    cells = [pa.concat_arrays(column) for column in zip(*(part.explanations for part in parts), strict=True)]
    return Part(np.concatenate([part.places for part in parts]), np.concatenate([part.scores for part in parts]), cells)


class Whole:
    """All rows of a piece, those that were scored and those that were not."""

    def __init__(self, rows: Rows, part: Part) -> None:
        self.count = rows.count
        self._rows = rows
        every = np.arange(rows.count)
        self._of_table = np.delete(every, list(rows.faults)) if rows.faults else every
        self._of_scored = self._of_table[part.places]
        self._scored = Scored(taken(rows.table, part.places), part.scores, part.explanations)

    def faults_of_piece(self, faults: dict[int, Fault]) -> dict[int, Fault]:
        """Faults of rows of the table, by the place in the piece, and those of the rows that are not in it."""
        return dict(self._rows.faults) | {int(self._of_table[place]): fault for place, fault in faults.items()}

    def cells(self, column: AnyColumn, failed: dict[int, str]) -> pa.Array:
        """One for each row; `failed` says of a row why it has no prediction."""
        match column:
            case Passed():
                return self._spread(self._rows.table.column(column.source), self._of_table)
            case Status():
                return pa.array([failed.get(place, "OK") for place in range(self.count)]) if failed else constant("OK", self.count)
        if len(self._of_scored) == 0:
            return pa.nulls(self.count, pa.string())
        cells = self._spread(column.cells(self._scored), self._of_scored)
        return _without(cells, failed) if failed else cells

    def _spread(self, cells: pa.Array, places: Places) -> pa.Array:
        if len(places) == self.count:
            return cells
        sources = np.full(self.count, -1)
        sources[places] = np.arange(len(places))
        return cells.take(pa.array(sources, mask=sources < 0))


def taken(rows: pa.RecordBatch, places: Places) -> pa.RecordBatch:
    """These rows; a slice, when they lie side by side."""
    count = len(places)
    if count and places[-1] - places[0] == count - 1:
        return rows.slice(int(places[0]), count)
    return rows.take(pa.array(places))


def _without(cells: pa.Array, failed: dict[int, str]) -> pa.Array:
    is_kept = np.ones(len(cells), np.bool_)
    is_kept[list(failed)] = False
    return pc.if_else(pa.array(is_kept), cells, pa.scalar(None, cells.type))
