"""Rows as the pandas frame for a model of Python. The rule here: it is what the model's maker would have read from the same file."""

import io
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv


def typed(rows: pa.RecordBatch) -> pd.DataFrame:
    """Numbers as float64 and texts as objects; NaN where a value is missing."""
    return pd.DataFrame({name: _column(rows.column(place)) for place, name in enumerate(rows.schema.names)})


def inferred(rows: pa.RecordBatch, words: Sequence[str] = ()) -> pd.DataFrame:
    """As pandas reads a CSV file of these rows, so that a column's type is what its values look like; but a column of `words` is text."""
    written = io.BytesIO()
    pyarrow.csv.write_csv(rows, written)
    return pd.read_csv(io.BytesIO(written.getvalue()), skip_blank_lines=False, low_memory=False, dtype=dict.fromkeys(words, str))


def _column(values: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.float64 | np.object_]]:
    if not pa.types.is_string(values.type):
        return np.asarray(values.to_numpy(zero_copy_only=False), np.float64)
    texts = np.asarray(values.to_numpy(zero_copy_only=False), object)
    texts[np.asarray(values.is_null())] = np.nan
    return texts
