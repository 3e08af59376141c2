"""One scoring job as the engine sees it, how far it is, and how it ended. The rule here: plain values, nothing heavy imported."""

from dataclasses import dataclass
from pathlib import Path

from reconciler.options import Options


@dataclass(frozen=True)
class ScoringJob:
    """`folder` holds the model, `intake` the rows; `output` is created, or emptied if it exists."""

    folder: Path
    intake: Path
    output: Path
    options: Options
    is_trusted: bool = False  # whether code in the folder may run


@dataclass(frozen=True)
class Progress:
    """`rows` are those written; `bytes_read` runs up to 33 MB ahead of them, for the reader looks ahead."""

    rows: int
    bytes_read: int
    bytes_total: int
    bytes_written: int


@dataclass(frozen=True)
class Tally:
    """How a job ended. The rows of the intake are scored + failed + skipped."""

    scored: int
    failed: int
    skipped: int
    bytes_read: int
    bytes_written: int
