"""DataRobot's custom models: `custom.py` with hooks. The rule here: the hooks are called as DataRobot's own runner (DRUM 1.18) calls them.

    load: init(code_dir=…), then load_model(code_dir), or the one model file beside custom.py
    rows: transform(data, model) -> score(data, model, **labels) or the model's own predict -> post_process(predictions, model)

The rows come as pandas reads them from a file. Where only the model itself reads them, it is given the columns that it names, and those that it knows
to be texts or categories as it was trained on them. Hooks need not be made for threads, so they are called one at a time.
"""

import importlib.util
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from reconciler.engine.artifact import PICKLE, SUFFIXES
from reconciler.engine.metadata import Metadata
from reconciler.engine.models.answers import rows_at_once, scores_of
from reconciler.engine.models.estimator import booster_model, failure, fitted_names, predictor
from reconciler.engine.models.estimator_columns import columns_of
from reconciler.engine.models.frame import inferred, words
from reconciler.engine.models.model import Feature, Scores
from reconciler.engine.models.pickle_model import unpickled
from reconciler.errors import ModelError, ScoringError

# What DRUM calls, of those hooks that concern us; one that would be left out in silence is refused.
_UNSUPPORTED = ("read_input_data", "score_unstructured", "chat", "CustomTask")

Hook = Callable[..., Any]


class CustomModel:
    def __init__(self, metadata: Metadata, hooks: ModuleType, model: Any) -> None:
        self.rows_at_once = rows_at_once(metadata)
        self._metadata = metadata
        self._model = model
        self._transform: Hook | None = getattr(hooks, "transform", None)
        self._score: Hook | None = getattr(hooks, "score", None)
        self._post_process: Hook | None = getattr(hooks, "post_process", None)
        is_alone = not self._transform and not self._score
        self._booster = booster_model(metadata, model) if is_alone else None
        self._own = None if self._score or self._booster else predictor(metadata, model)
        # Else what the metadata lists; without a list, every column of the intake, as DRUM gives them.
        names = (fitted_names(model) if is_alone else []) or metadata.feature_names
        self.features = self._booster.features if self._booster else tuple(Feature(name, is_text=True) for name in names)
        self._columns = words(metadata) | (columns_of(metadata, model, names) if is_alone and not self._booster else {})
        self._turn = threading.Lock()

    def predict(self, rows: pa.RecordBatch) -> Scores:
        try:
            with self._turn:
                return self._processed(self._booster.predict(rows) if self._booster else self._scores(inferred(rows, self._columns)))
        except ScoringError:
            raise
        except Exception as error:  # a hook may raise what it likes
            raise failure(error) from error

    def _scores(self, data: pd.DataFrame) -> Scores:
        if self._transform:
            data = self._transform(data, self._model)
        return np.asarray(self._own(data), np.float64) if self._own else scores_of(self._metadata, self._scored(data, self._score))

    def _processed(self, scores: Scores) -> Scores:
        if not self._post_process:
            return scores
        return scores_of(self._metadata, self._post_process(_marshalled(self._metadata, scores), self._model))

    def _scored(self, data: pd.DataFrame, score: Hook | None) -> Any:
        assert score, "called with a hook only"
        return score(data, self._model, **_labels(self._metadata))


def load(metadata: Metadata) -> CustomModel:
    assert metadata.is_trusted, "metadata of code that is not trusted does not come this far"
    folder = metadata.artifact.parent.resolve()
    hooks = _imported(metadata.artifact.resolve())
    if unsupported := [name for name in _UNSUPPORTED if hasattr(hooks, name)]:
        raise _invalid(metadata, f"it has {', '.join(unsupported)}, which this engine does not call; write score(data, model, **kwargs) instead")
    try:
        if hasattr(hooks, "init"):
            hooks.init(code_dir=str(folder))
        model = hooks.load_model(str(folder)) if hasattr(hooks, "load_model") else _model_file(metadata, folder)
    except ModelError:
        raise
    except Exception as error:  # a hook may raise what it likes
        raise _invalid(metadata, f"loading the model raised {type(error).__name__}: {error}") from error
    if model is None:
        raise _invalid(metadata, "load_model gave None")
    return CustomModel(metadata, hooks, model)


_importing = threading.Lock()


def _imported(path: Path) -> ModuleType:
    """custom.py, and whatever it imports from beside it, as it is on the disk now: folders of several deployments have modules of the same names."""
    folder = str(path.parent)
    spec = importlib.util.spec_from_file_location("custom", path)
    assert spec and spec.loader, "a file that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    with _importing:
        for name in [name for name, loaded in sys.modules.items() if _is_in_model_folder(loaded)]:
            del sys.modules[name]
        _FOLDERS.add(folder)
        sys.path[:] = [folder, *(entry for entry in sys.path if entry not in _FOLDERS)]
        importlib.invalidate_caches()
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # its code may raise what it likes
            said = f"importing it raised {type(error).__name__}: {error}"
            raise ModelError("The custom model cannot be loaded", f"{path}: {said}. Correct it, or install what it needs.") from error
    return module


_FOLDERS: set[str] = set()


def _is_in_model_folder(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and any(file.startswith(f"{folder}/") for folder in _FOLDERS)


def _model_file(metadata: Metadata, folder: Path) -> Any:
    """The one pickle beside custom.py, as DRUM looks for it. Other kinds of files need a load_model."""
    found = [path for path in sorted(folder.iterdir()) if SUFFIXES.get(path.suffix.lower()) is PICKLE]
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise _invalid(metadata, f"it has no load_model, so there must be one model file (*.pkl, *.joblib) beside it; found {listed}")
    return unpickled(replace(metadata, artifact=found[0]))


def _labels(metadata: Metadata) -> dict[str, Any]:
    if metadata.target_type == "Binary":
        return {"positive_class_label": metadata.positive_label, "negative_class_label": metadata.negative_label}
    return {"class_labels": list(metadata.class_labels)} if metadata.class_labels else {}


def _marshalled(metadata: Metadata, scores: Scores) -> pd.DataFrame:
    """The predictions as post_process gets them: a column for each label, or `Predictions`."""
    if metadata.target_type == "Binary":
        return pd.DataFrame({metadata.positive_label: scores, metadata.negative_label: 1 - scores})
    return pd.DataFrame(scores, columns=list(metadata.class_labels) or ["Predictions"])


def _invalid(metadata: Metadata, why: str) -> ModelError:
    return ModelError("The custom model cannot be loaded", f"{metadata.artifact}: {why}.")
