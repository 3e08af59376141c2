"""Which room loads which kind of artifact. The rule here: a library is imported when a model needs it, not before."""

from collections.abc import Callable

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.model import Model
from reconciler.engine.packages import engine_packages


def _lightgbm(metadata: Metadata) -> Model:
    with engine_packages():
        from reconciler.engine.models import lightgbm_model
    return lightgbm_model.load(metadata)


def _onnx(metadata: Metadata) -> Model:
    with engine_packages():
        from reconciler.engine.models import onnx_model
    return onnx_model.load(metadata)


LOADERS: dict[str, Callable[[Metadata], Model]] = {".txt": _lightgbm, ".lgb": _lightgbm, ".onnx": _onnx}


def load_model(metadata: Metadata) -> Model:
    """Raises ModelError when the artifact cannot be read or is not what the metadata says."""
    return LOADERS[metadata.artifact.suffix.lower()](metadata)
