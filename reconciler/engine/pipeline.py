"""Scores an intake with one model into an output. The rule here: nothing is heavy to import until a job runs."""

from collections.abc import Callable

from reconciler.engine.capability import model_refusals
from reconciler.engine.job import Progress, ScoringJob, Tally
from reconciler.engine.metadata import read_metadata
from reconciler.engine.packages import engine_packages
from reconciler.errors import ScoringError


def score(job: ScoringJob, *, report: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Tally:
    """Returns when the output is complete and on the disk. `report` and `is_cancelled` are called in this thread, about ten times a second.

    Raises ScoringError, and Cancelled within a second after `is_cancelled` turned true; the caller removes the output then.
    """
    metadata = read_metadata(job.folder, is_trusted=job.is_trusted)
    if refused := list(model_refusals(job.options, metadata)):
        raise ScoringError("The engine does not serve these options", " ".join(f"{field}: {sentence}" for field, sentence in refused))
    with engine_packages():
        from reconciler.engine import scoring
    return scoring.run(job, metadata, report, is_cancelled)
