"""A categorical column as the codes that a model knows its categories by. The rule here: they are those that its library gives to a pandas frame.

A text is met as the trained category is written, and a number by value (`1` is `1.0`); words are booleans as pandas reads them.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reconciler.engine.words import MISSING, TRUTH
from reconciler.errors import ScoringError

Codes = Mapping[str | float, float]

NEW = -1.0  # the code that pandas has for a category that is none of them


def codes_of(categories: Iterable[Any]) -> Codes:
    """Raises ValueError for categories that are neither texts, nor numbers, nor booleans."""
    listed = [category.item() if isinstance(category, np.generic) else category for category in categories]
    missing: dict[str | float, float] = {} if any(isinstance(category, str) for category in listed) else dict.fromkeys(MISSING, math.nan)
    return {**missing, **{spelling: code for code, category in enumerate(listed) for spelling in _spellings(category)}}


def recoded(column: pa.Array, codes: Codes, new: float) -> NDArray[np.float64]:
    """Codes for texts: NaN for a missing one, `new` for one that the model was not trained with."""
    encoded = column.dictionary_encode()
    values = [codes.get(text, codes.get(_number(text), new)) for text in encoded.dictionary.to_pylist()]
    places: NDArray[np.intp] = encoded.indices.fill_null(len(values)).to_numpy()
    return np.array([*values, math.nan])[places]


def refuse_new(name: str, column: pa.Array, codes: NDArray[np.float64]) -> None:
    """Raises ScoringError where a code is NEW.

    XGBoost refuses a category that it was not trained with; 3.2 does so for some only, and scores the others as the next in the alphabet.
    """
    if (new := np.flatnonzero(codes == NEW)).size:
        value = column[int(new[0])].as_py()
        detail = f"{name} is {value!r}, which the model was not trained with, and XGBoost has no prediction for a new category."
        raise ScoringError("A category is unknown to the model", detail)


def _spellings(category: Any) -> tuple[str | float, ...]:
    """How to find a category: a number by value, a boolean by the words for it, a text by itself."""
    if isinstance(category, bool):
        return TRUTH[category]
    if isinstance(category, str | int | float):
        return (category,)
    raise ValueError(f"a category is {category!r}, which is no text, number or boolean")


def _number(text: str) -> float:
    """A whole number exactly, however long; NaN for what pandas would not read as a number."""
    for kind in (int, float) if "_" not in text else ():
        try:
            return kind(text)
        except ValueError:
            continue
    return math.nan
