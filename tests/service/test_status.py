"""Every pair of statuses, and every move as the store makes it."""

import itertools

import pytest

from reconciler.service.status import MOVES, STATUSES, has_ended, is_lawful

LAWFUL = {
    ("INITIALIZING", "RUNNING"),
    ("INITIALIZING", "ABORTED"),
    ("RUNNING", "COMPLETED"),
    ("RUNNING", "ABORTED"),
    ("RUNNING", "INITIALIZING"),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(STATUSES, STATUSES)), ids=str)
def test_a_pair_is_lawful_or_refused(before, after):
    assert is_lawful(before, after) == ((before, after) in LAWFUL)


def test_no_move_leaves_an_end_and_none_leads_to_failed():
    assert not [move for move in MOVES if has_ended(move[0])]
    assert not [move for move in MOVES if move[1] == "FAILED"]


def test_every_open_status_has_a_way_out():
    assert {before for before, _ in MOVES} == {status for status in STATUSES if not has_ended(status)}
