"""Which kind of intake it is that a job names. The rule here: a file of this machine is known by what is in it, never by its name."""

from collections.abc import Callable
from pathlib import Path

from reconciler.engine.connectors.connector import connector
from reconciler.engine.csv_intake import CsvIntake
from reconciler.engine.dialect import Dialect
from reconciler.engine.file import local_file
from reconciler.engine.intake import Intake
from reconciler.engine.parquet import ParquetIntake, is_parquet
from reconciler.engine.place import Place


def open_intake(where: Path | Place, dialect: Dialect, is_halted: Callable[[], bool]) -> Intake:
    """Raises ScoringError for what cannot be read."""
    if isinstance(where, Place):
        return connector(where).open_intake(where, dialect, is_halted)
    file = local_file(where)
    return ParquetIntake(file) if is_parquet(file) else CsvIntake(file, dialect, is_halted)
