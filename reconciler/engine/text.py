"""Values of any type as text. The rule here: text stays as it stands, and a number's text gives back exactly that number."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconciler.engine.csv_text import number_text


def texts(values: pa.Array) -> pa.Array:
    """Strings, null where a value is missing. Lists and structures are JSON; bytes that are no UTF-8 are shown with escapes."""
    kind = values.type
    if pa.types.is_string(kind):
        return values
    if pa.types.is_dictionary(kind):
        return texts(values.dictionary_decode())
    if pa.types.is_boolean(kind):
        return pc.if_else(values, "True", "False")  # as pandas writes them, and knows them as categories
    if pa.types.is_float32(kind):
        return pa.array([None if value is None else str(np.float32(value)) for value in values.to_pylist()], pa.string())
    if pa.types.is_float64(kind):
        filled = values.fill_null(0.0).to_numpy(zero_copy_only=False)
        return pc.if_else(values.is_valid(), number_text(filled), pa.scalar(None, pa.string()))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return pa.array([None if value is None else value.decode("utf-8", "backslashreplace") for value in values.to_pylist()], pa.string())
    if pa.types.is_nested(kind):
        return pa.array([None if value is None else json.dumps(value, default=str, ensure_ascii=False) for value in values.to_pylist()], pa.string())
    return pc.cast(values, pa.string())
