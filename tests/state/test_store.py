"""The state as it is written and read: nothing is lost, nothing is changed afterwards, and what is wrong with a file is said."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from reconciler.digests import Witness
from reconciler.errors import StateCorrupt, StateError, StateLocked, StateNewer, StateUnreadable, StateUnwritable
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.snapshot import Snapshot, open_snapshot
from reconciler.state.store import Store, timestamp

NewRun = Callable[..., Run]
WRITERS, WRITES = 4, 50

# One process of several that write at once; it waits until all of them are there.
WRITER = """
import sys
from pathlib import Path
from reconciler.digests import Witness
from reconciler.state.store import Store

path, name, writes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with Store(path) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(writes):
        store.keep_witnesses([Witness(f"{name}/{number}", 1, 2, 3, 4, "blake3:x")])
"""


# What a run is, and how it is read back


def test_run_is_read_back_as_it_was_written(store: Store, new_run: NewRun) -> None:
    run = new_run(address='job.wine["é"]', reasons=("spec changed", "requested"), git_commit="abc-dirty", intake_digest=None)
    store.intend(run, {"tags": ["monthly"]})
    assert store.snapshot.run("run-1") == run
    assert store.snapshot.metadata("local", run.address) == {"tags": ["monthly"]}


def test_move_records_the_status_and_what_was_learned(store: Store, new_run: NewRun, take_to: Callable[..., Run]) -> None:
    run = take_to(new_run(), Status.DELIVERED, ended_at="2026-11-21T00:00:09Z")
    assert store.snapshot.run("run-1") == run
    assert (run.status, run.ended_at) == (Status.DELIVERED, "2026-11-21T00:00:09Z")
    kinds = [event.kind for event in store.snapshot.history("local")]
    assert kinds == ["intended", "submitted", "running", "scored", "delivered"]


@pytest.mark.parametrize("status", [Status.INTENDED, Status.SCORED, Status.DELIVERED])
def test_unlawful_move_is_refused_and_changes_nothing(store: Store, new_run: NewRun, status: Status) -> None:
    store.intend(new_run(), {})
    with pytest.raises(ValueError, match=f"does not move from intended to {status}"):
        store.move(new_run(), status)
    assert store.snapshot.run("run-1") == new_run()
    assert len(store.snapshot.history("local")) == 1


def test_times_are_utc_and_sort_as_text() -> None:
    moments = [datetime(2026, 11, 21, 9, 0, 0, microsecond, UTC) for microsecond in (0, 1, 999_999)]
    assert [timestamp(moment) for moment in moments] == sorted(timestamp(moment) for moment in moments)
    assert timestamp(moments[0]) == "2026-11-21T09:00:00.000000Z"


# History and serial


def test_serial_rises_by_one_with_every_event(store: Store, new_run: NewRun, take_to: Callable[..., Run]) -> None:
    take_to(new_run(), Status.DELIVERED)
    store.update("local", "job.wine", {"description": "Red wine"})
    store.forget("local", "job.wine")
    serials = [event.serial for event in store.snapshot.history("local")]
    assert all(after == before + 1 for before, after in pairwise(serials))
    assert store.snapshot.serial == serials[-1] == 7


def test_caches_and_heartbeats_leave_the_serial_alone(store: Store) -> None:
    store.keep_witnesses([Witness("a", 1, 2, 3, 4, "blake3:x")])
    store.keep_configuration("key", "{}", [("job.a", "{}")])
    store.beat()
    assert store.snapshot.serial == 0
    assert store.snapshot.history("local") == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE history SET kind = 'delivered'", "the history is append-only"),
        ("DELETE FROM history", "the history is append-only"),
        ("INSERT OR REPLACE INTO history (serial, at, workspace, address, kind, detail) VALUES (1, '', '', '', '', '')", "append-only"),
        ("DELETE FROM runs", "a run is never deleted"),
        ("INSERT OR REPLACE INTO runs SELECT * FROM runs", "a run is never replaced"),
    ],
)
def test_history_cannot_be_rewritten_even_by_hand(store: Store, new_run: NewRun, path: Path, sql: str, message: str) -> None:
    store.intend(new_run(), {})
    before = store.snapshot.history("local")
    by_hand = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.IntegrityError, match=message):
        by_hand.execute(sql)
    by_hand.close()
    assert store.snapshot.history("local") == before
    assert store.snapshot.run("run-1") == new_run()


def test_fact_and_history_are_written_together_or_not_at_all(store: Store, new_run: NewRun) -> None:
    store.intend(new_run(), {})
    with pytest.raises(sqlite3.IntegrityError):
        store.intend(new_run(), {"description": "a second run of the same id"})
    assert store.snapshot.metadata("local", "job.wine") == {}
    assert store.snapshot.serial == len(store.snapshot.history("local")) == 1


# The current run, the latest run


def test_delivered_run_supersedes_the_one_before(store: Store, new_run: NewRun, take_to: Callable[..., Run]) -> None:
    take_to(new_run("run-1"), Status.DELIVERED)
    take_to(new_run("run-2"), Status.DELIVERED)
    first, second = store.snapshot.runs("local")
    assert (first.superseded_by, second.superseded_by) == ("run-2", None)
    assert [run.id for run in store.snapshot.current_runs("local")] == ["run-2"]


def test_run_that_is_not_delivered_leaves_the_current_one_standing(store: Store, new_run: NewRun, take_to: Callable[..., Run]) -> None:
    take_to(new_run("run-1"), Status.DELIVERED)
    store.move(take_to(new_run("run-2"), Status.RUNNING), Status.FAILED)
    recorded = store.snapshot.recorded("local")["job.wine"]
    assert recorded.current is not None
    assert recorded.latest is not None
    assert (recorded.current.id, recorded.latest.id) == ("run-1", "run-2")
    assert [run.superseded_by for run in store.snapshot.runs("local")] == [None, None]


def test_only_runs_that_have_not_ended_are_open(store: Store, new_run: NewRun, take_to: Callable[..., Run]) -> None:
    for status in (Status.SUBMITTED, Status.RUNNING, Status.SCORED, Status.DELIVERED):
        take_to(new_run(f"run-{status}", address=f"job.{status}"), status)
    store.move(take_to(new_run("run-failed", address="job.failed"), Status.RUNNING), Status.FAILED)
    assert {run.address for run in store.snapshot.open_runs("local")} == {"job.submitted", "job.running", "job.scored"}


def test_forgotten_address_keeps_its_runs_and_its_history(store: Store, new_run: NewRun, take_to: Callable[..., Run]) -> None:
    run = take_to(new_run(), Status.DELIVERED)
    store.forget("local", "job.wine")
    assert store.snapshot.recorded("local") == {}
    assert store.snapshot.current_runs("local") == []
    assert store.snapshot.runs("local", "job.wine") == [run]
    assert [event.kind for event in store.snapshot.history("local", "job.wine")][-2:] == ["delivered", "forgotten"]


def test_workspaces_do_not_see_each_other(store: Store, new_run: NewRun, take_to: Callable[..., Run]) -> None:
    take_to(new_run("run-1"), Status.DELIVERED)
    take_to(new_run("run-2", workspace="prod"), Status.DELIVERED)
    store.forget("prod", "job.wine")
    assert [run.id for run in store.snapshot.runs("local")] == ["run-1"]
    assert list(store.snapshot.recorded("local")) == ["job.wine"]
    assert {event.run_id for event in store.snapshot.history("prod")} == {"run-2", None}


# Several processes


def test_store_whose_lock_was_taken_over_writes_nothing_more(store: Store, new_run: NewRun, path: Path) -> None:
    store.intend(new_run(), {})
    by_hand = sqlite3.connect(path, isolation_level=None)
    by_hand.execute("UPDATE lock SET heartbeat = 0")
    by_hand.close()
    with Store(path) as successor, successor.locked("apply"):
        for write in (
            lambda: store.move(new_run(), Status.SUBMITTED),
            lambda: store.intend(new_run("run-2"), {}),
            lambda: store.update("local", "job.wine", {}),
            lambda: store.forget("local", "job.wine"),
            store.beat,
        ):
            with pytest.raises(StateLocked, match="was taken over"):
                write()
        assert successor.snapshot.runs("local") == [new_run()]
        assert successor.snapshot.serial == 1


def test_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    """sqlite-utils' `atomic()` would begin a deferred transaction, which fails at once where another process writes."""
    processes = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number), str(WRITES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for number in range(WRITERS)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    assert [process.communicate() and process.returncode for process in processes] == [0] * WRITERS
    with open_snapshot(path) as snapshot:
        assert set(snapshot.witnesses()) == {f"{name}/{number}" for name in range(WRITERS) for number in range(WRITES)}


def test_reader_does_not_wait_for_a_writer(store: Store, new_run: NewRun, path: Path) -> None:
    store.intend(new_run(), {})
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("UPDATE runs SET status = 'failed'")
    with open_snapshot(path) as snapshot:
        assert snapshot.runs("local") == [new_run()]
    writer.execute("ROLLBACK")
    writer.close()


def test_reader_sees_what_was_committed_while_the_database_is_open_elsewhere(store: Store, new_run: NewRun, path: Path) -> None:
    with open_snapshot(path) as before:
        assert before.serial == 0
        store.intend(new_run(), {})
        assert path.with_name(path.name + "-wal").stat().st_size > 0
        assert before.serial == 1
        with open_snapshot(path) as after:
            assert after.runs("local") == [new_run()]


def test_reader_cannot_write(store: Store, path: Path) -> None:
    with open_snapshot(path) as snapshot, pytest.raises(StateCorrupt, match="cannot be read"):
        snapshot._rows("UPDATE meta SET value = 'x'")
    assert store.snapshot.serial == 0


# Making a database


def test_reading_makes_no_database(path: Path) -> None:
    with open_snapshot(path) as snapshot:
        assert (snapshot.serial, snapshot.recorded("local"), snapshot.holder()) == (0, {}, None)
    assert not path.parent.exists()


@pytest.mark.parametrize("name", ["reconciler.db", "a[1] ?#%41.db", "é.db"])
def test_new_database_is_alone_in_its_folder(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Store(path).close()
    assert [file.name for file in tmp_path.iterdir()] == [name]
    with open_snapshot(path) as snapshot:
        assert snapshot.serial == 0


def test_every_database_has_a_lineage_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    lineages = []
    for name in ("one.db", "two.db", "one.db"):
        with Store(tmp_path / name) as store:
            lineages.append(store.snapshot.lineage)
    assert lineages[0] == lineages[2] != lineages[1]


# Caches


def test_witness_is_read_back_and_replaced(store: Store) -> None:
    a, b = Witness("a", 1, 2, 3, 4, "blake3:x"), Witness("b", 1, 2, 3, 4, "blake3:y")
    newer = a._replace(size=9, digest="blake3:z")
    store.keep_witnesses([a, b])
    store.keep_witnesses([newer])
    assert store.snapshot.witnesses() == {"a": newer, "b": b}


def test_nothing_learned_is_nothing_written(store: Store) -> None:
    store.keep_witnesses([])
    assert store.snapshot.witnesses() == {}


def test_only_the_last_configurations_are_kept_with_their_instances(store: Store) -> None:
    for number in range(6):
        store.keep_configuration(f"key-{number}", f"[{number}]", [("job.a", f'{{"n": {number}}}')])
    kept = {number for number in range(6) if store.snapshot.configuration(f"key-{number}") == f"[{number}]"}
    assert kept == {2, 3, 4, 5}
    assert store.snapshot.configured_instances("key-5", ["job.a", "job.none"]) == {"job.a": {"n": 5}}
    assert store.snapshot.configured_instances("key-0", ["job.a"]) == {}


# Files that are no state


def not_a_database(path: Path) -> None:
    path.write_text("id,quality\n1,5\n")


def empty(path: Path) -> None:
    path.touch()


def another_database(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE wines (id)")
    db.close()


def folder(path: Path) -> None:
    path.mkdir()


def header_overwritten(path: Path) -> None:
    Store(path).close()
    content = path.read_bytes()
    path.write_bytes(b"\0" * 100 + content[100:])


def cut_short(path: Path) -> None:
    Store(path).close()
    path.write_bytes(path.read_bytes()[:6000])


def from_a_later_release(path: Path) -> None:
    Store(path).close()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('reconciler', 'm999_something_new', '')")
    db.close()


_RESTORE = "Nothing was changed. Restore the file from a backup, or name another database with -state=PATH."
DAMAGES = {
    not_a_database: (StateCorrupt, _RESTORE),
    empty: (StateCorrupt, _RESTORE),
    another_database: (StateCorrupt, _RESTORE),
    header_overwritten: (StateCorrupt, _RESTORE),
    cut_short: (StateCorrupt, _RESTORE),
    folder: (StateUnreadable, "Is a directory. Check the path and its permissions, or name another database with -state=PATH."),
    from_a_later_release: (StateNewer, "Nothing was changed. Install the later release, or name another database with -state=PATH."),
}


def contents(top: Path) -> dict[str, bytes | None]:
    """What the folder holds, but for the journals that SQLite makes to read a database."""
    return {path.name: path.read_bytes() if path.is_file() else None for path in top.iterdir() if not path.name.endswith(("-wal", "-shm"))}


@pytest.mark.parametrize("open_it", [Store, open_snapshot], ids=["to-write", "to-read"])
@pytest.mark.parametrize(("damage", "kind", "advice"), [pytest.param(damage, *expected, id=damage.__name__) for damage, expected in DAMAGES.items()])
def test_file_that_is_no_state_is_named_and_left_alone(
    tmp_path: Path, open_it: Callable[[Path], object], damage: Callable[[Path], None], kind: type[StateError], advice: str
) -> None:
    path = tmp_path / "reconciler.db"
    damage(path)
    before = contents(tmp_path)
    with pytest.raises(kind, match=re.escape(str(path))) as caught:
        open_it(path)
    assert advice in caught.value.detail
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("table", "query"),
    [
        ("runs", lambda snapshot: snapshot.run("run-1")),
        ("runs", lambda snapshot: snapshot.runs("local")),
        ("instances", lambda snapshot: snapshot.recorded("local")),
        ("history", lambda snapshot: snapshot.history("local")),
        ("meta", lambda snapshot: snapshot.serial),
    ],
)
def test_damage_that_only_a_query_meets_is_told_too(path: Path, new_run: NewRun, table: str, query: Callable[[Snapshot], object]) -> None:
    with Store(path) as store, store.locked("test"):
        store.intend(new_run(), {})
    db = sqlite3.connect(path)
    page = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0]
    size = db.execute("PRAGMA page_size").fetchone()[0]
    db.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    path.write_bytes(content)
    with open_snapshot(path) as snapshot, pytest.raises(StateCorrupt, match="cannot be read"):
        query(snapshot)


def test_state_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(StateUnwritable, match=re.escape(str(tmp_path / "state" / "reconciler.db"))) as caught:
        Store(tmp_path / "state" / "reconciler.db")
    assert "Check that the folder is writable" in caught.value.detail
    assert contents(tmp_path) == {"state": b"in the way"}


def test_disk_that_is_full_is_told_and_leaves_what_was_recorded(store: Store, new_run: NewRun) -> None:
    store.intend(new_run(), {})
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to make a disk full
    with pytest.raises(StateUnwritable, match="cannot be written") as caught:
        store.intend(new_run("run-2", request={"padding": "x" * 1_000_000}), {})
    assert "disk is full" in caught.value.detail
    assert store.snapshot.runs("local") == [new_run()]
