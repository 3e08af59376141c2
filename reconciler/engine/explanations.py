"""What moved a row's prediction, and how far. The rule here: base value, strengths and remaining total add up to the raw prediction.

Strengths are SHAP values in the model's link space (log odds for a binary objective), as the model's own library gives them.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reconciler.engine.csv_text import number_text
from reconciler.engine.models.model import ExplainingModel, Feature, Scores
from reconciler.errors import Cancelled, ScoringError
from reconciler.options import Options

# Rows of one piece, and of one call of the model. Large models explain some tens of rows a second: an abort shall not wait for more.
ROWS = 256
_SLICE = 16
# From these shares of the sum of all absolute strengths of the row on, an explanation has two signs, and three.
_SHARES = (0.05, 0.2)
_SIGNS = pa.array(["---", "--", "-", "+", "++", "+++"])
_PARTS = ("FEATURE_NAME", "STRENGTH", "ACTUAL_VALUE", "QUALITATIVE_STRENGTH")


def explanation_names(options: Options) -> list[str]:
    """The columns, in order; none if no explanations are asked for."""
    if not options.max_explanations:
        return []
    each = [f"EXPLANATION_{place}_{part}" for place in range(1, options.max_explanations + 1) for part in _PARTS]
    return [*each, "SHAP_BASE_VALUE", "SHAP_REMAINING_TOTAL"]


class Explainer:
    """`columns` are those of the intake that hold the model's features, in the order of the features."""

    def __init__(self, model: ExplainingModel, columns: Sequence[str], options: Options, is_halted: Callable[[], bool]) -> None:
        self._model = model
        self._columns = columns
        self._options = options
        self._is_halted = is_halted
        # Not every model of a library that explains can be explained. This one says so here, before the first row.
        self._explained(_nothing(model.features))

    def cells(self, rows: pa.RecordBatch, features: pa.RecordBatch, scores: Scores) -> list[pa.Array]:
        """The cells of the columns, for every row of the piece; null in the rows that are not to be explained."""
        wanted = _wanted(scores, self._options)
        contributions = self._contributions(features, wanted)
        values = pa.concat_arrays([rows.column(column) for column in self._columns])
        is_wanted = pa.array(wanted)
        return [pc.if_else(is_wanted, cells, pa.scalar(None, pa.string())) for cells in self._all(contributions, values)]

    def _contributions(self, features: pa.RecordBatch, wanted: NDArray[np.bool_]) -> Scores:
        table = np.zeros((features.num_rows, features.num_columns + 1))
        places = np.flatnonzero(wanted)
        for start in range(0, len(places), _SLICE):
            if self._is_halted():
                raise Cancelled("The job was aborted")
            some = places[start : start + _SLICE]
            table[some] = self._explained(features.take(pa.array(some)))
        return table

    def _explained(self, features: pa.RecordBatch) -> Scores:
        table = self._model.contributions(features)
        if not np.isfinite(table).all():
            detail = "It gives contributions that are no numbers; most likely its file lacks the counts of its leaves. Leave max_explanations out."
            raise ScoringError("The model cannot be explained", detail)
        return table

    def _all(self, contributions: Scores, values: pa.Array) -> Iterator[pa.Array]:
        strengths, base = contributions[:, :-1], contributions[:, -1]
        most, features = self._options.max_explanations, strengths.shape[1]
        order = np.argsort(-np.abs(strengths), axis=1, kind="stable")
        ordered = np.take_along_axis(strengths, order, axis=1)
        signs = _signs(ordered)
        for place in range(min(most, features)):
            chosen = order[:, place]
            yield pa.array(self._columns).take(pa.array(chosen))
            yield number_text(ordered[:, place])
            yield values.take(pa.array(chosen * len(chosen) + np.arange(len(chosen))))
            yield _SIGNS.take(pa.array(signs[:, place]))
        yield from [pa.nulls(len(base), pa.string())] * (len(_PARTS) * max(most - features, 0))
        yield number_text(base)
        yield number_text(ordered[:, most:].sum(axis=1))


def _wanted(scores: Scores, options: Options) -> NDArray[np.bool_]:
    """Which rows are to be explained: those beyond a threshold, or all of them without one."""
    low, high = options.threshold_low, options.threshold_high
    if low is None and high is None:
        return np.ones(len(scores), np.bool_)
    return (scores < (-np.inf if low is None else low)) | (scores > (np.inf if high is None else high))


def _signs(strengths: Scores) -> NDArray[np.intp]:
    """For each strength, the place of its signs in _SIGNS."""
    sizes = np.abs(strengths)
    total = sizes.sum(axis=1, keepdims=True)
    more = np.digitize(sizes / np.where(total == 0, 1, total), _SHARES)
    return np.where(strengths < 0, 2 - more, 3 + more)


def _nothing(features: Sequence[Feature]) -> pa.RecordBatch:
    """A row in which every value is missing."""
    return pa.RecordBatch.from_arrays(
        [pa.nulls(1, pa.string() if each.is_text else pa.float64()) for each in features], [each.name for each in features]
    )
