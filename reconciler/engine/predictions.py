"""The prediction columns of the scored file. The rule here: names, order and meaning are those of the API's output schema."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reconciler.engine.csv_text import constant, number_text
from reconciler.engine.metadata import Metadata
from reconciler.engine.models.model import Scores
from reconciler.options import Options

# float32 models leave the unit interval by a rounding error.
_ROUNDING = 1e-6
_OF_PROBABILITIES = frozenset({"Binary", "Multiclass", "Multilabel", "Clustering"})
_TRUTH = pa.array(["False", "True"])


@dataclass(frozen=True)
class Scored:
    """Rows of the intake and what the model gave for them; `explanations` are cells as the explainer has them, column by column."""

    rows: pa.RecordBatch
    scores: Scores
    explanations: Sequence[pa.Array] = ()


@dataclass(frozen=True)
class Column:
    """A column of the output: its name and how its cells are made."""

    name: str
    cells: Callable[[Scored], pa.Array]
    is_number: bool = False  # its cells are texts of doubles


def prediction_columns(metadata: Metadata, options: Options) -> list[Column]:
    return _COLUMNS[metadata.target_type](metadata, options)


def are_possible(scores: Scores, metadata: Metadata) -> NDArray[np.bool_]:
    """For each row, whether its scores are a prediction: finite, and probabilities where these are due."""
    table = scores.reshape(len(scores), -1)
    possible = np.isfinite(table) if metadata.target_type != "TextGeneration" else table != None  # noqa: E711 - of each
    if metadata.target_type in _OF_PROBABILITIES:
        possible &= (table >= -_ROUNDING) & (table <= 1 + _ROUNDING)
    return np.asarray(possible.all(axis=1))


def _regression(metadata: Metadata, options: Options) -> list[Column]:
    predictions = Column(f"{metadata.target_name}_PREDICTION", lambda scored: number_text(scored.scores), is_number=True)
    return [predictions, *([_warning(metadata)] if options.prediction_warning_enabled else [])]


def _binary(metadata: Metadata, options: Options) -> list[Column]:
    threshold = metadata.prediction_threshold if options.prediction_threshold is None else options.prediction_threshold
    probabilities = {
        metadata.positive_label: lambda scored: number_text(scored.scores),
        metadata.negative_label: lambda scored: number_text(1 - scored.scores),
    }
    return [
        *_class_columns(metadata, options, probabilities),
        Column(f"{metadata.target_name}_PREDICTION", lambda scored: _labels(metadata, np.where(scored.scores >= threshold, 0, 1))),
        _threshold_column("THRESHOLD", threshold),
        Column("POSITIVE_CLASS", lambda scored: constant(metadata.positive_label, scored.rows.num_rows)),
    ]


def _multiclass(metadata: Metadata, options: Options) -> list[Column]:
    probabilities = {label: _probability_of(index) for index, label in enumerate(metadata.class_labels)}
    return [
        *_class_columns(metadata, options, probabilities),
        Column(f"{metadata.target_name}_PREDICTION", lambda scored: _labels(metadata, scored.scores.argmax(axis=1))),
    ]


def _multilabel(metadata: Metadata, options: Options) -> list[Column]:
    """A row may have several labels or none: each has its own probability, threshold and decision."""
    threshold = metadata.prediction_threshold
    columns = []
    for place in _wanted_places(metadata, options):
        name = f"{metadata.target_name}_{metadata.class_labels[place]}"
        columns += [Column(f"{name}_PROBABILITY", _probability_of(place), is_number=True)] if options.include_probabilities else []
        columns += [_threshold_column(f"{name}_THRESHOLD", threshold), Column(f"{name}_DECISION", _decision_on(place, threshold))]
    return columns


def _clustering(metadata: Metadata, options: Options) -> list[Column]:
    places = _wanted_places(metadata, options) if options.include_probabilities else []
    return [
        *(Column(f"{metadata.class_labels[place]}_PREDICTION", _probability_of(place), is_number=True) for place in places),
        Column("PREDICTION", lambda scored: _labels(metadata, scored.scores.argmax(axis=1))),
    ]


def _anomaly(metadata: Metadata, options: Options) -> list[Column]:
    return [Column("ANOMALY_SCORE", lambda scored: number_text(scored.scores), is_number=True)]


def _text_generation(metadata: Metadata, options: Options) -> list[Column]:
    return [Column(f"{metadata.target_name}_PREDICTION", lambda scored: pa.array(scored.scores, pa.string()))]


_COLUMNS: dict[str, Callable[[Metadata, Options], list[Column]]] = {
    "Regression": _regression,
    "Binary": _binary,
    "Multiclass": _multiclass,
    "Multilabel": _multilabel,
    "Clustering": _clustering,
    "Anomaly": _anomaly,
    "TextGeneration": _text_generation,
}


def _probability_of(index: int) -> Callable[[Scored], pa.Array]:
    return lambda scored: number_text(scored.scores[:, index])


def _decision_on(index: int, threshold: float) -> Callable[[Scored], pa.Array]:
    return lambda scored: pa.array(np.where(scored.scores[:, index] >= threshold, "True", "False"))


def _class_columns(metadata: Metadata, options: Options, probabilities: dict[str, Callable[[Scored], pa.Array]]) -> list[Column]:
    wanted = [metadata.class_labels[place] for place in _wanted_places(metadata, options)]
    if not options.include_probabilities:
        return []
    return [Column(f"{metadata.target_name}_{label}_PREDICTION", cells, is_number=True) for label, cells in probabilities.items() if label in wanted]


def _warning(metadata: Metadata) -> Column:
    """Whether a prediction lies outside of the limits that the metadata give."""
    low, high = metadata.outlier_limits or (-np.inf, np.inf)
    return Column("IS_OUTLIER_PREDICTION", lambda scored: _TRUTH.take(pa.array(((scored.scores < low) | (scored.scores > high)).astype(np.intp))))


def _wanted_places(metadata: Metadata, options: Options) -> list[int]:
    """The places of the classes that are to be shown, in the metadata's order."""
    wanted = options.include_probabilities_classes or metadata.class_labels
    return [place for place, label in enumerate(metadata.class_labels) if label in wanted]


def _labels(metadata: Metadata, indices: NDArray[np.intp]) -> pa.Array:
    return pa.array(metadata.class_labels).take(pa.array(indices))


def _threshold_column(name: str, threshold: float) -> Column:
    text = number_text(np.array([threshold]))[0].as_py()
    return Column(name, lambda scored: constant(text, scored.rows.num_rows), is_number=True)
