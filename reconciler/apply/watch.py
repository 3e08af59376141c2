"""Looking at the jobs in flight, all of them at once. The rule here: hundreds of jobs cost a few requests a look, not one each.

A look lists the account's open jobs, page by page; a job that is not among them has ended, or is gone, and is asked for once by its id.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Self

from reconciler.api.client import Client
from reconciler.api.schema import Job

Wait = Callable[[float], Awaitable[None]]

_OPEN = ("INITIALIZING", "RUNNING")
# So many are asked for one by one: a list may hold the jobs of others too.
_FEW = 2
_SLOWER = 1.2
# A look takes at most this share of the time, however long the list is.
_SHARE = 0.2


@dataclass(frozen=True)
class Pace:
    """Seconds between two looks: at first, and at most, when nothing has happened for long."""

    first_s: float
    most_s: float


# On this machine a look costs a millisecond, elsewhere it is somebody's request.
NEAR = Pace(0.02, 1.0)
FAR = Pace(0.25, 10.0)


class Watch:
    """Use as an async context manager around everything that waits for `news`."""

    def __init__(self, client: Client, pace: Pace, wait: Wait = asyncio.sleep) -> None:
        self._client, self._pace, self.wait = client, pace, wait
        self._waiting: dict[str, asyncio.Future[Job]] = {}
        self._statuses: dict[str, str] = {}
        self._looking: asyncio.Task[None] | None = None
        self._pause = pace.first_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    async def news(self, job_id: str) -> Job:
        """The job at the next look. Raises ServiceError, with status 404 when the service no longer has it."""
        waiter = self._waiting.get(job_id)
        if waiter is None:
            waiter = self._waiting[job_id] = asyncio.get_running_loop().create_future()
            waiter.add_done_callback(_heard)
        if job_id not in self._statuses:
            self._pause = self._pace.first_s
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on())
        return await asyncio.shield(waiter)

    def seen(self, job: Job) -> None:
        """Somebody has looked at this job just now: whoever waits for it need not wait for the next look."""
        self._tell(job.id, job)

    async def pause(self, attempt: int) -> None:
        """Before something is tried again."""
        await self.wait(min(self._pace.most_s, self._pace.first_s * 2**attempt))

    async def _look_on(self) -> None:
        while self._waiting:
            await self.wait(self._pause)
            wanted = list(self._waiting)
            began = time.monotonic()
            try:
                found: Sequence[Job | BaseException] = await self._look(wanted)
            except Exception as error:  # told to everyone who waits; a bug too, or they would wait for ever
                found = [error] * len(wanted)
            is_news = False
            for job_id, item in zip(wanted, found, strict=True):
                is_news = self._tell(job_id, item) or is_news
            slower = min(self._pause * _SLOWER, self._pace.most_s)
            self._pause = max(self._pace.first_s if is_news else slower, (time.monotonic() - began) / _SHARE)

    def _tell(self, job_id: str, found: Job | BaseException) -> bool:
        """Whether it was news."""
        waiter = self._waiting.pop(job_id, None)
        status = found.status if isinstance(found, Job) else "gone"
        is_news = self._statuses.get(job_id) != status
        self._statuses[job_id] = status
        if waiter is not None and not waiter.done():
            if isinstance(found, Job):
                waiter.set_result(found)
            else:
                waiter.set_exception(found)
        return is_news

    async def _look(self, wanted: Sequence[str]) -> Sequence[Job | BaseException]:
        found = await self._listed(wanted) if len(wanted) > _FEW else {}
        missing = [job_id for job_id in wanted if job_id not in found]
        asked = await asyncio.gather(*map(self._client.job, missing), return_exceptions=True)
        answers: dict[str, Job | BaseException] = {**found, **dict(zip(missing, asked, strict=True))}
        return [answers[job_id] for job_id in wanted]

    async def _listed(self, wanted: Collection[str]) -> dict[str, Job]:
        left, found = set(wanted), {}
        async for job in self._client.jobs(status=_OPEN):
            if job.id in left:
                found[job.id] = job
                left.discard(job.id)
                if not left:
                    break
        return found


def _heard(waiter: "asyncio.Future[Job]") -> None:
    """An error that nobody waits for any more is nobody's news."""
    if not waiter.cancelled():
        waiter.exception()
