"""A plan as one JSON document."""

import json
from collections.abc import Callable

import pytest

from reconciler.plan.action import Action, Reason
from reconciler.plan.plan import Change, Plan, Side
from reconciler.view.plan_json import change_document, plan_document

Make = Callable[..., Change]
Sides = Callable[..., Side]


def test_plan_is_one_document_sorted_by_address(change: Make, side: Sides, plan: Callable[..., Plan], golden: Callable[[str, str], None]) -> None:
    made = plan(
        change(Action.SUBMIT, Reason.NEVER_RUN, address='job.wine["é"]', after=side(output=None)),
        change(Action.FORGET, Reason.NOT_DECLARED, address="job.gone", before=side()),
        change(
            Action.RERUN,
            Reason.SPEC_CHANGED,
            Reason.INTAKE_CHANGED,
            before=side(),
            after=side(spec="1", intake="2", metadata={}, predictionThreshold=0.4, maxExplanations=3),
        ),
        unchanged=405,
    )
    document = plan_document(made)
    document["reconciler_version"] = "(this release)"
    golden("plan.json", json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def test_plan_without_changes_is_not_applyable(plan: Callable[..., Plan]) -> None:
    document = plan_document(plan(unchanged=2))
    assert (document["applyable"], document["summary"], document["resource_changes"]) == (False, {"unchanged": 2}, [])


@pytest.mark.parametrize("action", list(Action))
def test_every_action_has_terraform_s_words(action: Action, change: Make, side: Sides) -> None:
    document = change_document(change(action, before=side(), after=side()))
    assert document["action"] == action
    assert set(document["change"]["actions"]) <= {"no-op", "create", "delete", "update", "forget"}
    assert document["change"]["actions"]


def test_diff_tells_absent_from_null(change: Make, side: Sides) -> None:
    made = change(Action.RERUN, Reason.SPEC_CHANGED, before=side(predictionThreshold=None), after=side(maxExplanations=3))
    assert change_document(made)["change"]["diff"] == [
        {"path": ["max_explanations"], "after": 3},
        {"path": ["prediction_threshold"], "before": None, "after": 0.5},
    ]
