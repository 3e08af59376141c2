"""CatBoost's binary models. The rule here: a row gets the number that the library's own predict gives for the same values.

A category or a text is taken as it stands, and a missing one as empty, as in CatBoost's own reader of files; its frames may not hold one. In its
frames a boolean is `1` or `0`, and so is a word for one where the model knows these and not the words.
"""

from typing import Any

import catboost
import numpy as np
import pandas as pd
import pyarrow as pa

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.labels import order_of, unfit
from reconciler.engine.models.model import Feature, Scores
from reconciler.engine.words import TRUTH
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
_MAGIC = b"CBM1"
_TEXTS = b"text_process_v"
DIGITS = {word: str(int(truth)) for truth, words in TRUTH.items() for word in words}
_FEWEST, _MOST = 256, 8192


class CatBoostModel:
    """`order` are the places of the metadata's labels among the model's classes; none for a regression."""

    def __init__(self, metadata: Metadata, model: catboost.CatBoost, features: tuple[Feature, ...], kind: str, order: list[int]) -> None:
        self.features = features
        self.rows_at_once = min(max(_WORK // max(model.tree_count_, 1), _FEWEST), _MOST)
        self._model = model
        self._kind = kind
        self._metadata = metadata
        self._order = order
        self._truths = truths_of(model)

    def predict(self, rows: pa.RecordBatch) -> Scores:
        try:
            # One thread here: the pipeline calls from as many threads as there are cores.
            answer = self._model.predict(self._pool(rows), prediction_type=self._kind, thread_count=1)
        except catboost.CatBoostError as error:
            raise _failed(error) from error
        scores = np.asarray(answer, np.float64)
        if self._order:
            return scores[:, self._order[0]] if self._metadata.target_type == "Binary" else scores[:, self._order]
        if scores.ndim != 1:
            raise unfit(self._metadata, f"it gives {scores.shape[1]} numbers for a row; a regression model gives one")
        return scores

    def contributions(self, rows: pa.RecordBatch) -> Scores:
        try:
            answer = self._model.get_feature_importance(self._pool(rows), type="ShapValues", thread_count=1)
        except catboost.CatBoostError as error:
            raise _failed(error) from error
        parts = np.asarray(answer, np.float64)
        if self._metadata.target_type == "Binary":
            return parts if self._order[0] == 1 else -parts  # the library's are those of its second class
        return parts[:, self._order] if self._order else parts

    def _pool(self, rows: pa.RecordBatch) -> catboost.Pool:
        categories, texts = self._model.get_cat_feature_indices(), self._model.get_text_feature_indices()
        makers = dict.fromkeys(categories, _categories) | dict.fromkeys(self._truths, _truths) | dict.fromkeys(texts, _texts)
        columns = {feature.name: makers.get(place, _numbers)(rows.column(place)) for place, feature in enumerate(self.features)}
        return catboost.Pool(pd.DataFrame(columns), cat_features=categories, text_features=texts, thread_count=1)


def load(metadata: Metadata) -> CatBoostModel:
    model = catboost.CatBoost()
    try:
        if problem := _damage(metadata.artifact.read_bytes()):
            raise _unloadable(metadata, problem)
        model.load_model(str(metadata.artifact), format="cbm")
    except (catboost.CatBoostError, OSError, ValueError) as error:
        raise _unloadable(metadata, " ".join(str(error).split()).removesuffix(".")) from error
    if model.get_embedding_feature_indices():
        raise _unloadable(metadata, "it has embedding features, which are no columns of a table")
    objective = _objective(metadata, model)
    features = _features(metadata, model)
    if metadata.target_type == "Regression":
        return CatBoostModel(metadata, model, features, _LINKED.get(objective, "RawFormulaVal"), [])
    labels = [label.item() if isinstance(label, np.generic) else label for label in model.classes_]
    return CatBoostModel(metadata, model, features, "Probability", _order(metadata, labels))


def _damage(content: bytes) -> str | None:
    """What is wrong with the file's lengths. The library (1.2.10) reads on behind the end of one that is cut off, or takes it for whole.

    `CBM1`, the length of the trees and the trees; then the number of the tables for categories, and each one's length and content; then what makes
    features of texts, which the library checks itself.
    """
    if content[:4] != _MAGIC:
        return "it is no file of CatBoost's format cbm"
    place = 8 + _number_at(content, 4)
    if place < len(content) and not content.startswith(_TEXTS, place):
        tables = _number_at(content, place)
        place += 4
        for _ in range(min(tables, len(content))):
            place += 4 + _number_at(content, place)
    return None if place == len(content) or content.startswith(_TEXTS, place) else "it is cut off or damaged"


def _number_at(content: bytes, place: int) -> int:
    return int.from_bytes(content[place : place + 4], "little")


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
    texts = {*model.get_cat_feature_indices(), *model.get_text_feature_indices()}
    return tuple(Feature(name, is_text=place in texts) for place, name in enumerate(names))


def _order(metadata: Metadata, labels: list[Any]) -> list[int]:
    if metadata.target_type == "Multilabel" and labels == list(range(len(metadata.class_labels))):
        return labels  # it was trained on a table of zeros and ones, which has no names
    return order_of(metadata, labels)


def _numbers(values: pa.Array) -> Any:
    return values.to_numpy(zero_copy_only=False)


def _texts(values: pa.Array) -> Any:
    return values.fill_null("").to_numpy(zero_copy_only=False)


def _categories(values: pa.Array) -> Any:
    encoded = values.fill_null("").dictionary_encode()
    return pd.Categorical.from_codes(encoded.indices.to_numpy(), encoded.dictionary.to_pylist())


def _truths(values: pa.Array) -> Any:
    encoded = values.fill_null("").dictionary_encode()
    return np.array([DIGITS.get(text, text) for text in encoded.dictionary.to_pylist()], object)[encoded.indices.to_numpy()]


def truths_of(model: catboost.CatBoost) -> frozenset[int]:
    """The places of the categorical features in which some split knows `1` or `0`, and none a word for a boolean."""
    places, texts = model.get_cat_feature_indices(), model.get_text_feature_indices()
    tried = [*DIGITS, "1", "0", "\0"]  # and one that no model knows
    usual = ["\0" if place in (*places, *texts) else 0.0 for place in range(len(model.feature_names_))]
    rows = [[*usual[:place], text, *usual[place + 1 :]] for place in places for text in tried]
    if not rows:
        return frozenset()
    leaves = model.calc_leaf_indexes(catboost.Pool(rows, cat_features=places, text_features=texts, thread_count=1), thread_count=1)
    found = np.asarray(leaves).reshape(len(places), len(tried), -1)
    is_known = (found != found[:, -1:]).any(axis=2)
    words = len(DIGITS)
    return frozenset(place for place, known in zip(places, is_known, strict=True) if not known[:words].any() and known[words:].any())
