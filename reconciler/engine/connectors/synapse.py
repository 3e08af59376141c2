"""Synapse's dedicated pools. The rule here: what is said to them is what they are documented to take, and no row is in the target twice.

With an external data source rows travel as Parquet through its container: CETAS unloads them and COPY loads them. Without one they come as the answer
of a query, and go by bulk copy. No DDL, CETAS or COPY is allowed within a transaction there, so a target that is to be created is created before.

Fingerprint: a dedicated pool does not know when rows changed. `modify_date` is of the table's definition, and neither it nor a number of rows
changes with an UPDATE; a checksum of all rows reads them, and can be the same for other rows. So only a `probe` tells.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from reconciler.engine.batches import BatchIntake, BatchPiece
from reconciler.engine.connectors import external_source
from reconciler.engine.connectors.external_source import Folder
from reconciler.engine.connectors.misfit import misfit
from reconciler.engine.connectors.objects import object_file
from reconciler.engine.connectors.probe import MOST, probed
from reconciler.engine.connectors.sqlserver import Session, literal
from reconciler.engine.connectors.statements import (
    INSERT_MISSING,
    Flavor,
    Name,
    check_keys,
    check_target,
    count,
    creation,
    fitted,
    moved,
    removal,
    repeated_keys,
    selection,
    settlement,
    staging_name,
    target_name,
)
from reconciler.engine.dialect import Dialect
from reconciler.engine.intake import Intake, Piece
from reconciler.engine.joined import JoinedIntake
from reconciler.engine.parquet import ParquetIntake, ParquetOutput
from reconciler.engine.place import Place
from reconciler.engine.sink import Output
from reconciler.engine.text import texts
from reconciler.errors import Lost, ScoringError
from reconciler.settings import SynapseIntake

_ROWS, _BYTES = 1 << 16, 16 << 20  # of one bulk copy
_FILE = 256 << 20  # bytes of one file, and so that COPY has several to read at once
_HEAP = "WITH (DISTRIBUTION = ROUND_ROBIN, HEAP)"  # a columnstore takes no nvarchar(max)
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
    create=f"IF OBJECT_ID(N'{{text}}') IS NULL CREATE TABLE {{table}} ({{columns}}) {_HEAP}",
    drop="IF OBJECT_ID(N'{text}') IS NOT NULL DROP TABLE {table}",
    rows="COUNT_BIG(*)",
)


def look(place: Place) -> Mapping[str, Any] | None:
    """The rows that the probe answers; without one nothing, once the server has been asked whether the table is there."""
    with Session(place) as session:
        if place.probe is not None:
            return probed(session.name, session.run(place.probe, limit=MOST + 1))
        if place.settings.table is not None:
            session.schema(FLAVOR.qualified(Name(place.settings.table, place.settings.db_schema)))
        return None


def open_intake(place: Place, dialect: Dialect, is_halted: Callable[[], bool]) -> Intake:
    query = selection(FLAVOR, place.settings)
    with ExitStack() as opened:
        session = opened.enter_context(Session(replace(place, is_halted=is_halted)))
        name = f"{session.name}: {place.settings.table or 'the query'}"
        if place.settings.external_data_source:
            return _unloaded(session, place, name, query, is_halted)
        schema, batches = session.read(query)
        opened.pop_all()
    return BatchIntake(name, _plain_schema(schema), map(_plain, batches), session.close)


def open_output(place: Place, schema: pa.Schema) -> Output[pa.RecordBatch]:
    """Checks the table and makes the staging table, which has the columns' types as the target has them."""
    target = target_name(place.settings)
    staging = staging_name(target, place.job)
    with ExitStack() as opened:
        session = opened.enter_context(Session(place, external_source.secrets(place)))
        columns = _columns(session, place, schema)
        folder = external_source.folder(session, place, "out") if place.settings.external_data_source else None
        if folder:
            folder.clear()
        session.run(removal(FLAVOR, staging))
        if session.exists(FLAVOR.qualified(target)):
            alike = f"SELECT {FLAVOR.listed(columns.values())} FROM {FLAVOR.qualified(target)} WHERE 1 = 0"
            session.run(f"CREATE TABLE {FLAVOR.qualified(staging)} {_HEAP} AS {alike}")
        else:
            session.run(creation(FLAVOR, staging, {columns[field.name]: field.type for field in schema if field.name in columns}))
        opened.pop_all()
    return Staging(place, session, staging, columns, folder)


def settle(place: Place, rows: int) -> None:
    settings = place.settings
    target = target_name(settings)
    staging = staging_name(target, place.job)
    with Session(place, external_source.secrets(place)) as session:
        if session.exists(FLAVOR.qualified(staging)):
            _move(session, place, target, staging, rows)
    discard(place)  # it is empty, and no abort and no trouble can undo what is committed


def discard(place: Place) -> None:
    """Whoever scores the job again removes what cannot be removed now."""
    place = replace(place, is_halted=lambda: False)
    is_intake = isinstance(place.settings, SynapseIntake)
    with suppress(ScoringError), Session(place) as session:
        session.run(_removal_unloaded(place) if is_intake else removal(FLAVOR, staging_name(target_name(place.settings), place.job)))
        if place.settings.external_data_source:
            external_source.folder(session, place, "in" if is_intake else "out").clear()


def ping(place: Place) -> None:
    with Session(place) as session:
        session.run("SELECT 1")


def schemas(place: Place) -> list[str]:
    with Session(place) as session:
        return [str(row[0]) for row in session.run("SELECT name FROM sys.schemas ORDER BY name")]


def tables(place: Place, schema: str | None) -> list[tuple[str, str, str]]:
    asked = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM INFORMATION_SCHEMA.TABLES"
    with Session(place) as session:
        found = session.run(asked) if schema is None else session.run(f"{asked} WHERE TABLE_SCHEMA = ?", schema)
    return sorted((str(there), str(name), "view" if kind == "VIEW" else "table") for there, name, kind in found)


def _move(session: Session, place: Place, target: Name, staging: Name, rows: int) -> None:
    """In one transaction, which goes back unless it has itself emptied the staging table.

    A former process may have died in the middle of its own, which the server may not know yet: then rows that it has deleted seem to be gone, and
    the DELETE waits for what becomes of them.
    """
    table = FLAVOR.qualified(staging)
    columns = session.schema(table).names
    if not session.exists(FLAVOR.qualified(target)):
        check_target(place.settings, session.name, target, False)
        session.run(f"CREATE TABLE {FLAVOR.qualified(target)} {_HEAP} AS SELECT {FLAVOR.listed(columns)} FROM {table} WHERE 1 = 0")
    move = moved(place.settings, target, staging, columns, {})
    with session.transaction():
        staged = int(session.run(count(FLAVOR, staging))[0][0])
        if staged not in (0, rows):
            detail = f"{session.name}: {staging} holds {staged} rows, and the job has {rows}. Nothing was moved. Score it again."
            raise ScoringError("The staged rows are not those of the job", detail)
        if move.where:
            check_keys(move, session.run(repeated_keys(FLAVOR, move)))
        *moving, emptying = settlement(FLAVOR, move)
        for statement in moving:
            session.run(statement)
        if session.change(emptying) not in (staged, -1):
            raise Lost("Another session was settling this job", f"{session.name}: {staging} was changed meanwhile.")  # a try that was cut off, say


class Staging:
    """Rows on their way into the staging table. `columns` are those of the output that go there, and what the table calls them."""

    def __init__(self, place: Place, session: Session, table: Name, columns: Mapping[str, str], folder: Folder | None) -> None:
        self.bytes_written = 0
        self._place = place
        self._session = session
        self._name = table
        self._table = FLAVOR.qualified(table)
        self._columns = columns
        self._schema = session.schema(self._table)
        self._folder = folder
        self._rows = 0
        self._waiting: list[pa.RecordBatch] = []
        self._part: ParquetOutput | None = None
        self._parts = 0
        self._is_finished = False

    def __enter__(self) -> "Staging":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session.close()
        if self._part:
            self._part.__exit__(kind, error, trace)
        if not self._is_finished:
            discard(self._place)

    def write(self, batch: pa.RecordBatch) -> None:
        self._rows += batch.num_rows
        self._waiting.append(pa.RecordBatch.from_arrays([self._cast(batch, name) for name in self._columns], schema=self._schema))
        if sum(each.num_rows for each in self._waiting) >= _ROWS or sum(each.nbytes for each in self._waiting) >= _BYTES:
            self._put()

    def finish(self) -> None:
        self._put()
        if self._folder and self._rows:
            self._end_part()
            columns, url = FLAVOR.listed(self._schema.names), literal(self._folder.url)[1:]
            options = ", ".join(part for part in ("FILE_TYPE = 'PARQUET'", self._folder.credential) if part)
            self._session.run(f"COPY INTO {self._table} ({columns}) FROM {url} WITH ({options})")
        staged = int(self._session.run(count(FLAVOR, self._name))[0][0])
        if staged != self._rows:
            raise ScoringError("Rows were lost on the way", f"{self._session.name}: {self._name} has {staged} rows, and {self._rows} were sent.")
        if self._folder:
            self._folder.clear()
        self._is_finished = True

    def _put(self) -> None:
        rows = pa.Table.from_batches(self._waiting, self._schema)
        self._waiting = []
        if not rows.num_rows:
            return
        self.bytes_written += rows.nbytes
        if not self._folder:
            self._session.load(self._table, rows)
            return
        if self._part is None:
            self._parts += 1
            self._part = ParquetOutput(self._folder.store.sink(f"{self._folder.key}{self._parts:05}.parquet"), self._schema)
        for batch in rows.to_batches():
            self._part.write(batch)
        if self._part.bytes_written >= _FILE:
            self._end_part()

    def _end_part(self) -> None:
        if self._part:
            self._part.finish()
            self._part.__exit__(None, None, None)
            self._part = None

    def _cast(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        kind, column = self._schema.field(self._columns[name]).type, batch.column(name)
        try:
            return _as(column, kind)
        except pa.ArrowException:
            _, bad = misfit(column, lambda some: _as(some, kind))
        detail = f"{self._session.name}: the table's column {self._columns[name]} is {kind}, and the output's {name} has {bad!r} in a row."
        raise ScoringError("A value does not fit the table", f"{detail} Nothing was written. Correct the column's type, or leave it out.")


def _columns(session: Session, place: Place, schema: pa.Schema) -> dict[str, str]:
    """What of the output goes where. Raises ScoringError for a table that is not there and is not to be created, or lacks columns."""
    target = FLAVOR.qualified(target_name(place.settings))
    is_there = session.exists(target)
    check_target(place.settings, session.name, target_name(place.settings), is_there)
    if not is_there:
        return fitted(place.settings, schema.names, None)
    must = "SELECT name FROM sys.columns WHERE object_id = OBJECT_ID(?) AND is_nullable = 0 AND is_identity = 0 AND default_object_id = 0"
    required = [str(row[0]) for row in session.run(must, target)]
    return fitted(place.settings, schema.names, session.schema(target).names, required)


# Rows of an intake


def _unloaded(session: Session, place: Place, name: str, query: str, is_halted: Callable[[], bool]) -> Intake:
    """By CETAS. The files are ours, and stay until they are read; of the table nothing is needed but its schema, and how many rows it has."""
    folder = external_source.folder(session, place, "in")
    table = FLAVOR.qualified(_unloaded_name(place))

    def unload() -> tuple[pa.Schema, int]:
        session.run(_removal_unloaded(place))
        source = FLAVOR.quoted(place.settings.external_data_source)
        options = f"LOCATION = {literal(folder.location)[1:]}, DATA_SOURCE = {source}, FILE_FORMAT = {_file_format(session)}"
        session.run(f"CREATE EXTERNAL TABLE {table} WITH ({options}) AS {query}")
        schema, rows = session.schema(table), int(session.run(count(FLAVOR, _unloaded_name(place)))[0][0])
        session.run(_removal_unloaded(place))
        return schema, rows

    with ExitStack() as left:
        left.callback(folder.clear)
        folder.clear()
        schema, rows = unload()
        found = folder.objects()
        if not found:
            _check_rows(folder, 0, rows)
            return BatchIntake(name, _plain_schema(schema), (), folder.clear)
        files = [partial(ParquetIntake, object_file(folder.store, each, is_halted), each.key.removeprefix(folder.key)) for each in found]
        intake = Unloaded(name, JoinedIntake(name, files, sum(each.size for each in found)), folder, rows)
        left.pop_all()
        return intake


def _unloaded_name(place: Place) -> Name:
    return Name(f"reconciler_{place.job}_in", place.settings.db_schema)


def _removal_unloaded(place: Place) -> str:
    """Of the table; its files stay."""
    table = FLAVOR.qualified(_unloaded_name(place))
    return f"IF OBJECT_ID({literal(table)}) IS NOT NULL DROP EXTERNAL TABLE {table}"


def _file_format(session: Session) -> str:
    """One of Parquet that the database has, or ours."""
    found = session.run("SELECT name FROM sys.external_file_formats WHERE format_type = 'PARQUET' ORDER BY name")
    if found:
        return FLAVOR.quoted(str(found[0][0]))
    session.run("CREATE EXTERNAL FILE FORMAT [reconciler_parquet] WITH (FORMAT_TYPE = PARQUET)")
    return "[reconciler_parquet]"


class Unloaded:
    """Files with the types of the warehouse, as an intake with ours."""

    def __init__(self, name: str, files: JoinedIntake, folder: Folder, rows: int) -> None:
        self.name = name
        self.unit = files.unit
        self.bytes_total = files.bytes_total
        self.header: Sequence[str] = files.header
        self.types: Sequence[pa.DataType] = [_plain_type(kind) for kind in files.types]
        self._files = files
        self._folder = folder
        self._rows = rows

    @property
    def bytes_read(self) -> int:
        return self._files.bytes_read

    def pieces(self, columns: Sequence[str], rows: int, size: int | None, is_halted: Callable[[], bool]) -> Iterator[Piece]:
        read = 0
        for piece in self._files.pieces(columns, rows, size, is_halted):
            assert isinstance(piece, BatchPiece)
            yield replace(piece, rows=_plain(piece.rows))
            read += piece.rows.num_rows
        _check_rows(self._folder, read, self._rows)

    def close(self) -> None:
        self._files.close()
        self._folder.clear()


def _check_rows(folder: Folder, read: int, rows: int) -> None:
    if read != rows:
        detail = f"Synapse unloaded {rows} rows, and the files in {folder.store.url(folder.key)} have {read}. Is it the data source's container?"
        raise ScoringError("Unloaded rows are missing", detail)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Decimals are numbers that a model reads; what a model has no use for is text."""
    if pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_date(kind):
        return kind
    return pa.string()


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([(field.name, _plain_type(field.type)) for field in schema])


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([_as(column, _plain_type(column.type)) for column in batch.columns], schema=_plain_schema(batch.schema))


def _as(column: pa.Array, kind: pa.DataType) -> pa.Array:
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
