"""The statuses of a run: every pair of them is lawful or refused."""

from itertools import pairwise, product
from typing import get_args

import pytest

from reconciler.api.schema import TERMINAL
from reconciler.service.status import Status as WireStatus
from reconciler.state.lifecycle import FROM_WIRE, MOVES, OPEN, Status, is_lawful

ROAD = (Status.INTENDED, Status.SUBMITTED, Status.RUNNING, Status.SCORED, Status.DELIVERED)
ENDS = {Status.DELIVERED, Status.FAILED, Status.ABORTED}
# A short job may be scored before anybody saw it run.
STEPS = {*pairwise(ROAD), (Status.SUBMITTED, Status.SCORED)}


@pytest.mark.parametrize(("before", "after"), [pytest.param(*pair, id="-to-".join(pair)) for pair in product(Status, Status)])
def test_run_moves_one_step_on_or_ends_badly_and_nothing_else(before: Status, after: Status) -> None:
    ends_badly = before not in ENDS and after in (Status.FAILED, Status.ABORTED)
    assert is_lawful(before, after) == ((before, after) in STEPS or ends_badly)


def test_every_status_has_its_moves() -> None:
    assert set(MOVES) == set(Status)


def test_run_is_open_until_it_ends() -> None:
    assert set(Status) - ENDS == OPEN


def test_every_status_of_the_wire_means_something() -> None:
    assert set(FROM_WIRE) == set(get_args(WireStatus))


def test_job_that_ended_on_the_wire_has_ended_or_is_scored_here() -> None:
    assert {wire for wire, status in FROM_WIRE.items() if status in ENDS | {Status.SCORED}} == TERMINAL
