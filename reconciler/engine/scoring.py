"""One job's way from intake to output. The rule here: everything that can be wrong with header, model and options is found before the first row.

A row of the intake is a row of the output, in the same place, whatever became of it; the rows are those scored and those that failed.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from reconciler.disk import sync_folder
from reconciler.engine.connectors.connector import connector
from reconciler.engine.connectors.rooms import takes_rows
from reconciler.engine.count import Count
from reconciler.engine.dialect import Dialect
from reconciler.engine.failure import Rejects
from reconciler.engine.flow import Flow
from reconciler.engine.intakes import open_intake
from reconciler.engine.job import Progress, ScoringJob, Tally
from reconciler.engine.metadata import Metadata
from reconciler.engine.models.registry import load_model
from reconciler.engine.outputs import open_output
from reconciler.engine.place import Place
from reconciler.engine.scorer import Scorer
from reconciler.engine.settle import settle
from reconciler.errors import Lost, ScoringError


def run(job: ScoringJob, metadata: Metadata, report: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Tally:
    job = replace(job, intake=_heeding(job.intake, is_cancelled), output=_heeding(job.output, is_cancelled))
    if not (isinstance(job.output, Place) and takes_rows(job.output)):
        return _scored(job, metadata, report, is_cancelled)
    staged = _read_note(job) or _noted(job, _Staged(_scored(job, metadata, report, is_cancelled)))
    if not staged.is_settled:
        _settle(job, job.output, staged.tally)
        _noted(job, replace(staged, is_settled=True))
    # Once that is known: of a staging table that is gone, nobody could say what became of its rows.
    connector(job.output).discard(job.output)
    return staged.tally


def _heeding(where: Path | Place, is_cancelled: Callable[[], bool]) -> Path | Place:
    return replace(where, is_halted=is_cancelled) if isinstance(where, Place) else where


def _settle(job: ScoringJob, output: Place, tally: Tally) -> None:
    try:
        settle(output, tally.scored + tally.failed)
    except Lost:
        raise  # what is staged may be all that there is, and the note is for whoever tries again
    except ScoringError:
        # Before the staged rows are gone: who finds the note must find them.
        job.note_file.unlink(missing_ok=True)
        sync_folder(job.note_file.parent)
        connector(output).discard(output)
        raise


@dataclass(frozen=True)
class _Staged:
    """What the note says: that all rows are staged, how many, and whether they are where they belong."""

    tally: Tally
    is_settled: bool = False


def _read_note(job: ScoringJob) -> _Staged | None:
    """What a former process has staged, all of it, before it died."""
    if not job.note_file.exists():
        return None
    told = json.loads(job.note_file.read_text())
    is_settled = told.pop("is_settled", False)
    return _Staged(Tally(**told), is_settled)


def _noted(job: ScoringJob, staged: _Staged) -> _Staged:
    """From here on the rows are not scored again; or, once they are settled, not brought over again."""
    beside = job.note_file.with_name(f"{job.note_file.name}.new")
    with open(beside, "w") as file:
        json.dump({**asdict(staged.tally), "is_settled": staged.is_settled}, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(job.note_file)
    sync_folder(job.note_file.parent)
    return staged


def _scored(job: ScoringJob, metadata: Metadata, report: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Tally:
    _check_files(job)
    halt = threading.Event()
    with closing(open_intake(job.intake, Dialect.of(job.options.csv_settings), halt.is_set)) as intake:
        scorer = Scorer(metadata, load_model(metadata), intake, job, halt.is_set)
        with open_output(job.output, scorer.form) as output, _saying_what_is_left(job.output), closing(Rejects(job.rejects_file)) as rejects:
            count = Count(job, intake, output, rejects, report, is_cancelled)
            flow = Flow(scorer.block, _workers(job), halt)
            with closing(flow.results(scorer.pieces(), count.beat)) as results:
                for block in results:
                    output.write(block.content)
                    count.add(block)
            count.check_end()
            output.finish()
            rejects.finish()
            count.report()
            return Tally(count.rows - count.failed, count.failed, 0, intake.bytes_read, output.bytes_written)


@contextmanager
def _saying_what_is_left(output: Path | Place) -> Iterator[None]:
    """Of a system that is lost nothing can be removed."""
    try:
        yield
    except Lost as error:
        if isinstance(output, Place) and takes_rows(output):
            error.detail += f" The rows were staged: if reconciler_{output.job} is left beside the output, remove it."
        raise


def _check_files(job: ScoringJob) -> None:
    if isinstance(job.intake, Place):
        return
    if not job.intake.is_file():
        raise ScoringError("The intake does not exist", f"{job.intake} is not a file.")
    if isinstance(job.output, Path) and job.output.exists() and job.output.samefile(job.intake):
        raise ScoringError("Intake and output are the same file", f"{job.output} would be emptied before it is read. Choose another output.")


def _workers(job: ScoringJob) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(job.options.num_concurrent or cores, cores)
