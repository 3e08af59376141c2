"""A categorical column as the codes that a model knows its categories by. The rule here: they are those that its library gives to a pandas frame."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Codes = Mapping[str | float, int]


def codes_of(categories: Iterable[Any]) -> Codes:
    return {_spelling(category): code for code, category in enumerate(categories)}


def recoded(column: pa.Array, codes: Codes, unseen: float) -> NDArray[np.float64]:
    """Codes for texts: NaN for a missing one, `unseen` for one that the model was not trained with."""
    encoded = column.dictionary_encode()
    values = [codes.get(text, codes.get(_number(text), unseen)) for text in encoded.dictionary.to_pylist()]
    places: NDArray[np.intp] = encoded.indices.fill_null(len(values)).to_numpy()
    return np.array([*values, math.nan])[places]


def _spelling(category: object) -> str | float:
    """How to find a category: a number by value (`1` is `1.0`), everything else by its text."""
    if isinstance(category, bool):
        return str(category)
    return float(category) if isinstance(category, int | float) else str(category)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
