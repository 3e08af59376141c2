"""One job's way from intake to output. The rule here: everything that can be wrong with header, model and options is found before the first row.

A row of the intake is a row of the output, in the same place, whatever became of it; the rows are those scored and those that failed.
"""

import os
import threading
from collections.abc import Callable
from contextlib import closing

from reconciler.engine.count import Count
from reconciler.engine.dialect import Dialect
from reconciler.engine.failure import Rejects
from reconciler.engine.flow import Flow
from reconciler.engine.intakes import open_intake
from reconciler.engine.job import Progress, ScoringJob, Tally
from reconciler.engine.metadata import Metadata
from reconciler.engine.models.registry import load_model
from reconciler.engine.scorer import Scorer
from reconciler.errors import ScoringError


def run(job: ScoringJob, metadata: Metadata, report: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Tally:
    _check_files(job)
    halt = threading.Event()
    with closing(open_intake(job.intake, Dialect.of(job.options.csv_settings), halt.is_set)) as intake:
        scorer = Scorer(metadata, load_model(metadata), intake, job, halt.is_set)
        with scorer.form.open(job.output) as output, closing(Rejects(job.rejects_file)) as rejects:
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


def _check_files(job: ScoringJob) -> None:
    if not job.intake.is_file():
        raise ScoringError("The intake does not exist", f"{job.intake} is not a file.")
    if job.output.exists() and job.output.samefile(job.intake):
        raise ScoringError("Intake and output are the same file", f"{job.output} would be emptied before it is read. Choose another output.")


def _workers(job: ScoringJob) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(job.options.num_concurrent or cores, cores)
