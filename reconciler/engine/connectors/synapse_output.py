"""A table of Synapse's as an output. The rule here: all rows are in a staging table before one is in the target, and one transaction moves them.

With an external data source they go there as Parquet files that COPY loads, without one by bulk copy. No DDL, CETAS or COPY is allowed within a
transaction there, so a target that is to be created is created before.
"""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from types import TracebackType

import pyarrow as pa

from reconciler.engine.connectors import external_source
from reconciler.engine.connectors.external_source import Folder
from reconciler.engine.connectors.misfit import misfit
from reconciler.engine.connectors.sqlserver import Session, literal
from reconciler.engine.connectors.statements import (
    Name,
    check_keys,
    check_target,
    count,
    creation,
    fitted,
    gone,
    moved,
    removal,
    repeated_keys,
    settlement,
    staging_name,
    target_name,
)
from reconciler.engine.connectors.synapse_types import FLAVOR, HEAP, as_type
from reconciler.engine.parquet import ParquetOutput
from reconciler.engine.place import Place
from reconciler.engine.sink import Output
from reconciler.errors import Lost, ScoringError

_ROWS, _BYTES = 1 << 16, 16 << 20  # of one bulk copy
_FILE = 256 << 20  # bytes of one file, and so that COPY has several to read at once


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
            session.run(f"CREATE TABLE {FLAVOR.qualified(staging)} {HEAP} AS {alike}")
        else:
            session.run(creation(FLAVOR, staging, {columns[field.name]: field.type for field in schema if field.name in columns}))
        opened.pop_all()
    return Staging(place, session, staging, columns, folder)


def settle(place: Place, rows: int) -> None:
    settings = place.settings
    target = target_name(settings)
    staging = staging_name(target, place.job)
    with Session(place, external_source.secrets(place)) as session:
        if not session.exists(FLAVOR.qualified(staging)):
            raise gone(session.name, staging)
        _move(session, place, target, staging, rows)


def discard(place: Place) -> None:
    """Whoever scores the job again removes what cannot be removed now."""
    place = replace(place, is_halted=lambda: False)
    with suppress(ScoringError), Session(place) as session:
        session.run(removal(FLAVOR, staging_name(target_name(place.settings), place.job)))
        if place.settings.external_data_source:
            external_source.folder(session, place, "out").clear()


def _move(session: Session, place: Place, target: Name, staging: Name, rows: int) -> None:
    """In one transaction, which goes back unless it has itself emptied the staging table.

    A former process may have died in the middle of its own, which the server may not know yet: then rows that it has deleted seem to be gone, and
    the DELETE waits for what becomes of them.
    """
    table = FLAVOR.qualified(staging)
    columns = session.schema(table).names
    if not session.exists(FLAVOR.qualified(target)):
        check_target(place.settings, session.name, target, False)
        session.run(f"CREATE TABLE {FLAVOR.qualified(target)} {HEAP} AS SELECT {FLAVOR.listed(columns)} FROM {table} WHERE 1 = 0")
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
            return as_type(column, kind)
        except pa.ArrowException:
            _, bad = misfit(column, lambda some: as_type(some, kind))
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
