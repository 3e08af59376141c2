"""Snowflake's types and Arrow's. The rule here: models get numbers they can read, what has no type of its own is text, and no value is bent to fit.

NUMBER without decimals is int64, with decimals float64. Timestamps with a zone are UTC. VARIANT, ARRAY and OBJECT are JSON, BINARY is hexadecimal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reconciler.engine.connectors.misfit import misfit
from reconciler.engine.connectors.statements import MERGE, Flavor
from reconciler.engine.text import texts
from reconciler.errors import ScoringError

FLAVOR = Flavor(
    system="Snowflake",
    types=MappingProxyType(
        {
            "boolean": "BOOLEAN",
            "int16": "NUMBER(38, 0)",
            "int32": "NUMBER(38, 0)",
            "int64": "NUMBER(38, 0)",
            "float32": "FLOAT",
            "float64": "FLOAT",
            "decimal": "NUMBER({precision}, {scale})",
            "date": "DATE",
            "time": "TIME",
            "timestamp": "TIMESTAMP_NTZ",
            "timestamptz": "TIMESTAMP_LTZ",
            "text": "VARCHAR",
            "binary": "BINARY",
        }
    ),
    update=MERGE.partition(" WHEN NOT MATCHED")[0],
    insert_update=(MERGE,),
)
_MOMENT, _INSTANT = pa.timestamp("us"), pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Kind:
    """What a column of a result becomes. `unloaded` is how a Parquet file of Snowflake's has to be given it, which holds no other types."""

    arrow: pa.DataType
    unloaded: str = "{column}"


# By the names that results have for types.
_KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "REAL": Kind(pa.float64()),
        "TEXT": Kind(pa.string()),
        "BOOLEAN": Kind(pa.bool_()),
        "DATE": Kind(pa.date32()),
        "TIMESTAMP_NTZ": Kind(_MOMENT),
        "TIMESTAMP_LTZ": Kind(_INSTANT, "CAST(CONVERT_TIMEZONE('UTC', {column}) AS TIMESTAMP_NTZ)"),
        "TIMESTAMP_TZ": Kind(_INSTANT, "CAST(CONVERT_TIMEZONE('UTC', {column}) AS TIMESTAMP_NTZ)"),
        "VARIANT": Kind(pa.string(), "TO_JSON({column})"),
        "OBJECT": Kind(pa.string(), "TO_JSON({column})"),
        "ARRAY": Kind(pa.string(), "TO_JSON({column})"),
        "BINARY": Kind(pa.string(), "HEX_ENCODE({column})"),
    }
)
_ANYTHING = Kind(pa.string(), "TO_VARCHAR({column})")


def kind_of(name: str, scale: int | None) -> Kind:
    """`name` as results have it: FIXED, REAL, TEXT, …"""
    if name == "FIXED":
        return Kind(pa.float64() if scale else pa.int64())
    return _KINDS.get(name, _ANYTHING)


def typed(name: str, column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column as Snowflake's connector or its Parquet files have it, as `kind`. Raises ScoringError."""
    if column.type == kind:
        return column
    if pa.types.is_string(kind):
        return _text(column)
    try:
        return column.cast(kind, safe=not pa.types.is_timestamp(kind))  # finer than a microsecond is cut
    except pa.ArrowInvalid as error:
        detail = f"{name} holds a number that 64 bits do not hold. Cast it in the query, to FLOAT for a model, or to VARCHAR for an identifier."
        raise ScoringError("A number is too large", detail) from error


def _text(column: pa.Array) -> pa.Array:
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return pa.array([None if value is None else value.hex().upper() for value in column.to_pylist()], pa.string())
    return texts(column)


@dataclass(frozen=True)
class Stored:
    """A column of a table that is written to. `staged` is the type in files and in the staging table; `cast` is set where that is another one."""

    name: str
    shown: str  # its type, as a message names it
    staged: pa.DataType
    is_required: bool = False
    longest: int | None = None
    cast: str | None = None


_STAGED: Mapping[str, Callable[[Mapping[str, Any]], pa.DataType]] = MappingProxyType(
    {
        "NUMBER": lambda row: pa.decimal128(int(row["NUMERIC_PRECISION"] or 38), int(row["NUMERIC_SCALE"] or 0)),
        "FLOAT": lambda row: pa.float64(),
        "TEXT": lambda row: pa.string(),
        "BOOLEAN": lambda row: pa.bool_(),
        "DATE": lambda row: pa.date32(),
        "TIMESTAMP_NTZ": lambda row: _MOMENT,
        "TIMESTAMP_LTZ": lambda row: _INSTANT,
        "TIMESTAMP_TZ": lambda row: _INSTANT,
    }
)


def stored(row: Mapping[str, Any]) -> Stored:
    """Of a row of INFORMATION_SCHEMA.COLUMNS."""
    said = str(row["DATA_TYPE"])
    is_required = row["IS_NULLABLE"] == "NO" and row["COLUMN_DEFAULT"] is None and row["IS_IDENTITY"] != "YES"
    name = str(row["COLUMN_NAME"])
    if said not in _STAGED:
        return Stored(name, said, pa.string(), is_required, cast=said)
    shown = f"NUMBER({row['NUMERIC_PRECISION'] or 38}, {row['NUMERIC_SCALE'] or 0})" if said == "NUMBER" else said
    longest = int(row["CHARACTER_MAXIMUM_LENGTH"]) if said == "TEXT" and row["CHARACTER_MAXIMUM_LENGTH"] else None
    return Stored(name, shown, _STAGED[said](row), is_required, longest)


def fit(column: pa.Array, to: Stored, table: str) -> pa.Array:
    """The column as it is staged. Raises ScoringError that names the first value that does not fit."""

    def fitting(some: pa.Array) -> pa.Array:
        fitted = _fitting(some, to.staged)
        if to.longest and pa.types.is_string(to.staged) and (pc.max(pc.utf8_length(fitted)).as_py() or 0) > to.longest:
            raise pa.ArrowInvalid("too long")
        return fitted

    try:
        return fitting(column)
    except pa.ArrowException as error:
        _, value = misfit(column, fitting)
        kind = f"{to.shown}({to.longest})" if to.longest else to.shown
        detail = f"{table}: {str(value)[:100]!r} is no {kind}, which the column {to.name} is. Correct the intake, or give the column another type."
        raise ScoringError("A value does not fit the table", detail) from error


def _fitting(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if pa.types.is_string(kind):
        return _text(column)
    if pa.types.is_decimal(kind):
        return _decimal(column, kind)
    if pa.types.is_timestamp(kind) and pa.types.is_string(column.type):
        return _moments(column, kind)
    return column.cast(kind)


def _decimal(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Rounded to the scale, as Snowflake does; but a fraction is not made a whole number, which would make 0 and 1 of probabilities."""
    if pa.types.is_string(column.type):
        column = column.cast(pa.decimal256(76, 30))
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        column = column.cast(pa.int64()).cast(pa.decimal256(19, 0))
    if pa.types.is_floating(column.type):
        return column.cast(pa.int64()).cast(pa.decimal256(19, 0)).cast(kind) if kind.scale == 0 else column.cast(kind)
    if column.type.scale > kind.scale > 0:
        column = pc.round(column, kind.scale, "half_towards_infinity")
    return column.cast(pa.decimal256(76, kind.scale)).cast(kind)


def _moments(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Text with an offset is an instant; without one, it is UTC's."""
    try:
        return column.cast(_INSTANT).cast(kind)
    except pa.ArrowInvalid:
        return column.cast(_MOMENT).cast(kind)
