"""The tables of the state. The rule here: a database that any release has made is opened, read and planned from by this one.

After a step is added, keep the database of the release before it: `.venv/bin/python tests/state/test_migrations.py tests/data/state_vN.db`
makes one with the code that is checked out, from the project below. A file that is there is never made anew.
"""

import shutil
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.fingerprint import digest
from reconciler.plan.action import Action, Reason
from reconciler.planning import make_plan
from reconciler.project import Project
from reconciler.state.lifecycle import Status
from reconciler.state.migrations import migrations
from reconciler.state.record import Run
from reconciler.state.snapshot import STEPS, open_snapshot
from reconciler.state.store import Store

DATA = Path(__file__).parent.parent / "data"
SHIPPED = sorted(DATA.glob("state_v*.db"))

JOB = """\
  {name}:
    description: Reds
    deployment: wine
    intake_settings: {{type: localFile, file: data/{name}.csv}}
    output_settings: {{type: localFile, path: out/{name}.csv}}
    passthrough_columns: [id]
"""
MODEL = """\
name: Wine
type: inference
targetType: binary
inferenceModel: {targetName: is_good, positiveClassLabel: good, negativeClassLabel: bad}
"""
SCORED = b"is_good_good_PREDICTION\n0.5\n"


def write_project(root: Path, *names: str) -> None:
    """A model folder, and for each name a job with its intake and its output."""
    for folder in ("specs/models/wine", "data", "out"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "specs/models/wine/model-metadata.yaml").write_text(MODEL)
    (root / "specs/models/wine/model.txt").write_text("tree\n")
    (root / "specs/jobs.yaml").write_text(
        "deployments:\n  wine: {local: specs/models/wine}\njobs:\n" + "".join(JOB.format(name=name) for name in names)
    )
    for name in names:
        (root / f"data/{name}.csv").write_text(f"id,quality\n{name},5\n")
        (root / f"out/{name}.csv").write_bytes(SCORED)


def make_state(root: Path, path: Path) -> None:
    """A state with a delivered run of three jobs; the one of `failing` was followed by a run that failed."""
    names = ("kept", "failing", "gone")
    write_project(root, *names)
    changes = make_plan(Project(root, root / "state/scratch.db")).changes
    with Store(path) as store, store.locked("apply"):
        for number, change in enumerate(changes):
            assert change.after is not None
            run = Run(
                id=f"{number:024x}",
                workspace="local",
                address=change.address,
                status=Status.INTENDED,
                spec=change.after.spec,
                spec_digest=change.after.fingerprint.spec,
                intake={"file": change.intake_file},
                intake_digest=change.after.fingerprint.intake,
                model={"deployment": change.after.spec["deployment"]},
                model_digest=change.after.fingerprint.model,
                deployment=change.deployment,
                deployment_id="0" * 24,
                request={"deploymentId": "0" * 24},
                reasons=tuple(change.reasons),
                intended_at="2026-11-21T00:00:00.000000Z",
                user="ada",
                host="laptop",
                git_commit=None,
                tool_version="0.1.0",
                output=change.output_file,
            )
            store.intend(run, change.after.metadata)
            moved = store.move(run, Status.SUBMITTED, job_id=f"{number:024x}")
            moved = store.move(moved, Status.SCORED, output_digest=digest(SCORED), output_bytes=len(SCORED), scored_rows=1)
            store.move(moved, Status.DELIVERED, ended_at="2026-11-21T00:00:09.000000Z")
            if change.address == "job.failing":
                second = replace(run, id="f" * 24, spec_digest="blake3:other", reasons=("spec changed",))
                store.intend(second, change.after.metadata)
                store.move(second, Status.FAILED, status_details="No rows.")


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda path: path.stem)
def test_database_of_every_release_is_read_and_planned_from(tmp_path: Path, shipped: Path) -> None:
    write_project(tmp_path, "kept", "failing", "new")
    (tmp_path / "state").mkdir()
    shutil.copy(shipped, tmp_path / "state/reconciler.db")
    plan = make_plan(Project(tmp_path, tmp_path / "state/reconciler.db"))
    assert [(change.address, change.action, change.reasons) for change in plan.changes] == [
        ("job.new", Action.SUBMIT, (Reason.NEVER_RUN,)),
        ("job.gone", Action.FORGET, (Reason.NOT_DECLARED,)),
    ]
    assert plan.unchanged == 2


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda path: path.stem)
def test_database_of_every_release_is_brought_up_to_date_and_written_to(tmp_path: Path, shipped: Path) -> None:
    path = tmp_path / "reconciler.db"
    shutil.copy(shipped, path)
    with open_snapshot(path) as snapshot:
        serial, lineage = snapshot.serial, snapshot.lineage
    with Store(path) as store, store.locked("test"):
        store.forget("local", "job.gone")
        assert (store.snapshot.serial, store.snapshot.lineage) == (serial + 1, lineage)
        assert len(store.snapshot.runs("local")) == 4
        assert store.snapshot.runs("local", "job.failing")[1].status_details == "No rows."
    db = sqlite3.connect(path)
    assert {name for (name,) in db.execute("SELECT name FROM _sqlite_migrations")} == STEPS
    db.close()


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda path: path.stem)
def test_step_that_was_shipped_was_not_edited(tmp_path: Path, shipped: Path) -> None:
    """What the steps make now is what they made then. Until the first release, delete the file and make it anew."""
    schemas = []
    shutil.copy(shipped, tmp_path / "old.db")
    for name in ("old.db", "new.db"):
        Store(tmp_path / name).close()
        db = sqlite3.connect(tmp_path / name)
        schemas.append(db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall())
        db.close()
    assert schemas[0] == schemas[1]


def test_a_database_is_kept_for_every_step() -> None:
    assert {path.stem for path in SHIPPED} == {f"state_v{number}" for number in range(1, len(STEPS) + 1)}


def test_reader_knows_the_steps_that_the_writer_takes() -> None:
    assert {migration.name for migration in migrations._migrations} == STEPS


if __name__ == "__main__":
    import tempfile

    target = Path(sys.argv[1]).absolute()
    assert not target.exists(), f"{target} is kept as it is"
    with tempfile.TemporaryDirectory() as scratch:
        make_state(Path(scratch), target)
