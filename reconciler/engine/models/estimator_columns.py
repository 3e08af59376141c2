"""What the columns of an estimator's frame are made as. The rule here: what each of its parts learned from them says so; all others are numbers.

LightGBM's, XGBoost's and scikit-learn's own parts keep the categories that they were trained with; CatBoost's keep which columns are categories.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.estimator_parts import Behind, Columns, parts, read
from reconciler.engine.models.frame import Categories, Column, Objects
from reconciler.engine.models.labels import unfit
from reconciler.errors import ModelError

# What a transformer is tried with.
_NUMBERS = (0.0, *(sign * size for sign in (-1.0, 1.0) for size in (0.5, 1, 2, 5, 10, 30, 100, 1000, 1e5)))
_OTHERS = ("\0", math.nan, 1.0)


def columns_of(metadata: Metadata, estimator: Any, names: Sequence[str]) -> dict[str, Column]:
    """Of the columns `names`, which are what the estimator is given, in their order; but not of those that are plain numbers. Raises ModelError."""
    texts = {name: Objects() for name, kind in metadata.column_types.items() if kind == "string" and name in names}
    found: dict[str, Column] = {}
    for part, given in parts(estimator, range(len(names))):
        for place, column in _learned(metadata, part, given):
            if isinstance(place, int):
                found[names[place]] = _both(metadata, names[place], found.get(names[place]), column)
            elif isinstance(place, Behind) and _is_text(metadata, place, column, names):
                of_texts = tuple(text for text in column.known if isinstance(text, str))
                texts[names[place.places[place.index]]] = Objects(known=of_texts, refuses_new=column.refuses_new)
    known = read(estimator, range(len(names)))
    unread = {name: Objects() for place, name in enumerate(names) if place not in known}  # whatever stands there is no fault
    return {**unread, **texts, **found}


def _is_text(metadata: Metadata, behind: Behind, column: Column, names: Sequence[str]) -> bool:
    """Whether what a transformer of the user's own is given is text. It is tried: texts that it hands on as they are were texts before."""
    name, texts = names[behind.places[behind.index]], [text for text in column.known if isinstance(text, str)]
    if name in metadata.column_types:
        return metadata.column_types[name] == "string" and bool(texts)
    if not texts:
        return column.is_text and not len(column.known)  # of which nothing is known but that they are texts
    if any(_made(behind, texts, other, names) == texts for other in _OTHERS):
        return True
    if any(not set(texts).isdisjoint(map(str, _made(behind, _NUMBERS, other, names))) for other in _OTHERS):
        return False
    why = f"it was trained on texts such as {texts[0]!r}, which {type(behind.step).__name__} made of {name}"
    raise unfit(metadata, f"{why}, and it cannot be told whether of texts or of numbers; save it with MLflow and a signature, which says so")


def _made(behind: Behind, values: Sequence[Any], other: Any, names: Sequence[str]) -> list[Any]:
    """What the transformer makes of these values, where there are others in all other columns; nothing where it fails."""
    given = {names[place]: values if index == behind.index else [other] * len(values) for index, place in enumerate(behind.places)}
    try:
        answer = np.asarray(behind.step.transform(pd.DataFrame(given)), object)
    except Exception:  # a transformer may raise what it likes
        return []
    answer = answer.reshape(len(answer), -1)
    return answer[:, behind.index].tolist() if len(answer) == len(values) and answer.shape[1] > behind.index else []


def library(estimator: Any) -> str:
    """By whose class the estimator learned, of those that are not scikit-learn's: `lightgbm.LGBMModel`; empty for all others."""
    bases = (f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in type(estimator).__mro__)
    return next((base for base in bases if base in _LIBRARIES), "")


def _both(metadata: Metadata, name: str, one: Column | None, other: Column) -> Column:
    """What suits both parts that a column is given to."""
    if not isinstance(one, Categories):
        return other if one is None or isinstance(other, Categories) or not one.is_text else one
    if not isinstance(other, Categories):
        return one
    if list(one.known) != list(other.known):
        raise unfit(metadata, f"its parts were trained with different categories of {name}; train them on one frame")
    return other if other.refuses_new else one


def _learned(metadata: Metadata, part: Any, given: Columns) -> Iterator[tuple[int | Behind | None, Column]]:
    """What the part knows of the columns that it is given."""
    if given and (learned := _LIBRARIES.get(library(part))) and _is_fitted(part):
        try:
            found = list(learned(metadata, part))
        except ModelError:
            if any(isinstance(place, int) for place in given):
                raise
            found = []  # it was made on the way, and what of is another question
        yield from ((given[place], column) for place, column in found if place < len(given))
    elif hasattr(part, "vocabulary_") or type(part).__name__ == "HashingVectorizer":
        yield from ((place, Objects()) for place in given)
    elif isinstance(known := getattr(part, "categories_", None), list) and len(known) == len(given):
        yield from _of_values(metadata, given, known)
    elif isinstance(filled := getattr(part, "statistics_", None), np.ndarray) and filled.dtype.kind in "OUST" and len(filled) == len(given):
        yield from _of_values(metadata, given, filled.reshape(-1, 1))


def _is_fitted(part: Any) -> bool:
    return bool(part.is_fitted() if hasattr(part, "is_fitted") else part.__sklearn_is_fitted__())


def _of_values(metadata: Metadata, given: Columns, known: Iterable[Any]) -> Iterator[tuple[int | Behind | None, Column]]:
    for place, values in zip(given, known, strict=True):
        array = np.asarray(values)
        listed = list(array) if array.dtype.kind in "mM" else array.tolist()
        stranger = next((value for value in listed if not isinstance(value, str | bool | int | float | None)), None)
        if stranger is not None and isinstance(place, int):
            raise unfit(metadata, f"it was trained with categories such as {stranger!r}, and the engine reads texts, numbers and booleans")
        if stranger is None and (column := _of_type(array, listed)):
            yield place, column


def _of_type(values: Any, listed: list[Any]) -> Column | None:
    """A column that held these values; None for one of plain numbers."""
    missing = None if None in listed and not any(isinstance(value, float) and math.isnan(value) for value in listed) else math.nan
    if any(isinstance(value, str) for value in listed):
        return Objects(missing, known=tuple(value for value in listed if isinstance(value, str)))
    return Objects(missing, is_text=False) if values.dtype.kind == "O" else None


def _of_lightgbm(metadata: Metadata, part: Any) -> Iterator[tuple[int, Column]]:
    from reconciler.engine.models.lightgbm_model import categories_of

    booster = part.booster_
    names = booster.feature_name()
    for name, values in categories_of(metadata, booster).items():
        yield names.index(name), Categories(pd.Index(values))


def _of_xgboost(metadata: Metadata, part: Any) -> Iterator[tuple[int, Column]]:
    from reconciler.engine.models.xgboost_model import categories_of

    booster = part.get_booster()
    names = booster.feature_names
    for name, values in categories_of(booster).items():
        # The library wants them to be of the very type that they had.
        index = pd.Index(values.to_numpy(zero_copy_only=False))
        yield names.index(name), Categories(index, refuses_new=True)


def _of_catboost(metadata: Metadata, part: Any) -> Iterator[tuple[int, Column]]:
    from reconciler.engine.models.catboost_model import DIGITS, truths_of

    if part.get_embedding_feature_indices():
        raise unfit(metadata, "it has embedding features, which are no columns of a table")
    truths = truths_of(part)
    # As for models in CatBoost's own format; its frames may not hold a missing category or text.
    yield from ((place, Objects("")) for place in part.get_text_feature_indices())
    yield from ((place, Objects("", words=DIGITS if place in truths else {})) for place in part.get_cat_feature_indices())


_LIBRARIES: Mapping[str, Callable[[Metadata, Any], Iterator[tuple[int, Column]]]] = {
    "lightgbm.LGBMModel": _of_lightgbm,
    "xgboost.XGBModel": _of_xgboost,
    "catboost.CatBoost": _of_catboost,
}
