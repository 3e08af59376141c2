"""Rows of a table or a query of Synapse's. The rule here: what is unloaded is all that there is, and its files go when they are read.

With an external data source CETAS unloads the rows to its container, as Parquet; without one they come as the answer of the query.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial

import pyarrow as pa

from reconciler.engine.batches import BatchIntake, BatchPiece
from reconciler.engine.connectors import external_source
from reconciler.engine.connectors.external_source import Folder
from reconciler.engine.connectors.objects import object_file
from reconciler.engine.connectors.sqlserver import Session, literal
from reconciler.engine.connectors.statements import Name, count, selection
from reconciler.engine.connectors.synapse_types import FLAVOR, plain, plain_schema, plain_type
from reconciler.engine.dialect import Dialect
from reconciler.engine.intake import Intake, Piece
from reconciler.engine.joined import JoinedIntake
from reconciler.engine.parquet import ParquetIntake
from reconciler.engine.place import Place
from reconciler.errors import ScoringError


def open_intake(place: Place, dialect: Dialect, is_halted: Callable[[], bool]) -> Intake:
    query = selection(FLAVOR, place.settings)
    with ExitStack() as opened:
        session = opened.enter_context(Session(replace(place, is_halted=is_halted)))
        name = f"{session.name}: {place.settings.table or 'the query'}"
        if place.settings.external_data_source:
            return _unloaded(session, place, name, query, is_halted)
        schema, batches = session.read(query)
        opened.pop_all()
    return BatchIntake(name, plain_schema(schema), map(plain, batches), session.close)


def discard(place: Place) -> None:
    """Remove what was unloaded, as far as it goes; raises nothing."""
    with suppress(ScoringError), Session(replace(place, is_halted=lambda: False)) as session:
        session.run(_removal(place))
        if place.settings.external_data_source:
            external_source.folder(session, place, "in").clear()


def _unloaded(session: Session, place: Place, name: str, query: str, is_halted: Callable[[], bool]) -> Intake:
    """By CETAS. The files are ours, and stay until they are read; of the table nothing is needed but its schema, and how many rows it has."""
    folder = external_source.folder(session, place, "in")
    table = FLAVOR.qualified(_unloaded_name(place))

    def unload() -> tuple[pa.Schema, int]:
        session.run(_removal(place))
        source = FLAVOR.quoted(place.settings.external_data_source)
        options = f"LOCATION = {literal(folder.location)[1:]}, DATA_SOURCE = {source}, FILE_FORMAT = {_file_format(session)}"
        session.run(f"CREATE EXTERNAL TABLE {table} WITH ({options}) AS {query}")
        schema, rows = session.schema(table), int(session.run(count(FLAVOR, _unloaded_name(place)))[0][0])
        session.run(_removal(place))
        return schema, rows

    with ExitStack() as left:
        left.callback(folder.clear)
        folder.clear()
        schema, rows = unload()
        found = folder.objects()
        if not found:
            _check_rows(folder, 0, rows)
            return BatchIntake(name, plain_schema(schema), (), folder.clear)
        files = [partial(ParquetIntake, object_file(folder.store, each, is_halted), each.key.removeprefix(folder.key)) for each in found]
        intake = Unloaded(name, JoinedIntake(name, files, sum(each.size for each in found)), folder, rows)
        left.pop_all()
        return intake


def _unloaded_name(place: Place) -> Name:
    return Name(f"reconciler_{place.job}_in", place.settings.db_schema)


def _removal(place: Place) -> str:
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
        self.types: Sequence[pa.DataType] = [plain_type(kind) for kind in files.types]
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
            yield replace(piece, rows=plain(piece.rows))
            read += piece.rows.num_rows
        _check_rows(self._folder, read, self._rows)

    def close(self) -> None:
        self._files.close()
        self._folder.clear()


def _check_rows(folder: Folder, read: int, rows: int) -> None:
    if read != rows:
        detail = f"Synapse unloaded {rows} rows, and the files in {folder.store.url(folder.key)} have {read}. Is it the data source's container?"
        raise ScoringError("Unloaded rows are missing", detail)
