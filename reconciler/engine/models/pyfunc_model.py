"""MLflow's python_function models. The rule here: the frame has the signature's columns and types, as MLflow itself checks them.

What predict gives is read by its columns' names; a bare table is taken where the target has one number for a row.
"""

import threading
import warnings
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.answers import rows_at_once, scores_of
from reconciler.engine.models.estimator import failure
from reconciler.engine.models.frame import inferred, typed, words
from reconciler.engine.models.model import Feature, Scores
from reconciler.errors import ModelError, ScoringError

with warnings.catch_warnings():
    # MLflow warns about its own types while it is imported.
    warnings.simplefilter("ignore")
    import mlflow.pyfunc

_NUMBERS = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool"}


class PyfuncModel:
    def __init__(self, metadata: Metadata, model: Any) -> None:
        self.rows_at_once = rows_at_once(metadata)
        types = metadata.column_types
        self.features = tuple(Feature(name, is_text=types.get(name) not in _NUMBERS) for name in types or metadata.feature_names)
        self._metadata = metadata
        self._model = model
        self._turn = threading.Lock()  # its code need not be made for threads

    def predict(self, rows: pa.RecordBatch) -> Scores:
        types = self._metadata.column_types
        data = _as_signed(typed(rows), types) if types else inferred(rows, words(self._metadata))
        try:
            with self._turn:
                answer = self._model.predict(data)
        except Exception as error:  # the model's code may raise what it likes
            raise failure(error) from error
        return scores_of(self._metadata, answer)


def _as_signed(data: pd.DataFrame, types: Mapping[str, str]) -> pd.DataFrame:
    """Columns of whole numbers or booleans cannot hold a missing value; with one they stay as they are, and MLflow says so."""
    wanted = {name: _NUMBERS[kind] for name, kind in types.items() if kind in _NUMBERS and not data[name].isna().any()}
    whole = {name: kind for name, kind in wanted.items() if kind.startswith("float") or (data[name] == data[name].astype(kind)).all()}
    dates = {name: pd.to_datetime(data[name]) for name, kind in types.items() if kind == "datetime"}
    return data.astype(whole).assign(**dates)


def load(metadata: Metadata) -> PyfuncModel:
    assert metadata.is_trusted, "metadata of code that is not trusted does not come this far"
    try:
        return PyfuncModel(metadata, mlflow.pyfunc.load_model(str(metadata.artifact.parent)))
    except ScoringError:
        raise
    except Exception as error:  # loading runs code, which may raise what it likes
        said = " ".join(str(error).split()).removesuffix(".")
        raise ModelError("The MLflow model cannot be loaded", f"{metadata.artifact.parent}: {type(error).__name__}: {said}.") from error
