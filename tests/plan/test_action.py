"""The closed lists of actions and reasons."""

import pytest

from reconciler.plan.action import ACTIONS, SCORES, SENTENCES, Action, Reason


def test_every_action_but_the_one_that_does_nothing_is_shown() -> None:
    assert set(ACTIONS) == set(Action) - {Action.NO_OP}


@pytest.mark.parametrize("action", list(ACTIONS))
def test_action_has_a_sign_that_fits_its_column_and_all_its_words(action: Action) -> None:
    shown = ACTIONS[action]
    assert 1 <= len(shown.sign) <= 3
    assert all(shown)


def test_no_two_actions_share_a_sign() -> None:
    assert len({shown.sign for shown in ACTIONS.values()}) == len(ACTIONS)


@pytest.mark.parametrize("reason", list(Reason))
def test_reason_has_a_sentence(reason: Reason) -> None:
    assert len(SENTENCES[reason].split()) > 2


def test_actions_that_score_leave_the_state_only_ones_out() -> None:
    assert set(Action) - SCORES == {Action.NO_OP, Action.UPDATE, Action.FORGET}
