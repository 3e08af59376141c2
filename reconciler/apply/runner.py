"""One run's way through the service, from intent to delivery. The rule here: each step is durable in the state before the next one begins.

A run that was interrupted goes on at the step it had reached; it is the same road with a later start. A run ends only when its end is certain: while
nobody knows what became of its job it stays open, and the next apply settles it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler import confidential
from reconciler.api.client import Client
from reconciler.api.schema import Job
from reconciler.apply.adoption import Adoption
from reconciler.apply.deliver import deliver, discard, prepare
from reconciler.apply.doubt import adds_rows, may_have_written, question
from reconciler.apply.event import Listener, Submitted
from reconciler.apply.grace import ended, in_thread
from reconciler.apply.request import as_written, downloads, output_of
from reconciler.apply.tracking import IsSame, Timeouts, Tracking
from reconciler.apply.transfer import download
from reconciler.apply.watch import Watch
from reconciler.errors import DeliveryError, InDoubt, JobEnded, JobGone, ReconcilerError, ScoringError, ServiceError, UploadCut
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.store import Store, now, timestamp

# After a lost answer the service may still be busy making the job: it is looked for so often before it is said not to exist.
_LOOKS = 4
# A submission may be answered so badly; each time it was made sure that no job was made.
_SUBMISSIONS = 5
# How long an interrupt waits for the answer of a submission that is on its way.
_LAST_ANSWER_S = 1.5
# How long a job that was aborted is waited for, where what it has done is of interest.
_END_S = 10.0
# Of the rows that failed, as many are named in a run's details.
_NAMED = 3


@dataclass(frozen=True)
class Runner:
    """Takes runs to their end. `has_intake` and `has_model` tell whether a run's intake and model are still those of its fingerprint.

    `delivered` gives the digest of what a job has written to another system, where that can be looked at again.
    `opened` gives a request with what the references in it stand for, to be sent and forgotten.
    """

    root: Path
    store: Store
    client: Client
    watch: Watch
    adoption: Adoption
    has_intake: IsSame
    has_model: IsSame
    listen: Listener
    delivered: Callable[[Run], Awaitable[str | None]]
    opened: Callable[[Mapping[str, Any]], dict[str, Any]] = dict

    async def start(self, run: Run, timeouts: Timeouts) -> Run:
        """Submit a run that was just intended, and take it to delivery. Raises the error that ended it, which is in the state then."""
        return await self._to_its_end(run, self._submit, timeouts, is_reattached=False)

    async def resume(self, run: Run, timeouts: Timeouts) -> Run:
        """Take an interrupted run on from the step it had reached."""
        return await self._to_its_end(run, self._adopt_or_submit, timeouts, is_reattached=True)

    async def abort(self, run: Run, why: str, *, is_last: bool = False) -> None:
        """End an open run that is no longer wanted, on the service and in the state.

        Raises InDoubt when its job may have written to a table, unless it `is_last`: no other job is to follow.
        """
        async with self.adoption.turn(run):
            if run.status is Status.SCORED and adds_rows(run.request):  # all of its rows are in the table, whatever is wanted now
                self.store.move(run, Status.DELIVERED, ended_at=timestamp(now()))
                return
            if run.job_id is None and (job := await self.adoption.job_of(run)):
                run, _ = self._placed(run, job, is_adopted=True)
            if run.job_id is not None:
                self.store.check_lock()
                await self.client.abort(run.job_id)
            if not is_last and await self._may_have_written(run):
                raise self._in_doubt(run, why)
            self._end(run, Status.ABORTED, why)

    async def _to_its_end(self, run: Run, place: Callable[[Run], Awaitable[tuple[Run, Job]]], timeouts: Timeouts, *, is_reattached: bool) -> Run:
        job = None
        try:
            if run.status is Status.INTENDED:
                run, job = await place(run)
            if run.status is not Status.SCORED:
                run = await self._track(run, job, timeouts, is_reattached=is_reattached and job is None)
            return await self._deliver(run)
        except UploadCut as error:
            await self._give_up(self._as_recorded(run), error)
            raise
        except (ScoringError, DeliveryError, ServiceError) as error:
            await self._fail(self._as_recorded(run), error)
            raise

    def _as_recorded(self, run: Run) -> Run:
        return self.store.snapshot.run(run.id) or run

    # Submitting

    async def _submit(self, run: Run) -> tuple[Run, Job]:
        await self._prepare(run)
        async with self.adoption.turn(run):
            return await self._asked(run)

    async def _adopt_or_submit(self, run: Run) -> tuple[Run, Job]:
        async with self.adoption.turn(run):
            # Twice: while pages are read, another job's deletion may move one to a page that was read before.
            if job := await self.adoption.job_of(run) or await self.adoption.job_of(run):
                return self._placed(run, job, is_adopted=True)
            await self._prepare(run)
            return await self._asked(run)

    async def _prepare(self, run: Run) -> None:
        if run.staging:
            self.store.check_lock()  # a successor that has settled this run has tidied up after it
            await in_thread(prepare, self.root / run.staging)

    async def _asked(self, run: Run) -> tuple[Run, Job]:
        """Post it; again only when it is certain that the last time made no job. Raises InDoubt when that cannot be found out."""
        for attempt in range(1, _SUBMISSIONS + 1):
            self.store.check_lock()  # who was suspended since the intent may have a successor, which has settled this run
            try:
                return await ended(self._sent(run), _LAST_ANSWER_S)
            except InDoubt as error:
                doubt = error
            if doubt.retry_after:
                await self.watch.wait(doubt.retry_after)
            for look in range(_LOOKS):
                if job := await self.adoption.job_of(run):
                    return self._placed(run, job, is_adopted=True)
                await self.watch.pause(look)
            await self.watch.pause(attempt)
        raise doubt

    async def _sent(self, run: Run) -> tuple[Run, Job]:
        body = self.opened(run.request)
        try:
            job = await self.client.submit(body, run.id)
        except ServiceError as error:  # an endpoint may say what it was sent
            error.detail = confidential.without(error.detail, body)
            raise
        return self._placed(run, job, is_adopted=False)

    def _placed(self, run: Run, job: Job, *, is_adopted: bool) -> tuple[Run, Job]:
        creator = run.creator or job.creator
        output = output_of(run, job)
        placed = self.store.move(run, Status.SUBMITTED, job_id=job.id, submitted_at=timestamp(now()), creator=creator, output=output)
        self.listen(Submitted(run.address, job.id, is_adopted))
        return placed, job

    # Scoring

    async def _track(self, run: Run, job: Job | None, timeouts: Timeouts, *, is_reattached: bool) -> Run:
        tracking = Tracking(run, job, self.root, self.store, self.client, self.watch, self.has_intake, self.listen, timeouts, is_reattached)
        job, staged = await tracking.scored()
        run = tracking.run
        # An intake that was uploaded was looked at when it had arrived; the service reads every other one while it scores.
        is_same = await self.has_model(run) and (run.uploaded_at is not None or await self.has_intake(run))
        if not is_same:
            raise ScoringError(
                "The intake or the model changed while the job ran", "What was scored is unknown, so it is not delivered. Run apply again."
            )
        facts: dict[str, Any] = {"scored_rows": job.scored_rows, "failed_rows": job.failed_rows, "skipped_rows": job.skipped_rows}
        if staged is not None:
            facts |= {"output_digest": staged.digest, "output_bytes": staged.size}
        elif not run.staging:
            facts["output_digest"] = await self.delivered(run)
        return self.store.move(run, Status.SCORED, status_details=as_written(_told(job), self.root), **facts)

    # Delivering

    async def _deliver(self, run: Run) -> Run:
        if run.staging and not await self._delivered(run):
            raise ScoringError(
                "The scored output was lost before it was delivered",
                f"{run.staging} is gone and {run.output} is another file. Run apply again to score it anew.",
            )
        return self.store.move(run, Status.DELIVERED, ended_at=timestamp(now()))

    async def _delivered(self, run: Run) -> bool:
        staging, final = self.root / (run.staging or ""), self.root / (run.output or "")
        self.store.check_lock()  # a successor may have delivered this run, and a later one over it
        if await in_thread(deliver, staging, final, run.output_digest or ""):
            return True
        if not downloads(run.request):
            return False
        again = await download(self.client, await self.client.job(run.job_id or ""), staging, lambda size: None, self.store.check_lock)
        return again.digest == run.output_digest and await in_thread(deliver, staging, final, again.digest)

    # Ending

    async def _give_up(self, run: Run, cut: UploadCut) -> None:
        """End a run whose job may not have all of its rows. Raises InDoubt when the job may have written to a table: no other job may, then."""
        self.store.check_lock()  # a successor may be tracking this very job
        await self.client.abort(run.job_id or "")
        if await self._may_have_written(run):
            raise self._in_doubt(run, f"{_why(cut)} Nobody knows whether all of its rows arrived.")
        self._end(run, Status.ABORTED, _why(cut))

    async def _may_have_written(self, run: Run) -> bool:
        """Whether the job of a run, which has ended or is about to, may have left rows in a table to which another one would add its own."""
        if run.job_id is None or not adds_rows(run.request):
            return False
        try:
            async with asyncio.timeout(_END_S):
                while not (job := await self.watch.news(run.job_id)).is_terminal:
                    pass
        except (TimeoutError, ServiceError):
            return True
        return may_have_written(run, job)

    def _in_doubt(self, run: Run, why: str) -> InDoubt:
        """The run stays open until the user has looked at the table; why is recorded, once."""
        asked = run.status_details if run.is_in_doubt else None
        if asked is None:
            asked = question(run, why)
            self.store.doubt(run, asked)
        return InDoubt("Rows may be in the table already", asked)

    async def _fail(self, run: Run, error: ReconcilerError) -> None:
        if not run.is_open or not _is_certain(run, error):
            return
        why = error.detail if isinstance(error, JobEnded) else _why(error)
        if await self._may_have_written(run):
            raise self._in_doubt(run, why) from error
        self._end(run, Status(error.status) if isinstance(error, JobEnded) else Status.FAILED, why)

    def _end(self, run: Run, status: Status, details: str) -> None:
        self.store.move(run, status, status_details=details, ended_at=timestamp(now()))
        if run.staging:
            with suppress(DeliveryError):  # what cannot be removed is in nobody's way
                discard(self.root / run.staging)


def _told(job: Job) -> str:
    """What the service says about the job; of one with rows that failed also which, the first few of them."""
    if not job.failed_rows:
        return job.status_details
    failures = [entry for entry in job.logs if not entry.startswith("Job ")]
    return "\n".join([*failures[:-1][:_NAMED], *failures[-1:]]) or job.status_details


def _is_certain(run: Run, error: ReconcilerError) -> bool:
    """Whether an error ends the run: the job was not made, has ended badly or is gone. Otherwise the next apply goes on where this one stopped."""
    if isinstance(error, InDoubt):
        return False
    return run.status is Status.INTENDED or isinstance(error, ScoringError | JobGone)


def _why(error: ReconcilerError) -> str:
    return f"{error.summary}. {error.detail}"
