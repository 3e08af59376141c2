"""Which kind of intake a file is. The rule here: by what is in it, never by its name."""

from collections.abc import Callable
from pathlib import Path

from reconciler.engine.csv_intake import CsvIntake
from reconciler.engine.dialect import Dialect
from reconciler.engine.intake import Intake
from reconciler.engine.parquet import ParquetIntake, is_parquet


def open_intake(path: Path, dialect: Dialect, is_halted: Callable[[], bool]) -> Intake:
    """Raises ScoringError for a file that cannot be read."""
    return ParquetIntake(path) if is_parquet(path) else CsvIntake(path, dialect, is_halted)
