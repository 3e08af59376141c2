"""One scoring job as the engine sees it, how far it is, and how it ended. The rule here: plain values, nothing heavy imported."""

from dataclasses import dataclass
from pathlib import Path

from reconciler.engine.place import Place
from reconciler.options import Options


@dataclass(frozen=True)
class Tolerance:
    """How many rows may fail before `abort_on_error` ends a job: `rows` in any case, and the `share` of those read so far in a long job."""

    rows: int = 100
    share: float = 0.1

    def is_exceeded(self, failed: int, rows: int) -> bool:
        return failed > self.rows and failed > self.share * rows


TOLERANCE = Tolerance()


@dataclass(frozen=True)
class ScoringJob:
    """`folder` holds the model, `intake` the rows; an `output` that is a file is created, or emptied if it exists.

    Every row that fails is named in `rejects`, a file that exists only if there is one; by default it lies beside the output.
    Where an output takes two steps, a file beside the rejects says that the first is done: the job was scored, and is not scored again.
    """

    folder: Path
    intake: Path | Place
    output: Path | Place
    options: Options
    rejects: Path | None = None
    tolerance: Tolerance = TOLERANCE
    is_trusted: bool = False  # whether code in the folder may run

    @property
    def rejects_file(self) -> Path:
        if self.rejects:
            return self.rejects
        assert isinstance(self.output, Path), "an output of another system needs a file for the rejects"
        return self.output.with_name(f"{self.output.name}.rejects.csv")

    @property
    def note_file(self) -> Path:
        return self.rejects_file.with_suffix(".staged.json")


@dataclass(frozen=True)
class Progress:
    """`rows` are those written, with the `failed` ones, of which the first few are `named`; `bytes_read` runs some MB ahead of them."""

    rows: int
    bytes_read: int
    bytes_total: int
    bytes_written: int
    failed: int = 0
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tally:
    """How a job ended. The rows of the intake are scored + failed + skipped."""

    scored: int
    failed: int
    skipped: int
    bytes_read: int
    bytes_written: int
