"""How many jobs are in flight at once: as many as the limits say, and no deployment at the cost of another."""

import asyncio
from collections import Counter

import pytest

from reconciler.apply.flight import Flight, Limits


def most_at_once(limits: Limits, deployments: list[str]) -> tuple[int, dict[str, int]]:
    """Of as many jobs as there are deployments: the most altogether, and of each one."""
    most: Counter[str] = Counter()
    flying: Counter[str] = Counter()

    async def job(flight: Flight, deployment: str) -> None:
        async with flight.place(deployment):
            flying[deployment] += 1
            most["all"] = max(most["all"], flying.total())
            most[deployment] = max(most[deployment], flying[deployment])
            for _ in range(3):
                await asyncio.sleep(0)
            flying[deployment] -= 1

    async def fly() -> None:
        flight = Flight(limits)
        await asyncio.gather(*(job(flight, deployment) for deployment in deployments))

    asyncio.run(fly())
    return most.pop("all"), dict(most)


@pytest.mark.parametrize(
    ("jobs", "of_one", "expected"),
    [
        pytest.param(50, 50, (40, {"a": 20, "b": 20}), id="no limit is reached"),
        pytest.param(50, 3, (6, {"a": 3, "b": 3}), id="of one deployment"),
        pytest.param(4, 50, (4, {"a": 4, "b": 4}), id="altogether"),
        pytest.param(1, 1, (1, {"a": 1, "b": 1}), id="one by one"),
    ],
)
def test_no_more_than_the_limits_are_in_flight_and_as_many(jobs: int, of_one: int, expected: tuple[int, dict[str, int]]) -> None:
    assert most_at_once(Limits(10, jobs, of_one), ["a"] * 20 + ["b"] * 20) == expected


def test_who_waits_for_one_deployment_takes_no_place_from_another() -> None:
    together, each = most_at_once(Limits(10, 2, 1), ["a"] * 10 + ["b"])
    assert (together, each["b"]) == (2, 1)
