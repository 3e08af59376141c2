"""Synapse's types and Arrow's, and its SQL. The rule here: decimals are numbers that a model reads, and what it has no use for is text."""

import pyarrow as pa
import pyarrow.compute as pc

from reconciler.engine.connectors.statements import INSERT_MISSING, Flavor
from reconciler.engine.text import texts

HEAP = "WITH (DISTRIBUTION = ROUND_ROBIN, HEAP)"  # a columnstore takes no nvarchar(max)
_UPDATE = "UPDATE {target} SET {changes} FROM {target} AS t JOIN {staging} AS s ON {match}"

FLAVOR = Flavor(
    "Synapse",
    {
        "boolean": "bit",
        "int16": "smallint",
        "int32": "int",
        "int64": "bigint",
        "float32": "real",
        "float64": "float",
        "decimal": "decimal({precision}, {scale})",
        "date": "date",
        "time": "time",
        "timestamp": "datetime2",
        "timestamptz": "datetimeoffset",
        "text": "nvarchar(max)",
        "binary": "varbinary(max)",
    },
    update=_UPDATE,
    insert_update=(_UPDATE, INSERT_MISSING),
    quotes=("[", "]"),
    create=f"IF OBJECT_ID(N'{{text}}') IS NULL CREATE TABLE {{table}} ({{columns}}) {HEAP}",
    drop="IF OBJECT_ID(N'{text}') IS NOT NULL DROP TABLE {table}",
    rows="COUNT_BIG(*)",
)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """What a column of the warehouse's is read as."""
    if pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_date(kind):
        return kind
    return pa.string()


def plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([(field.name, plain_type(field.type)) for field in schema])


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([as_type(column, plain_type(column.type)) for column in batch.columns], schema=plain_schema(batch.schema))


def as_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Raises pa.ArrowException for a value that is not one of the type. A number is rounded to the digits that a decimal has."""
    if column.type == kind:
        return column
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        is_binary = pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)
        shown = pa.array([None if value is None else f"0x{value.hex().upper()}" for value in column.to_pylist()]) if is_binary else texts(column)
        return shown.cast(kind)
    if pa.types.is_timestamp(column.type) and pa.types.is_timestamp(kind):
        return column.cast(kind, safe=False)  # nanoseconds
    if pa.types.is_string(column.type) and pa.types.is_time(kind):
        return pc.binary_join_element_wise("1970-01-01", column, " ").cast(pa.timestamp("ns")).cast(kind)
    if pa.types.is_decimal(kind) and pa.types.is_floating(column.type):
        return pc.round(column, kind.scale).cast(kind)
    return column.cast(kind)
