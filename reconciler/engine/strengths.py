"""How far each feature moved a prediction. The rule here: what is known exactly is not sampled, and what is sampled still adds up.

Every method gives (rows, outputs, features + 1): for each output (the prediction itself, the positive class, each class) the strength of each feature
and last the base value; together they are the prediction, in the method's own space. A row's numbers depend on the row, the model and the background
alone: not on its neighbours, the size of the pieces or the number of threads.

| method | for | space |
|---|---|---|
| Contributions | models whose library computes them (TreeSHAP) | the link's: log odds for a binary objective |
| Terms | models that are sums of one term for each feature | the link's |
| Walks | every other model: also scikit-learn's own trees, for it has no TreeSHAP, and pipelines | the prediction's own: a probability stays one |
| Exemplars | xemp | the prediction's own; no parts that add up |

Sources: Lundberg, Lee, A Unified Approach to Interpreting Model Predictions (2017); for Walks, Strumbelj, Kononenko, Explaining prediction models and
individual predictions (2014), with the antithetic permutations of Mitchell et al., Sampling Permutations for Shapley Value Estimation (2022).
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reconciler.engine.background import Mixtures
from reconciler.engine.models.model import AdditiveModel, ExplainingModel, Scores
from reconciler.errors import ScoringError

Method = Callable[[pa.RecordBatch], Scores]

# Rows of the background that a row is compared with, where each comparison costs predictions.
COMPARED = 32
_SEED = 20_140_512


class Contributions:
    """As the model's own library gives them."""

    def __init__(self, model: ExplainingModel) -> None:
        self._model = model

    def __call__(self, rows: pa.RecordBatch) -> Scores:
        table = self._model.contributions(rows)
        if not np.isfinite(table).all():
            raise ScoringError("A row cannot be explained", "The model's library gives contributions that are no numbers.")
        return table.reshape(rows.num_rows, -1, rows.num_columns + 1)


class Terms:
    """The closed form: a term, less its mean over the background, is the feature's Shapley value."""

    def __init__(self, model: AdditiveModel, background: pa.RecordBatch) -> None:
        self._model = model
        terms = self._terms(background)[:, :, :-1]
        usable = np.isfinite(terms).all(axis=(1, 2))
        if not usable.any():
            raise ScoringError("The model cannot be explained", f"Each of the {len(terms)} rows of the background lacks a value that it needs.")
        self._means: Scores = terms[usable].mean(axis=0)

    def __call__(self, rows: pa.RecordBatch) -> Scores:
        terms = self._terms(rows)
        terms[:, :, :-1] -= self._means
        terms[:, :, -1] += self._means.sum(axis=1)
        return terms

    def _terms(self, rows: pa.RecordBatch) -> Scores:
        return np.array(self._model.terms(rows)).reshape(rows.num_rows, -1, rows.num_columns + 1)


class Walks:
    """Shapley values by walks from each row of the background to the row, one feature at a time.

    There are two walks from each: in a random order of the features, and back to front. The pair makes the result exact, for this background, for
    every model without interactions of three or more features. A walk's steps add up to the way from its beginning to the prediction, so the
    strengths and the base value, the mean prediction of the background, add up to the prediction, however few the walks.

    Costs 2 x COMPARED x (features - 1) + 1 predictions for a row.
    """

    def __init__(self, mixtures: Mixtures, rows_at_once: int) -> None:
        self._mixtures = mixtures
        random = np.random.default_rng(_SEED)
        orders = [random.permutation(mixtures.features) for _ in range(mixtures.size)]
        # (walks, features): at which step of the walk the feature changes.
        self._steps: NDArray[np.intp] = np.argsort([order for forth in orders for order in (forth, forth[::-1])], axis=1)
        self._begin = np.repeat(mixtures.background(), 2, axis=0)
        # Walks of one call of the model, lest very many features fill the memory.
        self._at_once = max(rows_at_once // mixtures.features, 1)

    def __call__(self, rows: pa.RecordBatch) -> Scores:
        return np.stack([self._of(rows.slice(index, 1)) for index in range(rows.num_rows)])

    def _of(self, row: pa.RecordBatch) -> Scores:
        """(outputs, features + 1)"""
        features, walks = self._mixtures.features, len(self._steps)
        end = self._mixtures.predictions(row, np.full((1, features), self._mixtures.size))
        total = np.zeros((features, end.shape[1]))
        for first in range(0, walks, self._at_once):
            total += self._moves(row, np.arange(first, min(first + self._at_once, walks)), end)
        return np.vstack([total / walks, self._begin.mean(axis=0)]).T

    def _moves(self, row: pa.RecordBatch, walks: NDArray[np.intp], end: Scores) -> Scores:
        """(features, outputs): by how much each feature moved the prediction, over these walks."""
        steps = self._steps[walks]
        features, outputs = steps.shape[1], end.shape[1]
        is_taken = steps[:, None, :] < np.arange(1, features)[:, None]
        sources = np.where(is_taken, self._mixtures.size, (walks // 2)[:, None, None]).reshape(-1, features)
        between = self._mixtures.predictions(row, sources).reshape(len(walks), features - 1, outputs)
        path = np.concatenate([self._begin[walks][:, None], between, np.broadcast_to(end, (len(walks), 1, outputs))], axis=1)
        moved: Scores = np.take_along_axis(np.diff(path, axis=1), steps[:, :, None], axis=1).sum(axis=0)
        return moved


class Exemplars:
    """An approximation of XEMP, eXemplar-based Explanations of Model Predictions, from what DataRobot publishes of it.

    Published: a feature's strength is its partial dependence at the row's value, less the weighted average of its partial dependence over its values;
    one feature at a time, so strengths do not add up to the prediction. Not published: how the exemplars are chosen. Here they are COMPARED rows of
    the background, each with the same weight, for all features (the platform: those of the 50 with the greatest impact).

    Costs COMPARED x features predictions for a row, and once COMPARED times as many.
    """

    def __init__(self, mixtures: Mixtures, rows_at_once: int, background: pa.RecordBatch) -> None:
        self._mixtures = mixtures
        self._at_once = max(rows_at_once // mixtures.size, 1)
        self._base = mixtures.background().mean(axis=0)
        # Any row will do: none of its values is taken.
        exemplars = [self._dependence(background.slice(0, 1), source) for source in range(mixtures.size)]
        self._usual: Scores = np.mean(exemplars, axis=0)

    def __call__(self, rows: pa.RecordBatch) -> Scores:
        found = [self._dependence(rows.slice(index, 1), self._mixtures.size) - self._usual for index in range(rows.num_rows)]
        return np.stack([np.vstack([strengths, self._base]).T for strengths in found])

    def _dependence(self, row: pa.RecordBatch, source: int) -> Scores:
        """(features, outputs): the mean prediction of the exemplars with one feature's value taken from `source`, for each feature."""
        size, features = self._mixtures.size, self._mixtures.features
        means: list[Scores] = []
        for first in range(0, features, self._at_once):
            some = np.arange(first, min(first + self._at_once, features))
            sources = np.tile(np.arange(size)[:, None], (len(some), 1, features))
            sources[np.arange(len(some)), :, some] = source
            means.append(self._mixtures.predictions(row, sources.reshape(-1, features)).reshape(len(some), size, -1).mean(axis=1))
        return np.concatenate(means)
