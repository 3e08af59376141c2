"""Finding the job that a submission made when no answer says so. The rule here: nothing is sent again before the list of jobs has been asked.

The Batch Prediction API has no idempotency key, so a job is known by what it is: made since the intent, by the same creator, for the same deployment,
with the same job spec (server-side defaults normalised away), and no other run's. Where several runs with one spec are in doubt, as many jobs are
theirs in any order: none of them has been given rows yet.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from reconciler.api.client import Client
from reconciler.api.schema import Job
from reconciler.apply.request import is_job_of, kind_of, uploads
from reconciler.errors import InDoubt, ServiceError
from reconciler.fingerprint import value_digest
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run, settling
from reconciler.state.store import Store, timestamp

# How far off our idea of the service's clock may be: when it told its time, and when it never did.
_KNOWN_SKEW = timedelta(seconds=5)
_CLOCK_SKEW = timedelta(minutes=10)


class Adoption:
    """Of one apply. `left` are the runs that earlier applies have left without a job id."""

    def __init__(self, store: Store, client: Client, left: Iterable[Run]) -> None:
        self._store, self._client = store, client
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._left: defaultdict[str, set[str]] = defaultdict(set)
        for run in left:
            if run.status is Status.INTENDED:
                self._left[_kind(run)].add(run.id)

    @asynccontextmanager
    async def turn(self, run: Run) -> AsyncIterator[None]:
        """One submission of a kind at a time, until its job id is recorded: what the list shows beyond that is nobody's."""
        async with self._turns[_kind(run)]:
            yield

    async def job_of(self, run: Run) -> Job | None:
        """The job that was made for this run, None if there is none. Raises InDoubt when it cannot be told; only within its `turn`."""
        try:
            found = sorted([job async for job in self._candidates(run)], key=lambda job: (job.created or "", job.id))
        except ServiceError as error:
            # Whatever the list's trouble is: it says nothing about the submission.
            raise InDoubt("Nobody knows whether the submission made a job", f"{error.summary}. {error.detail} Run apply again to find out.") from None
        if not found:
            return None
        in_doubt = {run_id for run_id in self._left[_kind(run)] if self._is_in_doubt(run_id)} | {run.id}
        if len(found) > len(in_doubt):
            raise _unclear(run, [job.id for job in found])
        return found[0]

    async def _candidates(self, run: Run) -> AsyncIterator[Job]:
        since = _since(run)
        filters = {"deploymentId": run.request["deploymentId"]} if "deploymentId" in run.request else {}
        async for job in self._client.jobs(startDateTime=timestamp(since), **filters):
            is_ours = job.creator is None or run.creator is None or job.creator == run.creator
            created = job.created_at  # where it is not known, the time excludes no job
            is_young = created is None or created >= since
            # One that was given rows was given them by somebody else: we upload only to a job whose id is recorded.
            is_fresh = not uploads(run.request) or not (job.job_intake_size or job.is_terminal)
            if is_ours and is_young and is_fresh and is_job_of(job, run.request) and self._store.snapshot.run_of_job(job.id) is None:
                yield job

    def _is_in_doubt(self, run_id: str) -> bool:
        run = self._store.snapshot.run(run_id)
        return run is not None and run.status is Status.INTENDED


def _since(run: Run) -> datetime:
    if run.server_time is not None:
        return datetime.fromisoformat(run.server_time) - _KNOWN_SKEW
    return datetime.fromisoformat(run.intended_at) - _CLOCK_SKEW


def _kind(run: Run) -> str:
    return value_digest(kind_of(run.request))


def _unclear(run: Run, job_ids: list[str]) -> InDoubt:
    ids = ", ".join(job_ids)
    detail = (
        f"{ids} have its spec, and none is known to be its own. Nothing was submitted. Look at them, then say which one it is with\n"
        f"  {settling('adopt', run.workspace, run.address, 'JOB_ID')}\nor that it is none of them with\n"
        f"  {settling('resubmit', run.workspace, run.address)}"
    )
    return InDoubt("Several jobs could be this run", detail)
