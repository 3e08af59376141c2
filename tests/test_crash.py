"""Killed at any moment and run again: exactly one remote job and one right output for each instance, and nothing recorded is lost."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from house import Reconciler, child, remote_jobs, run_child, two_jobs

from reconciler.state.lifecycle import Status
from reconciler.state.snapshot import open_snapshot

DYING = Path(__file__).parent / "dying.py"
# More rounds for a long run: RECONCILER_KILL_ROUNDS=200 pytest tests/test_crash.py
ROUNDS = int(os.environ.get("RECONCILER_KILL_ROUNDS", "4"))
OUTPUTS = ("state/predictions/diabetes/2026-09.csv", "state/predictions/diabetes/2026-10.csv")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same two jobs, applied in peace: what every disturbed project must equal in the end."""
    root = two_jobs(tmp_path_factory.mktemp("undisturbed"))
    assert run_child("-m", "reconciler", "apply", "-auto-approve", cwd=root).code == 0
    return root


def outputs(root: Path) -> list[bytes]:
    return [(root / path).read_bytes() for path in OUTPUTS]


def check_settled(root: Path, undisturbed: Path, reconciler: Reconciler, runs: int) -> None:
    """One delivered run and one scored job an instance (and `runs` of each, for jobs scored before), nothing left over."""
    assert outputs(root) == outputs(undisturbed)
    with open_snapshot(root / "state/reconciler.db") as state:
        recorded = state.runs("local")
        assert [run.status for run in recorded] == [Status.DELIVERED] * runs
        assert len({run.job_id for run in recorded}) == runs
    assert [status for _, status in remote_jobs(root, "specs/models/diabetes")] == ["COMPLETED"] * runs
    assert not list(root.rglob("*.part"))
    assert reconciler("plan", "-detailed-exitcode").code == 0


def kill_at(root: Path, step: int) -> bool:
    """Whether the apply died at that step; false when it ended before."""
    said = run_child(str(DYING), str(step), cwd=root)
    assert said.code in (0, -signal.SIGKILL), said.out
    return said.code != 0


def test_killed_after_every_step_of_a_first_apply(tmp_path: Path, undisturbed: Path, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch) -> None:
    step = 0
    while True:
        step += 1
        root = two_jobs(tmp_path / f"step{step}")
        monkeypatch.chdir(root)
        died = kill_at(root, step)
        said = reconciler("apply", "-auto-approve")
        assert said.code == 0, f"killed at step {step}: {said.err}"
        check_settled(root, undisturbed, reconciler, runs=2)
        shutil.rmtree(root)
        if not died:
            break
    assert step > 16  # two jobs, each: intended, POST sent, answered, submitted, polls, scored, delivered


def test_the_old_output_stays_whole_until_the_new_one_is_delivered(
    tmp_path: Path, undisturbed: Path, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tmp_path / "before"
    shutil.copytree(undisturbed, before)
    changed = before / "specs/data/diabetes/2026-10.csv"
    right = changed.read_bytes()
    changed.write_bytes(right.replace(b"0220,55.0", b"0220,56.0"))
    assert run_child("-m", "reconciler", "apply", "-auto-approve", cwd=before).code == 0
    old = outputs(before)
    assert old != outputs(undisturbed)
    changed.write_bytes(right)
    for step in range(1, 40):
        root = tmp_path / f"step{step}"
        shutil.copytree(before, root)
        monkeypatch.chdir(root)
        died = kill_at(root, step)
        assert outputs(root)[1] in (old[1], outputs(undisturbed)[1])
        said = reconciler("apply", "-auto-approve")
        assert said.code == 0, f"killed at step {step}: {said.err}"
        assert outputs(root) == outputs(undisturbed)
        with open_snapshot(root / "state/reconciler.db") as state:
            assert [run.status for run in state.runs("local")] == [Status.DELIVERED] * 4  # two at first, one changed, one changed back
        shutil.rmtree(root)
        if not died:
            return
    pytest.fail("the apply never ended")


@pytest.mark.parametrize("round", range(ROUNDS))
def test_killed_at_a_random_moment(round: int, tmp_path: Path, undisturbed: Path, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch) -> None:
    root = two_jobs(tmp_path / "project")
    monkeypatch.chdir(root)
    dice = random.Random(round)
    for _ in range(3):
        with child("-m", "reconciler", "apply", "-auto-approve", cwd=root) as process:
            time.sleep(dice.uniform(0.05, 1.5))
            process.kill()
            process.communicate()
    said = reconciler("apply", "-auto-approve")
    assert said.code == 0, said.err
    check_settled(root, undisturbed, reconciler, runs=2)
