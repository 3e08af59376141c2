"""BigQuery's types and Arrow's. The rule here: a value fits its column or is named with it, before anything is loaded.

How Parquet is loaded: https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#type_conversions
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reconciler.engine.connectors.misfit import misfit
from reconciler.engine.text import texts
from reconciler.errors import ScoringError

_INSTANT = pa.timestamp("us", "UTC")
# What a column is read as. Those of other types are not read through Parquet: lists and records, whose form there differs; intervals, ranges.
READ = MappingProxyType(
    {
        "STRING": pa.string(),
        "BYTES": pa.binary(),
        "INTEGER": pa.int64(),
        "FLOAT": pa.float64(),
        "NUMERIC": pa.float64(),
        "BIGNUMERIC": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "TIMESTAMP": _INSTANT,
        "DATETIME": pa.timestamp("us"),
        "DATE": pa.date32(),
        "TIME": pa.time64("us"),
        "GEOGRAPHY": pa.string(),
    }
)
# What a column is loaded from. BigQuery loads the others from no Parquet column that we could write.
_WRITTEN = MappingProxyType(
    {kind: read for kind, read in READ.items() if kind != "GEOGRAPHY"} | {"NUMERIC": pa.decimal128(38, 9), "BIGNUMERIC": pa.decimal256(76, 38)}
)
_SYNONYMS = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}
_ARROW: Sequence[tuple[Callable[[pa.DataType], bool], str]] = (
    (pa.types.is_boolean, "BOOLEAN"),
    (pa.types.is_integer, "INTEGER"),
    (pa.types.is_floating, "FLOAT"),
    (pa.types.is_decimal, "FLOAT"),
    (pa.types.is_date, "DATE"),
    (pa.types.is_time, "TIME"),
    (lambda kind: pa.types.is_timestamp(kind) and kind.tz is not None, "TIMESTAMP"),
    (pa.types.is_timestamp, "DATETIME"),
    (pa.types.is_binary, "BYTES"),
    (pa.types.is_large_binary, "BYTES"),
)
# https://cloud.google.com/bigquery/docs/schemas#column_names
_UNNAMEABLE = re.compile(r"""[!"$()*,./;?@\[\\\]^`{}~\x00-\x1f]""")
_LONGEST_NAME = 300
_RESERVED = (
    "_table_",
    "_file_",
    "_partition",
    "_row_timestamp",
    "__root__",
    "_colidentifier",
    "_change_sequence_number",
    "_change_type",
    "_change_timestamp",
)
_ADVICE = "Nothing was written. Correct the value, or the column of the table."
_DATE = len("2026-10-01")
_ZONED = r"(?i)(z|[+-]\d\d(:?\d\d)?)$"


def kind_of(field: Any) -> str:
    """Of a SchemaField: one spelling of each type, and REPEATED for lists of any."""
    return "REPEATED" if field.mode == "REPEATED" else _SYNONYMS.get(field.field_type, field.field_type)


def readable(kind: pa.DataType) -> pa.DataType:
    """What models read a column of a batch as."""
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    return pa.float64() if pa.types.is_decimal(kind) else pa.string() if pa.types.is_interval(kind) else kind


def read_as(values: pa.Array, kind: pa.DataType) -> pa.Array:
    values = values.storage if isinstance(values, pa.ExtensionArray) else values
    if pa.types.is_interval(values.type):
        return texts(values)
    return values if values.type == kind else pc.cast(values, kind)


@dataclass(frozen=True)
class Column:
    """Of the table that is written to, by the name it has there."""

    name: str
    kind: str
    table: str  # as a message calls it
    is_required: bool = False

    @property
    def field(self) -> pa.Field:
        return pa.field(self.name, _WRITTEN[self.kind], nullable=not self.is_required)

    def fitted(self, values: pa.Array, first_row: int) -> pa.Array:
        """As the column's type. Raises ScoringError that names a value; rows are counted from 1, behind the first ones."""
        try:
            fitted = _cast(values, _WRITTEN[self.kind])
        except pa.ArrowException as error:
            raise self._unfit(values, first_row) from error
        if self.is_required and fitted.null_count:
            row = first_row + fitted.is_null().index(True).as_py() + 1
            raise ScoringError("A value is missing", f"{self._shown} is REQUIRED, and row {row} has no value for it. {_ADVICE}")
        return fitted

    def _unfit(self, values: pa.Array, first_row: int) -> ScoringError:
        place, found = misfit(values, lambda some: _cast(some, _WRITTEN[self.kind]))
        value = str(found)
        shown = value if len(value) <= 80 else f"{value[:80]}…"
        detail = f"{self._shown} is {self.kind}, and row {first_row + place + 1} has {shown!r} for it. {_ADVICE}"
        return ScoringError("A value does not fit its column", detail)

    @property
    def _shown(self) -> str:
        return f"{self.table}: the column {self.name}"


def new_columns(table: str, schema: pa.Schema) -> list[Column]:
    """Of a table that is still to be made. Raises ScoringError for names that BigQuery does not take."""
    if bad := [name for name in schema.names if not _is_nameable(name)]:
        detail = f"{table}: BigQuery takes no column called {', '.join(bad)}. Rename it with column_names_remapping."
        raise ScoringError("BigQuery does not take the names of columns", detail)
    folded = [name.casefold() for name in schema.names]
    if twice := [name for name in schema.names if folded.count(name.casefold()) > 1]:
        detail = f"{table}: BigQuery tells no upper case from lower: {', '.join(twice)}. Rename one with column_names_remapping."
        raise ScoringError("Columns of the output have the same name", detail)
    return [Column(field.name, _new_kind(field.type), table) for field in schema]


def target_columns(table: str, schema: pa.Schema, fields: Sequence[Any]) -> list[Column]:
    """Those of a table's SchemaFields that rows of this schema go to. Raises ScoringError for what the table lacks, has too much, or cannot take."""
    there = {field.name.casefold(): field for field in fields}
    if missing := [name for name in schema.names if name.casefold() not in there]:
        detail = f"{table} has no column {', '.join(missing)}. Add it there, or drop or rename it with column_names_remapping."
        raise ScoringError("The table lacks columns", detail)
    chosen = {name.casefold() for name in schema.names}
    if len(chosen) < len(schema.names):
        raise ScoringError("Columns of the output have the same name", f"{table} tells no upper case from lower: {', '.join(schema.names)}.")
    if empty := [field.name for field in fields if field.mode == "REQUIRED" and field.name.casefold() not in chosen]:
        detail = f"{table} requires a value for {', '.join(empty)}, which the output does not have. Pass it through, or relax the column."
        raise ScoringError("The output lacks columns", detail)
    columns = [Column(there[name].name, kind_of(there[name]), table, there[name].mode == "REQUIRED") for name in map(str.casefold, schema.names)]
    if odd := [f"{column.name} ({column.kind})" for column in columns if column.kind not in _WRITTEN]:
        raise ScoringError("The table has columns of other types", f"{table}: no scores are loaded into {', '.join(odd)}.")
    return columns


def _is_nameable(name: str) -> bool:
    return bool(name) and len(name) <= _LONGEST_NAME and not _UNNAMEABLE.search(name) and not name.casefold().startswith(_RESERVED)


def _new_kind(kind: pa.DataType) -> str:
    return next((name for is_it, name in _ARROW if is_it(kind)), "STRING")


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Raises pa.ArrowInvalid, or pa.ArrowNotImplementedError for types that have nothing in common."""
    if values.type == kind:
        return values
    if pa.types.is_string(kind):
        return texts(values)
    if pa.types.is_binary(kind):
        return values.cast(kind) if pa.types.is_large_binary(values.type) else texts(values).cast(kind)
    if pa.types.is_dictionary(values.type) or pa.types.is_large_string(values.type):
        values = texts(values)
    if pa.types.is_string(values.type):
        return _read(pc.utf8_trim_whitespace(values), kind)
    if pa.types.is_temporal(kind) != pa.types.is_temporal(values.type):
        raise pa.ArrowInvalid("a number is no time")
    return pc.cast(values, kind)


def _read(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Texts, of which an empty one is no value, as BigQuery reads CSV."""
    values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
    if kind == _INSTANT:  # in UTC, where no zone is written
        is_zoned = pc.match_substring_regex(pc.utf8_slice_codeunits(values, _DATE), _ZONED)
        missing = pc.if_else(is_zoned, "", pc.if_else(pc.equal(pc.utf8_length(values), _DATE), "T00:00:00Z", "Z"))
        values = pc.binary_join_element_wise(values, missing, "")
    elif pa.types.is_time(kind):  # which Arrow reads as a part of a day only
        values = pc.cast(pc.binary_join_element_wise("1970-01-01T", values, ""), pa.timestamp("us"))
    return pc.cast(values, kind)
