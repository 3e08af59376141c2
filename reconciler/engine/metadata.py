"""What a deployment's folder says about its model. The rule here: class labels and names keep the text they have in the YAML.

The convention is DataRobot's for custom models: `model-metadata.yaml` beside one artifact. An MLflow folder may hold the same as the `metadata`
in its MLmodel.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from reconciler.engine import mlflow_folder
from reconciler.engine.artifact import Family, find_artifact
from reconciler.errors import ModelError

FILE = "model-metadata.yaml"
TARGET_TYPES = {
    "regression": "Regression",
    "binary": "Binary",
    "multiclass": "Multiclass",
    "multilabel": "Multilabel",
    "anomaly": "Anomaly",
    "clustering": "Clustering",
    "textgeneration": "TextGeneration",
}
# What these predict has no name of its own in the output.
_UNSUPERVISED = frozenset({"Anomaly", "Clustering"})


@dataclass(frozen=True)
class Metadata:
    """`class_labels` of a binary model are (positive, negative); a model without classes has none.

    `column_types` are MLflow's, by name; `is_trusted` says that the user vouches for the code that the artifact may hold.
    """

    name: str
    target_type: str
    target_name: str
    class_labels: tuple[str, ...]
    prediction_threshold: float
    artifact: Path
    family: Family
    feature_names: tuple[str, ...] = ()
    column_types: Mapping[str, str] = field(default_factory=dict)
    is_trusted: bool = False
    text_features: tuple[str, ...] = ()  # the columns whose values are texts of words, not categories
    outlier_limits: tuple[float, float] | None = None  # a regression model's predictions below or above are outliers

    @property
    def positive_label(self) -> str:
        return self.class_labels[0]

    @property
    def negative_label(self) -> str:
        return self.class_labels[1]


def read_metadata(folder: Path, *, is_trusted: bool = False) -> Metadata:
    """Raises ModelError for everything that keeps the folder from being a deployment; also for code that nobody vouches for."""
    document = _document(folder)
    model = document.get("inferenceModel") or {}
    if not isinstance(model, Mapping):
        raise _invalid(folder, "inferenceModel must be a mapping")
    if document.get("type", "inference") != "inference":
        raise _invalid(folder, f"type is {document['type']!r}; only inference models can score, so write `type: inference`")
    target_type = _target_type(folder, document)
    artifact = find_artifact(folder)
    metadata = Metadata(
        name=_text(folder, document, "name", folder.resolve().name),
        target_type=target_type,
        target_name=_text(folder, model, "targetName", "" if target_type not in _UNSUPERVISED else "target"),
        class_labels=_class_labels(folder, model, target_type),
        prediction_threshold=_threshold(folder, model),
        artifact=artifact.path,
        family=artifact.family,
        feature_names=_names(folder, model, "feature_names") or tuple(artifact.types),
        column_types=artifact.types,
        is_trusted=is_trusted,
        text_features=_names(folder, model, "textFeatures"),
        outlier_limits=_outlier_limits(folder, model, target_type),
    )
    _check_family(folder, metadata)
    return metadata


def _document(folder: Path) -> Mapping[str, Any]:
    if not folder.is_dir():
        raise ModelError("The model folder does not exist", f"{folder} is not a folder. Give the folder that holds {FILE} and the artifact.")
    try:
        # BaseLoader resolves nothing: `1`, `1.0`, `yes` and `007` stay the text that the output must print.
        document = yaml.load((folder / FILE).read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)
    except FileNotFoundError:
        if document := _mlflow_metadata(folder):
            return document
        raise ModelError(
            "The model folder has no metadata", f"{folder} holds no {FILE}. Write one with name, targetType and inferenceModel."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise _invalid(folder, f"it cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(document, Mapping):
        raise _invalid(folder, "it must be a mapping with name, targetType and inferenceModel")
    return document


def _mlflow_metadata(folder: Path) -> Mapping[str, Any]:
    """What was given as `metadata` when the model was saved with MLflow."""
    return mlflow_folder.read(folder).metadata if (folder / mlflow_folder.FILE).is_file() else {}


def _text(folder: Path, values: Mapping[str, Any], key: str, default: str = "") -> str:
    value = values.get(key, default)
    if not isinstance(value, str) or not value:
        raise _invalid(folder, f"{key} is missing or is not a text")
    return value


def _names(folder: Path, values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = values.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _invalid(folder, f"{key} must be a list of texts")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise _invalid(folder, f"{key} names {', '.join(repeated)} more than once")
    return tuple(names)


def _target_type(folder: Path, document: Mapping[str, Any]) -> str:
    written = _text(folder, document, "targetType")
    if known := TARGET_TYPES.get(written.lower()):
        return known
    raise _invalid(folder, f"targetType is {written!r}; this engine serves {', '.join(TARGET_TYPES)}")


def _class_labels(folder: Path, model: Mapping[str, Any], target_type: str) -> tuple[str, ...]:
    if target_type in ("Regression", "Anomaly", "TextGeneration"):
        return ()
    if target_type == "Binary":
        positive, negative = _text(folder, model, "positiveClassLabel"), _text(folder, model, "negativeClassLabel")
        if positive == negative:
            raise _invalid(folder, f"positiveClassLabel and negativeClassLabel are both {positive!r}")
        return positive, negative
    labels = _names(folder, model, "classLabels")
    if len(labels) < 2:
        raise _invalid(folder, f"classLabels must list the labels of a {target_type.lower()} model, two or more")
    return labels


def _threshold(folder: Path, model: Mapping[str, Any]) -> float:
    written = model.get("predictionThreshold", "0.5")
    try:
        threshold = float(written)
    except (TypeError, ValueError):
        threshold = -1.0
    if not 0 <= threshold <= 1:
        raise _invalid(folder, f"predictionThreshold is {written!r}; it must be a number from 0 to 1")
    return threshold


def _check_family(folder: Path, metadata: Metadata) -> None:
    family, name = metadata.family, metadata.artifact.name
    if metadata.target_type not in family.target_types:
        able = ", ".join(word for word in TARGET_TYPES.values() if word in family.target_types)
        detail = f"{metadata.artifact}: the engine scores {family.name} models as {able}, and targetType is {metadata.target_type}."
        raise ModelError("The model does not fit its metadata", detail)
    if family.runs_code and not metadata.is_trusted:
        detail = (
            f"{metadata.artifact}: to load {name} ({family.name}) is to run the code that its maker put there. "
            "If you know whose it is, say so in the specs, as deployments: {NAME: {local: {model: FOLDER, trust: true}}}."
        )
        raise ModelError("The model is not trusted", detail)


def _outlier_limits(folder: Path, model: Mapping[str, Any], target_type: str) -> tuple[float, float] | None:
    """`outlierLimits: {low: 25, high: 350}`; one of the two may be left out."""
    written = model.get("outlierLimits")
    if written is None:
        return None
    if target_type != "Regression":
        raise _invalid(folder, "outlierLimits are for regression models only")
    if not isinstance(written, Mapping) or not written or not set(written) <= {"low", "high"}:
        raise _invalid(folder, "outlierLimits must be a mapping with low, high or both")
    try:
        low, high = float(written.get("low", "-inf")), float(written.get("high", "inf"))
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not low < high:
        raise _invalid(folder, "outlierLimits must be numbers, low below high")
    return low, high


def _invalid(folder: Path, what: str) -> ModelError:
    return ModelError("The model's metadata is invalid", f"{folder / FILE}: {what}.")
