"""What a deployment's folder says about its model. The rule here: class labels and names keep the text they have in the YAML.

The convention is DataRobot's for custom models: `model-metadata.yaml` beside one artifact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reconciler.errors import ModelError

FILE = "model-metadata.yaml"
TARGET_TYPES = {"regression": "Regression", "binary": "Binary", "multiclass": "Multiclass"}

# How each kind of artifact begins. A .txt is a model only if it says so: requirements.txt and notes lie beside models.
ARTIFACTS = {".txt": b"tree\n", ".lgb": b"", ".onnx": b""}


@dataclass(frozen=True)
class Metadata:
    """`class_labels` of a binary model are (positive, negative); a regression model has none."""

    name: str
    target_type: str
    target_name: str
    class_labels: tuple[str, ...]
    prediction_threshold: float
    artifact: Path
    feature_names: tuple[str, ...] = ()

    @property
    def positive_label(self) -> str:
        return self.class_labels[0]

    @property
    def negative_label(self) -> str:
        return self.class_labels[1]


def read_metadata(folder: Path) -> Metadata:
    """Raises ModelError for everything that keeps the folder from being a deployment."""
    document = _document(folder)
    model = document.get("inferenceModel") or {}
    if not isinstance(model, Mapping):
        raise _invalid(folder, "inferenceModel must be a mapping")
    if document.get("type", "inference") != "inference":
        raise _invalid(folder, f"type is {document['type']!r}; only inference models can score, so write `type: inference`")
    target_type = _target_type(folder, document)
    return Metadata(
        name=_text(folder, document, "name", folder.resolve().name),
        target_type=target_type,
        target_name=_text(folder, model, "targetName"),
        class_labels=_class_labels(folder, model, target_type),
        prediction_threshold=_threshold(folder, model),
        artifact=_artifact(folder),
        feature_names=_names(folder, model, "feature_names"),
    )


def _document(folder: Path) -> Mapping[str, Any]:
    if not folder.is_dir():
        raise ModelError("The model folder does not exist", f"{folder} is not a folder. Give the folder that holds {FILE} and the artifact.")
    try:
        # BaseLoader resolves nothing: `1`, `1.0`, `yes` and `007` stay the text that the output must print.
        document = yaml.load((folder / FILE).read_text(encoding="utf-8-sig"), Loader=yaml.BaseLoader)
    except FileNotFoundError:
        raise ModelError(
            "The model folder has no metadata", f"{folder} holds no {FILE}. Write one with name, targetType and inferenceModel."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise _invalid(folder, f"it cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(document, Mapping):
        raise _invalid(folder, "it must be a mapping with name, targetType and inferenceModel")
    return document


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
    if target_type == "Regression":
        return ()
    if target_type == "Binary":
        positive, negative = _text(folder, model, "positiveClassLabel"), _text(folder, model, "negativeClassLabel")
        if positive == negative:
            raise _invalid(folder, f"positiveClassLabel and negativeClassLabel are both {positive!r}")
        return positive, negative
    labels = _names(folder, model, "classLabels")
    if len(labels) < 2:
        raise _invalid(folder, "classLabels must list the labels of a multiclass model, two or more")
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


def _artifact(folder: Path) -> Path:
    found = [path for path in sorted(folder.iterdir()) if _is_artifact(path)]
    if not found:
        raise ModelError("The model folder has no artifact", f"{folder} holds no LightGBM text model (*.txt, *.lgb) and no ONNX model (*.onnx).")
    if len(found) > 1:
        listed = ", ".join(path.name for path in found)
        raise ModelError("The model folder has more than one artifact", f"{folder} holds {listed}. Keep the one to score with.")
    return found[0]


def _is_artifact(path: Path) -> bool:
    beginning = ARTIFACTS.get(path.suffix.lower())
    if beginning is None or path.name.startswith(".") or not path.is_file():
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(beginning)) == beginning
    except OSError as error:
        raise ModelError("The artifact cannot be read", f"{path}: {error.strerror or error}.") from error


def _invalid(folder: Path, what: str) -> ModelError:
    return ModelError("The model's metadata is invalid", f"{folder / FILE}: {what}.")
