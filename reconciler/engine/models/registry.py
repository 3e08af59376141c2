"""Which room loads which family of models. The rule here: a library is imported when a model needs it, not before."""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType

from reconciler.engine import artifact
from reconciler.engine.artifact import Family
from reconciler.engine.metadata import Metadata
from reconciler.engine.models.model import Model
from reconciler.engine.packages import engine_packages

ROOMS: Mapping[Family, str] = MappingProxyType(
    {
        artifact.LIGHTGBM: "lightgbm_model",
        artifact.XGBOOST: "xgboost_model",
        artifact.CATBOOST: "catboost_model",
        artifact.ONNX: "onnx_model",
        artifact.SKOPS: "skops_model",
        artifact.PICKLE: "pickle_model",
        artifact.CUSTOM: "custom_model",
        artifact.PYFUNC: "pyfunc_model",
    }
)


def load_model(metadata: Metadata) -> Model:
    """Raises ModelError when the artifact cannot be read or is not what the metadata says."""
    with engine_packages(metadata.family.extra):
        load: Callable[[Metadata], Model] = import_module(f"reconciler.engine.models.{ROOMS[metadata.family]}").load
    return load(metadata)
