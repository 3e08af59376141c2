"""Strengths. The rule here: what the methods give is compared with the definition, counted out over every set of features."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reconciler.engine.background import Mixtures
from reconciler.engine.models.model import Feature, matrix
from reconciler.engine.strengths import COMPARED, Exemplars, Terms, Walks
from reconciler.errors import Cancelled, ScoringError

Table = NDArray[np.float64]
Function = Callable[[Table], Table]


@dataclass
class Formula:
    """A model that is a function of its rows; it counts them."""

    function: Function
    width: int
    rows_at_once: int = 50
    asked: int = 0

    @property
    def features(self) -> tuple[Feature, ...]:
        return tuple(Feature(f"f{index}") for index in range(self.width))

    def predict(self, rows: pa.RecordBatch) -> Table:
        assert 0 < rows.num_rows <= self.rows_at_once
        self.asked += rows.num_rows
        return self.function(matrix(rows, np.float64))


def rows_of(values: Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(column) for column in values.T], names=[f"f{index}" for index in range(values.shape[1])])


def random_rows(rows: int, width: int, seed: int = 0) -> Table:
    return np.random.default_rng(seed).normal(size=(rows, width))


def walks(function: Function, background: Table, size: int = COMPARED, **model: int) -> Walks:
    formula = Formula(function, background.shape[1], **model)
    return Walks(Mixtures(formula, rows_of(background), size, lambda: False), formula.rows_at_once)


def value_of(function: Function, row: Table, background: Table, known: tuple[int, ...]) -> Table:
    """The mean prediction of the background with the known features taken from the row."""
    mixed = background.copy()
    mixed[:, known] = row[list(known)]
    return function(mixed).reshape(len(background), -1).mean(axis=0)


def shapley(function: Function, row: Table, background: Table) -> Table:
    """(outputs, features), by the definition."""
    width = len(row)
    found = []
    for feature in range(width):
        others = [other for other in range(width) if other != feature]
        total = 0.0
        for count in range(width):
            weight = math.factorial(count) * math.factorial(width - count - 1) / math.factorial(width)
            for known in itertools.combinations(others, count):
                total = total + weight * (value_of(function, row, background, (*known, feature)) - value_of(function, row, background, known))
        found.append(total)
    return np.array(found).T


def tangled(values: Table) -> Table:
    """Interactions of up to five features."""
    a, b, c, d, e = values.T
    result: Table = a * b * c + np.sin(d * e * a) + np.where(b > 0, c * d, e) + 3 * a
    return result


def paired(values: Table) -> Table:
    """Interactions of two features at the most, and of two outputs."""
    a, b, c, d = values.T
    return np.column_stack([a * b + np.exp(c / 3) - d * a, np.maximum(a, c) + 2 * d])


def test_walks_come_near_to_the_definition_as_they_become_many() -> None:
    background, rows = random_rows(4, 5), random_rows(10, 5, seed=9)
    exact = np.stack([shapley(tangled, row, background) for row in rows])
    errors = {}
    for times in (1, 8, 64, 512):
        found = walks(tangled, np.tile(background, (times, 1)), size=4 * times, rows_at_once=500)(rows_of(rows))
        errors[times] = np.abs(found[:, :, :-1] - exact).mean()
    assert errors[512] < 0.02 * np.abs(exact).mean()
    assert errors[512] < errors[8] / 2 < errors[1] / 4


def test_walks_are_exact_where_only_pairs_of_features_interact() -> None:
    background, rows = random_rows(12, 4), random_rows(6, 4, seed=3)
    found = walks(paired, background)(rows_of(rows))
    assert found.shape == (6, 2, 5)
    for strengths, row in zip(found[:, :, :-1], rows, strict=True):
        assert strengths == pytest.approx(shapley(paired, row, background), abs=1e-12)
    assert found[:, :, -1] == pytest.approx(np.tile(paired(background).mean(axis=0), (6, 1)), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 7),
    size=st.integers(1, 9),
    at_once=st.integers(1, 60),
    seed=st.integers(0, 2**32 - 1),
    power=st.sampled_from([0.5, 1, 3]),
)
def test_strengths_and_base_value_add_up_to_the_prediction(width: int, size: int, at_once: int, seed: int, power: float) -> None:
    def function(values: Table) -> Table:
        mixed = values @ np.random.default_rng(seed).normal(size=(width, 3))
        result: Table = np.tanh(mixed) * np.abs(mixed[:, ::-1]) ** power
        return result

    background, rows = random_rows(size, width, seed), random_rows(3, width, seed + 1)
    found = walks(function, background, rows_at_once=at_once)(rows_of(rows))
    assert found.sum(axis=2) == pytest.approx(function(rows), abs=1e-9, rel=1e-9)


@pytest.mark.parametrize("method", ["walks", "exemplars"])
def test_a_row_is_explained_alike_whatever_its_neighbours(method: str) -> None:
    background, rows = random_rows(200, 5), random_rows(20, 5, seed=2)
    mixtures = Mixtures(Formula(tangled, 5), rows_of(background), COMPARED, lambda: False)
    explain = Walks(mixtures, 50) if method == "walks" else Exemplars(mixtures, 50, rows_of(background))
    whole = explain(rows_of(rows))
    for size in (1, 3, 7):
        parts = [explain(rows_of(rows[start : start + size])) for start in range(0, 20, size)]
        assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(explain(rows_of(rows[::-1])), whole[::-1])


def test_walks_cost_what_is_said() -> None:
    formula = Formula(tangled, 5)
    explain = Walks(Mixtures(formula, rows_of(random_rows(200, 5)), COMPARED, lambda: False), 50)
    formula.asked = 0
    explain(rows_of(random_rows(3, 5)))
    assert formula.asked == 3 * (2 * COMPARED * 4 + 1)


def test_exemplars_are_partial_dependence_less_the_usual() -> None:
    background, rows = random_rows(10, 4), random_rows(5, 4, seed=3)
    formula = Formula(paired, 4)
    found = Exemplars(Mixtures(formula, rows_of(background), 10, lambda: False), 50, rows_of(background))(rows_of(rows))
    for strengths, row in zip(found, rows, strict=True):
        for feature in range(4):
            usual = np.mean([value_of(paired, other, background, (feature,)) for other in background], axis=0)
            assert strengths[:, feature] == pytest.approx(value_of(paired, row, background, (feature,)) - usual, abs=1e-12)
    assert found[:, :, -1] == pytest.approx(np.tile(paired(background).mean(axis=0), (5, 1)))


def test_exemplars_of_a_sum_are_its_terms_and_shapley_values_too() -> None:
    weights = np.array([1.0, -2.0, 0.5])
    background, rows = random_rows(COMPARED, 3), random_rows(4, 3, seed=8)
    expected = (rows - background.mean(axis=0)) * weights
    formula = Formula(lambda values: values @ weights, 3)
    mixtures = Mixtures(formula, rows_of(background), COMPARED, lambda: False)
    for method in (Exemplars(mixtures, 50, rows_of(background)), Walks(mixtures, 50)):
        assert method(rows_of(rows))[:, 0, :-1] == pytest.approx(expected, abs=1e-12)


@dataclass
class Sum(Formula):
    """The same as terms; it needs every value."""

    def terms(self, rows: pa.RecordBatch) -> Table:
        values = matrix(rows, np.float64)
        squares = np.column_stack([values**2, np.full(len(values), 3.0)])
        return np.stack([squares, -squares], axis=1)


def test_terms_less_their_means_are_shapley_values() -> None:
    background, rows = random_rows(30, 3), random_rows(4, 3, seed=8)
    model = Sum(lambda values: np.stack([(values**2).sum(axis=1) + 3, -(values**2).sum(axis=1) - 3], axis=1), 3)
    found = Terms(model, rows_of(np.vstack([background, [np.nan, 1, 1]])))(rows_of(rows))
    for strengths, row in zip(found[:, :, :-1], rows, strict=True):
        assert strengths == pytest.approx(shapley(model.function, row, background), abs=1e-12)
    assert found.sum(axis=2) == pytest.approx(model.function(rows))


def test_rows_without_a_prediction_are_no_background() -> None:
    background = np.array([[1.0, 2.0], [np.nan, 2.0], [3.0, np.nan], [5.0, 6.0]])
    mixtures = Mixtures(Formula(lambda values: values.sum(axis=1), 2), rows_of(background), 10, lambda: False)
    assert mixtures.background()[:, 0].tolist() == [3.0, 11.0]
    with pytest.raises(ScoringError, match="cannot be explained") as caught:
        Mixtures(Formula(lambda values: values[:, 0] * np.nan, 2), rows_of(background), 10, lambda: False)
    assert "none of the 4 rows" in caught.value.detail
    with pytest.raises(ScoringError, match="cannot be explained"):
        Terms(Sum(lambda values: values[:, 0], 2), rows_of(background[1:3]))


def test_the_background_is_drawn_alike_each_time() -> None:
    background = rows_of(random_rows(500, 2))
    drawn = [Mixtures(Formula(lambda values: values[:, 0], 2), background, 16, lambda: False).background() for _ in range(2)]
    assert np.array_equal(*drawn)
    assert len(set(drawn[0][:, 0])) == 16


def test_a_mixture_without_a_prediction_is_an_error() -> None:
    def function(values: Table) -> Table:
        return np.where(np.abs(values[:, 0] - values[:, 1]) < 1, values[:, 0], np.nan)

    explain = walks(function, np.array([[1.0, 1.0], [5.0, 5.0]]))
    with pytest.raises(ScoringError, match="A row cannot be explained") as caught:
        explain(rows_of(np.array([[9.0, 9.0]])))
    assert "background.csv" in caught.value.detail


def test_a_stop_is_heeded_between_two_calls_of_the_model() -> None:
    formula = Formula(tangled, 5)
    stop_after = math.inf
    mixtures = Mixtures(formula, rows_of(random_rows(200, 5)), COMPARED, lambda: formula.asked >= stop_after)
    explain = Walks(mixtures, 50)
    stop_after = formula.asked + 120
    with pytest.raises(Cancelled):
        explain(rows_of(random_rows(50, 5)))
    assert formula.asked < stop_after + 50
    with pytest.raises(Cancelled):
        Exemplars(mixtures, 50, rows_of(random_rows(1, 5)))
