"""XGBoost's models. The rule here: a row gets the number that the library's own predict gives for a pandas frame of the same values."""

import json
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pyarrow as pa
import xgboost
from numpy.typing import NDArray

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.categories import NEW, Codes, codes_of, recoded, refuse_new
from reconciler.engine.models.labels import unfit
from reconciler.engine.models.model import Feature, Scores, matrix
from reconciler.engine.models.xgboost_document import Document, damage, document_of, outputs_of
from reconciler.errors import ModelError, ScoringError

# Objectives whose scores are probabilities. A regression may have any objective with one output.
_PROBABILITIES = {"Binary": frozenset({"binary:logistic", "reg:logistic"}), "Multiclass": frozenset({"multi:softprob"})}
# The work of one predict call, in rows x rounds: some tenths of a second, so that an abort does not wait long.
_WORK = 4_000_000
_FEWEST, _MOST = 256, 8192


class XGBoostModel:
    """`codes` are those of the columns whose categories are in the model's file; other categorical columns are numbers."""

    def __init__(
        self, booster: xgboost.Booster, features: tuple[Feature, ...], codes: Mapping[str, Codes], rounds: tuple[int, int], *, is_linear: bool
    ) -> None:
        self.features = features
        self.rows_at_once = min(max(_WORK // max(booster.num_boosted_rounds(), 1), _FEWEST), _MOST)
        self._booster = booster
        self._codes = codes
        self._rounds = rounds
        # The library's predict is safe in several threads for trees only.
        self._turn: AbstractContextManager[object] = threading.Lock() if is_linear else nullcontext()

    def predict(self, rows: pa.RecordBatch) -> Scores:
        return self._predicted(rows)

    def contributions(self, rows: pa.RecordBatch) -> Scores:
        return self._predicted(rows, pred_contribs=True)

    def _predicted(self, rows: pa.RecordBatch, pred_contribs: bool = False) -> Scores:
        coded = {name: self._coded(name, rows.column(name)) for name in self._codes}
        try:
            table = xgboost.DMatrix(
                matrix(rows, np.float64, coded),
                feature_names=self._booster.feature_names,
                feature_types=self._booster.feature_types,
                nthread=1,
            )
            with self._turn:
                answer = self._booster.predict(table, pred_contribs=pred_contribs, iteration_range=self._rounds)
        except (xgboost.core.XGBoostError, ValueError) as error:
            raise ScoringError("The model failed", f"XGBoost says: {_said(error)}.") from error
        return np.asarray(answer, np.float64)

    def _coded(self, name: str, column: pa.Array) -> NDArray[np.float64]:
        codes = recoded(column, self._codes[name], NEW)
        refuse_new(name, column, codes)
        return codes


def load(metadata: Metadata) -> XGBoostModel:
    try:
        content = metadata.artifact.read_bytes()
        document = document_of(content)
        if problem := damage(document):
            raise _unloadable(metadata, problem)
        # One thread in here: the pipeline calls from as many as there are cores.
        booster = xgboost.Booster(params={"nthread": 1, "verbosity": 0})
        booster.load_model(bytearray(content))
    except (xgboost.core.XGBoostError, OSError, ValueError) as error:
        raise _unloadable(metadata, _said(error)) from error
    return _model(metadata, booster, document)


def model_of(metadata: Metadata, booster: xgboost.Booster) -> XGBoostModel:
    """Of one that was pickled. Raises ModelError."""
    booster.set_param({"nthread": 1, "verbosity": 0})
    return _model(metadata, booster, document_of(bytes(booster.save_raw("json"))))


def categories_of(booster: xgboost.Booster) -> dict[str, pa.Array]:
    """The categories of each column that was a pandas frame's categorical one, in the order of their codes and of the type that they had."""
    if is_linear(booster):
        return {}  # the library raises for it
    return {name: values for name, values in booster.get_categories(export_to_arrow=True).to_arrow() if values is not None}


def is_linear(booster: xgboost.Booster) -> bool:
    """Then its predict is not safe in several threads."""
    return bool(json.loads(booster.save_config())["learner"]["gradient_booster"]["name"] == "gblinear")


def _model(metadata: Metadata, booster: xgboost.Booster, document: Document) -> XGBoostModel:
    _check_objective(metadata, document)
    codes = {name: codes_of(values.to_pylist()) for name, values in categories_of(booster).items()}
    features = tuple(Feature(name, is_text=name in codes) for name in _names(metadata, booster))
    return XGBoostModel(booster, features, codes, _rounds(document), is_linear=is_linear(booster))


def _unloadable(metadata: Metadata, why: str) -> ModelError:
    return ModelError("The XGBoost model cannot be loaded", f"{metadata.artifact}: {why}. Save it again with Booster.save_model, as JSON or UBJSON.")


def _said(error: Exception) -> str:
    """The library's own sentence, without the stack that it prints below."""
    text = str(error).split("\nStack trace:")[0]
    return " ".join(text.split()).removesuffix(".")


def _check_objective(metadata: Metadata, document: Document) -> None:
    learner = document["learner"]
    objective = learner["objective"]["name"]
    lawful = _PROBABILITIES.get(metadata.target_type)
    if lawful and objective not in lawful:
        raise unfit(metadata, f"its objective is {objective}, so its scores are no probabilities, but targetType is {metadata.target_type}")
    outputs = outputs_of(learner["learner_model_param"])
    expected = len(metadata.class_labels) if metadata.target_type == "Multiclass" else 1
    if outputs != expected or (metadata.target_type == "Regression" and objective.startswith("multi:")):
        expectation = f"targetType {metadata.target_type} with the labels given means {expected}"
        raise unfit(metadata, f"it gives {outputs} scores for a row, but {expectation}")


def _names(metadata: Metadata, booster: xgboost.Booster) -> list[str]:
    names = list(booster.feature_names or metadata.feature_names)
    features = booster.num_features()
    if not names:
        advice = "train it on named columns, or add the list feature_names to inferenceModel in model-metadata.yaml"
        raise _unloadable(metadata, f"it does not say which columns its {features} features are; {advice}")
    if len(names) != features:
        raise unfit(metadata, f"it has {features} features, but feature_names lists {len(names)}")
    return names


def _rounds(document: Document) -> tuple[int, int]:
    """All of them, (0, 0); of a model that the scikit-learn API saved, up to the best one, as its own predict has it."""
    attributes = document["learner"].get("attributes", {})
    if "scikit_learn" not in attributes or "best_iteration" not in attributes:
        return 0, 0
    return 0, int(json.loads(attributes["best_iteration"])) + 1
