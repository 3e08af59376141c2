"""Doing changes side by side: what fails stops only what waits for it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from reconciler.apply.event import Ended, Event
from reconciler.apply.pool import do_all
from reconciler.errors import ReconcilerError, ScoringError, ServiceError, StateLocked
from reconciler.plan.action import Action, Reason
from reconciler.plan.plan import Change

Do = Callable[[Change], Awaitable[Ended]]


def change(name: str, *upstream: str) -> Change:
    return Change(f"job.{name}", Action.SUBMIT, (Reason.NEVER_RUN,), depends_on=tuple(f"job.{other}" for other in upstream))


def doing(errors: dict[str, Exception] | None = None, order: list[str] | None = None) -> Do:
    """Every change is scored, but for those with an error."""

    async def do(change: Change) -> Ended:
        await asyncio.sleep(0)
        if order is not None:
            order.append(change.address)
        if errors and change.address in errors:
            raise errors[change.address]
        return Ended(change.address, change.action, "scored", 1.0)

    return do


def do_them(changes: list[Change], do: Do, heard: list[Event] | None = None) -> list[Ended]:
    return asyncio.run(do_all(changes, do, lambda event: heard.append(event) if heard is not None else None))


def test_results_come_in_the_order_of_the_changes() -> None:
    changes = [change("c", "a"), change("b"), change("a")]
    assert [ended.address for ended in do_them(changes, doing())] == ["job.c", "job.b", "job.a"]


def test_nothing_to_do_is_no_result() -> None:
    assert do_them([], doing()) == []


def test_every_end_is_heard_once() -> None:
    heard: list[Event] = []
    ended = do_them([change("a"), change("b", "a")], doing({"job.a": ScoringError("Bad rows")}), heard=heard)
    assert sorted(heard, key=lambda event: event.address) == ended


@pytest.mark.parametrize(
    "error", [ScoringError("Bad rows", "Line 3."), ServiceError("No answer", status=None)], ids=lambda error: type(error).__name__
)
def test_job_that_fails_leaves_the_others_alone(error: ReconcilerError) -> None:
    ended = do_them([change("a"), change("b")], doing({"job.a": error}))
    assert [item.outcome for item in ended] == ["failed", "scored"]
    why = ended[0].diagnostic
    assert why is not None
    assert (why.summary, why.detail, why.address) == (error.summary, error.detail, "job.a")


def test_what_depends_on_a_failed_job_is_skipped_all_the_way_down() -> None:
    order: list[str] = []
    changes = [change("a"), change("b", "a"), change("c", "b"), change("d")]
    ended = do_them(changes, doing({"job.a": ScoringError("Bad rows")}, order))
    assert [item.outcome for item in ended] == ["failed", "skipped", "skipped", "scored"]
    assert [item.diagnostic.detail for item in ended if item.diagnostic][1:] == [
        "job.a, which it depends on, was not scored.",
        "job.b, which it depends on, was not scored.",
    ]
    assert sorted(order) == ["job.a", "job.d"]


def test_job_waits_for_everything_that_it_depends_on() -> None:
    order: list[str] = []
    do_them([change("c", "a", "b"), change("b", "a"), change("a")], doing(order=order))
    assert order == ["job.a", "job.b", "job.c"]


def test_dependency_that_has_nothing_to_do_is_not_waited_for() -> None:
    assert [item.outcome for item in do_them([change("b", "up-to-date")], doing())] == ["scored"]


def test_job_goes_on_after_an_upstream_job_that_turned_out_unchanged() -> None:
    async def do(change: Change) -> Ended:
        return Ended(change.address, change.action, "unchanged", 0.0)

    assert [item.outcome for item in do_them([change("a"), change("b", "a")], do)] == ["unchanged", "unchanged"]


@pytest.mark.parametrize("error", [StateLocked("The lock of the state was taken over"), ZeroDivisionError("a bug")], ids=["state", "bug"])
def test_error_of_the_state_and_a_bug_stop_everything(error: Exception) -> None:
    order: list[str] = []
    changes = [change("a"), *(change(str(number)) for number in range(5)), change("z", "a")]
    with pytest.raises(ExceptionGroup) as caught:
        do_them(changes, doing({"job.a": error}, order))
    assert caught.value.subgroup(lambda found: found is error) is not None
    assert "job.z" not in order


def test_time_of_a_job_that_fails_is_told() -> None:
    async def do(change: Change) -> Ended:
        await asyncio.sleep(0.01)
        raise ScoringError("Bad rows")

    assert do_them([change("a")], do)[0].elapsed_s >= 0.01
