"""Which kind of output it is that a job names. The rule here: what cannot be written is found before the first row."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.engine.connectors.connector import connector
from reconciler.engine.connectors.rooms import takes_rows
from reconciler.engine.dialect import Dialect
from reconciler.engine.intake import Intake
from reconciler.engine.layout import AnyColumn, partition_names
from reconciler.engine.output import CsvForm, Form, RowsForm
from reconciler.engine.parquet import SUFFIX
from reconciler.engine.place import Place
from reconciler.engine.sink import FileSink, Output


def form(where: Path | Place, columns: Sequence[AnyColumn], intake: Intake, dialect: Dialect) -> Form[Any]:
    """A file of this machine is Parquet if its name ends so, else CSV. Raises ScoringError for names that cannot be written."""
    if _has_rows(where):
        return RowsForm(columns, intake)
    return CsvForm([column.name for column in columns], dialect)


def open_output(where: Path | Place, chosen: Form[Any]) -> Output[Any]:
    """Raises ScoringError."""
    if not isinstance(where, Place):
        return chosen.open(FileSink(where))
    room = connector(where)
    if isinstance(chosen, RowsForm) and takes_rows(where):
        return room.open_output(_named(where, chosen.columns), chosen.schema)
    return chosen.open(room.open_sink(where))


def partitions(where: Path | Place) -> Sequence[str]:
    """The columns that a folder is partitioned by, as the job has them."""
    return getattr(where.settings, "partition_columns", None) or () if isinstance(where, Place) else ()


def _named(where: Place, columns: Sequence[AnyColumn]) -> Place:
    """With the columns that it is partitioned by as the output has them."""
    if not (given := partitions(where)):
        return where
    return replace(where, settings=where.settings.model_copy(update={"partition_columns": partition_names(columns, given)}))


def _has_rows(where: Path | Place) -> bool:
    if isinstance(where, Place):
        return takes_rows(where) or getattr(where.settings, "format", "csv") == "parquet"
    return where.suffix.lower() == SUFFIX
