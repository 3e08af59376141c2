"""Snowflake as intake and output. The rule here: rows travel as files where the user has a stage, and are seen in one transaction.

An intake with an externalStage is unloaded to it and read from its bucket; without one, results come through the connector, batch by batch. An output
goes to a staging table, `reconciler_<job>` beside the target, by Parquet files on the stage (without one, on the staging table's own); then `settle`.
DDL commits by itself in Snowflake, so the staging table and a target that is created are outside of the transaction.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

import pyarrow as pa
from snowflake.connector.constants import FIELD_ID_TO_NAME

from reconciler.engine.batches import BatchIntake, BatchPiece
from reconciler.engine.connectors.snowflake_names import Table, columns, found_table, new_table, table
from reconciler.engine.connectors.snowflake_session import Session
from reconciler.engine.connectors.snowflake_stage import BucketStage, Stage, TableStage, loading, unloading
from reconciler.engine.connectors.snowflake_types import FLAVOR, Kind, Stored, fit, kind_of, typed
from reconciler.engine.connectors.statements import (
    Move,
    Name,
    check_keys,
    count,
    creation,
    fitted,
    removal,
    repeated_keys,
    selection,
    settlement,
    staging_name,
    target_name,
)
from reconciler.engine.connectors.statements import kind_of as sql_kind_of
from reconciler.engine.dialect import Dialect
from reconciler.engine.intake import Intake, check_names
from reconciler.engine.parquet import ParquetOutput
from reconciler.engine.place import Place
from reconciler.errors import ScoringError

# A file of an output: large enough for COPY, small enough to be sent again, and to lie on a disk for a moment.
_FILE_BYTES = 100 << 20


def look(place: Place) -> Mapping[str, Any] | None:
    """When a table was last altered, its rows and bytes, as INFORMATION_SCHEMA has them. Of a view or a query it is not known."""
    with Session(place) as session:
        if place.probe is not None:
            return {"probe": [[str(value) for value in row.values()] for row in session.rows(place.probe)]}
        if place.settings.query is not None:
            return None
        return table(session, target_name(place.settings)).facts


def open_intake(place: Place, dialect: Dialect, is_halted: Callable[[], bool]) -> Intake:
    session = Session(place)
    try:
        query = _query(session, place)
        if place.settings.external_stage:
            return _unloaded(session, place, query)
        return _fetched(session, place, query)
    except BaseException:
        session.close()
        raise


def open_output(place: Place, schema: pa.Schema) -> "TableOutput":
    session = Session(place)
    try:
        return TableOutput(session, place, schema)
    except BaseException:
        session.close()
        raise


def settle(place: Place, rows: int) -> None:
    """Raises ScoringError when the staging table has neither all of the rows nor none, or when they do not go into the target."""
    with Session(place) as session:
        settings = place.settings
        found, target = _target(session, settings)
        staged = found_table(session, staging_name(target, place.job))
        if staged is None:
            return  # another process did it all
        staging = staged.name
        if held := _count(session, staging):
            if held != rows:
                detail = (
                    f"{staging} has {held} rows and not the {rows} that were written to it. Nothing was written to {target}; score the job again."
                )
                raise ScoringError("The staging table is not as it was left", detail)
            if found is None:
                session.run(creation(FLAVOR, target, {column.name: column.staged for column in columns(session, staging)}))
                found = table(session, target)
            _move(session, settings, found, staging, rows)
        session.run(removal(FLAVOR, staging))


def discard(place: Place) -> None:
    """Remove what is staged, of a job that could not be settled; raises nothing."""
    with suppress(ScoringError), Session(place) as session:
        _, target = _target(session, place.settings)
        session.run(removal(FLAVOR, staging_name(target, place.job)))


def ping(place: Place) -> None:
    """Log in. Only `credential` and `data_store` of the place are looked at, here and below."""
    with Session(place) as session:
        session.run("SELECT 1")


def schemas(place: Place) -> list[str]:
    with Session(place) as session:
        return [row["SCHEMA_NAME"] for row in session.rows("SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA ORDER BY SCHEMA_NAME")]


def tables(place: Place, schema: str | None) -> list[tuple[str, str, str]]:
    """Schema, name and kind (`table`, `view`, …), of all schemas if none is given."""
    query = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM INFORMATION_SCHEMA.TABLES ORDER BY TABLE_SCHEMA, TABLE_NAME"
    with Session(place) as session:
        found = [(row["TABLE_SCHEMA"], row["TABLE_NAME"], str(row["TABLE_TYPE"]).removeprefix("BASE ").lower()) for row in session.rows(query)]
        exact = [each for each in found if each[0] == schema]
        return exact or [each for each in found if schema is None or each[0].upper() == schema.upper()]


def _move(session: Session, settings: Any, target: Table, staging: Name, rows: int) -> None:
    staged = [column.name for column in columns(session, staging)]
    casts = {column.name: column.cast for column in columns(session, target.name) if column.cast and column.name in staged}
    update, where = (_named(names or (), staged) for names in (settings.update_columns, settings.where_columns))
    move = Move(settings.statement_type, target.name, staging, staged, update, where, casts)
    if settings.statement_type in ("update", "insertUpdate"):
        check_keys(move, [tuple(row.values()) for row in session.rows(f"{repeated_keys(FLAVOR, move)} LIMIT 1")])
    session.run("BEGIN TRANSACTION")
    try:
        *moving, emptying = settlement(FLAVOR, move)
        for statement in moving:
            session.run(statement)
        # This waits for another process that is in the middle of the same, and then finds nothing to delete.
        if session.run(emptying) != rows:
            raise ScoringError("Another process settles the same job", f"{staging} was emptied by it. Score the job again: it will find it done.")
        session.run("COMMIT")
    except BaseException:
        with suppress(ScoringError):
            session.run("ROLLBACK")
        raise


def _target(session: Session, settings: Any) -> tuple[Table | None, Name]:
    """The table that is there, and its name, or the name that it will have."""
    wanted = target_name(settings)
    found = found_table(session, wanted)
    return found, found.name if found else new_table(session, wanted)


def _named(names: Sequence[str], staged: Sequence[str]) -> list[str]:
    """The staging table has the target's names; the job may have others in upper and lower case."""
    return [name if name in staged else next((other for other in staged if other.casefold() == name.casefold()), name) for name in names]


def _count(session: Session, name: Name) -> int:
    return int(next(iter(session.rows(count(FLAVOR, name))[0].values())))


def _query(session: Session, place: Place) -> str:
    if place.settings.query is not None:
        return selection(FLAVOR, place.settings)
    return f"SELECT * FROM {FLAVOR.qualified(table(session, target_name(place.settings)).name)}"


# Reading


def _kinds(description: Sequence[Any]) -> dict[str, Kind]:
    return {column.name: kind_of(FIELD_ID_TO_NAME[column.type_code], column.scale) for column in description}


def _schema(kinds: Mapping[str, Kind]) -> pa.Schema:
    return pa.schema([(name, kind.arrow) for name, kind in kinds.items()])


def _normal(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """`batch` has some of the columns of `schema`."""
    arrays = [typed(name, column, schema.field(name).type) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _fetched(session: Session, place: Place, query: str) -> Intake:
    name = _name(session, place)
    cursor = session.cursor()
    with session.asked(query):
        cursor.execute(query)
    check_names(name, [column.name for column in cursor.description])
    schema = _schema(_kinds(cursor.description))
    batches = cursor.fetch_arrow_batches()

    def read() -> Generator[pa.RecordBatch, None, None]:
        while True:
            with session.asked(query):
                fetched = next(batches, None)
            if fetched is None:
                return
            for batch in fetched.to_batches():
                yield _normal(batch, schema)

    return BatchIntake(name, schema, read(), session.close)


def _unloaded(session: Session, place: Place, query: str) -> Intake:
    stage = BucketStage(session, place)
    name = _name(session, place)
    with session.asked(query):
        description = session.cursor().describe(query)
    check_names(name, [column.name for column in description])
    kinds = _kinds(description)
    chosen = ", ".join(f"{kind.unloaded.format(column=FLAVOR.quoted(name))} AS {FLAVOR.quoted(name)}" for name, kind in kinds.items())
    stage.clear()  # of what a former process has left
    session.run(unloading(stage, f"SELECT {chosen} FROM ({query})"))
    return UnloadedIntake(session, stage, name, _schema(kinds))


class UnloadedIntake:
    """The Parquet files that Snowflake has unloaded to a stage. They are removed at the end."""

    unit = "row"
    bytes_total = 0  # nobody knows

    def __init__(self, session: Session, stage: BucketStage, name: str, schema: pa.Schema) -> None:
        self.name = name
        self.header: Sequence[str] = schema.names
        self.types: Sequence[pa.DataType] = list(schema.types)
        self.bytes_read = 0
        self._session = session
        self._stage = stage
        self._schema = schema

    def pieces(self, columns: Sequence[str], rows: int, size: int | None, is_halted: Callable[[], bool]) -> Iterator[BatchPiece]:
        read = 0
        for file in self._stage.files():
            opened = self._stage.open(file, is_halted)
            try:
                for piece in opened.pieces(columns or self.header[:1], rows, size, is_halted):
                    batch = _normal(piece.read().table, self._schema)
                    self.bytes_read += batch.nbytes
                    yield BatchPiece(None, read, batch)
                    read += batch.num_rows
            finally:
                opened.close()

    def close(self) -> None:
        try:
            self._stage.clear()
        finally:
            self._session.close()


def _name(session: Session, place: Place) -> str:
    return f"the query on {session.address.name}" if place.settings.query is not None else f"{target_name(place.settings)} on {session.address.name}"


# Writing


class TableOutput:
    """Rows into the staging table. Use as a context manager; left without a `finish`, the staging table is dropped."""

    def __init__(self, session: Session, place: Place, schema: pa.Schema) -> None:
        """`schema` is of the batches to come. Raises ScoringError for a target that they do not go into."""
        self.bytes_written = 0
        self._session = session
        self._is_finished = False
        settings = place.settings
        found, target = _target(session, settings)
        if found is None and not (settings.create_table_if_not_exists or settings.statement_type == "createTable"):
            detail = f"{session.address.name} has no table {target}, or its role may not see it. Create it, or set createTableIfNotExists."
            raise ScoringError("The table does not exist", detail)
        theirs = {column.name: column for column in columns(session, found.name)} if found else None
        required = [column.name for column in (theirs or {}).values() if column.is_required]
        names = fitted(settings, schema.names, theirs, required)
        self._columns = {ours: theirs[name] if theirs else _new(name, schema.field(ours).type) for ours, name in names.items()}
        self._table = str(target)
        self._staging = staging_name(target, place.job)
        self._stage: Stage = BucketStage(session, place) if settings.external_stage else TableStage(session, self._staging)
        self._schema = pa.schema([(column.name, column.staged) for column in self._columns.values()])
        self._files = 0
        self._rows = 0
        self._file: ParquetOutput | None = None
        session.run(removal(FLAVOR, self._staging))  # a former process may have left it
        self._stage.clear()
        session.run(creation(FLAVOR, self._staging, {column.name: column.staged for column in self._columns.values()}))

    def __enter__(self) -> "TableOutput":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self._file:
                self._file.__exit__(kind, error, trace)
            if not self._is_finished:
                with suppress(ScoringError):  # what ended the job is what the user has to hear of
                    self._stage.clear()
                with suppress(ScoringError):
                    self._session.run(removal(FLAVOR, self._staging))
        finally:
            self._session.close()

    def write(self, batch: pa.RecordBatch) -> None:
        arrays = [fit(batch.column(ours), column, self._table) for ours, column in self._columns.items()]
        if self._file is None:
            self._files += 1
            self._file = ParquetOutput(self._stage.sink(f"part-{self._files:05}.parquet"), self._schema)
        self._file.write(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows += batch.num_rows
        if self._file.bytes_written >= _FILE_BYTES:
            self._end_file()

    def finish(self) -> None:
        self._end_file()
        if self._rows:
            self._session.run(loading(self._stage, self._staging))
        if (held := _count(self._session, self._staging)) != self._rows:
            raise ScoringError("Snowflake did not take every row", f"{self._staging} has {held} rows of {self._rows}.")
        self._is_finished = True
        self._stage.clear()

    def _end_file(self) -> None:
        if self._file:
            self._file.finish()
            self.bytes_written += self._file.bytes_written
            self._file.__exit__(None, None, None)
            self._file = None


def _new(name: str, kind: pa.DataType) -> Stored:
    """A column of a table that is yet to be created."""
    return Stored(name, str(kind), pa.string() if sql_kind_of(kind) == "text" else kind)
