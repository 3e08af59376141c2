"""The seam between pipeline and model. The rule here: a model asks for its features by name and never sees where rows come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Numbers, always float64, but for text generation.
Scores = NDArray[Any]


@dataclass(frozen=True)
class Feature:
    """A column that a model reads: float64 with null for a missing value, or the text as it stands if `is_text`."""

    name: str
    is_text: bool = False


class Model(Protocol):
    @property
    def features(self) -> tuple[Feature, ...]:
        """What the model reads; none where it does not say, which is every column of the intake, as text."""

    @property
    def rows_at_once(self) -> int:
        """How many rows to give to one `predict`: always the same for a model, so that its scores cannot depend on the machine."""

    def predict(self, rows: pa.RecordBatch) -> Scores:
        """(n,) for regression, anomaly (the higher, the stranger) and binary, where it is P(positive).

        (n, k) probabilities for multiclass, multilabel and clustering, in the order of the metadata's labels; (n,) texts for text generation.

        `rows` has exactly `features`, in their order. Called from several threads at once.
        """


@runtime_checkable
class ExplainingModel(Model, Protocol):
    def contributions(self, rows: pa.RecordBatch) -> Scores:
        """What each feature adds to the raw prediction, in link space, and last the base value that it is added to.

        (n, features + 1); (n, classes, features + 1) for several classes, in the order of the metadata's labels. ScoringError or values that are not
        finite for a row of nulls say that this one model cannot be explained so.
        """


@runtime_checkable
class AdditiveModel(Model, Protocol):
    def terms(self, rows: pa.RecordBatch) -> Scores:
        """The raw prediction, in link space, as a sum with one term for each feature, which depends on that feature alone, and last the constant.

        Shapes as of `ExplainingModel.contributions`. For a linear model: coefficient times value, and the intercept.
        """


def linear_terms(table: Scores, coefficients: Scores, constants: Scores) -> Scores:
    """`AdditiveModel.terms` of a linear model: `table` is (n, features), `coefficients` (outputs, features), `constants` (outputs,)."""
    last = np.broadcast_to(constants[:, None], (len(table), len(constants), 1))
    terms: Scores = np.concatenate([table[:, None, :] * coefficients, last], axis=2)
    return terms if len(constants) > 1 else terms[:, 0]


def matrix(rows: pa.RecordBatch, dtype: type[np.floating[Any]], recoded: Mapping[str, NDArray[Any]] | None = None) -> NDArray[Any]:
    """One row of numbers for each row, NaN where a value is missing; a column in `recoded` takes its place."""
    filled = np.empty((rows.num_rows, rows.num_columns), dtype)
    with np.errstate(over="ignore"):  # beyond float32 is infinity, as for every reader of float32
        for index, name in enumerate(rows.schema.names):
            column = (recoded or {}).get(name)
            filled[:, index] = rows.column(index).to_numpy(zero_copy_only=False) if column is None else column
    return filled
