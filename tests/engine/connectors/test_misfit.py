"""Which value of a column does not fit."""

from collections.abc import Sequence

import pyarrow as pa
import pytest

from reconciler.engine.connectors.misfit import misfit


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["x"], (0, "x")),
        (["1", "2", "x"], (2, "x")),
        (["x", "2", "y"], (0, "x")),
        (["1", None, "3", "x", "5", "y", "7"], (3, "x")),
        ([*map(str, range(1000)), "x", *map(str, range(1000))], (1000, "x")),
    ],
    ids=["alone", "last", "first", "in-the-middle", "among-many"],
)
def test_the_first_value_that_does_not_fit_is_found(values: Sequence[str | None], found: tuple[int, str]) -> None:
    assert misfit(pa.array(values, pa.string()), lambda some: some.cast(pa.int64())) == found


def test_a_type_that_fits_nowhere_is_found_without_values_too() -> None:
    assert misfit(pa.array([], pa.list_(pa.int64())), lambda some: some.cast(pa.int64())) == (0, None)
