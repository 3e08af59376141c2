"""LightGBM's text models. The rule here: a row gets the number that the library's own predict gives for a pandas frame of the same values."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.categories import codes_of, recoded
from reconciler.engine.models.lightgbm_text import categorical_columns, damage, header_value, largest_category
from reconciler.engine.models.model import Feature, Scores, matrix
from reconciler.errors import ModelError, ScoringError

# Objectives whose scores are probabilities. A regression may have any objective with one output.
_PROBABILITIES = {
    "Binary": frozenset({"binary", "cross_entropy"}),  # not cross_entropy_lambda, whose scores have no upper bound
    "Multiclass": frozenset({"multiclass", "multiclassova"}),
}
# To LightGBM, a category that it was not trained with is a missing one.
_UNSEEN = math.nan
# The work of one predict call, in rows x trees: some tenths of a second, so that an abort does not wait long.
_WORK = 1_000_000
_FEWEST, _MOST = 256, 8192

# Without this, the library prints its warnings to stdout.
lightgbm.register_logger(logging.getLogger(__name__))


class LightGBMModel:
    def __init__(self, booster: lightgbm.Booster, categories: Mapping[str, list[Any]]) -> None:
        self._booster = booster
        self._codes = {name: codes_of(values) for name, values in categories.items()}
        self.features = tuple(Feature(name, is_text=name in categories) for name in booster.feature_name())
        self.rows_at_once = min(max(_WORK // max(booster.num_trees(), 1), _FEWEST), _MOST)

    def predict(self, rows: pa.RecordBatch) -> Scores:
        return self._predicted(rows)

    def contributions(self, rows: pa.RecordBatch) -> Scores:
        table = self._predicted(rows, pred_contrib=True)
        classes = self._booster.num_model_per_iteration()
        return table if classes == 1 else table.reshape(len(table), classes, -1)

    def _predicted(self, rows: pa.RecordBatch, pred_contrib: bool = False) -> Scores:
        coded = {name: recoded(rows.column(name), codes, _UNSEEN) for name, codes in self._codes.items()}
        try:
            # One thread here: the pipeline calls from as many threads as there are cores.
            answer = self._booster.predict(matrix(rows, np.float64, coded), pred_contrib=pred_contrib, num_threads=1)
        except lightgbm.basic.LightGBMError as error:
            raise ScoringError("The model failed", f"LightGBM says: {str(error).removesuffix('.')}.") from error
        return np.asarray(answer, np.float64)


def load(metadata: Metadata) -> LightGBMModel:
    path = metadata.artifact
    try:
        text = path.read_text(encoding="utf-8")
        if problem := damage(text):
            raise _unloadable(metadata, problem)
        booster = lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, OSError, ValueError) as error:
        raise _unloadable(metadata, str(error)) from error
    return _model(metadata, booster, text)


def model_of(metadata: Metadata, booster: lightgbm.Booster) -> LightGBMModel:
    """Of one that was pickled. Raises ModelError."""
    return _model(metadata, booster, booster.model_to_string())


def categories_of(metadata: Metadata, booster: lightgbm.Booster) -> dict[str, list[Any]]:
    """The categories of each column that was a pandas frame's categorical one, in the order of their codes. Raises ModelError."""
    return _categories(metadata, booster, booster.model_to_string())


def _model(metadata: Metadata, booster: lightgbm.Booster, text: str) -> LightGBMModel:
    _check_objective(metadata, text)
    _check_outputs(metadata, booster)
    try:
        return LightGBMModel(booster, _categories(metadata, booster, text))
    except ValueError as error:
        raise _unloadable(metadata, str(error)) from error


def _unloadable(metadata: Metadata, why: str) -> ModelError:
    return ModelError("The LightGBM model cannot be loaded", f"{metadata.artifact}: {why}. Save it again with Booster.save_model.")


def _check_objective(metadata: Metadata, text: str) -> None:
    objective = header_value(text, "objective").split(" ")[0]
    lawful = _PROBABILITIES.get(metadata.target_type)
    if lawful and objective not in lawful:
        said = f"its objective is {objective}" if objective else "it has no objective"
        detail = f"{metadata.artifact}: {said}, so its scores are no probabilities, but targetType is {metadata.target_type}. Correct one of the two."
        raise ModelError("The model does not fit its metadata", detail)


def _check_outputs(metadata: Metadata, booster: lightgbm.Booster) -> None:
    outputs = booster.num_model_per_iteration()
    expected = len(metadata.class_labels) if metadata.target_type == "Multiclass" else 1
    if outputs != expected:
        expectation = f"targetType {metadata.target_type} with the labels given means {expected}"
        detail = f"{metadata.artifact} gives {outputs} scores for a row, but {expectation}. Correct the metadata."
        raise ModelError("The model does not fit its metadata", detail)


def _categories(metadata: Metadata, booster: lightgbm.Booster, text: str) -> dict[str, list[Any]]:
    """The categories of each categorical column, in the order of their codes; none if the categories were numbers from the start."""
    listed = booster.pandas_categorical or []
    names = booster.feature_name()
    columns = categorical_columns(text)
    is_certain = len(listed) == len(columns) and all(largest_category(text, place) < len(each) for place, each in zip(columns, listed, strict=True))
    if listed and not is_certain:
        detail = (
            f"{metadata.artifact} lists categories for {len(listed)} columns, but has {len(columns)} categorical columns, or other ones, "
            "so their order cannot be told. Train with unordered pandas categories only, and name no other columns as categorical_feature."
        )
        raise ModelError("The model's categories are ambiguous", detail)
    return {names[place]: each for place, each in zip(columns, listed, strict=False)}
