"""Looking at the jobs in flight: few requests for many jobs, and every one told how it is."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from reconciler.api.access import Access
from reconciler.api.client import Client
from reconciler.api.schema import Job
from reconciler.apply.watch import Pace, Watch
from reconciler.errors import ServiceError

ENDPOINT = "https://app.example.com/api/v2"


class Service:
    """Jobs by their ids, with a list of the open ones in pages of 100; it counts what it is asked."""

    def __init__(self, **statuses: str) -> None:
        self.statuses = statuses
        self.asked: Counter[str] = Counter()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.rstrip("/").rpartition("/")[2]
        if name != "batchPredictions":
            self.asked["job"] += 1
            if name not in self.statuses:
                return httpx.Response(404, json={"message": "No such job"})
            return httpx.Response(200, json=self._job(name))
        self.asked["list"] += 1
        offset = int(request.url.params.get("offset", 0))
        wanted = request.url.params.get_list("status")
        shown = [name for name in sorted(self.statuses) if self.statuses[name] in wanted]
        more = f"{ENDPOINT}/batchPredictions/?offset={offset + 100}&status=INITIALIZING&status=RUNNING"
        page = [self._job(name) for name in shown[offset : offset + 100]]
        return httpx.Response(200, json={"count": len(page), "next": more if offset + 100 < len(shown) else None, "data": page})

    def _job(self, name: str) -> dict[str, Any]:
        return {"id": name, "status": self.statuses[name], "links": {"self": f"{ENDPOINT}/batchPredictions/{name}/"}}


class Waits:
    """In place of sleeping: how long each wait was to be."""

    def __init__(self, until: Callable[[], None] = lambda: None) -> None:
        self.seconds: list[float] = []
        self._until = until

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._until()
        await asyncio.sleep(0)


def watched(service: Service, question: Callable[[Watch], Awaitable[Any]], waits: Waits | None = None) -> Any:
    async def run() -> Any:
        async with Client(Access(ENDPOINT), httpx.MockTransport(service)) as client, Watch(client, Pace(0.25, 2.0), waits or Waits()) as watch:
            return await question(watch)

    return asyncio.run(run())


async def every(watch: Watch, names: list[str]) -> list[Job]:
    return await asyncio.gather(*map(watch.news, names))


def test_hundreds_of_open_jobs_cost_a_request_a_hundred() -> None:
    names = [f"j{number:03}" for number in range(250)]
    service = Service(**dict.fromkeys(names, "RUNNING"))
    assert [job.id for job in watched(service, lambda watch: every(watch, names))] == names
    assert service.asked == {"list": 3}


def test_job_that_ended_is_asked_for_once() -> None:
    names = [f"j{number}" for number in range(9)]
    service = Service(**dict.fromkeys(names, "RUNNING") | {"j4": "COMPLETED"})
    assert [job.status for job in watched(service, lambda watch: every(watch, names))].count("COMPLETED") == 1
    assert service.asked == {"list": 1, "job": 1}


def test_two_jobs_are_asked_for_one_by_one() -> None:
    service = Service(a="RUNNING", b="COMPLETED")
    watched(service, lambda watch: every(watch, ["a", "b"]))
    assert service.asked == {"job": 2}


@pytest.mark.parametrize("others", [0, 5], ids=["asked", "listed"])
def test_job_that_is_gone_is_said_to_be(others: int) -> None:
    names = [f"j{number}" for number in range(others)]

    async def ask(watch: Watch) -> list[Any]:
        return await asyncio.gather(watch.news("gone"), *map(watch.news, names), return_exceptions=True)

    gone, *there = watched(Service(**dict.fromkeys(names, "RUNNING")), ask)
    assert isinstance(gone, ServiceError)
    assert gone.status == 404
    assert [job.status for job in there] == ["RUNNING"] * others


def test_looks_become_rare_while_nothing_happens_and_frequent_when_something_does() -> None:
    service = Service(a="RUNNING")
    looks = 0

    def end() -> None:
        nonlocal looks
        looks += 1
        if looks == 40:
            service.statuses["a"] = "COMPLETED"

    waits = Waits(end)

    async def to_its_end(watch: Watch) -> None:
        while (await watch.news("a")).status == "RUNNING":
            pass
        await watch.news("a")

    watched(service, to_its_end, waits)
    assert waits.seconds[0] == 0.25
    assert waits.seconds[5] > waits.seconds[1]
    assert waits.seconds[39] == 2.0
    assert waits.seconds[40] < 2.0


def test_two_who_wait_for_one_job_hear_the_same() -> None:
    service = Service(a="RUNNING")
    first, second = watched(service, lambda watch: every(watch, ["a", "a"]))
    assert first is second
    assert service.asked == {"job": 1}


def test_what_somebody_has_seen_is_told_at_once() -> None:
    service = Service(a="RUNNING")

    async def ask(watch: Watch) -> Job:
        waiting = asyncio.ensure_future(watch.news("a"))
        await asyncio.sleep(0)
        watch.seen(Job.model_validate({"id": "a", "status": "COMPLETED"}))
        return await waiting

    assert watched(service, ask).status == "COMPLETED"
    assert not service.asked


def test_bug_is_raised_and_not_waited_for() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError("a bug")

    async def ask() -> None:
        async with Client(Access(ENDPOINT), httpx.MockTransport(broken)) as client, Watch(client, Pace(0.0, 0.0), Waits()) as watch:
            await watch.news("a")

    with pytest.raises(ZeroDivisionError):
        asyncio.run(ask())
