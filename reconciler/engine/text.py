"""Values of any type as text. The rule here: text stays as it stands, and a number's text gives back exactly that number."""

import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconciler.engine.csv_text import number_text


def texts(values: pa.Array) -> pa.Array:
    """Strings, null where a value is missing. Lists and structures are JSON, spans of months and days as ISO 8601 has them; bytes that are no
    UTF-8 are shown with escapes.
    """
    kind = values.type
    if pa.types.is_string(kind):
        return values
    if pa.types.is_dictionary(kind):
        return texts(values.dictionary_decode())
    if isinstance(values, pa.ExtensionArray):
        return pa.array([None if value is None else str(value) for value in values.to_pylist()]) if kind == pa.uuid() else texts(values.storage)
    if pa.types.is_boolean(kind):
        return pc.if_else(values, "True", "False")  # as pandas writes them, and knows them as categories
    if pa.types.is_float32(kind):
        return pa.array([None if value is None else str(np.float32(value)) for value in values.to_pylist()], pa.string())
    if pa.types.is_float64(kind):
        filled = values.fill_null(0.0).to_numpy(zero_copy_only=False)
        return pc.if_else(values.is_valid(), number_text(filled), pa.scalar(None, pa.string()))
    if any(is_it(kind) for is_it in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)):
        return pa.array([None if value is None else value.decode("utf-8", "backslashreplace") for value in values.to_pylist()], pa.string())
    if pa.types.is_interval(kind):
        return pa.array([None if value is None else _span(*value) for value in values.to_pylist()], pa.string())
    if pa.types.is_nested(kind):
        return pa.array([None if value is None else json.dumps(value, default=str, ensure_ascii=False) for value in values.to_pylist()], pa.string())
    return pc.cast(values, pa.string())


def _span(months: int, days: int, nanoseconds: int) -> str:
    seconds = Decimal(nanoseconds).scaleb(-9).normalize()
    return f"P{months}M{days}DT{seconds:f}S"
