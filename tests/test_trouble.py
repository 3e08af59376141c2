"""Local trouble in the middle of an apply, and the apply after it: a job that was made is found again, and no other is made."""

import json
from pathlib import Path

import pytest
from house import Reconciler, remote_jobs, run_child

from reconciler.state.lifecycle import Status
from reconciler.state.snapshot import open_snapshot

BESIEGED = Path(__file__).parent / "besieged.py"
STATE = Path("state/reconciler.db")


def journaled() -> set[str]:
    """The job ids that are in a journal beside the state."""
    lines = [line for path in STATE.parent.glob("*.journal-*") for line in path.read_text().split("\0")[0].splitlines()]
    return {json.loads(line)["facts"]["job_id"] for line in lines}


def recorded() -> set[str]:
    with open_snapshot(STATE) as state:
        return {run.job_id for run in state.runs("local") if run.job_id is not None}


@pytest.mark.parametrize("becoming", [Status.SUBMITTED, Status.SCORED, Status.DELIVERED])
def test_apply_that_cannot_write_any_more_is_run_again_and_ends_well(project: Path, reconciler: Reconciler, becoming: Status) -> None:
    said = run_child(str(BESIEGED), str(becoming), cwd=project)
    assert said.code == 1
    assert "run the command again" in said.out
    kept = journaled()
    assert bool(kept) == ("is safe in" in said.out) == (becoming is Status.SUBMITTED)
    known = recorded() | kept
    assert known
    again = reconciler("apply", "-auto-approve")
    assert again.code == 0, again.err
    assert known <= recorded()
    with open_snapshot(STATE) as state:
        assert [run.status for run in state.runs("local")] == [Status.DELIVERED] * 4
    assert [status for _, status in remote_jobs(project)] == ["COMPLETED"] * 4
    assert not list(STATE.parent.glob("*.journal-*"))
    assert reconciler("plan", "-detailed-exitcode").code == 0
