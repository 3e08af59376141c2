"""CatBoost's binary models. The rule here: a row gets the number that the library's own predict gives for the same values.

A category is the text as it stands, and a missing one the empty text, as in CatBoost's own reader of files; its frames may not hold one.
"""

from collections.abc import Callable
from typing import Any

import catboost
import numpy as np
import pandas as pd
import pyarrow as pa

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.labels import order_of, unfit
from reconciler.engine.models.model import Feature, Scores
from reconciler.errors import ModelError, ScoringError

_OBJECTIVES = {
    "Binary": frozenset({"Logloss", "CrossEntropy"}),
    "Multiclass": frozenset({"MultiClass", "MultiClassOneVsAll"}),
    "Multilabel": frozenset({"MultiLogloss", "MultiCrossEntropy"}),
}
_CLASSIFYING = frozenset().union(*_OBJECTIVES.values())
# What the library's regressor gives without being told, where that is not the sum of the leaves.
_LINKED = {"Poisson": "Exponent", "Tweedie": "Exponent"}
# The work of one predict call, in rows x trees: some tenths of a second, so that an abort does not wait long.
_WORK = 40_000_000
_FEWEST, _MOST = 256, 8192


class CatBoostModel:
    def __init__(self, model: catboost.CatBoost, features: tuple[Feature, ...], kind: str, scores: Callable[[Any], Scores]) -> None:
        self.features = features
        self.rows_at_once = min(max(_WORK // max(model.tree_count_, 1), _FEWEST), _MOST)
        self._model = model
        self._kind = kind
        self._scores = scores

    def predict(self, rows: pa.RecordBatch) -> Scores:
        try:
            # One thread here: the pipeline calls from as many threads as there are cores.
            answer = self._model.predict(self._pool(rows), prediction_type=self._kind, thread_count=1)
        except catboost.CatBoostError as error:
            raise _failed(error) from error
        return self._scores(np.asarray(answer, np.float64))

    def contributions(self, rows: pa.RecordBatch) -> Scores:
        try:
            answer = self._model.get_feature_importance(self._pool(rows), type="ShapValues", thread_count=1)
        except catboost.CatBoostError as error:
            raise _failed(error) from error
        return np.asarray(answer, np.float64)

    def _pool(self, rows: pa.RecordBatch) -> catboost.Pool:
        columns = {feature.name: _column(rows.column(place), feature.is_text) for place, feature in enumerate(self.features)}
        texts = [place for place, feature in enumerate(self.features) if feature.is_text]
        return catboost.Pool(pd.DataFrame(columns), cat_features=texts, thread_count=1)


def load(metadata: Metadata) -> CatBoostModel:
    model = catboost.CatBoost()
    try:
        model.load_model(blob=metadata.artifact.read_bytes())
    except (catboost.CatBoostError, OSError, ValueError) as error:
        raise _unloadable(metadata, " ".join(str(error).split()).removesuffix(".")) from error
    if model.get_text_feature_indices() or model.get_embedding_feature_indices():
        raise _unloadable(metadata, "it has text or embedding features, which this engine does not read")
    objective = _objective(metadata, model)
    features = _features(metadata, model)
    if metadata.target_type == "Regression":
        return CatBoostModel(model, features, _LINKED.get(objective, "RawFormulaVal"), _one_number(metadata))
    return CatBoostModel(model, features, "Probability", _probabilities(metadata, model))


def _unloadable(metadata: Metadata, why: str) -> ModelError:
    return ModelError("The CatBoost model cannot be loaded", f"{metadata.artifact}: {why}. Save it again with save_model, in the format cbm.")


def _failed(error: Exception) -> ScoringError:
    return ScoringError("The model failed", f"CatBoost says: {' '.join(str(error).split()).removesuffix('.')}.")


def _objective(metadata: Metadata, model: catboost.CatBoost) -> str:
    try:
        written = str((model.get_all_params() or {}).get("loss_function", ""))
    except catboost.CatBoostError:
        written = ""  # a model that was merged or converted does not say
    objective = written.split(":")[0]
    lawful = _OBJECTIVES.get(metadata.target_type)
    if (lawful is not None and objective not in lawful) or (lawful is None and objective in _CLASSIFYING):
        said = f"its loss function is {objective}" if objective else "it does not say its loss function"
        raise unfit(metadata, f"{said}, but targetType is {metadata.target_type}; correct one of the two")
    return objective


def _features(metadata: Metadata, model: catboost.CatBoost) -> tuple[Feature, ...]:
    names = list(model.feature_names_)
    # Without names, the library makes some of the places.
    if names == [str(place) for place in range(len(names))] and metadata.feature_names:
        if len(metadata.feature_names) != len(names):
            raise unfit(metadata, f"it has {len(names)} features, but feature_names lists {len(metadata.feature_names)}")
        names = list(metadata.feature_names)
    texts = set(model.get_cat_feature_indices())
    return tuple(Feature(name, is_text=place in texts) for place, name in enumerate(names))


def _one_number(metadata: Metadata) -> Callable[[Any], Scores]:
    def scores(answer: Any) -> Scores:
        if answer.ndim != 1:
            raise ScoringError("The model failed", f"{metadata.artifact} gives {answer.shape[1]} numbers for a row; a regression model gives one.")
        return np.asarray(answer)

    return scores


def _probabilities(metadata: Metadata, model: catboost.CatBoost) -> Callable[[Any], Scores]:
    labels = [label.item() if isinstance(label, np.generic) else label for label in model.classes_]
    order = _order(metadata, labels)
    return lambda answer: answer[:, order[0]] if metadata.target_type == "Binary" else answer[:, order]


def _order(metadata: Metadata, labels: list[Any]) -> list[int]:
    if metadata.target_type == "Multilabel" and labels == list(range(len(metadata.class_labels))):
        return labels  # it was trained on a table of zeros and ones, which has no names
    return order_of(metadata, labels)


def _column(values: pa.Array, is_text: bool) -> Any:
    if not is_text:
        return values.to_numpy(zero_copy_only=False)
    encoded = values.fill_null("").dictionary_encode()
    return pd.Categorical.from_codes(encoded.indices.to_numpy(), encoded.dictionary.to_pylist())
