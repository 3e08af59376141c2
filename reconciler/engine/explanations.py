"""What moved a row's prediction, and how far, as columns. The rule here: base value, strengths and remaining total add up to the prediction.

A prediction has one explanation; of a multiclass model's, each class that is asked for has one of its own.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reconciler.engine.background import Mixtures, nothing
from reconciler.engine.capability import BY_CLASS
from reconciler.engine.csv_text import number_text
from reconciler.engine.metadata import Metadata
from reconciler.engine.models.model import AdditiveModel, ExplainingModel, Feature, Model, Scores
from reconciler.engine.ngrams import Column, Ngrams, Places
from reconciler.engine.signs import signs
from reconciler.engine.strengths import COMPARED, Contributions, Exemplars, Method, Terms, Walks
from reconciler.errors import Cancelled, ScoringError
from reconciler.options import Options

# Rows of one call of the method. Large models explain some tens of rows a second: an abort shall not wait for more.
_SLICE = 16
_PARTS = ("FEATURE_NAME", "STRENGTH", "ACTUAL_VALUE", "QUALITATIVE_STRENGTH")
# What the platform calls the column is not published; this is the name that the official client gives it in its own files.
_NGRAMS = "PER_NGRAM_TEXT_EXPLANATIONS"
_SUMS = ("SHAP_BASE_VALUE", "SHAP_REMAINING_TOTAL")


def explanation_names(metadata: Metadata, options: Options) -> list[str]:
    """The columns, in order; none if no explanations are asked for."""
    if not options.max_explanations:
        return []
    each = [f"EXPLANATION_{place}_{part}" for place in range(1, options.max_explanations + 1) for part in _parts(options)]
    each += _SUMS if _adds_up(options) else ()
    if metadata.target_type not in BY_CLASS:
        return each
    return [column for place in range(1, _classes(options) + 1) for column in (f"CLASS_{place}", *(f"CLASS_{place}_{name}" for name in each))]


class Explainer:
    """`columns` are those of the intake that hold `features`, in their order; `background` has exactly these features."""

    def __init__(
        self,
        model: Model,
        metadata: Metadata,
        features: Sequence[Feature],
        columns: Sequence[str],
        options: Options,
        background: Callable[[], pa.RecordBatch],
        is_halted: Callable[[], bool],
    ) -> None:
        self._metadata = metadata
        self._columns = columns
        self._options = options
        self._is_halted = is_halted
        is_sampled, self._prepare = _chosen(model, options, background, is_halted)
        # Rows of one piece: few where they take long, so that progress is seen.
        self.rows_at_once = 64 if is_sampled or options.max_ngram_explanations else 256
        self._ngrams = Ngrams(model, features, metadata, most, is_halted) if (most := options.max_ngram_explanations) else None
        self._prepared: Method | None = None
        self._lock = threading.Lock()

    def cells(self, rows: pa.RecordBatch, features: pa.RecordBatch, scores: Scores) -> list[pa.Array]:
        """The cells of the columns, for every row of the piece; null in the rows that are not to be explained."""
        wanted = _wanted(scores, self._options)
        if not wanted.any():
            return [pa.nulls(rows.num_rows, pa.string())] * len(explanation_names(self._metadata, self._options))
        places = pa.array(np.flatnonzero(wanted))
        explained = features.take(places)
        strengths = self._strengths(explained)
        told = self._ngrams.of(explained) if self._ngrams else None
        values = pa.concat_arrays([rows.column(column).take(places) for column in self._columns])
        if self._metadata.target_type in BY_CLASS:
            cells = self._of_classes(strengths, values, told, scores[wanted])
        else:
            cells = self._of_one(strengths[:, 0], values, told, np.zeros(len(strengths), np.intp))
        if wanted.all():
            return list(cells)
        back = pa.array(np.cumsum(wanted) - 1, mask=~wanted)
        return [each.take(back) for each in cells]

    def _strengths(self, features: pa.RecordBatch) -> Scores:
        found: list[Scores] = []
        for start in range(0, features.num_rows, _SLICE):
            if self._is_halted():
                raise Cancelled("The job was aborted")
            found.append(self._method()(features.slice(start, _SLICE)))
        return np.concatenate(found)

    def _method(self) -> Method:
        # Made by the first row that is to be explained: it may cost many predictions, and only a job under way can be cancelled.
        with self._lock:
            self._prepared = self._prepared or self._prepare()
            return self._prepared

    def _of_classes(self, strengths: Scores, values: pa.Array, told: Column | None, scores: Scores) -> Iterator[pa.Array]:
        labels = pa.array(self._metadata.class_labels)
        explained = self._explained_classes(scores)
        for place in explained.T:
            yield labels.take(pa.array(place))
            yield from self._of_one(np.take_along_axis(strengths, place[:, None, None], axis=1)[:, 0], values, told, place)
        missing = _classes(self._options) - explained.shape[1]
        yield from [pa.nulls(len(scores), pa.string())] * (missing * len(explanation_names(self._metadata, self._options)) // _classes(self._options))

    def _explained_classes(self, scores: Scores) -> NDArray[np.intp]:
        """(rows, classes): those asked for by name, or the most probable ones."""
        if names := self._options.explanation_class_names:
            return np.tile([self._metadata.class_labels.index(name) for name in names], (len(scores), 1))
        return np.argsort(-scores, axis=1, kind="stable")[:, : _classes(self._options)]

    def _of_one(self, contributions: Scores, values: pa.Array, told: Column | None, outputs: Places) -> Iterator[pa.Array]:
        strengths, base = contributions[:, :-1], contributions[:, -1]
        most, features = self._options.max_explanations, strengths.shape[1]
        order = np.argsort(-np.abs(strengths), axis=1, kind="stable")
        ordered = np.take_along_axis(strengths, order, axis=1)
        said = signs(ordered)
        for place in range(min(most, features)):
            chosen = order[:, place]
            yield pa.array(self._columns).take(pa.array(chosen))
            yield number_text(ordered[:, place])
            yield values.take(pa.array(chosen * len(chosen) + np.arange(len(chosen))))
            yield said[place]
            if told is not None:
                yield told(chosen, outputs)
        yield from [pa.nulls(len(base), pa.string())] * (len(_parts(self._options)) * max(most - features, 0))
        if _adds_up(self._options):
            yield number_text(base)
            yield number_text(ordered[:, most:].sum(axis=1))


def _chosen(
    model: Model, options: Options, background: Callable[[], pa.RecordBatch], is_halted: Callable[[], bool]
) -> tuple[bool, Callable[[], Method]]:
    """Whether the method samples, and how to make it. What is wrong with the background's file is found here, before the first row."""
    is_shap = _adds_up(options)
    if is_shap and isinstance(model, ExplainingModel) and _is_explained(model):
        return False, partial(Contributions, model)
    rows = background()
    if is_shap and isinstance(model, AdditiveModel):
        return False, partial(Terms, model, rows)
    if is_shap:
        return True, lambda: Walks(Mixtures(model, rows, COMPARED, is_halted), model.rows_at_once)
    return True, lambda: Exemplars(Mixtures(model, rows, COMPARED, is_halted), model.rows_at_once, rows)


def _is_explained(model: ExplainingModel) -> bool:
    """Not every model of a library that explains can be explained: linear trees cannot, nor can trees without the counts of their leaves."""
    try:
        return bool(np.isfinite(model.contributions(nothing(model.features))).all())
    except ScoringError:
        return False


def _parts(options: Options) -> Sequence[str]:
    return (*_PARTS, _NGRAMS) if options.max_ngram_explanations else _PARTS


def _adds_up(options: Options) -> bool:
    return options.explanation_algorithm != "xemp"


def _classes(options: Options) -> int:
    """How many classes of a row are explained: the predicted one, unless others are asked for."""
    return len(options.explanation_class_names or ()) or options.explanation_num_top_classes or 1


def _wanted(scores: Scores, options: Options) -> NDArray[np.bool_]:
    """Which rows are to be explained: those beyond a threshold, or all of them without one. One of several classes goes by the most probable."""
    low, high = options.threshold_low, options.threshold_high
    if low is None and high is None:
        return np.ones(len(scores), np.bool_)
    predicted = scores.max(axis=1) if scores.ndim == 2 else scores
    return (predicted < (-np.inf if low is None else low)) | (predicted > (np.inf if high is None else high))
