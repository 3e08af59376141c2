"""Pickled Python objects. The rule here: none is loaded whose folder the user did not say to trust; a pickle is code."""

from typing import Any

import joblib

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.estimator import model_of
from reconciler.engine.models.model import Model
from reconciler.errors import ModelError


def load(metadata: Metadata) -> Model:
    return model_of(metadata, unpickled(metadata))


def unpickled(metadata: Metadata) -> Any:
    """joblib reads what pickle and cloudpickle write too."""
    assert metadata.is_trusted, "metadata of a pickle that is not trusted does not come this far"
    try:
        return joblib.load(metadata.artifact)
    except ImportError as error:
        detail = f"{metadata.artifact}: it needs the package {error.name or error}, which is not installed here. Install what it was made with."
        raise ModelError("The pickled model cannot be loaded", detail) from error
    except Exception as error:  # unpickling runs code, which may raise what it likes
        said = " ".join(str(error).split()).removesuffix(".")
        detail = f"{metadata.artifact}: {type(error).__name__}: {said}. Save it again, with the versions of the packages that are installed here."
        raise ModelError("The pickled model cannot be loaded", detail) from error
