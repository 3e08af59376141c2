"""Which columns a fitted scikit-learn estimator reads as text. The rule here: what it learned from them says so; all others are numbers.

One that it drops may hold anything, so that is taken as text too.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

# Where an estimator that wraps another keeps the fitted one.
_WRAPPED = ("best_estimator_", "regressor_", "_preprocessor", "estimator_")
_TEXT_KINDS = "OUST"


def text_columns(estimator: Any, names: Sequence[str]) -> set[str]:
    """Those of the columns `names`, which are what the estimator is given, in their order."""
    return {names[place] for place in _places(estimator, list(range(len(names))))}


def _places(estimator: Any, columns: Sequence[int]) -> Iterator[int]:
    """The places, among all columns, of those that are text; `columns` are the ones that this estimator is given."""
    if isinstance(estimator, Pipeline):
        first = next((step for _, step in estimator.steps if step is not None and step != "passthrough"), None)
        yield from _places(first, columns)
    elif isinstance(estimator, ColumnTransformer):
        parts = [(part, [columns[int(index)] for index in _indices(estimator, name)]) for name, part, _ in estimator.transformers_]
        for part, given in parts:
            if not isinstance(part, str):
                yield from _places(part, given)
        if hasattr(estimator, "feature_names_in_"):  # of a bare table, every column is a number
            yield from set(columns).difference(*(given for part, given in parts if part != "drop"))
    elif isinstance(estimator, FeatureUnion):
        for _, part in estimator.transformer_list:
            yield from _places(part, columns)
    elif hasattr(estimator, "vocabulary_") or type(estimator).__name__ == "HashingVectorizer":
        yield from columns
    elif isinstance(categories := getattr(estimator, "categories_", None), list) and len(categories) == len(columns):
        yield from (column for column, known in zip(columns, categories, strict=True) if np.asarray(known).dtype.kind in _TEXT_KINDS)
    elif np.asarray(getattr(estimator, "statistics_", 0)).dtype.kind in _TEXT_KINDS:
        yield from columns
    else:
        for attribute in _WRAPPED:
            if (inner := getattr(estimator, attribute, None)) is not None and not isinstance(inner, str):
                yield from _places(inner, columns)
                return


def _indices(estimator: ColumnTransformer, name: str) -> Sequence[int]:
    """The columns of one part, however they were given: by name, place, mask or a function."""
    indices: Sequence[int] = estimator._transformer_to_input_indices[name]
    return indices
