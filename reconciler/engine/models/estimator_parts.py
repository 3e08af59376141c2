"""What a fitted scikit-learn estimator is made of. The rule here: for each part, which of the columns it is given are the intake's own, unchanged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer

# Where an estimator that wraps others keeps the fitted ones: several, or one.
_SEVERAL = ("estimators_", "calibrated_classifiers_")
_ONE = ("best_estimator_", "regressor_", "_preprocessor", "estimator_")
# These are given a fitted one; what others have under that name is what they were to fit.
_FITTED = {"FrozenEstimator": "estimator", "_CalibratedClassifier": "estimator"}


@dataclass(frozen=True)
class Behind:
    """What may be a column of the intake behind a transformer of the user's own, which is given those at `places`: the `index`-th of them."""

    step: Any
    places: tuple[int, ...]
    index: int


# For each column of a table, its place in the intake's; None for one that was made on the way.
Columns = Sequence[int | Behind | None]


def parts(estimator: Any, columns: Columns) -> Iterator[tuple[Any, Columns]]:
    """The estimator itself, whatever is in it, and what each of them is given."""
    yield estimator, columns
    for part, given in _inner(estimator, columns):
        yield from parts(part, given)


def read(estimator: Any, columns: Columns) -> set[int]:
    """Those of the columns that any part does more with than hand them on; a transformer of columns may drop some."""
    inner = list(_inner(estimator, columns))
    return set().union(*(read(*each) for each in inner)) if inner else {place for place in columns if isinstance(place, int)}


def _inner(estimator: Any, columns: Columns) -> Iterator[tuple[Any, Columns]]:
    """A part is an estimator or `passthrough`."""
    if isinstance(estimator, Pipeline):
        for step in _steps(estimator):
            yield step, columns
            columns = _passed(step, columns)
    elif isinstance(estimator, ColumnTransformer):
        yield from ((part, _given(estimator, name, columns)) for name, part, _ in estimator.transformers_ if not _is(part, "drop"))
    elif isinstance(estimator, FeatureUnion):
        yield from ((part, columns) for _, part in estimator.transformer_list if not _is(part, "drop"))
    else:
        yield from ((part, columns) for part in wrapped(estimator))
        if (last := getattr(estimator, "final_estimator_", None)) is not None:
            yield last, ()
        if getattr(estimator, "passthrough", False):
            yield "passthrough", columns


def wrapped(estimator: Any) -> Sequence[Any]:
    """The fitted estimators that this one gives its own table to."""
    if isinstance(estimator, Pipeline):
        return _steps(estimator)[:1]
    for attribute in _SEVERAL:
        if isinstance(several := getattr(estimator, attribute, None), list | tuple):
            return several
    found = (getattr(estimator, attribute, None) for attribute in (*_ONE, _FITTED.get(type(estimator).__name__, _ONE[0])))
    return next(([one] for one in found if one is not None and not isinstance(one, str)), [])


def answering(estimator: Any) -> Any:
    """Whoever answers in its place, where it does no more than hand its table on: it may be alone in a pipeline, or found in a search."""
    if isinstance(estimator, Pipeline) and len(steps := _steps(estimator)) == 1:
        return answering(steps[0])
    return answering(estimator.best_estimator_) if hasattr(estimator, "best_estimator_") else estimator


def _is(part: Any, word: str) -> bool:
    return isinstance(part, str) and part == word


def _steps(pipeline: Pipeline) -> list[Any]:
    return [step for _, step in pipeline.steps if step is not None and not isinstance(step, str)]


def _given(transformer: ColumnTransformer, name: str, columns: Columns) -> Columns:
    """The columns of one part, however they were given: by name, place, mask or a function."""
    places = (int(index) for index in transformer._transformer_to_input_indices[name])
    return [columns[place] if place < len(columns) else None for place in places] if columns else ()


def _passed(step: Any, columns: Columns) -> Columns:
    """What becomes of the columns; none at all where not even their number is known."""
    if isinstance(step, Pipeline):
        for each in _steps(step):
            columns = _passed(each, columns)
        return columns
    if isinstance(step, ColumnTransformer):
        made: list[int | Behind | None] = [None] * max((place.stop for place in step.output_indices_.values()), default=0)
        for name, part, _ in step.transformers_:
            place = step.output_indices_[name]
            passed = _given(step, name, columns)
            passed = passed if _is(part, "passthrough") else _passed(part, passed)
            if len(passed) == place.stop - place.start:
                made[place] = passed
        return made
    if isinstance(step, FunctionTransformer) and step.func is None:
        return columns
    if isinstance(step, SimpleImputer) and not step.add_indicator and len(step.get_feature_names_out()) == len(columns):
        return columns  # with nothing changed but what is missing
    places = tuple(place for place in columns if isinstance(place, int))
    is_own = isinstance(step, FunctionTransformer) or not type(step).__module__.startswith("sklearn.")
    return [Behind(step, places, index) for index in range(len(places))] if is_own and len(places) == len(columns) else ()
