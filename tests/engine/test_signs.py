"""Qualitative strengths. The rule here: the borders are DataRobot's published ones, in a table."""

import numpy as np
import pytest

from reconciler.engine.signs import signs


def signs_of(*strengths: float) -> list[str]:
    return [column[0].as_py() for column in signs(np.array([strengths]))]


@pytest.mark.parametrize(
    ("strengths", "expected"),
    [
        pytest.param([5], ["+++"], id="one feature is all there is"),
        pytest.param([-1e-9], ["---"], id="however small"),
        pytest.param([0], ["<-"], id="nothing at all"),
        pytest.param([0.76, -0.24], ["+++", "-"], id="two features"),
        pytest.param([-0.75, 0.25], ["--", "+"], id="two features, on the borders"),
        pytest.param([0.9995, 0.0005], ["+++", "<+"], id="two features, one trivial"),
        pytest.param([-0.74, 0.26], ["--", "++"], id="two features, in the middle"),
        pytest.param([0.51, -0.25, 0.13, 0.11], ["+++", "--", "++", "+"], id="four features"),
        pytest.param([0.5, 0.375, 0.125, 0], ["++", "++", "+", "<-"], id="four features, on the borders"),
        pytest.param([60, -20, 15, -4.9, 0.1], ["+++", "--", "++", "-", "+"], id="five features"),
        pytest.param([0.5, 0.21, -0.2, 0.05, -0.03, 0.0091, -0.0009, 0, 0, 0], ["+++", "+++", "--", "+", "-", "+", "<-", *["<-"] * 3], id="ten"),
        pytest.param([1.0] * 10 + [0.6] * 5, ["++"] * 15, id="only the ten greatest are summed up"),
        pytest.param([0, 0, 0], ["<-", "<-", "<-"], id="nothing in any feature"),
    ],
)
def test_borders(strengths: list[float], expected: list[str]) -> None:
    assert signs_of(*strengths) == expected


def test_rows_are_judged_by_themselves() -> None:
    first, second = signs(np.array([[9.0, 1.0], [0.001, -0.001]]))
    assert first.to_pylist() == ["+++", "++"]
    assert second.to_pylist() == ["+", "--"]
