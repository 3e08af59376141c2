"""A submitted job until it has scored: rows go up, the result comes down. The rule here: what is not proven whole is not trusted.

Upload, scoring and download overlap: the result is fetched from the moment that the service offers it. A broken download is fetched again by the
job's id. A broken upload cannot be mended, since nobody knows what arrived, so its job is given up. Timeouts end the waiting and never the job.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from reconciler.api.client import Client
from reconciler.api.schema import Job
from reconciler.apply.deliver import Staged, inspect
from reconciler.apply.event import Listener, Progressed
from reconciler.apply.request import as_written, downloads, uploads
from reconciler.apply.transfer import download
from reconciler.apply.watch import Watch
from reconciler.duration import seconds
from reconciler.errors import Detached, JobEnded, JobGone, ScoringError, ServiceError, UploadCut
from reconciler.state.lifecycle import FROM_WIRE, Status
from reconciler.state.record import Run
from reconciler.state.store import Store, now, timestamp

# A status that this release does not know is taken for one of a job that goes on, for so long.
_UNKNOWN_S = 600.0
_FETCHES = 8
_NO_RESULT = frozenset({404, 410, 422})
# The service ends a job whose upload breaks; whether that was the cause, the upload knows a moment later.
_GRACE_S = 5.0
# Lines that every log has (batch-prediction-api.md §1.4); the others say what went wrong.
_USUAL = ("Job created by", "Job submitted at", "Job started processing at", "Job done processing at")
_LOG_LINES = 5
# What a service says of rows that it cannot use: 413 too many, 406 and 415 no CSV, 409 not wanted, 422 not readable.
_REFUSED = frozenset({406, 409, 413, 415, 422})
# An upload in doubt is given up when its job, without waiting for others, has not moved for so long.
_STUCK_S = 60.0
# One whose rows have arrived is queued at once.
_UNQUEUED_S = 15.0
_SENDS = 3
_LOOKS = 3

_T = TypeVar("_T")

IsSame = Callable[[Run], Awaitable[bool]]


class Timeouts(NamedTuple):
    """Seconds that an apply waits for a job: until it starts, from then on, and altogether."""

    queue: float = math.inf
    run: float = math.inf
    total: float = math.inf

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Self:
        return cls(**{name: seconds(text) for name, text in metadata.get("timeouts", {}).items()})


@dataclass
class Tracking:
    """Of one run that has its job id. `run` is the run as it is recorded, `job` what is known of its job."""

    run: Run
    job: Job | None
    root: Path
    store: Store
    client: Client
    watch: Watch
    has_intake: IsSame
    listen: Listener
    timeouts: Timeouts
    is_reattached: bool
    began: float = field(default_factory=time.monotonic)
    started: float | None = None
    unknown_since: float | None = None
    sent: int = 0  # bytes of the intake
    completed: asyncio.Event = field(default_factory=asyncio.Event)

    async def scored(self) -> tuple[Job, Staged | None]:
        """The completed job and, where its output is a local file, the whole staged file.

        Raises ScoringError when the job ended badly, JobGone, UploadCut, Detached, DeliveryError, and ServiceError when nobody knows how it is.
        """
        try:
            return await self._carried()
        except ServiceError as error:
            if error.status == 404:
                await self._check_gone(error)
            raise

    async def _carried(self) -> tuple[Job, Staged | None]:
        async with _Errands() as errands:
            upload = errands.begin(self._upload()) if uploads(self.run.request) and self.run.uploaded_at is None else None
            fetch: asyncio.Task[Staged] | None = None
            while True:
                job = self.job = await self._in_time(errands.or_fail(self.watch.news(self.run.job_id or "")))
                self._tell(job)
                status = FROM_WIRE.get(job.status)
                if status in (Status.FAILED, Status.ABORTED):
                    await self._settled(upload)
                    raise JobEnded(f"Scoring was {status}", last_words(job, self.root), status)
                if status is Status.RUNNING and self.run.status is Status.SUBMITTED:
                    self.run = self.store.move(self.run, status, started_at=timestamp(now()))
                if downloads(self.run.request) and fetch is None and (job.links.download or status is Status.SCORED):
                    fetch = errands.begin(self._fetch())
                if status is Status.SCORED:
                    await self._acknowledged(upload)
                    self.completed.set()
                    if fetch is not None:
                        return job, await self._in_time(errands.or_fail(fetch))
                    return job, await asyncio.to_thread(inspect, self._staging()) if self.run.staging else None

    async def _in_time(self, awaited: Awaitable[_T]) -> _T:
        name, left = self._time_left()
        try:
            async with asyncio.timeout(None if left == math.inf else left):
                return await awaited
        except TimeoutError:
            if left == math.inf:
                raise
            detail = f"Job {self.run.job_id} goes on after timeouts.{name} was over, and its run stays open. Run apply again to take it up."
            raise Detached("The job took longer than its timeouts allow", detail) from None

    def _time_left(self) -> tuple[str, float]:
        """The timeout that will be over first, and how many seconds it leaves."""
        elapsed = time.monotonic() - self.began
        phase = ("queue", self.timeouts.queue - elapsed)
        if self.started is not None:
            phase = ("run", self.timeouts.run - (time.monotonic() - self.started))
        return min(phase, ("total", self.timeouts.total - elapsed), key=lambda item: item[1])

    def _tell(self, job: Job) -> None:
        """Raises ServiceError when the job has had a status that we do not know for long."""
        if job.status in FROM_WIRE:
            self.unknown_since = None
        else:
            self.unknown_since = self.unknown_since or time.monotonic()
            if time.monotonic() - self.unknown_since > _UNKNOWN_S:
                detail = f"Job {job.id} is {job.status!r}; this release cannot tell what it means. The run stays open; apply again to look again."
                raise ServiceError("The service answered with an unknown status", detail)
        if self.started is None and job.status != "INITIALIZING" and not job.queued:
            self.started = time.monotonic()
        percent = job.percentage_completed if job.job_intake_size else None
        self.listen(Progressed(self.run.address, job.id, job.status, percent, job.scored_rows, time.monotonic() - self.began))

    async def _check_gone(self, missing: ServiceError) -> None:
        """Raises JobGone when the service answers as it should and has no such job; a gateway's 404 passes."""
        job_id = self.run.job_id or ""
        for attempt in range(1, _LOOKS + 1):
            await self.watch.pause(attempt)
            try:
                await self.client.job(job_id)
                return
            except ServiceError as error:
                if error.status != 404:
                    raise
        async for _ in self.client.jobs(limit="1"):
            break
        detail = f"It was deleted there, with its result: {missing.detail} Run apply again to score it anew."
        raise JobGone(f"Job {job_id} is gone from the service", detail, 404) from None

    # Rows up

    async def _upload(self) -> None:
        """Raises UploadCut when it is not proven that all rows arrived, ScoringError when they were refused."""
        job = self.job or await self.client.job(self.run.job_id or "")
        size = (await asyncio.to_thread((self.root / self.run.intake["file"]).stat)).st_size
        try:
            await self._send(job, size)
        except UploadCut as cut:
            if self.sent < size:
                raise
            await self._prove(size, cut)
        except ServiceError as error:
            if self.is_reattached and error.status in (409, 422):
                await self._prove(size, UploadCut("The upload was cut", f"An apply was killed while it uploaded the rows of job {job.id}."))
            elif error.status in _REFUSED:
                await self._give_up(job)
                raise ScoringError("The intake was refused", as_written(error.detail, self.root)) from None
            else:
                raise
        if not await self.has_intake(self.run):
            await self._give_up(job)
            raise ScoringError("The intake changed while it was uploaded", "What is scored is unknown, so it is not delivered. Run apply again.")
        self.run = self.store.uploaded(self.run)

    async def _give_up(self, job: Job) -> None:
        self.store.check_lock()  # a successor may be tracking this very job
        await self.client.abort(job.id)

    async def _send(self, job: Job, size: int) -> None:
        def sent(count: int) -> None:
            self.sent = count
            self.listen(Progressed(self.run.address, job.id, "UPLOADING", 100 * count / max(1, size), 0, time.monotonic() - self.began))

        self.store.check_lock()  # rows of ours would spoil the job that a successor feeds
        path = self.root / self.run.intake["file"]
        furthest = 0
        for attempt in range(1, _SENDS + 1):
            try:
                return await self.client.upload(job, path, sent)
            except UploadCut as error:
                cut = error
            except ServiceError:
                if attempt == 1:
                    raise
                break  # a service that kept nothing takes it again; this one has kept what came before
            furthest = max(furthest, self.sent)
            await self.watch.pause(attempt + 1)
        self.sent = furthest
        raise cut

    async def _prove(self, size: int, cut: UploadCut) -> None:
        """Only a completed job that has read as many bytes as the file has proves that they arrived. Raises `cut`."""
        sign, since = None, time.monotonic()
        while True:
            job = await self.watch.news(self.run.job_id or "")
            if job.status == "COMPLETED" and job.job_intake_size == size:
                return
            if sign != (sign := (job.status, job.scored_rows, job.percentage_completed, job.job_intake_size, job.queue_position)):
                since = time.monotonic()
            patience_s = _STUCK_S if job.status != "INITIALIZING" else _UNQUEUED_S
            is_stuck = not job.queued and time.monotonic() - since > patience_s
            if job.is_terminal or is_stuck:
                break
        raise cut

    async def _settled(self, upload: "asyncio.Task[None] | None") -> None:
        """If it was the upload that ended the job, raises what the upload has met; bad rows are the job's own affair."""
        if upload is None:
            return
        before = self.sent
        await asyncio.wait({upload}, timeout=_GRACE_S)
        if upload.done() and isinstance(upload.exception(), UploadCut | ScoringError):
            upload.result()
        if not upload.done() and self.sent == before:
            raise UploadCut("The upload was cut", f"Job {self.run.job_id} ended before all of its rows were sent.")

    async def _acknowledged(self, upload: "asyncio.Task[None] | None") -> None:
        """The service has completed the job: it has the rows, though its answer may not have come. Raises UploadCut when they were not even sent."""
        if upload is None or upload.done():
            return
        await asyncio.wait({upload}, timeout=self.client.read_s)
        if not upload.done():
            size = (await asyncio.to_thread((self.root / self.run.intake["file"]).stat)).st_size
            await self._prove(size, UploadCut("The upload was cut", f"Job {self.run.job_id} ended before all of its rows were sent."))
            self.run = self.store.uploaded(self.run)

    # The result down

    async def _fetch(self) -> Staged:
        """The whole result. What was read before the job had ended counts only if the stream ended with the job."""
        job = self.job or await self.client.job(self.run.job_id or "")
        for attempt in range(1, _FETCHES + 1):
            cut: ServiceError | None = None
            staged: Staged | None = None
            try:
                staged = await self._received(job)
            except ServiceError as error:
                cut = error
            job = await self.client.job(job.id)
            self.watch.seen(job)
            if staged is not None and job.status == "COMPLETED":
                return staged
            while not job.is_terminal:
                job = await self.watch.news(job.id)
            if job.status != "COMPLETED":
                await asyncio.Event().wait()  # whoever watches the job tells how it ended, and ends this errand
            if job.results_deleted:
                break
            if attempt > 1:
                await self.watch.pause(attempt)
        if job.results_deleted or (cut is not None and cut.status in _NO_RESULT):
            detail = f"Job {job.id} has scored, and its result was deleted before it was fetched. Run apply again to score it anew."
            raise ScoringError("The result is no longer on the service", detail)
        raise cut or ServiceError("The result cannot be fetched", f"Job {job.id} has scored; run apply again to fetch its result.")

    async def _received(self, job: Job) -> Staged:
        """What comes, unless nothing comes though the job has completed. Raises ServiceError."""
        received = 0

        def receive(size: int) -> None:
            nonlocal received
            received = size

        async def silence() -> None:
            await self.completed.wait()
            before = -1
            while before != received:
                before = received
                await asyncio.sleep(self.client.read_s)
            raise ServiceError("The download was cut short", f"Nothing came for {self.client.read_s:g} s though job {job.id} had completed.")

        async with _Errands() as errands:
            errands.begin(silence())
            return await errands.or_fail(download(self.client, job, self._staging(), receive, self.store.check_lock))

    def _staging(self) -> Path:
        return self.root / (self.run.staging or "")


def last_words(job: Job, root: Path) -> str:
    """Of a job that ended badly: the status details, and the last lines of the log that say more."""
    details = as_written(job.status_details, root)
    lines = [as_written(line, root) for line in job.logs if not line.startswith(_USUAL)]
    more = [line for line in lines if line not in details and details not in line][-_LOG_LINES:]
    return "\n".join([details, *(["The last lines of its log:", *more] if more else [])])


class _Errands:
    """Tasks that live as long as the block, and no longer."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    def begin(self, errand: Coroutine[Any, Any, _T]) -> "asyncio.Task[_T]":
        task = asyncio.create_task(errand)
        self._tasks.add(task)
        return task

    async def or_fail(self, awaited: Awaitable[_T]) -> _T:
        """What is awaited, unless an errand fails before: then its error."""
        main = asyncio.ensure_future(awaited)
        try:
            while not main.done():
                waiting = {main} | {task for task in self._tasks if not task.done()}
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done - {main}:
                    task.result()
            return main.result()
        finally:
            if main not in self._tasks:
                main.cancel()
                await asyncio.wait({main})

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.exception()  # heard: it was raised where it was awaited, or the job's own end came first
