"""Rows of a table or a query of Snowflake's. The rule here: they come in batches, and the files they came in are removed.

With an externalStage the result is unloaded to it and read from its bucket, in files that no order holds between; without one it comes through the
connector, in the query's order.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pyarrow as pa
from snowflake.connector.constants import FIELD_ID_TO_NAME

from reconciler.engine.batches import BatchIntake, BatchPiece
from reconciler.engine.connectors.snowflake_names import table
from reconciler.engine.connectors.snowflake_session import Session
from reconciler.engine.connectors.snowflake_stage import BucketStage, unloading
from reconciler.engine.connectors.snowflake_types import FLAVOR, Kind, kind_of, typed
from reconciler.engine.connectors.statements import selection, target_name
from reconciler.engine.dialect import Dialect
from reconciler.engine.intake import Intake, check_names
from reconciler.engine.place import Place
from reconciler.errors import ScoringError


def open_intake(place: Place, dialect: Dialect, is_halted: Callable[[], bool]) -> Intake:
    session = Session(place)
    try:
        query = _query(session, place)
        if place.settings.external_stage:
            unloaded = _unloaded(session, place, query)
            session.close()
            return unloaded
        return _fetched(session, place, query)
    except BaseException:
        session.close()
        raise


def discard(place: Place) -> None:
    """Remove what was unloaded to the stage; raises nothing. Whatever Snowflake is still unloading for a process that was killed comes after it."""
    with suppress(ScoringError), Session(replace(place, is_halted=lambda: False)) as session:
        BucketStage(session, place).clear()


def _query(session: Session, place: Place) -> str:
    if place.settings.query is not None:
        return selection(FLAVOR, place.settings)
    return f"SELECT * FROM {FLAVOR.qualified(table(session, target_name(place.settings)).name)}"


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
    cursor = session.asked(query, lambda: session.cursor().execute(query))
    check_names(name, [column.name for column in cursor.description])
    schema = _schema(_kinds(cursor.description))
    batches = cursor.fetch_arrow_batches()

    def read() -> Generator[pa.RecordBatch, None, None]:
        while True:
            fetched = session.asked(query, lambda: next(batches, None))
            if fetched is None:
                return
            for batch in fetched.to_batches():
                yield _normal(batch, schema)

    return BatchIntake(name, schema, read(), session.close)


def _unloaded(session: Session, place: Place, query: str) -> Intake:
    stage = BucketStage(session, place)
    name = _name(session, place)
    description = session.asked(query, lambda: session.cursor().describe(query))
    check_names(name, [column.name for column in description])
    kinds = _kinds(description)
    chosen = ", ".join(f"{kind.unloaded.format(column=FLAVOR.quoted(name))} AS {FLAVOR.quoted(name)}" for name, kind in kinds.items())
    stage.clear()  # of what a former process has left
    try:
        (unloaded,) = session.rows(unloading(stage, f"SELECT {chosen} FROM (\n{query}\n)"))
    except BaseException:
        with suppress(ScoringError):
            stage.clear()
        raise
    return UnloadedIntake(stage, name, _schema(kinds), int(unloaded["ROWS_UNLOADED"]))


class UnloadedIntake:
    """The Parquet files that Snowflake has unloaded to a stage. They are removed at the end."""

    unit = "row"
    bytes_total = 0  # nobody knows

    def __init__(self, stage: BucketStage, name: str, schema: pa.Schema, rows: int) -> None:
        self.name = name
        self.header: Sequence[str] = schema.names
        self.types: Sequence[pa.DataType] = list(schema.types)
        self.bytes_read = 0
        self._stage = stage
        self._rows = rows
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
        if read != self._rows:
            detail = (
                f"{self.name}: Snowflake unloaded {self._rows} rows to {self._stage.reference}, and its files have {read}. Is it the stage's bucket?"
            )
            raise ScoringError("Unloaded rows are missing", detail)

    def close(self) -> None:
        with suppress(ScoringError):  # every row is read; whoever has the folder next clears it
            self._stage.clear()


def _name(session: Session, place: Place) -> str:
    return f"the query on {session.address.name}" if place.settings.query is not None else f"{target_name(place.settings)} on {session.address.name}"
