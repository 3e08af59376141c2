"""One run's way through the service, from intent to delivery. The rule here: each step is durable in the state before the next one begins.

A run that was interrupted goes on at the step it had reached; it is the same road with a later start.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from reconciler.api.client import Client
from reconciler.api.schema import Job
from reconciler.apply.deliver import deliver, discard, inspect, prepare
from reconciler.apply.event import Listener, Progressed, Submitted
from reconciler.apply.request import as_written, is_job_of
from reconciler.errors import DeliveryError, ScoringError, ServiceError
from reconciler.state.lifecycle import FROM_WIRE, Status
from reconciler.state.record import Run
from reconciler.state.store import Store, now, timestamp

# The service's clock may differ from ours; the job spec decides, the time only limits the search.
_CLOCK_SKEW = timedelta(minutes=10)

# Of the rows that failed, as many are named in a run's details.
_NAMED = 3

Wait = Callable[[float], Awaitable[None]]
IsSame = Callable[[Run], bool]


async def poll_wait(elapsed_s: float) -> None:
    """Look often at a young job, and at an old one once a second: some 30 looks in the first minute."""
    await asyncio.sleep(min(1.0, max(0.02, elapsed_s / 8)))


@dataclass(frozen=True)
class Runner:
    """Takes runs to their end. `is_same` tells whether a run's intake and model are still those of its fingerprint."""

    root: Path
    store: Store
    client: Client
    is_same: IsSame
    listen: Listener
    wait: Wait = poll_wait

    async def start(self, run: Run) -> Run:
        """Submit a run that was just intended, and take it to delivery. Raises the error that ended it, which is in the state then."""
        return await self._guarded(run, self._submit)

    async def resume(self, run: Run) -> Run:
        """Take an interrupted run on from the step it had reached."""
        return await self._guarded(run, self._adopt_or_submit)

    async def abort(self, run: Run, why: str) -> None:
        """End an open run that is no longer wanted, on the service and in the state."""
        job = await self._find(run) if run.job_id is None else None
        if job_id := run.job_id or (job.id if job else None):
            await self.client.abort(job_id)
        self._end(run, Status.ABORTED, why)

    async def _guarded(self, run: Run, place: Callable[[Run], Awaitable[Run]]) -> Run:
        try:
            if run.status is Status.INTENDED:
                run = await place(run)
            if run.status is not Status.SCORED:
                run = await self._track(run)
            return await self._deliver(run)
        except (ScoringError, DeliveryError, ServiceError) as error:
            if _is_final(error):
                self._fail(run.id, error)
            raise

    async def _submit(self, run: Run) -> Run:
        await asyncio.to_thread(prepare, _staging(run))
        return self._placed(run, await self.client.submit(run.request, run.id), is_adopted=False)

    async def _adopt_or_submit(self, run: Run) -> Run:
        job = await self._find(run)
        return self._placed(run, job, is_adopted=True) if job else await self._submit(run)

    def _placed(self, run: Run, job: Job, *, is_adopted: bool) -> Run:
        placed = self.store.move(run, Status.SUBMITTED, job_id=job.id, submitted_at=timestamp(now()))
        self.listen(Submitted(run.address, job.id, is_adopted))
        return placed

    async def _find(self, run: Run) -> Job | None:
        """The job that an interrupted submission made, if it made one. Raises ServiceError when several could be it."""
        since = timestamp(datetime.fromisoformat(run.intended_at) - _CLOCK_SKEW)
        jobs = self.client.jobs(deploymentId=run.deployment_id, startDateTime=since)
        found = [job async for job in jobs if is_job_of(job, run.request)]
        if len(found) > 1:
            ids = ", ".join(job.id for job in found)
            raise ServiceError("Several jobs could be this run", f"{ids} have the same spec. Delete all but one, then run apply again.")
        return found[0] if found else None

    async def _track(self, run: Run) -> Run:
        began = time.monotonic()
        while True:
            job = await self.client.job(run.job_id or "")
            status = FROM_WIRE.get(job.status)
            if status is None:
                raise ServiceError(
                    "The service answered with an unknown status", f"Job {job.id} is {job.status!r}; this release cannot tell what it means."
                )
            percent = job.percentage_completed if job.job_intake_size else None
            elapsed = time.monotonic() - began
            self.listen(Progressed(run.address, job.id, job.status, percent, job.scored_rows, elapsed))
            if status in (Status.FAILED, Status.ABORTED):
                details = as_written(job.status_details, self.root)
                self._end(run, status, details)
                raise ScoringError(f"Scoring was {status}", details)
            if status is Status.SCORED:
                return await self._scored(run, job)
            if status is Status.RUNNING and run.status is Status.SUBMITTED:
                run = self.store.move(run, status, started_at=timestamp(now()))
            await self.wait(elapsed)

    async def _scored(self, run: Run, job: Job) -> Run:
        if not await asyncio.to_thread(self.is_same, run):
            raise ScoringError(
                "The intake or the model changed while the job ran", "What was scored is unknown, so it is not delivered. Run apply again."
            )
        staged = await asyncio.to_thread(inspect, _staging(run))
        rows = {"scored_rows": job.scored_rows, "failed_rows": job.failed_rows, "skipped_rows": job.skipped_rows}
        digest = {"output_digest": staged.digest, "output_bytes": staged.size}
        return self.store.move(run, Status.SCORED, status_details=as_written(_told(job), self.root), **rows, **digest)

    async def _deliver(self, run: Run) -> Run:
        final = self.root / (run.output or "")
        await asyncio.to_thread(deliver, _staging(run), final, run.output_digest or "")
        return self.store.move(run, Status.DELIVERED, ended_at=timestamp(now()))

    def _fail(self, run_id: str, error: ScoringError | DeliveryError | ServiceError) -> None:
        run = self.store.snapshot.run(run_id)
        if run is not None and run.is_open:
            self._end(run, Status.FAILED, f"{error.summary}. {error.detail}")

    def _end(self, run: Run, status: Status, details: str) -> None:
        self.store.move(run, status, status_details=details, ended_at=timestamp(now()))
        discard(_staging(run))


def _told(job: Job) -> str:
    """What the service says about the job; of one with rows that failed also which, the first few of them."""
    if not job.failed_rows:
        return job.status_details
    failures = [entry for entry in job.logs if not entry.startswith("Job ")]
    return "\n".join([*failures[:-1][:_NAMED], *failures[-1:]]) or job.status_details


def _staging(run: Run) -> Path:
    return Path(run.staging or "")


def _is_final(error: ScoringError | DeliveryError | ServiceError) -> bool:
    """Without a clear answer nobody knows whether the job goes on: the run stays open, and the next apply settles it."""
    return not isinstance(error, ServiceError) or (error.status is not None and 400 <= error.status < 500)
