"""Job ids that the state could not take: on a full disk, in a folder that cannot be written, beside a stranger. None is lost."""

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from house import Holding

from reconciler.errors import StateUnreadable, StateUnwritable
from reconciler.state.journal import Entry, Journal, Leftover, leftovers
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.store import Store, now

NewRun = Callable[..., Run]
RECOVERED = "job.wine: job job-1, which could not be recorded, was recovered from the journal."


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's temporary folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """While nothing more fits on the disk."""
    filler = disk / "filler"
    descriptor = os.open(filler, os.O_WRONLY | os.O_CREAT)
    for size in (65536, 4096, 1):
        try:
            while True:
                os.write(descriptor, bytes(size))
        except OSError:
            continue
    os.close(descriptor)
    yield
    filler.unlink()


@contextmanager
def stranger(path: Path) -> Iterator[None]:
    """While another program is in the middle of a write."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield


def journals(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}.journal*"))


def recover(path: Path) -> tuple[str, ...]:
    """What the next holder of the lock is told."""
    with Store(path) as store, store.locked("apply") as lock:
        return lock.recovered


def read(path: Path, run_id: str = "1") -> Run:
    with Store(path) as store:
        run = store.snapshot.run(run_id)
    assert run is not None
    return run


# Real trouble, met by a process of its own


def test_job_id_that_comes_when_the_disk_is_full_has_its_room(small_disk: Path) -> None:
    path = small_disk / "state.db"
    with Holding(path) as holding:
        for step in ("intend 1", "intend 2", "reserve 2"):
            assert "done" in holding.do(step)
        (journal,) = journals(path)
        with full(small_disk):
            assert holding.do("intend 3")["error"] == "StateUnwritable"
            assert "done" in holding.do("beat")  # one beat that is left out is nothing to stop for
            said = holding.do("submit 1 job-1")
            assert said["error"] == "StateUnwritable"
            assert "is full" in said["detail"]
            assert f"The job that was made for job.wine, job-1, is safe in {journal}; run the command again to go on." in said["detail"]
            holding.end()
        assert read(path).job_id is None
    assert recover(path) == (RECOVERED,)
    assert (read(path).status, read(path).job_id) == (Status.SUBMITTED, "job-1")
    assert journals(path) == []
    assert recover(path) == ()


def test_without_room_beside_the_state_the_temporary_folder_keeps_the_job_id(small_disk: Path, temporary: Path) -> None:
    path = small_disk / "state.db"
    with Holding(path) as holding:
        holding.do("intend 1")
        with full(small_disk):
            said = holding.do("submit 1 job-1")
            assert f"is safe in {temporary}/reconciler-" in said["detail"]
            holding.end()
    assert recover(path) == (RECOVERED,)
    assert list(temporary.iterdir()) == []


def test_as_the_last_resort_the_error_tells_the_job_id(small_disk: Path) -> None:
    path = small_disk / "state.db"
    with Holding(path, TMPDIR=str(small_disk)) as holding:
        holding.do("intend 1")
        with full(small_disk):
            assert "safe in" not in holding.do("submit 1 job-1")["detail"]
            assert "reconciler state adopt job.wine job-1" in holding.answer()["detail"]


def test_apply_that_finds_no_room_for_its_journal_does_not_begin(small_disk: Path) -> None:
    path = small_disk / "state.db"
    with Holding(path) as holding, full(small_disk):
        said = holding.do("reserve 2")
        assert (said["error"], "No space left" in said["detail"]) == ("StateUnwritable", True)


def test_job_id_is_kept_when_no_file_may_grow(path: Path) -> None:
    Store(path).close()
    with Holding(path) as holding:
        holding.do("intend 1")
        holding.do(f"fill {path.with_name(path.name + '-wal').stat().st_size}")
        said = holding.do("submit 1 job-1")
        assert (said["error"], "is safe in" in said["detail"]) == ("StateUnwritable", True)
        holding.end()
    assert recover(path) == (RECOVERED,)


def test_job_id_is_kept_while_a_stranger_holds_the_database(path: Path) -> None:
    Store(path).close()
    with Holding(path) as holding:
        holding.do("intend 1")
        with stranger(path):
            said = holding.do("submit 1 job-1")
            assert said["error"] == "StateUnwritable"
            assert "database is locked" in said["detail"]
            assert "no other program holds the file" in said["detail"]
        holding.end()
    assert recover(path) == (RECOVERED,)


def test_killed_holder_leaves_its_job_ids_and_no_litter(path: Path) -> None:
    Store(path).close()
    with Holding(path) as holding:
        for step in ("intend 1", "reserve 1"):
            holding.do(step)
        holding.process.kill()
        holding.process.wait()
    assert len(journals(path)) == 1
    assert recover(path) == ()
    assert journals(path) == []


# What is saved is read back


@pytest.fixture
def failing(path: Path, new_run: NewRun) -> Store:
    """A store whose run cannot be moved, because a stranger writes; its job id is in the journal."""
    store = Store(path, patience_s=0)
    with pytest.raises(StateUnwritable), store.locked("apply"):
        store.intend(new_run("1"), {})
        with stranger(path):
            store.move(new_run("1"), Status.SUBMITTED, job_id="job-1", submitted_at="2026-11-21T00:00:01Z")
    store.close()
    return store


def test_history_says_that_a_job_id_was_recovered(failing: Store, path: Path) -> None:
    with Store(path) as store, store.locked("apply") as lock:
        assert (lock.recovered, lock.replayed, store.snapshot.serial) == ((RECOVERED,), 1, 2)
        event = store.snapshot.history("local")[-1]
        assert (event.kind, event.run_id, event.fence) == ("submitted", "1", lock.fence)
        assert event.detail == {"job_id": "job-1", "submitted_at": "2026-11-21T00:00:01Z", "status_details": "recovered from the journal"}
        run = store.snapshot.run("1")
        assert run is not None
        assert (run.submitted_at, run.status_details) == ("2026-11-21T00:00:01Z", None)


def test_journal_is_read_as_often_as_one_likes(failing: Store, path: Path) -> None:
    (journal,) = journals(path)
    content = journal.read_bytes()
    assert recover(path) == (RECOVERED,)
    journal.write_bytes(content)
    assert recover(path) == ()
    assert journals(path) == []


def test_journal_stays_until_the_state_can_be_written(failing: Store, path: Path) -> None:
    with stranger(path), Store(path, patience_s=0) as store, pytest.raises(StateUnwritable), store.locked("apply"):
        pass
    assert len(journals(path)) == 1
    assert recover(path) == (RECOVERED,)


def ended(store: Store, run: Run) -> None:
    store.move(run, Status.ABORTED)


def adopted(store: Store, run: Run) -> None:
    store.move(run, Status.SUBMITTED, job_id="job-2")


@pytest.mark.parametrize(("settle", "what"), [(ended, "was aborted"), (adopted, "has the job job-2")])
def test_job_of_a_run_that_was_settled_otherwise_is_told_once_and_kept_in_the_history(
    failing: Store, path: Path, new_run: NewRun, settle: Callable[[Store, Run], None], what: str
) -> None:
    (journal,) = journals(path)
    aside = path.with_name("aside")
    content = journal.read_bytes()
    journal.rename(aside)
    with Store(path) as store, store.locked("state resubmit"):
        settle(store, new_run("1"))
    aside.rename(journal)
    note = f"job.wine: job job-1 was made for the run 1, which {what}. Nobody tracks that job."
    assert recover(path) == (note,)
    with Store(path) as store:
        event = store.snapshot.history("local")[-1]
        assert (event.kind, event.run_id, event.detail) == ("stray", "1", {"job_id": "job-1", "status_details": note})
    journal.write_bytes(content)
    assert recover(path) == ()


def test_job_of_a_run_that_the_state_does_not_know_is_kept_in_the_history(failing: Store, path: Path) -> None:
    for name in path.parent.iterdir():
        if "journal-" not in name.name:
            name.unlink()
    (note,) = recover(path)
    assert note == "job.wine: job job-1 was made for the run 1, which is unknown to this state. Nobody tracks that job."
    with Store(path) as store:
        assert [(event.kind, event.run_id) for event in store.snapshot.history("local")] == [("stray", None)]


def test_interrupt_in_the_middle_of_the_write_loses_no_job_id(path: Path, new_run: NewRun) -> None:
    moments = iter([now(), now()])

    def clock() -> datetime:
        try:
            return next(moments)
        except StopIteration:
            raise KeyboardInterrupt from None

    with Store(path, clock) as store, pytest.raises(KeyboardInterrupt), store.locked("apply"):
        store.intend(new_run("1"), {})
        store.move(new_run("1"), Status.SUBMITTED, job_id="job-1")
    assert read(path).status is Status.INTENDED
    assert recover(path) == (RECOVERED,)


def test_every_other_move_only_fails(path: Path, new_run: NewRun) -> None:
    with Store(path, patience_s=0) as store, store.locked("apply"):
        store.intend(new_run("1"), {})
        with stranger(path), pytest.raises(StateUnwritable) as caught:
            store.move(new_run("1"), Status.FAILED)
        assert "safe in" not in caught.value.detail
        assert journals(path) == []


@pytest.mark.parametrize("cut", range(2, 60, 7))
def test_line_that_a_crash_cut_short_is_no_entry(tmp_path: Path, cut: int) -> None:
    state = tmp_path / "state.db"
    journal = Journal(state, "holder")
    journal.reserve(3)
    first, second = Entry("1", "local", "job.a", {"job_id": "job-1"}), Entry("2", "local", 'job.b["é"]', {"job_id": "job-2"})
    path = journal.save(first)
    assert path is not None
    whole = path.read_bytes().split(b"\0", 1)[0]
    journal.save(second)
    journal.close()
    content = path.read_bytes()
    written = content.split(b"\0", 1)[0]
    with closing(Leftover(path)) as leftover:
        assert list(leftover.entries()) == [first, second]
    for torn in (written[:-cut], whole + written[len(whole) + cut :], written[:-cut] + bytes(3072)):
        path.write_bytes(torn)
        with closing(Leftover(path)) as leftover:
            assert list(leftover.entries()) == [first]


def test_room_is_taken_from_the_disk_when_it_is_reserved(path: Path) -> None:
    with Store(path) as store, store.locked("apply"):
        store.reserve(8)
        (journal,) = journals(path)
        assert journal.stat().st_blocks * 512 >= 8 * 1024
    assert journals(path) == []


def test_journal_that_was_removed_under_its_owner_is_written_elsewhere(tmp_path: Path, temporary: Path) -> None:
    state = tmp_path / "state.db"
    journal = Journal(state, "holder")
    journal.reserve(1)
    (beside,) = leftovers(state)
    beside.unlink()
    path = journal.save(Entry("1", "local", "job.a", {"job_id": "job-1"}))
    journal.close()
    assert path is not None
    assert path.parent == temporary
    assert leftovers(state) == [path]


def test_what_others_put_into_the_temporary_folder_is_not_read(tmp_path: Path, temporary: Path) -> None:
    state = tmp_path / "state.db"
    other = Journal(tmp_path / "nowhere" / "other.db", "holder")
    written = other.save(Entry("1", "local", "job.a", {"job_id": "job-1"}))
    other.close()
    assert written is not None
    mine = Journal(tmp_path / "nowhere" / ".." / "state.db", "holder").save(Entry("1", "local", "job.a", {"job_id": "job-1"}))
    assert mine is not None
    (temporary / mine.name.replace("holder", "link")).symlink_to(written)
    (temporary / mine.name.replace("holder", "folder")).mkdir()
    assert leftovers(state) == [mine]


def test_journal_that_cannot_be_read_stops_the_command_and_is_named(path: Path) -> None:
    Store(path).close()
    journal = path.with_name(f"{path.name}.journal-holder")
    journal.symlink_to(path)
    with Store(path) as store:
        with pytest.raises(StateUnreadable, match=journal.name), store.locked("apply"):
            pass
        assert store.snapshot.holder() is None


# How long a write waits


@contextmanager
def alarm(handler: Callable[[], None]) -> Iterator[None]:
    """A signal comes while something else goes on."""
    before = signal.signal(signal.SIGALRM, lambda *_: handler())
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def interrupt() -> None:
    raise KeyboardInterrupt


def test_write_that_waits_for_a_stranger_is_interrupted_at_once(path: Path, new_run: NewRun) -> None:
    with Store(path, patience_s=100_000) as store, store.locked("apply"), stranger(path), alarm(interrupt), pytest.raises(KeyboardInterrupt):
        store.intend(new_run(), {})


def test_signal_handler_can_shorten_the_wait_that_is_going_on(path: Path, new_run: NewRun) -> None:
    with Store(path, patience_s=100_000) as store, store.locked("apply"), stranger(path), alarm(store.hurry), pytest.raises(StateUnwritable):
        store.intend(new_run(), {})


def test_apply_waits_once_for_what_many_runs_meet(path: Path, new_run: NewRun) -> None:
    with Store(path, patience_s=0.5) as store, store.locked("apply"):
        with stranger(path):
            store.beat()
            assert store.patience_s == 0.5
            with pytest.raises(StateUnwritable):
                store.intend(new_run(), {})
        assert store.patience_s < 0.5
        store.intend(new_run(), {})


def test_write_goes_on_when_the_stranger_has_ended(path: Path, new_run: NewRun) -> None:
    with Store(path, patience_s=100_000) as store, store.locked("apply"):
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            with alarm(lambda: db.execute("ROLLBACK") and None):
                store.intend(new_run(), {})
        assert store.snapshot.run("run-1") == new_run()


def test_beat_never_waits(path: Path) -> None:
    with Store(path, patience_s=100_000) as store, store.locked("apply"):
        before = store.snapshot.holder()
        with stranger(path):
            store.beat()
        assert store.snapshot.holder() == before


def test_lines_hold_what_is_needed_to_settle_a_run_by_hand(failing: Store, path: Path) -> None:
    (journal,) = journals(path)
    line = json.loads(journal.read_text())
    assert {name: line[name] for name in ("run_id", "workspace", "address")} == {"run_id": "1", "workspace": "local", "address": "job.wine"}
    assert line["facts"] == {"job_id": "job-1", "submitted_at": "2026-11-21T00:00:01Z"}
