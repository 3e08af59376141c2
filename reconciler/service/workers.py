"""The threads that score. The rule here: a job ends only when its output is on disk, or gone, and no thread will touch it again.

A worker waits on one condition and takes jobs from the store while holding it, so a job that is submitted between a worker's look and its
wait is never overlooked. While a job runs, its counters live here; the store learns them at its end.
"""

import logging
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from reconciler.api.schema import JobSpec
from reconciler.disk import sync_folder
from reconciler.engine.job import Progress, ScoringJob, Tally, Tolerance
from reconciler.errors import UNSETTLED, Cancelled, Lost, ScoringError
from reconciler.service.files import Files, remove
from reconciler.service.job import Counts, Job, deaths, failures, starts
from reconciler.service.places import Places, secretless
from reconciler.service.registry import Registry
from reconciler.service.store import DEATHS, TOO_DEADLY, Store

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0
_UNTOLD = f"{UNSETTLED}: the service died while they were moved. Look there before they are scored again."
_CUT = f"{UNSETTLED}: the service stopped while some were committed, for the job has a commitInterval. Look there before they are scored again."

Answer = TypeVar("Answer")
Signature = tuple[int, int, int] | None


class Scorer(Protocol):
    def __call__(self, job: ScoringJob, *, report: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Tally: ...


@dataclass
class Run:
    """One job while it is scored."""

    began: float = field(default_factory=time.monotonic)
    progress: Progress | None = None

    def report(self, progress: Progress) -> None:
        self.progress = progress

    @property
    def counts(self) -> Counts:
        elapsed = int(time.monotonic() - self.began)
        seen = self.progress
        if seen is None:
            return Counts(elapsed=elapsed)
        percentage = min(100.0, round(100 * seen.bytes_read / seen.bytes_total, 2)) if seen.bytes_total else 0.0
        return Counts(seen.rows - seen.failed, seen.failed, 0, seen.bytes_read, seen.bytes_written, percentage, elapsed)

    def counts_at_end(self, tally: Tally) -> Counts:
        return Counts(tally.scored, tally.failed, tally.skipped, tally.bytes_read, tally.bytes_written, 100.0, int(time.monotonic() - self.began))


class Workers:
    def __init__(
        self,
        store: Store,
        files: Files,
        places: Places,
        registry: Registry,
        score: Scorer,
        count: int,
        at_end: Callable[[], None],
        tolerance: Tolerance,
    ) -> None:
        self._store = store
        self._files = files
        self._places = places
        self._registry = registry
        self._score = score
        self._at_end = at_end
        self._tolerance = tolerance
        self._wake = threading.Condition()
        self._stopping = threading.Event()
        self._cancelled: set[str] = set()
        self._runs: dict[str, Run] = {}
        # Daemons: a user who interrupts twice is not kept waiting for a model.
        self._threads = [threading.Thread(target=self._work, name=f"scorer-{number}", daemon=True) for number in range(count)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        with self._wake:
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    def notify(self) -> None:
        """A job was queued."""
        with self._wake:
            self._wake.notify()

    def cancel(self, job_id: str) -> None:
        """The job is marked as deleted; when it runs, it stops at the scorer's next look."""
        self._cancelled.add(job_id)

    def counts(self, job_id: str) -> Counts | None:
        run = self._runs.get(job_id)
        return run.counts if run else None

    def _work(self) -> None:
        while job := self._next():
            self._runs[job.id] = run = Run()
            self._run(job, run)
            del self._runs[job.id]
            self._cancelled.discard(job.id)
            self._at_end()

    def _next(self) -> Job | None:
        with self._wake:
            while not self._stopping.is_set():
                if job := self._insist(self._store.take):
                    return job
                if not self._stopping.is_set():
                    self._wake.wait()
        return None

    def _run(self, job: Job, run: Run) -> None:
        output = self._files.output(job)
        before = _signature(output)
        scoring: ScoringJob | None = None
        was_staged = self._files.note(job.id).exists()  # by a process that died, perhaps after it had moved the rows
        untold = _UNTOLD if was_staged else _CUT if job.is_cut else ""
        is_in_doubt = False  # whether the rows are in another system: those staged are left to the user, or to the next start
        try:
            if job.is_deleted:
                raise Cancelled("The job was aborted", "It was deleted before its turn came again.")
            if deaths(job) >= DEATHS:
                raise ScoringError(TOO_DEADLY, untold)
            if job.is_cut:
                raise ScoringError("The job cannot be scored again", untold)
            scoring = self._scoring(job)
            tally = self._score(scoring, report=run.report, is_cancelled=lambda: self._is_cancelled(job))
        except Cancelled:
            reason = f"The job was aborted. {untold}" if untold and scoring is None else None
        except ScoringError as error:
            reason = secretless(self._files.as_seen(job, _reason(error)), scoring)
            is_in_doubt = isinstance(error, Lost) and self._files.note(job.id).exists()
        except BaseException as error:  # a model's own code may even call sys.exit; the worker lives on
            _LOG.error("job %s\n%s", job.id, secretless(traceback.format_exc(), scoring))
            reason = secretless(f"internal error: {type(error).__name__}: {error}", scoring)
        else:
            if output:
                sync_folder(output.parent)
            counts = run.counts_at_end(tally)
            if self._insist(lambda: self._store.complete(job.id, counts, self._notes(job, run, counts), is_final=output is None)) is not False:
                remove(self._files.note(job.id))
                return
            reason = None
        is_released = (reason is None or is_in_doubt) and self._stopping.is_set()
        _discard(output, before)
        if reason is None:
            _discard(self._files.rejects(job.id), None)
        if is_in_doubt and not is_released:
            remove(self._files.note(job.id))
        elif not is_released:
            self._discard_left(job)
        if is_released:
            self._insist(lambda: self._store.release(job.id, run.counts))
        else:
            self._insist(lambda: self._store.abort(job.id, run.counts, reason, self._notes(job, run, run.counts) if reason else ()))

    def _discard_left(self, job: Job) -> None:
        """What a former run, or one whose last step failed, has left in the systems of intake and output.

        The note goes first: a process that dies in between then scores the job again, instead of bringing over rows that are gone.
        """
        note = self._files.note(job.id)
        if not note.exists() and starts(job) < 2:
            return
        remove(note)
        try:
            self._places.discard(job)
        except Exception as error:  # a network that is down: the job ends in any case
            _LOG.warning(
                "what job %s left cannot be removed: %s", job.id, _reason(error) if isinstance(error, ScoringError) else type(error).__name__
            )

    def _notes(self, job: Job, run: Run, counts: Counts) -> tuple[str, ...]:
        if not self._files.rejects(job.id).exists():
            return ()
        return failures(counts, run.progress.named if run.progress else (), self._files.place_of_rejects(job))

    def _is_cancelled(self, job: Job) -> bool:
        return self._stopping.is_set() or job.id in self._cancelled

    def _scoring(self, job: Job) -> ScoringJob:
        deployment = self._registry.get(job.deployment_id)
        if deployment is None:
            raise ScoringError("The deployment is no longer served", f"no deployment here has the id {job.deployment_id}")
        if deployment.is_lost:
            raise deployment.loss
        options = JobSpec.model_validate(job.spec)
        if sentence := self._registry.unpinned(deployment, options.pinned_model_id):
            raise ScoringError("The pinned model is not there", sentence)
        intake, output = self._places.intake(job), self._places.output(job)
        return ScoringJob(deployment.folder, intake, output, options, self._files.rejects(job.id), self._tolerance, deployment.is_trusted)

    def _insist(self, write: Callable[[], Answer]) -> Answer | None:
        """Write until it succeeds, or the service stops: on a full disk a job waits rather than be lost; None when it gave up."""
        while True:
            try:
                return write()
            except sqlite3.Error:
                _LOG.exception("the service's database cannot be written")
                if self._stopping.wait(_RETRY_SECONDS):
                    return None


def _reason(error: ScoringError) -> str:
    return (f"{error.summary}: {error.detail}" if error.detail else error.summary) or type(error).__name__


def _signature(path: Path | None) -> Signature:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _discard(path: Path | None, before: Signature) -> None:
    """Removes what this run has written; a file it never touched is an earlier result and stays."""
    if path and _signature(path) != before:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            _LOG.exception("%s of an aborted job cannot be removed", path)
