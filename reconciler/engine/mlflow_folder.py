"""What an MLflow folder says about its model. The rule here: MLflow itself is not needed to read it, and no path leads out of the folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reconciler.errors import ModelError

FILE = "MLmodel"
# The flavors whose file our own rooms read, and under which key they name it.
_NATIVE = {"lightgbm": "data", "xgboost": "data", "catboost": "data", "onnx": "data", "sklearn": "pickled_model"}


@dataclass(frozen=True)
class Content:
    """`data` is the file of a native flavor; `types` those of the signature's columns; `metadata` what the user wrote down with the model."""

    data: Path | None
    types: Mapping[str, str]
    metadata: Mapping[str, Any]


def read(folder: Path) -> Content:
    """Raises ModelError."""
    document = _document(folder)
    flavors = document.get("flavors")
    if not isinstance(flavors, Mapping) or not all(isinstance(flavor, Mapping) for flavor in flavors.values()):
        raise _invalid(folder, "it has no flavors, so there is nothing to score with")
    native = next((flavors[name].get(key) for name, key in _NATIVE.items() if name in flavors), None)
    if native is None and "python_function" not in flavors:
        known = ", ".join([*_NATIVE, "python_function"])
        raise _invalid(folder, f"its flavors are {', '.join(map(str, flavors))}; the engine reads {known}")
    metadata = document.get("metadata")
    return Content(_inside(folder, native), _types(folder, document), metadata if isinstance(metadata, Mapping) else {})


def _document(folder: Path) -> Mapping[str, Any]:
    try:
        document = yaml.load((folder / FILE).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise _invalid(folder, f"it cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(document, Mapping):
        raise _invalid(folder, "it is not a mapping")
    return document


def _inside(folder: Path, written: Any) -> Path | None:
    if written is None:
        return None
    if not isinstance(written, str) or not (folder / written).resolve().is_relative_to(folder.resolve()):
        raise _invalid(folder, f"it names {written!r}, which is not in the model's folder")
    if not (folder / written).is_file():
        raise _invalid(folder, f"it names {written}, and there is no such file. Copy the whole folder of the model")
    return folder / written


def _types(folder: Path, document: Mapping[str, Any]) -> dict[str, str]:
    signature = document.get("signature")
    inputs = signature.get("inputs") if isinstance(signature, Mapping) else None
    if not isinstance(inputs, str) or not inputs:
        return {}
    try:
        columns = json.loads(inputs)
        # A signature of tensors has no columns; their names, if any, are the metadata's business.
        return {column["name"]: column["type"] for column in columns if column["type"] != "tensor" and "name" in column}
    except (ValueError, TypeError, KeyError) as error:
        raise _invalid(folder, "the inputs of its signature cannot be read") from error


def _invalid(folder: Path, what: str) -> ModelError:
    return ModelError("The MLflow folder is invalid", f"{folder / FILE}: {what}.")
