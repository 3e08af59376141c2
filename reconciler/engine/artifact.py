"""Which file of a deployment's folder is the model, and of which family it is. The rule here: names and first bytes; nothing is loaded.

`custom.py` before all (DataRobot's custom models), then an MLflow folder, then the one file whose name says what it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from reconciler.engine import mlflow_folder
from reconciler.errors import ModelError

_SUPERVISED = frozenset({"Regression", "Binary", "Multiclass"})
_BY_LABELS = frozenset({"Multilabel", "Clustering"})
_ALL = _SUPERVISED | _BY_LABELS | {"Anomaly", "TextGeneration"}


@dataclass(frozen=True)
class Family:
    """A kind of model: what people call it, the extra that installs its library, and what it can predict."""

    name: str
    extra: str
    target_types: frozenset[str]
    runs_code: bool = False  # loading one runs what its maker put there


LIGHTGBM = Family("LightGBM", "lightgbm", _SUPERVISED)
XGBOOST = Family("XGBoost", "xgboost", _SUPERVISED)
CATBOOST = Family("CatBoost", "catboost", _SUPERVISED | {"Multilabel"})
ONNX = Family("ONNX", "onnx", _SUPERVISED)
SKOPS = Family("scikit-learn (skops)", "sklearn", _ALL - {"TextGeneration"})
PICKLE = Family("pickled Python", "sklearn", _ALL - {"TextGeneration"}, runs_code=True)
CUSTOM = Family("custom.py", "sklearn", _ALL, runs_code=True)
PYFUNC = Family("MLflow python_function", "mlflow", _ALL, runs_code=True)

FAMILIES = (LIGHTGBM, XGBOOST, CATBOOST, ONNX, SKOPS, PICKLE, CUSTOM, PYFUNC)
SUFFIXES: Mapping[str, Family] = MappingProxyType(
    {
        ".txt": LIGHTGBM,
        ".lgb": LIGHTGBM,
        ".json": XGBOOST,
        ".ubj": XGBOOST,
        ".cbm": CATBOOST,
        ".onnx": ONNX,
        ".skops": SKOPS,
        ".pkl": PICKLE,
        ".pickle": PICKLE,
        ".joblib": PICKLE,
    }
)
# MLflow's own names for the same files.
_MLFLOW_SUFFIXES = {**SUFFIXES, ".cb": CATBOOST, ".xgb": XGBOOST}
# How those begin that are told from other files only so: requirements.txt and input_example.json lie beside models.
_BEGINNINGS = {".txt": b"tree\n", ".json": b'{"learner"'}

CUSTOM_FILE = "custom.py"
_EXPECTED = (
    "no LightGBM text model (*.txt, *.lgb), XGBoost model (*.json, *.ubj), CatBoost model (*.cbm), ONNX model (*.onnx), scikit-learn model "
    f"(*.skops; *.pkl and *.joblib need trust), no MLmodel of MLflow and no {CUSTOM_FILE}"
)


@dataclass(frozen=True)
class Artifact:
    """`types` are MLflow's types of the model's columns by name, in their order; empty where nobody wrote them down."""

    path: Path
    family: Family
    types: Mapping[str, str] = field(default_factory=dict)


def find_artifact(folder: Path) -> Artifact:
    """Raises ModelError when there is none, or more than one."""
    if (folder / CUSTOM_FILE).is_file():
        return Artifact(folder / CUSTOM_FILE, CUSTOM)
    if (folder / mlflow_folder.FILE).is_file():
        return _of_mlflow(folder)
    found = [path for path in sorted(folder.iterdir()) if _is_artifact(path)]
    # A scaler or an encoder in a pickle may lie beside a model that needs none.
    found = [path for path in found if not _family(path).runs_code] or found
    if not found:
        raise ModelError("The model folder has no artifact", f"{folder} holds {_EXPECTED}.")
    if len(found) > 1:
        listed = ", ".join(path.name for path in found)
        raise ModelError("The model folder has more than one artifact", f"{folder} holds {listed}. Keep the one to score with.")
    return Artifact(found[0], _family(found[0]))


def _of_mlflow(folder: Path) -> Artifact:
    content = mlflow_folder.read(folder)
    if content.data is not None and (family := _MLFLOW_SUFFIXES.get(content.data.suffix.lower())):
        return Artifact(content.data, family, content.types)
    return Artifact(folder / mlflow_folder.FILE, PYFUNC, content.types)


def _family(path: Path) -> Family:
    return SUFFIXES[path.suffix.lower()]


def _is_artifact(path: Path) -> bool:
    if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or not path.is_file():
        return False
    beginning = _BEGINNINGS.get(path.suffix.lower(), b"")
    try:
        with open(path, "rb") as file:
            return file.read(len(beginning)) == beginning
    except OSError as error:
        raise ModelError("The artifact cannot be read", f"{path}: {error.strerror or error}.") from error
