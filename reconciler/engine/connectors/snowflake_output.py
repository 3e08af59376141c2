"""A table of Snowflake's as an output. The rule here: a staging table has all rows before the target has one, and one transaction moves them.

The staging table, `reconciler_<job>` beside the target, is loaded from Parquet files: on the user's stage, or without one on the stage that every
table has. DDL commits by itself in Snowflake, so the staging table and a target that is created are outside of the transaction. When a process is
killed in the middle of it, Snowflake rolls it back once the next one, which waits for its locks, has waited for five minutes.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

import pyarrow as pa

from reconciler.engine.connectors import statements
from reconciler.engine.connectors.snowflake_names import Table, columns, found_table, new_table, table
from reconciler.engine.connectors.snowflake_session import Session
from reconciler.engine.connectors.snowflake_stage import BucketStage, Stage, TableStage, loading
from reconciler.engine.connectors.snowflake_types import FLAVOR, Stored, fit
from reconciler.engine.connectors.statements import (
    Move,
    Name,
    check_keys,
    check_target,
    count,
    creation,
    fitted,
    gone,
    removal,
    repeated_keys,
    settlement,
    staging_name,
    target_name,
)
from reconciler.engine.parquet import ParquetOutput
from reconciler.engine.place import Place
from reconciler.engine.spill import remove_spills
from reconciler.errors import Lost, ScoringError

# A file of an output: large enough for COPY, small enough to be sent again, and to be held as a whole, which the connector does on Google's cloud.
_FILE_BYTES = 32 << 20


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
        _settle(session, place, rows)


def discard(place: Place) -> None:
    """Remove what is staged, of a job that could not be settled; raises nothing."""
    remove_spills(place.job)
    # The job was aborted, perhaps, and this is all the same to be done.
    with suppress(ScoringError), Session(replace(place, is_halted=lambda: False)) as session:
        _, target = _target(session, place.settings)
        session.run(removal(FLAVOR, staging_name(target, place.job)))
        if place.settings.external_stage:
            BucketStage(session, place).clear()


def _settle(session: Session, place: Place, rows: int) -> None:
    settings = place.settings
    found, target = _target(session, settings)
    staged = found_table(session, staging_name(target, place.job))
    if staged is None:
        raise gone("Snowflake", staging_name(target, place.job))
    staging = staged.name
    held = _count(session, staging)
    if held not in (0, rows):
        detail = f"{staging} has {held} rows and not the {rows} that were written to it. Nothing was written to {target}; score the job again."
        raise ScoringError("The staging table is not as it was left", detail)
    if found is None and held == rows:
        # By the staging table's own types, which are not all among those that files have.
        session.run(f"CREATE TABLE IF NOT EXISTS {FLAVOR.qualified(target)} AS SELECT * FROM {FLAVOR.qualified(staging)} WHERE FALSE")
        found = table(session, target)
    if held and found:
        _move(session, settings, found, staging, rows)


def _move(session: Session, settings: Any, target: Table, staging: Name, rows: int) -> None:
    staged = [column.name for column in columns(session, staging)]
    casts = {column.name: column.cast for column in columns(session, target.name) if column.cast and column.name in staged}
    update, where = (_named(names or (), staged) for names in (settings.update_columns, settings.where_columns))
    move = Move(settings.statement_type, target.name, staging, staged, update, where, casts)
    if settings.statement_type in ("update", "insertUpdate"):
        check_keys(move, session.answer(repeated_keys(FLAVOR, move), 1))
    session.run("BEGIN TRANSACTION")
    try:
        *moving, emptying = settlement(FLAVOR, move)
        for statement in moving:
            session.run(statement)
        # This waits for another process that is in the middle of the same, and then finds nothing to delete.
        if session.run(emptying) != rows:
            raise Lost("Another session was settling this job", f"{staging} was emptied by it.")  # a try of ours that was cut off, say
        session.commit()
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


class TableOutput:
    """Rows into the staging table. Use as a context manager; left without a `finish`, the staging table is dropped."""

    def __init__(self, session: Session, place: Place, schema: pa.Schema) -> None:
        """`schema` is of the batches to come. Raises ScoringError for a target that they do not go into."""
        self.bytes_written = 0
        self._session = session
        self._place = place
        self._is_finished = False
        settings = place.settings
        found, target = _target(session, settings)
        check_target(settings, session.address.name, target, found is not None)
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
        finally:
            self._session.close()
            if not self._is_finished:
                discard(self._place)

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
        with suppress(ScoringError):  # every row is in the table
            self._stage.clear()

    def _end_file(self) -> None:
        if self._file:
            self._file.finish()
            self.bytes_written += self._file.bytes_written
            self._file.__exit__(None, None, None)
            self._file = None


def _new(name: str, kind: pa.DataType) -> Stored:
    """A column of a table that is yet to be created."""
    return Stored(name, str(kind), pa.string() if statements.kind_of(kind) == "text" else kind)
