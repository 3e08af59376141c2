"""Runs in doubt, settled by hand; and locks, undone by force: the program on a real project that was killed at the worst moment."""

import asyncio
import json
import os
import pty
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from house import Holding, Reconciler, Said, child, remote_jobs, run_bound_by_permissions, run_child

from reconciler.embedded import embedded_client
from reconciler.identity import host, user
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.snapshot import open_snapshot
from reconciler.state.store import Store

DYING = Path(__file__).parent / "dying.py"
STATE = Path("state/reconciler.db")
ADDRESS = "job.wine"


def runs() -> list[Run]:
    with open_snapshot(STATE) as snapshot:
        return snapshot.runs("local")


def job_ids() -> list[str]:
    """The ids of all the jobs that the service lists."""

    async def listed() -> list[str]:
        async with embedded_client(Path.cwd(), Path("state/reconciler.service/local"), {"specs/models/wine": False}) as client:
            return [job.id async for job in client.jobs()]

    return asyncio.run(listed())


@pytest.fixture
def wine(project: Path) -> Path:
    """A project with one job."""
    jobs = project / "specs/jobs.yaml"
    text = jobs.read_text()
    jobs.write_text(text[: text.index("  breast_cancer:")] + text[text.index("  wine:") : text.index("  diabetes:")])
    return project


@pytest.fixture
def die(wine: Path) -> Callable[[bool], None]:
    """Leaves a run in doubt: an apply was killed before the submission was sent, or when the job was made and the answer was not recorded."""

    def killed(is_made: bool) -> None:
        run_child(str(DYING), "3" if is_made else "1", cwd=wine)
        (run,) = runs()
        assert (run.status, run.job_id) == (Status.INTENDED, None)
        assert len(job_ids()) == is_made

    return killed


def check_delivered_once(reconciler: Reconciler, root: Path) -> Run:
    assert reconciler("apply", "-auto-approve").code == 0
    delivered = runs()[-1]
    assert delivered.status is Status.DELIVERED
    assert [status for _, status in remote_jobs(root, "specs/models/wine")] == ["COMPLETED"]
    assert reconciler("plan", "-detailed-exitcode").code == 0
    return delivered


@pytest.mark.parametrize("address", [ADDRESS, "wine"])
def test_job_that_was_made_is_adopted_and_the_next_apply_goes_on_with_it(
    die: Callable[[bool], None], wine: Path, reconciler: Reconciler, address: str
) -> None:
    die(True)
    (job_id,) = job_ids()
    said = reconciler("state", "adopt", address, job_id)
    (run,) = runs()
    assert (said.code, said.out) == (0, f"job.wine: the run {run.id} has the job {job_id} now. Run apply to go on with it.\n")
    assert "Note: The lock was taken over from" in said.err  # the apply was killed
    assert (run.status, run.job_id) == (Status.SUBMITTED, job_id)
    assert check_delivered_once(reconciler, wine).job_id == job_id
    assert len(runs()) == 1


def test_run_without_a_job_is_submitted_anew(die: Callable[[bool], None], wine: Path, reconciler: Reconciler) -> None:
    die(False)
    said = reconciler("state", "resubmit", ADDRESS, "-auto-approve", "-json")
    assert said.code == 0
    assert json.loads(said.out)["status_details"] == "Settled by hand: no job was made."
    assert "last run aborted" in reconciler("plan").out
    check_delivered_once(reconciler, wine)
    assert [run.status for run in runs()] == [Status.ABORTED, Status.DELIVERED]
    assert not list(wine.rglob("*.part"))


def answered(*args: str, answer: str) -> Said:
    """The program at a terminal, where somebody types the answer."""
    leader, follower = pty.openpty()
    process = child("-m", "reconciler", *args, cwd=Path.cwd(), stdin=follower)
    os.write(leader, answer.encode() + b"\n")
    with process:
        out, _ = process.communicate()
    os.close(leader)
    os.close(follower)
    return Said(process.returncode, out, "")


def test_resubmitting_needs_a_yes(die: Callable[[bool], None], reconciler: Reconciler) -> None:
    die(False)
    said = reconciler("state", "resubmit", ADDRESS)
    assert (said.code, "Give -auto-approve to go on without asking." in said.err) == (1, True)
    assert "Resubmit cancelled" in answered("state", "resubmit", ADDRESS, answer="y").out
    assert runs()[0].status is Status.INTENDED
    said = answered("state", "resubmit", ADDRESS, answer="yes")
    assert (said.code, "is settled: no job was made" in said.out) == (0, True)
    assert runs()[0].status is Status.ABORTED


def test_job_of_another_spec_is_adopted_by_force_only(die: Callable[[bool], None], wine: Path, reconciler: Reconciler) -> None:
    die(True)
    (job_id,) = job_ids()
    with closing(sqlite3.connect(STATE, isolation_level=None)) as db:
        request = json.dumps({**runs()[0].request, "maxExplanations": 3})
        db.execute("UPDATE runs SET request = ?", (request,))
    said = reconciler("state", "adopt", ADDRESS, job_id)
    assert (said.code, f"Job {job_id} is not a job of job.wine" in said.err, "-force" in said.err) == (1, True, True)
    assert runs()[0].job_id is None
    said = reconciler("state", "adopt", ADDRESS, job_id, "-force", "-json")
    assert (said.code, json.loads(said.out)["job_id"]) == (0, job_id)


def test_job_of_another_run_is_not_adopted(project: Path, reconciler: Reconciler) -> None:
    assert reconciler("apply", "-auto-approve").code == 0
    done = {run.address: run for run in runs()}
    with Store(STATE) as store, store.locked("test"):
        doubtful = done[ADDRESS]
        store.intend(Run(**{**vars(doubtful), "id": "f" * 24, "status": Status.INTENDED, "job_id": None}), {})
    for address in (ADDRESS, "job.breast_cancer"):
        said = reconciler("state", "adopt", ADDRESS, str(done[address].job_id), "-force")
        assert (said.code, f"It is the job of {address}, run {done[address].id}, which is delivered." in " ".join(said.err.split())) == (1, True)


@pytest.mark.parametrize("command", [("adopt", ADDRESS, "0" * 24), ("resubmit", ADDRESS, "-auto-approve")], ids=["adopt", "resubmit"])
def test_what_is_not_in_doubt_is_left_alone(wine: Path, reconciler: Reconciler, command: tuple[str, ...]) -> None:
    said = reconciler("state", *command)
    assert (said.code, "No job at the address job.wine" in said.err) == (1, True)
    assert reconciler("apply", "-auto-approve").code == 0
    before = runs()
    said = reconciler("state", *command)
    assert (said.code, f"Its job is {before[0].job_id}, and it is delivered." in said.err) == (1, True)
    assert runs() == before


def test_job_that_the_service_does_not_know_is_not_adopted(die: Callable[[bool], None], reconciler: Reconciler) -> None:
    die(False)
    said = reconciler("state", "adopt", ADDRESS, "0" * 24)
    assert (said.code, f"The service knows no job {'0' * 24}" in said.err) == (1, True)
    assert runs()[0].job_id is None


# The lock


@pytest.fixture
def holding(project: Path) -> Iterator[Holding]:
    """The state, held by another process."""
    Store(STATE).close()
    with Holding(project / STATE) as other:
        yield other


def test_lock_is_undone_by_force(holding: Holding, reconciler: Reconciler) -> None:
    lock_id = str(holding.first["held"])
    said = reconciler("force-unlock", lock_id)
    assert (said.code, "Give -force to go on without asking." in said.err) == (1, True)
    said = reconciler("force-unlock", "-force", "123")
    assert (said.code, f"It is {lock_id}, held by {user()}@{host()} (pid {holding.process.pid}, test, since" in said.err) == (1, True)
    assert "Unlock cancelled" in answered("force-unlock", lock_id, answer="no").out
    assert "done" in holding.do("beat")
    said = answered("force-unlock", lock_id, answer="yes")
    assert said.code == 0
    assert f"The state was unlocked. The lock {lock_id} was held by {user()}@{host()} (pid {holding.process.pid}" in said.out
    assert holding.do("intend 1")["error"] == "StateLocked"
    assert "The state is not locked" in reconciler("force-unlock", "-force", lock_id).err


def test_unlocking_is_told_as_json(holding: Holding, reconciler: Reconciler) -> None:
    assert reconciler("force-unlock", str(holding.first["held"]), "-json").code == 1
    said = reconciler("force-unlock", str(holding.first["held"]), "-force", "-json")
    assert json.loads(said.out)["unlocked"] == holding.first["held"]


def test_nothing_is_unlocked_where_there_is_no_state(project: Path, reconciler: Reconciler) -> None:
    assert "The state is not locked" in reconciler("force-unlock", "123", "-force").err
    assert not STATE.exists()


@pytest.mark.parametrize("command", [("state", "resubmit", ADDRESS, "-auto-approve"), ("state", "adopt", ADDRESS, "0" * 24)], ids=" ".join)
def test_command_that_writes_waits_for_the_lock_as_long_as_it_is_told(
    die: Callable[[bool], None], wine: Path, reconciler: Reconciler, command: tuple[str, ...]
) -> None:
    die(False)
    with Holding(wine / STATE) as other:
        said = reconciler(*command, "-lock-timeout=100ms")
        assert (said.code, f"ID:      {other.first['held']}" in said.err) == (1, True)
        assert "Note: Waiting for the lock of the state, up to 0.1 s." in said.err
        assert reconciler(*command, "-lock-timeout", "soon").code == 1


def test_readers_do_not_care_about_a_lock_or_a_writer(project: Path, reconciler: Reconciler) -> None:
    assert reconciler("apply", "-auto-approve").code == 0
    commands = (("plan", "-detailed-exitcode"), ("show",), ("history",), ("state", "list"), ("output",), ("validate",), ("why", ADDRESS))
    before = {command: reconciler(*command) for command in commands}
    with Holding(project / STATE), closing(sqlite3.connect(STATE, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with open("specs/jobs.yaml", "a") as file:
            file.write("# so that there is something new to keep\n")
        assert {command: reconciler(*command) for command in commands} == before


def test_folder_that_became_read_only_stops_an_apply_before_it_submits(wine: Path, reconciler: Reconciler) -> None:
    assert reconciler("apply", "-auto-approve").code == 0
    before = runs()
    (wine / "specs/data/wine.csv").write_text((wine / "specs/data/wine.csv").read_text().replace("14.", "13."))
    files = [path for path in (wine / "state").iterdir() if path.is_file()]
    for path in files:
        path.chmod(0o444)
    (wine / "state").chmod(0o555)
    said = run_bound_by_permissions("apply", "-auto-approve", cwd=wine)
    (wine / "state").chmod(0o755)
    for path in files:
        path.chmod(0o644)
    assert said.code == 1
    assert "cannot be written" in said.out
    assert "Traceback" not in said.out
    assert runs() == before
    assert len(job_ids()) == 1
    assert reconciler("apply", "-auto-approve").code == 0
