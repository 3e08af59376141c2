"""What a job's own terms do: timeouts end the waiting and never the job, retries are attempts at one fingerprint."""

from pathlib import Path

import pytest
from house import Reconciler

from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.snapshot import open_snapshot


def give_wine(line: str) -> None:
    path = Path("specs/jobs.yaml")
    path.write_text(path.read_text().replace("  wine:\n", f"  wine:\n    {line}\n"))


def wine_runs(root: Path) -> list[Run]:
    with open_snapshot(root / "state/reconciler.db") as state:
        return state.runs("local", "job.wine")


@pytest.mark.parametrize("name", ["queue", "total"])
def test_timeout_leaves_the_run_open_and_the_next_apply_takes_it_up(project: Path, reconciler: Reconciler, name: str) -> None:
    give_wine(f"timeouts: {{{name}: 1ms}}")
    said = reconciler("apply", "-auto-approve")
    assert said.code == 1
    assert f"goes on after timeouts.{name} was over" in " ".join(said.err.split())
    assert "Apply incomplete: 3 scored, 0 failed, 1 detached, 0 unchanged." in said.out
    (run,) = wine_runs(project)
    assert run.is_open
    assert run.job_id is not None
    path = Path("specs/jobs.yaml")
    path.write_text(path.read_text().replace(f"    timeouts: {{{name}: 1ms}}\n", ""))
    assert reconciler("apply", "-auto-approve").code == 0
    (again,) = wine_runs(project)
    assert (again.status, again.job_id) == (Status.DELIVERED, run.job_id)
    assert reconciler("plan", "-detailed-exitcode").code == 0


def test_retries_are_attempts_at_the_same_fingerprint(project: Path, reconciler: Reconciler) -> None:
    Path("specs/data/wine.csv").write_text("bottle_id,alcohol\nB-001,14.2\n")
    give_wine("retries: 2")
    said = reconciler("apply", "-auto-approve")
    assert said.code == 1
    assert said.out.count("job.wine: Trying again: Scoring was aborted.") == 2
    runs = wine_runs(project)
    assert [(run.status, run.attempt) for run in runs] == [(Status.ABORTED, number) for number in (1, 2, 3)]
    assert len({(run.spec_digest, run.intake_digest, run.model_digest) for run in runs}) == 1
    assert len({run.job_id for run in runs}) == 3


def test_terms_are_no_reason_to_rerun(project: Path, reconciler: Reconciler) -> None:
    assert reconciler("apply", "-auto-approve").code == 0
    give_wine("retries: 2\n    timeouts: {total: 1h}")
    assert "1 to update" in reconciler("plan").out
    assert "1 updated" in reconciler("apply", "-auto-approve").out
    assert len(wine_runs(project)) == 1
