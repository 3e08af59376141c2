"""The embedded Batch Prediction service: jobs in, scored files out. The rule here: what was accepted is never lost, and is scored once at a time."""

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from reconciler.api.schema import request_core
from reconciler.engine.job import Progress, ScoringJob, Tally
from reconciler.errors import ModelError, ServiceError
from reconciler.fingerprint import value_digest
from reconciler.service import admission, moment
from reconciler.service.job import AD_HOC, Caller, Job, Origin, new_job
from reconciler.service.listing import Selection
from reconciler.service.lock import FolderLock
from reconciler.service.refusal import Refusal
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.store import Store
from reconciler.service.workers import Scorer, Workers

_CORES = os.cpu_count() or 1


def engine_score(job: ScoringJob, *, report: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Tally:
    from reconciler.engine.pipeline import score  # heavy: Arrow and the model libraries

    return score(job, report=report, is_cancelled=is_cancelled)


class Service:
    def __init__(
        self, storage: Path, registry: Registry, *, workers: int = _CORES, score: Scorer = engine_score, clock: moment.Clock = moment.now
    ) -> None:
        self.registry = registry
        self.clock = clock
        self._storage = storage
        self._count = workers
        self._score = score
        self._running: tuple[FolderLock, Store, Workers] | None = None

    def start(self) -> None:
        """Takes the storage folder, takes up what the last process left, and begins to score. Raises ServiceError."""
        if self._running:
            raise ServiceError("The embedded service is already running", f"It was started before, with {self._storage}.")
        lock = FolderLock(self._storage)
        try:
            store = _recovered(self._storage / "service.db", self.clock)
        except BaseException:
            lock.release()
            raise
        workers = Workers(store, self.registry, self._score, self._count)
        workers.start()
        self._running = lock, store, workers

    def stop(self) -> None:
        """What runs goes back to the queue, for the next start to score."""
        if self._running:
            lock, store, workers = self._running
            self._running = None
            workers.stop()
            store.close()
            lock.release()

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def submit(self, body: dict[str, Any], ip: str, key: str | None, origin: Origin = AD_HOC) -> Job:
        """A new job, or the one that this idempotency key has made. Raises Refusal."""
        _, store, workers = self._parts()
        spec = admission.accepted_spec(body, _CORES)
        request = value_digest(request_core(spec))
        # Before the model is looked at: what was accepted once stays accepted, whatever became of the model.
        known = store.submitted_with(key, request) if key else None
        if known:
            return known
        deployment = admission.scorable_deployment(spec, self.registry)
        job = new_job(deployment.id, self._model_id(deployment), spec, Caller(user(), ip), self.clock(), origin)
        stored = store.add(job, request, key)
        workers.notify()
        return stored

    def job(self, job_id: str) -> Job:
        _, store, workers = self._parts()
        # Counters first: a job that ends in between is then read with its final ones.
        counts = workers.counts(job_id)
        job = store.get(job_id)
        if job is None:
            raise Refusal(404, f"there is no job {job_id}")
        return job.at(counts) if counts and job.status == "RUNNING" else job

    def jobs(self, selection: Selection) -> tuple[int, list[Job]]:
        _, store, workers = self._parts()
        total, found = store.page(selection)
        return total, [job.at(workers.counts(job.id) or job.counts) if job.status == "RUNNING" else job for job in found]

    def delete(self, job_id: str) -> None:
        _, store, workers = self._parts()
        if store.delete(job_id, user()).status == "RUNNING":
            workers.cancel(job_id)

    def hide(self, job_id: str, is_hidden: bool) -> Job:
        _, store, _ = self._parts()
        return store.hide(job_id, is_hidden)

    def _parts(self) -> tuple[FolderLock, Store, Workers]:
        if self._running is None:
            raise Refusal(503, "the service is not running")
        return self._running

    def _model_id(self, deployment: LocalDeployment) -> str | None:
        try:
            return self.registry.artifact(deployment).model_id
        except (OSError, ModelError):
            return None  # replaced this very moment; the id serves only the list's modelId filter


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def _recovered(path: Path, clock: moment.Clock) -> Store:
    """The store, where jobs that ran when the last process died wait to be scored from their start; deleted ones have ended."""
    store = Store(path, clock)
    try:
        for job in store.with_status("RUNNING"):
            if job.is_deleted:
                Path(job.output_path).unlink(missing_ok=True)
            store.release(job.id, job.counts)
    except BaseException:
        store.close()
        raise
    return store
