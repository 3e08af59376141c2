"""The embedded Batch Prediction service: jobs in, scored files out. The rule here: what was accepted is never lost, and is scored once at a time."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from reconciler.api.schema import request_core
from reconciler.confidential import redacted
from reconciler.engine.job import TOLERANCE, Progress, ScoringJob, Tally, Tolerance
from reconciler.engine.place import Keys
from reconciler.errors import ModelError, ServiceError
from reconciler.fingerprint import value_digest
from reconciler.identity import user
from reconciler.service import admission, moment
from reconciler.service.definition import Definition
from reconciler.service.files import Files, remove
from reconciler.service.job import AD_HOC, Caller, Job, Origin, new_job, uploaded
from reconciler.service.keyring import Keyring
from reconciler.service.listing import Selection
from reconciler.service.lock import FolderLock
from reconciler.service.places import Places, placed
from reconciler.service.refusal import Refusal
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.retention import Sweeper
from reconciler.service.scheduler import Scheduler
from reconciler.service.status import has_ended
from reconciler.service.store import Store
from reconciler.service.stores import Stores, opened
from reconciler.service.transfers import Limits, Transfers
from reconciler.service.upload import CUT_OFF
from reconciler.service.workers import Scorer, Workers

_CORES = os.cpu_count() or 1


def engine_score(job: ScoringJob, *, report: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Tally:
    from reconciler.engine.pipeline import score  # heavy: Arrow and the model libraries

    return score(job, report=report, is_cancelled=is_cancelled)


class Service:
    def __init__(
        self,
        storage: Path,
        registry: Registry,
        *,
        workers: int = _CORES,
        jobs_per_deployment: int = 1,
        score: Scorer = engine_score,
        clock: moment.Clock = moment.now,
        retention: timedelta = timedelta(hours=48),
        upload_limit: int | None = None,
        upload_patience: timedelta = timedelta(minutes=10),
        schedules: bool = False,
        tolerance: Tolerance = TOLERANCE,
        keys: Keys | None = None,
    ) -> None:
        """At most `workers` jobs are scored at once, of one deployment at most `jobs_per_deployment`; the others wait, oldest first.

        With `schedules`, enabled job definitions run by the clock.

        `tolerance` says how many rows of a job may fail before `abortOnError` ends it.

        Credentials and data stores are looked up in `keys`, then among those that were made through the API.

        Files of jobs are kept for `retention`; an upload is at most `upload_limit` bytes, and may be silent for `upload_patience`.
        """
        self.registry = registry
        self.clock = clock
        self._storage = storage
        self._count = workers
        self._each = jobs_per_deployment
        self._score = score
        self._retention = retention
        self._tolerance = tolerance
        self._keys = keys
        self._limits = Limits(upload_limit, upload_patience)
        self._files = Files(storage)
        self._running: tuple[FolderLock, Store, Workers] | None = None
        self._sweeper: Sweeper | None = None
        self._has_schedules = schedules
        self._scheduler: Scheduler | None = None
        self._stores: Stores | None = None
        self._transfers: Transfers | None = None

    def start(self) -> None:
        """Takes the storage folder, takes up what the last process left, and begins to score. Raises ServiceError."""
        if self._running:
            raise ServiceError("The embedded service is already running", f"It was started before, with {self._storage}.")
        with ExitStack() as undo:
            lock = FolderLock(self._storage)
            undo.callback(lock.release)
            store = _recovered(Store(self._storage / "service.db", self.clock, self._each), self._files)
            undo.callback(store.close)
            self._stores = opened(store.database, self._storage, self.clock)
            self.registry = self.registry.following(self._stores.replacements)
            undo.pop_all()
        self._sweeper = Sweeper(store, self._files, self.clock, self._retention)
        places = Places(self._files, self.keyring)
        workers = Workers(store, self._files, places, self.registry, self._score, self._count, self._sweeper.wake, self._tolerance)
        workers.start()
        self._sweeper.start()
        self._transfers = Transfers(store, self._files, workers.notify, self._limits)
        self._running = lock, store, workers
        if self._has_schedules:
            self._scheduler = Scheduler(self._stores.definitions, self.run_scheduled, self.clock)
            self._scheduler.start()

    def stop(self) -> None:
        """What runs goes back to the queue, for the next start to score."""
        if self._scheduler:
            self._scheduler.stop()
            self._scheduler = None
        if self._running:
            lock, store, workers = self._running
            self._running = None
            workers.stop()
            if self._sweeper:
                self._sweeper.stop()
            store.close()
            lock.release()

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def keyring(self) -> Keyring:
        """What the ids in specs stand for."""
        assert self._stores is not None, "a service that runs has its stores"
        return Keyring(self._keys, self._stores.credentials, self._stores.data_stores, self._stores.box)

    @property
    def stores(self) -> Stores:
        self._parts()
        assert self._stores is not None, "a service that runs has its stores"
        return self._stores

    def accepted(self, body: dict[str, Any]) -> dict[str, Any]:
        """The spec with the API's defaults, when it can become a job as things are. Raises Refusal."""
        spec = admission.accepted_spec(body, _CORES)
        admission.check_places(spec, self._storage)
        admission.check_systems(spec, self.keyring)
        admission.scorable_deployment(spec, self.registry)
        admission.dataset_version(spec, self.stores.datasets)
        return self.keyring.sealed(spec)

    def run_definition(self, definition_id: str, ip: str) -> Job:
        definition = self.stores.definitions.get(definition_id)
        return self.submit(definition.content.spec, ip, None, Origin("Manual Run", definition.origin, definition.times(self.clock())))

    def run_scheduled(self, definition: Definition, key: str) -> Job:
        return self.submit(definition.content.spec, "127.0.0.1", key, Origin("Scheduled Run", definition.origin, definition.times(self.clock())))

    def resubmit(self, job_id: str, ip: str) -> Job:
        """The same job again, over the same rows. Raises Refusal: 404, and 422 when the rows that were uploaded are not kept."""
        old = self.job(job_id)
        return self.submit(old.spec, ip, None, rows_of=old if old.upload else None)

    def submit(self, body: dict[str, Any], ip: str, key: str | None, origin: Origin = AD_HOC, rows_of: Job | None = None) -> Job:
        """A new job, or the one that this idempotency key has made; with the rows that were uploaded for another, or its own. Raises Refusal."""
        _, store, workers = self._parts()
        spec = admission.accepted_spec(body, _CORES)
        admission.check_places(spec, self._storage)
        request = value_digest(request_core(redacted(spec)))
        # Before the model is looked at: what was accepted once stays accepted, whatever became of the model.
        known = store.submitted_with(key, request) if key else None
        if known:
            return known
        admission.check_systems(spec, self.keyring)
        deployment = admission.scorable_deployment(spec, self.registry)
        dataset = admission.dataset_version(spec, self.stores.datasets)
        job = new_job(deployment.id, self._model_id(deployment), self.keyring.sealed(spec), Caller(user(), ip), self.clock(), origin)
        if dataset:
            job = replace(job, dataset_version_id=dataset.id, dataset_name=dataset.name)
        admission.check_times(job)
        job = placed(job, self.keyring)
        stored = store.add(job, request, key) if rows_of is None else self._with_rows(job, rows_of, lambda given: store.add(given, request, key))
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
        if store.delete(job_id, user()).is_scoring:
            workers.cancel(job_id)
        elif self._sweeper:
            self._sweeper.wake()

    @property
    def transfers(self) -> Transfers:
        self._parts()
        assert self._transfers
        return self._transfers

    def hide(self, job_id: str, is_hidden: bool) -> Job:
        _, store, _ = self._parts()
        return store.hide(job_id, is_hidden)

    def _parts(self) -> tuple[FolderLock, Store, Workers]:
        if self._running is None:
            raise Refusal(503, "the service is not running")
        return self._running

    def _with_rows(self, job: Job, other: Job, add: Callable[[Job], Job]) -> Job:
        """Both jobs then share one file under two names, so that each may be cleaned up on its own."""
        if other.upload != "whole" or not self._files.share_upload(other.id, job.id):
            sentence = f"the rows of job {other.id} are not kept; make a new job and upload them again"
            raise Refusal(422, sentence, {"predictionJobId": sentence})
        try:
            return add(uploaded(job, self.clock()))
        except BaseException:
            self._files.remove_upload(job.id)
            raise

    def _model_id(self, deployment: LocalDeployment) -> str | None:
        try:
            return self.registry.artifact(deployment).model_id
        except (OSError, ModelError):
            return None  # replaced this very moment; the id serves only the list's modelId filter


def _recovered(store: Store, files: Files) -> Store:
    """The store, where jobs that ran when the last process died wait to be scored from their start; deleted ones have ended.

    An upload that was under way has lost its caller. One in parts goes on: what was accepted of it is here.
    """
    try:
        for job in store.with_files():
            if job.upload == "begun" and not job.is_multipart:
                store.cut_upload(job.id, CUT_OFF)
        for job in store.with_status("RUNNING"):
            if has_ended(store.recover(job.id).status) and (output := files.output(job)):
                output.unlink(missing_ok=True)
        files.prepare(store.with_files())
        for job_id in files.noted():
            if (noted := store.get(job_id)) is None or has_ended(noted.status):
                remove(files.note(job_id))
    except BaseException:
        store.close()
        raise
    return store
