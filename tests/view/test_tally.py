"""How an apply ended, as text."""

import pytest

from reconciler.apply.event import Ended, Outcome
from reconciler.plan.action import Action
from reconciler.view.paint import plain
from reconciler.view.tally import tally_text


def ended(outcome: Outcome, name: str = "wine", output: str | None = None) -> Ended:
    return Ended(f"job.{name}", Action.SUBMIT, outcome, 1.0, output=output)


@pytest.mark.parametrize(
    ("outcomes", "unchanged", "line"),
    [
        pytest.param([], 3, "Apply complete! 0 scored, 0 failed, 3 unchanged.", id="nothing-to-do"),
        pytest.param(["scored", "scored"], 0, "Apply complete! 2 scored, 0 failed, 0 unchanged.", id="all-scored"),
        pytest.param(["updated", "forgotten"], 1, "Apply complete! 0 scored, 1 updated, 1 forgotten, 0 failed, 1 unchanged.", id="state-only"),
        pytest.param(["scored", "unchanged"], 1, "Apply complete! 1 scored, 0 failed, 2 unchanged.", id="unchanged-after-all"),
        pytest.param(["scored", "failed"], 0, "Apply incomplete: 1 scored, 1 failed, 0 unchanged.", id="failed"),
        pytest.param(["failed", "skipped"], 0, "Apply incomplete: 0 scored, 1 failed, 1 skipped, 0 unchanged.", id="skipped"),
    ],
)
def test_tally_counts_every_outcome(outcomes: list[Outcome], unchanged: int, line: str) -> None:
    assert tally_text([ended(outcome) for outcome in outcomes], unchanged, plain) == f"\n{line}\n"


def test_every_output_is_named_in_full_and_sorted() -> None:
    path = "out/" + "x" * 300 + ".csv"
    results = [ended("scored", "wine", path), ended("failed", "b", "out/b.csv"), ended("scored", "a", "out/a.csv")]
    assert tally_text(results, 0, plain) == (
        f"\nApply incomplete: 2 scored, 1 failed, 0 unchanged.\n\nOutputs:\n\n  job.a    = out/a.csv\n  job.wine = {path}\n"
    )
