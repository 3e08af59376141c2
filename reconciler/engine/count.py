"""How far a job is. The rule here: what is counted is written; and too many rows that fail end the job, if it is to end so."""

import time
from collections.abc import Callable
from typing import Any

from reconciler.engine.block import Block
from reconciler.engine.failure import NAMED, Rejects
from reconciler.engine.flow import TICK
from reconciler.engine.intake import Intake
from reconciler.engine.job import Progress, ScoringJob
from reconciler.engine.sink import Output
from reconciler.errors import Cancelled, ScoringError


class Count:
    """Counts what is written, reports it now and then, and ends the job when it is aborted or when too much fails."""

    def __init__(
        self,
        job: ScoringJob,
        intake: Intake,
        output: Output[Any],
        rejects: Rejects,
        report: Callable[[Progress], None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        self.rows = 0
        self.failed = 0
        self._named: tuple[str, ...] = ()
        self._job = job
        self._intake = intake
        self._output = output
        self._rejects = rejects
        self._report = report
        self._is_cancelled = is_cancelled
        self._bytes_total = intake.bytes_total
        self._next = 0.0

    def add(self, block: Block) -> None:
        self.rows += block.rows
        if not block.failures:
            return
        self._rejects.add(block.failures)
        self.failed += len(block.failures)
        self._named += tuple(map(str, block.failures[: NAMED - len(self._named)]))
        if self._job.options.abort_on_error and self._job.tolerance.is_exceeded(self.failed, self.rows):
            raise self._aborted("Too many rows failed", f"{self.failed} of the first {self.rows} rows")

    def check_end(self) -> None:
        """Raises ScoringError when nothing could be scored: then it is no row that is wrong, but the file."""
        if self._job.options.abort_on_error and self.rows and self.failed == self.rows:
            raise self._aborted("No row could be scored", f"all rows of the intake, {self.rows}")

    def beat(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + TICK
        if self._is_cancelled():
            raise Cancelled("The job was aborted", f"It was stopped after {self.rows} rows.")
        self.report()

    def report(self) -> None:
        written = self._output.bytes_written
        self._report(Progress(self.rows, self._intake.bytes_read, self._bytes_total, written, self.failed, self._named))

    def _aborted(self, summary: str, which: str) -> ScoringError:
        self.report()
        advice = "Correct the rows, or set abort_on_error: false to go on whatever fails."
        detail = f"{which}; the first is {self._intake.name}, {self._named[0]}. Each is named in {self._rejects.path}. {advice}"
        return ScoringError(summary, detail)
