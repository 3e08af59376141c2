"""A table of PostgreSQL that scores are written to. The rule here: nobody sees a row before all are staged, and then everybody sees all.

The rows are copied to a staging table, which is committed; `settle` moves them and empties it in one transaction. With a commit_interval that
is not the API's default, what has come so far is moved every so many seconds, and what was moved stays, whatever becomes of the job.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from queue import Empty, Full, Queue
from threading import Event
from types import TracebackType

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from reconciler.engine.connectors import postgres_tables, statements
from reconciler.engine.connectors.patience import is_over, started
from reconciler.engine.connectors.postgres_rows import OpenCursor, adbc_refusal
from reconciler.engine.connectors.postgres_tables import FLAVOR, Column, located, staged_type
from reconciler.engine.connectors.postgresql import Server, Session, opened, refusals, server, set_session
from reconciler.engine.connectors.statements import Move, Name, check_target, fitted, moved, staging_name, target_name
from reconciler.engine.flow import TICK
from reconciler.engine.place import Place
from reconciler.engine.text import texts
from reconciler.errors import Cancelled, ScoringError

_AHEAD = 3  # batches on their way to the server
_GRACE_S = 2.0
_SHOWN = 60  # characters of a value in a message
_LONGEST_NAME = 63


def open_output(place: Place, schema: pa.Schema) -> "TableOutput":
    return TableOutput(place, schema)


def settle(place: Place, rows: int) -> None:
    with refusals(server(place).name, "The output cannot be written"), Session(place) as session:
        _settle(session, place, rows)


def discard(place: Place) -> None:
    # The job was aborted, perhaps, and this is all the same to be done.
    with suppress(ScoringError), opened(replace(place, is_halted=lambda: False)) as session:
        session.run("SET lock_timeout = '5s'")
        session.run(statements.removal(FLAVOR, staging_name(located(session, target_name(place.settings)), place.job)))


class TableOutput:
    """Takes batches of the schema. Left without a `finish`, the staging table is gone."""

    def __init__(self, place: Place, schema: pa.Schema) -> None:
        self.bytes_written = 0
        self._place = place
        with opened(place) as session:
            target, staging = _names(session, place)
            names = _fitted(session, place, target, schema.names)
            self._columns = [schema.get_field_index(column) for column in names]
            kinds = {name: staged_type(schema.field(column).type) for column, name in names.items()}
            self._schema = pa.schema(list(kinds.items()))
            with session.transaction():
                session.run(statements.removal(FLAVOR, staging))
                session.run(statements.creation(FLAVOR, staging, kinds))
            self._server, self._staging = session.server, staging
            try:
                _check_statements(session, place, target, staging)
            except BaseException:
                discard(place)
                raise
        # A job resource shows the API's default where the user said nothing.
        self._interval = place.settings.wire().get("commitInterval", 0)
        self._is_finished = self._has_committed = False
        self._begun = time.monotonic()
        self._copy = self._copying()

    def __enter__(self) -> "TableOutput":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._is_finished:
            self._copy.leave()
            discard(self._place)

    def write(self, content: pa.RecordBatch) -> None:
        if self._interval and time.monotonic() - self._begun >= self._interval:
            self._move()
            self._begun, self._copy = time.monotonic(), self._copying()
        arrays = [_staged(content.column(place), field.type) for place, field in zip(self._columns, self._schema, strict=True)]
        self._copy.put(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self.bytes_written += content.nbytes

    def finish(self) -> None:
        if self._interval:
            self._move()
        else:
            self._copy.finish()
            with opened(self._place) as session:
                _check_rows(session, _move(session, self._place))
        self._is_finished = True

    def _move(self) -> None:
        try:
            self._move_staged()
        except ScoringError as error:
            if self._has_committed:  # which nobody knows who says why the rest does not go there
                error.detail = error.detail.replace("Nothing was written.", "Rows that were committed before stay there.")
            raise
        self._has_committed = True

    def _move_staged(self) -> None:
        self._copy.finish()
        with opened(self._place) as session:
            move = _move(session, self._place)
            _check_rows(session, move)
            with session.transaction():
                _create(session, move)
                for statement in statements.settlement(FLAVOR, move):
                    session.run(statement)

    def _copying(self) -> "_Copy":
        return _Copy(self._server, self._staging, self._schema, self._place)


class _Copy:
    """One COPY into a table, committed at its end, by a thread that takes the batches from a queue."""

    def __init__(self, server: Server, table: Name, schema: pa.Schema, place: Place) -> None:
        self._server = server
        self._table = table
        self._schema = schema
        self._is_halted = place.is_halted
        self._left = Event()
        self._open = OpenCursor()
        self._given: Queue[pa.RecordBatch | None] = Queue(_AHEAD)
        self._thread = started(self._run)

    def put(self, batch: pa.RecordBatch | None) -> None:
        while not is_over(self._thread, 0):
            with suppress(Full):
                self._given.put(batch, timeout=TICK)
                return
            self._check_halt()
        self._thread.result()  # raises what went wrong

    def finish(self) -> None:
        """Everything is committed when this returns."""
        self.put(None)
        while not is_over(self._thread):
            self._check_halt()
        self._thread.result()

    def leave(self) -> None:
        self._left.set()
        if not is_over(self._thread, TICK):
            started(self._open.cancel)
            is_over(self._thread, _GRACE_S)

    def _check_halt(self) -> None:
        if self._is_halted():
            self.leave()
            raise Cancelled("The job was aborted")

    def _run(self) -> None:
        try:
            with closing(adbc_driver_postgresql.dbapi.connect(self._server.conninfo)) as connection, closing(connection.cursor()) as cursor:
                cursor.execute(set_session(self._server))
                cursor.fetchall()
                with self._open.held(cursor):
                    reader = pa.RecordBatchReader.from_batches(self._schema, self._batches())
                    cursor.adbc_ingest(self._table.table, reader, mode="append", db_schema_name=self._table.schema)
                connection.commit()
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            raise adbc_refusal(self._server.name, error, "The output cannot be written") from None

    def _batches(self) -> Iterator[pa.RecordBatch]:
        while not self._left.is_set():
            with suppress(Empty):
                batch = self._given.get(timeout=TICK)
                if batch is None:
                    return
                yield batch
        raise Cancelled("The job was aborted")


def _settle(session: Session, place: Place, rows: int) -> None:
    _, staging = _names(session, place)
    if postgres_tables.columns(session, staging) is None:
        raise statements.gone(session.server.name, staging)
    with session.transaction():
        for statement in statements.locking(FLAVOR, staging):
            session.run(statement)
        ((staged,),) = session.run(statements.count(FLAVOR, staging))
        if staged not in (0, rows):
            detail = f"{session.server.name}: {staging} has {staged} rows, and {rows} were staged: somebody has changed them. Nothing was written."
            raise ScoringError("The staged rows have changed", detail)
        if staged or not rows:
            move = _move(session, place)
            _create(session, move)
            for statement in statements.settlement(FLAVOR, move):
                session.run(statement)


def _names(session: Session, place: Place) -> tuple[Name, Name]:
    target = located(session, target_name(place.settings))
    return target, staging_name(target, place.job)


def _create(session: Session, move: Move) -> None:
    if postgres_tables.columns(session, move.target) is None:
        session.run(f"CREATE TABLE {FLAVOR.qualified(move.target)} (LIKE {FLAVOR.qualified(move.staging)})")


def _fitted(session: Session, place: Place, target: Name, output: Sequence[str]) -> dict[str, str]:
    """The columns of the output that are written, by the target's names."""
    settings = place.settings
    columns = postgres_tables.columns(session, target)
    check_target(settings, session.server.name, target, columns is not None, lambda: postgres_tables.alike(session, target))
    if columns is None and (cut := [column for column in output if len(column.encode()) > _LONGEST_NAME]):
        detail = f"{target}: PostgreSQL has names of {_LONGEST_NAME} bytes, and would cut {', '.join(cut)}. Rename it by column_names_remapping."
        raise ScoringError("Names of columns are too long", detail)
    required = [column.name for column in (columns or {}).values() if column.is_required]
    names = fitted(settings, output, columns, required)
    written = [name for name in names.values() if columns and columns[name].is_generated and settings.statement_type != "update"]
    if written:
        detail = f"{target}: the database itself fills {', '.join(written)}. Drop them from the output by column_names_remapping."
        raise ScoringError("The table generates columns of the output", detail)
    return names


def _move(session: Session, place: Place) -> Move:
    target, staging = _names(session, place)
    staged, columns = postgres_tables.columns(session, staging) or {}, postgres_tables.columns(session, target) or {}
    return moved(place.settings, target, staging, list(staged), _casts(staged, columns))


def _casts(staged: Mapping[str, Column], target: Mapping[str, Column]) -> dict[str, str]:
    """The types of the target's columns that differ from those staged; what is text stays so, or a limit of its length would cut it."""
    pairs = [(column, target[name]) for name, column in staged.items() if name in target]
    return {column.name: column.type for was, column in pairs if was.type != column.type and not (was.is_text and column.is_text)}


def _check_statements(session: Session, place: Place, target: Name, staging: Name) -> None:
    """Has the server plan what will be said to it: whether the types fit, and the role may do it. Raises ScoringError."""
    if postgres_tables.columns(session, target) is None:
        return
    for statement in statements.settlement(FLAVOR, _move(session, place)):
        if not statement.startswith("LOCK"):
            session.run(f"EXPLAIN {statement}")


def _check_rows(session: Session, move: Move) -> None:
    """Whether every value fits its column, and every row its key. Raises ScoringError; nothing was moved."""
    columns, staged = postgres_tables.columns(session, move.target) or {}, postgres_tables.columns(session, move.staging) or {}
    table = FLAVOR.qualified(move.staging)
    checks = {name: said for name, column in columns.items() if name in staged and (said := _misfit(staged[name], column))}
    if checks:
        try:
            unfit = any(session.run(f"SELECT 1 FROM {table} AS s WHERE {' OR '.join(checks.values())} LIMIT 1"))
        except psycopg.DataError:
            unfit = True
        if unfit:
            for name, said in checks.items():
                _check_column(session, move, columns[name], said)
    if move.where:
        statements.check_keys(move, session.run(f"{statements.repeated_keys(FLAVOR, move)} LIMIT 1"))


def _check_column(session: Session, move: Move, column: Column, said: str) -> None:
    value = f"s.{FLAVOR.quoted(column.name)}"
    place = f"{session.server.name}: {move.target}, column {column.name}, which is {column.full}"
    advice = "Nothing was written. Correct the value, or give the column another type."
    try:
        found = session.run(f"SELECT CAST({value} AS text) FROM {FLAVOR.qualified(move.staging)} AS s WHERE {said} LIMIT 1")
    except psycopg.DataError as error:
        raise ScoringError("A value does not fit its column", f"{place}: {error.diag.message_primary}. {advice}") from None
    if found:
        shown = found[0][0] if len(found[0][0]) <= _SHOWN else f"{found[0][0][:_SHOWN]}…"
        raise ScoringError("A value does not fit its column", f"{place}, cannot hold {shown!r}. {advice}")


def _misfit(staged: Column, column: Column) -> str | None:
    """What is true of a value that does not fit, or cannot be told of it without an error; None where all fit."""
    value = f"s.{FLAVOR.quoted(staged.name)}"
    if column.limit is not None:
        return f"char_length(rtrim(CAST({value} AS text))) > {column.limit}"
    if (staged.type == column.type and staged.full == column.full) or column.is_text:
        return None
    if staged.is_fraction and column.is_integer:
        return f"{value} <> trunc({value}) OR CAST({value} AS {column.type}) IS NULL AND {value} IS NOT NULL"
    full = column.full if "(" in column.full else column.type
    return f"CAST({value} AS {full}) IS NULL AND {value} IS NOT NULL"


def _staged(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if values.type == kind:
        return values
    return texts(values) if pa.types.is_string(kind) else pc.cast(values, kind, safe=False)
