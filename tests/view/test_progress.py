"""What a live table shows of an apply."""

import pytest

from reconciler.apply.event import Ended, Event, Progressed, Started
from reconciler.plan.action import Action
from reconciler.view.progress import Tracker, seconds


def tracked(*events: tuple[float, Event], total: int = 4) -> Tracker:
    tracker = Tracker(total)
    for moment, event in events:
        tracker.take(event, moment)
    return tracker


def started(name: str) -> Started:
    return Started(f"job.{name}", Action.SUBMIT)


def running(name: str, percent: float | None, status: str = "RUNNING") -> Progressed:
    return Progressed(f"job.{name}", "1", status, percent, 10, 1.0)


@pytest.mark.parametrize(
    ("elapsed", "text"), [(0.9, "0s"), (59.9, "59s"), (60, "1m00s"), (302, "5m02s"), (3599, "59m59s"), (3600, "1h00m"), (90_000, "25h00m")]
)
def test_time_is_told_in_two_units_at_most(elapsed: float, text: str) -> None:
    assert seconds(elapsed) == text


def test_every_job_is_counted_once() -> None:
    ends = [Ended("job.a", Action.SUBMIT, "scored", 1), Ended("job.b", Action.SUBMIT, "failed", 1), Ended("job.c", Action.SUBMIT, "skipped", 0)]
    tracker = tracked((0, started("a")), (0, started("b")), (1, ends[0]), (1, ends[1]), (1, ends[2]), (2, started("d")), total=5)
    assert tracker.caption() == "1/5 done · 1 running · 1 waiting · 2 failed"
    assert [row.address for row in tracker.running()] == ["job.d"]


def test_jobs_that_are_scored_now_stand_first() -> None:
    tracker = tracked((0, started("a")), (0, started("b")), (0, started("c")), (1, running("c", 5)), (1, running("b", None, "INITIALIZING")))
    assert [(row.address, row.status) for row in tracker.running()] == [
        ("job.c", "running"),
        ("job.a", "submitting"),
        ("job.b", "initializing"),
    ]


@pytest.mark.parametrize(
    ("percents", "eta"),
    [
        pytest.param([], "", id="nothing-known"),
        pytest.param([25], "", id="one-sample"),
        pytest.param([10, 25], "eta 30s", id="two-samples"),
        pytest.param([None, None], "", id="no-percentage"),
        pytest.param([0, 0], "", id="nothing-done"),
        pytest.param([50, 100], "", id="all-done"),
    ],
)
def test_remaining_time_is_not_guessed_before_there_are_two_samples(percents: list[float | None], eta: str) -> None:
    tracker = tracked((100, started("a")), *((105, running("a", percent)) for percent in percents))
    assert tracker.running()[0].eta(110) == eta


def test_progress_of_a_job_that_has_ended_is_passed_over() -> None:
    tracker = tracked((0, started("a")), (1, Ended("job.a", Action.SUBMIT, "scored", 1)), (2, running("a", 50)))
    assert tracker.running() == []
