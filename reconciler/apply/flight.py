"""How many jobs are in flight. The rule here: a place is taken before a run is intended and given back when its job needs nothing more of us."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """`requests` at once, and jobs in flight: altogether, and of one deployment, whose prediction instance runs them one after the other."""

    requests: int = 10
    jobs: int = 50
    jobs_per_deployment: int = 10


class Flight:
    def __init__(self, limits: Limits) -> None:
        self._all = asyncio.Semaphore(limits.jobs)
        self._by_deployment: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(limits.jobs_per_deployment))

    @asynccontextmanager
    async def place(self, deployment: str) -> AsyncIterator[None]:
        """First one of the deployment's places, so that whoever waits for them takes none from the others."""
        async with self._by_deployment[deployment], self._all:
            yield
