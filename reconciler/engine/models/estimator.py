"""A fitted scikit-learn estimator as a model. The rule here: the row's number is that of the estimator's own predict or predict_proba."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa

from reconciler.engine import artifact
from reconciler.engine.metadata import Metadata
from reconciler.engine.models.estimator_columns import columns_of, library
from reconciler.engine.models.estimator_parts import answering, parts, wrapped
from reconciler.engine.models.estimator_trees import contributions
from reconciler.engine.models.estimator_weights import weights
from reconciler.engine.models.frame import Column, typed
from reconciler.engine.models.labels import order_of, unfit
from reconciler.engine.models.model import Feature, Model, Scores, linear_terms, matrix
from reconciler.engine.models.one_thread import OneThread
from reconciler.errors import ModelError, ScoringError

_ROWS = 4096
# What is pickled without an estimator around it is no other than the model in the library's own format.
_BOOSTERS = {"lightgbm.basic.Booster": artifact.LIGHTGBM, "xgboost.core.Booster": artifact.XGBOOST}
# How CatBoost and LightGBM name columns that have no names, by their places.
_NAMELESS = ("", "Column_")


@dataclass(frozen=True, kw_only=True)
class EstimatorModel:
    """`table` makes of rows what the estimator was fitted on, a frame or a bare table; `turn` is held while `scores` is called."""

    features: tuple[Feature, ...]
    table: Callable[[pa.RecordBatch], Any]
    scores: Callable[[Any], Any]
    turn: AbstractContextManager[object]
    one_thread: OneThread = field(default_factory=OneThread)
    rows_at_once: int = _ROWS

    def predict(self, rows: pa.RecordBatch) -> Scores:
        return self._answer(self.scores, rows)

    def _answer(self, call: Callable[[Any], Any], rows: pa.RecordBatch) -> Scores:
        try:
            with self.one_thread.held(), self.turn:
                return np.asarray(call(self.table(rows)), np.float64)
        except ScoringError:
            raise
        except Exception as error:  # an estimator may raise what it likes
            raise failure(error) from error


@dataclass(frozen=True, kw_only=True)
class TreesEstimatorModel(EstimatorModel):
    """One whose own library says what each feature adds."""

    parts: Callable[[Any], Scores]

    def contributions(self, rows: pa.RecordBatch) -> Scores:
        return self._answer(self.parts, rows)


@dataclass(frozen=True, kw_only=True)
class LinearEstimatorModel(EstimatorModel):
    """One that is linear in its features."""

    coefficients: Scores
    constants: Scores

    def terms(self, rows: pa.RecordBatch) -> Scores:
        return linear_terms(matrix(rows, np.float64), self.coefficients, self.constants)


def failure(error: Exception) -> ScoringError:
    said = " ".join(str(error).split()).removesuffix(".")
    return ScoringError("The model failed", f"It raised {type(error).__name__}: {said}.")


def model_of(metadata: Metadata, loaded: Any) -> Model:
    """Of what was in a file of Python objects. Raises ModelError for an object that cannot predict what the metadata says."""
    return booster_model(metadata, loaded) or estimator_model(metadata, loaded)


def booster_model(metadata: Metadata, loaded: Any) -> Model | None:
    """None for what is no booster; raises ModelError."""
    family = _BOOSTERS.get(f"{type(loaded).__module__}.{type(loaded).__qualname__}")
    if family is None:
        return None
    if metadata.target_type not in family.target_types:
        raise unfit(metadata, f"it is a Booster of {family.name}, which the engine does not score as {metadata.target_type}")
    made: Model = import_module(f"reconciler.engine.models.{family.extra}_model").model_of(metadata, loaded)
    return made


def estimator_model(metadata: Metadata, estimator: Any) -> EstimatorModel:
    """Raises ModelError."""
    fitted_on = fitted_names(estimator)
    names = fitted_on or list(metadata.feature_names) or _written_names(estimator)
    expected = getattr(estimator, "n_features_in_", None)
    if not names:
        advice = "fit it on a pandas frame, or add the list feature_names to inferenceModel in model-metadata.yaml"
        raise ModelError("The model does not name its columns", f"{metadata.artifact}: it was fitted on a table without names; {advice}.")
    if expected and int(expected) != len(names):  # CatBoost's says 0 once it was pickled
        raise unfit(metadata, f"it has {expected} features, but feature_names lists {len(names)}")
    columns = columns_of(metadata, estimator, names)
    features = tuple(Feature(name, is_text=name in columns and columns[name].is_text) for name in names)
    table = partial(typed if fitted_on else _objects, columns=columns) if fitted_on or columns else partial(matrix, dtype=np.float64)
    model = EstimatorModel(features=features, table=table, scores=predictor(metadata, estimator), turn=_turn(estimator))
    order = order_of(metadata, _labels(metadata, estimator.classes_)) if metadata.target_type in ("Binary", "Multiclass") else []
    inner = answering(estimator)
    if not columns and (found := weights(metadata.target_type, inner, order)):
        return LinearEstimatorModel(**vars(model), coefficients=found[0], constants=found[1])
    if trees := contributions(metadata.target_type, inner, order):
        return TreesEstimatorModel(**vars(model), parts=trees)
    return model


def _objects(rows: pa.RecordBatch, columns: Mapping[str, Column]) -> Any:
    """A bare table of texts and numbers."""
    return typed(rows, columns).to_numpy(object)


def _turn(estimator: Any) -> AbstractContextManager[object]:
    """One call at a time where a part is a linear model of XGBoost: by its documentation, predict is safe in several threads for trees only."""
    is_linear = any(library(part) == "xgboost.XGBModel" and part.booster == "gblinear" for part, _ in parts(estimator, ()))
    return threading.Lock() if is_linear else nullcontext()


def predictor(metadata: Metadata, estimator: Any) -> Callable[[Any], Any]:
    """The call that gives a block of scores. Raises ModelError."""
    if metadata.target_type not in _PREDICTORS:
        raise unfit(metadata, f"a model gives no {metadata.target_type} by itself; write a hook score(data, model, **kwargs)")
    return _PREDICTORS[metadata.target_type](metadata, estimator)


def fitted_names(estimator: Any) -> list[str]:
    """The columns that it was fitted on; none where it does not say, or made names of their places."""
    names = _written_names(estimator)
    return [] if names in ([f"{prefix}{place}" for place in range(len(names))] for prefix in _NAMELESS) else names


def _written_names(estimator: Any) -> list[str]:
    """Of the estimator, or of what it only hands its table to."""
    for attribute in ("feature_names_in_", "feature_names_", "feature_name_"):
        try:
            names = getattr(estimator, attribute, None)
        except Exception:  # XGBoost's raises its own error for a model without names
            continue
        if names is not None:
            return [str(name) for name in names]
    return next((names for part in wrapped(estimator) if (names := _written_names(part))), [])


def _regression(metadata: Metadata, estimator: Any) -> Callable[[Any], Any]:
    predict = _method(metadata, estimator, "predict")
    if hasattr(estimator, "predict_proba") or _is_classifier(estimator):
        raise unfit(metadata, "it is a classifier, but targetType is Regression")

    def scores(table: Any) -> Any:
        found = np.asarray(predict(table))
        if found.ndim == 2 and found.shape[1] == 1:
            return found[:, 0]
        if found.ndim != 1:
            raise unfit(metadata, f"it gives {found.shape[1]} numbers for a row; a regression model gives one")
        return found

    return scores


def _is_classifier(estimator: Any) -> bool:
    # CatBoost's regressor has classes too: none.
    return _kind(estimator) == "classifier" or len(getattr(estimator, "classes_", ())) > 0


def _kind(estimator: Any) -> str | None:
    """`classifier`, `regressor`, `clusterer`, …, as scikit-learn has it; None for what does not say."""
    try:
        return str(estimator.__sklearn_tags__().estimator_type)
    except Exception:  # before scikit-learn 1.6, of CatBoost, and of what is no estimator
        return getattr(estimator, "_estimator_type", None)


def _classification(metadata: Metadata, estimator: Any) -> Callable[[Any], Any]:
    predict = _method(metadata, estimator, "predict_proba")
    order = order_of(metadata, _labels(metadata, estimator.classes_))
    if metadata.target_type == "Binary":
        return lambda table: np.asarray(predict(table))[:, order[0]]
    return lambda table: np.asarray(predict(table))[:, order]


def _multilabel(metadata: Metadata, estimator: Any) -> Callable[[Any], Any]:
    """The labels are those of the table of zeros and ones that it was fitted on, which has none: so they go by their places."""
    predict = _method(metadata, estimator, "predict_proba")
    width = len(metadata.class_labels)

    def scores(table: Any) -> Any:
        answer = predict(table)
        # A list has a table of two columns for each label: without, with.
        found = np.column_stack([np.asarray(each)[:, 1] for each in answer]) if isinstance(answer, list) else np.asarray(answer)
        return _of_width(metadata, found, width)

    return scores


def _clustering(metadata: Metadata, estimator: Any) -> Callable[[Any], Any]:
    """The labels are the clusters' numbers, from 0 on. Where a model only says which cluster, that one has the probability 1."""
    width = len(metadata.class_labels)
    if hasattr(estimator, "predict_proba"):
        return lambda table: _of_width(metadata, np.asarray(estimator.predict_proba(table)), width)
    predict = _method(metadata, estimator, "predict")
    if _kind(estimator) == "regressor":
        raise unfit(metadata, "it is a regressor, but targetType is Clustering")

    def scores(table: Any) -> Any:
        found = np.asarray(predict(table))
        if found.ndim != 1 or found.dtype.kind not in "iu":
            raise unfit(metadata, "it gives something else than the number of a cluster")
        if len(found) and not 0 <= found.min() <= found.max() < width:
            raise unfit(metadata, f"it gave cluster {found.max()}, but classLabels lists {width} from 0 on")
        return np.eye(width)[found]

    return scores


def _anomaly(metadata: Metadata, estimator: Any) -> Callable[[Any], Any]:
    """The higher, the stranger: scikit-learn's scores are the other way round."""
    name = "score_samples" if hasattr(estimator, "score_samples") else "decision_function"
    score = _method(metadata, estimator, name)
    return lambda table: -np.asarray(score(table))


_PREDICTORS: dict[str, Callable[[Metadata, Any], Callable[[Any], Any]]] = {
    "Regression": _regression,
    "Binary": _classification,
    "Multiclass": _classification,
    "Multilabel": _multilabel,
    "Clustering": _clustering,
    "Anomaly": _anomaly,
}


def _method(metadata: Metadata, estimator: Any, name: str) -> Callable[[Any], Any]:
    found = getattr(estimator, name, None)
    if not callable(found):
        said = f"it is a {type(estimator).__name__}, which has no {name}, as a model with targetType {metadata.target_type} must"
        raise unfit(metadata, said)
    method: Callable[[Any], Any] = found
    return method


def _labels(metadata: Metadata, classes: Any) -> Sequence[Any]:
    if isinstance(classes, list) or np.ndim(classes) != 1:
        raise unfit(metadata, "it has several targets; write targetType: Multilabel")
    return [label.item() if isinstance(label, np.generic) else label for label in classes]


def _of_width(metadata: Metadata, found: Any, width: int) -> Any:
    if found.ndim != 2 or found.shape[1] != width:
        raise unfit(metadata, f"it gives {found.shape[-1]} probabilities for a row, but classLabels lists {width}")
    return found
