"""The state as it is written. The rule here: a write is one `BEGIN IMMEDIATE` transaction with the fact, its history and the next serial."""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import fields, replace
from datetime import UTC, datetime
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Self

import sqlite_utils

from reconciler.digests import Witness
from reconciler.errors import ReconcilerError, Refused, StateLocked, StateUnreadable, StateUnwritable
from reconciler.fingerprint import value_digest
from reconciler.state.journal import Entry, Journal, Leftover, leftovers
from reconciler.state.lifecycle import Status, is_lawful
from reconciler.state.lock import STALE_S, Lock, Timer, Watch, told
from reconciler.state.migrations import migrations
from reconciler.state.record import Run, settling
from reconciler.state.snapshot import Snapshot, corrupt, open_snapshot, row_from_run

# How long a write waits for another program's write, and in which steps: our own writes take milliseconds, so who holds the database for
# longer is a stranger, and what it was about to lose goes to the journal. SQLite's own wait would hold back every signal until its end;
# between two steps Python's signal handlers run, and `hurry` can shorten the wait that is going on.
_PATIENCE_S = 5.0
_HURRIED_S = 0.25
_STEP_S = 0.02
# A read waits only while the write-ahead log is begun or ended: moments, and nobody else's doing.
_READ_PATIENCE = "PRAGMA busy_timeout = 5000"
_CONFIGURATIONS_KEPT = 4
_COLUMNS = frozenset(field.name for field in fields(Run))

Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Store:
    """Read and write access to one state database, made when it is missing. Use as a context manager."""

    def __init__(
        self, path: Path, clock: Clock = now, *, patience_s: float = _PATIENCE_S, timer: Timer | None = None, stale_s: float = STALE_S
    ) -> None:
        """Raises StateCorrupt, StateNewer, StateUnwritable."""
        self.path = path
        self._clock = clock
        self.patience_s = patience_s
        self._timer = timer or Timer()
        self._stale_s = stale_s
        self._lock: Lock | None = None
        self._journal: Journal | None = None
        self._db = self._open()
        self.snapshot = Snapshot(self._db.conn, path)

    def _open(self) -> Any:
        try:
            if not self.path.exists():
                _give_birth(self.path)
            open_snapshot(self.path).close()  # says what is wrong with the file before anything is written
            db = _connect(self.path)
            if migrations.pending(db):
                with _immediate(db.conn, self.path, lambda: self.patience_s):
                    migrations.apply(db)
        except sqlite3.OperationalError as error:
            raise _unwritable(self.path, error) from None
        except OSError as error:
            raise _unwritable(self.path, error.strerror or error) from None
        return db

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    # The lock

    @contextmanager
    def locked(self, command: str, timeout_s: float = 0.0, on_wait: Callable[[str], None] | None = None) -> Iterator[Lock]:
        """Hold the lock: one writer at a time. What an earlier holder left in its journal is in the state first.

        Waits up to `timeout_s` for another holder, telling `on_wait` once in a sentence. Raises StateLocked with the holder's facts.
        """
        lock = self._lock = self._take(command, timeout_s, on_wait)
        self._journal = Journal(self.path, lock.holder)
        try:
            lock = self._lock = self._recovered(lock)
            yield lock
        except BaseException as error:
            _tell_homeless(self._journal.homeless, self.path, error)
            raise
        finally:
            self._journal.close()
            self._journal = None
            with suppress(StateUnwritable), self._transaction():
                lock.release(self._db)
            self._lock = None

    def _take(self, command: str, timeout_s: float, on_wait: Callable[[str], None] | None) -> Lock:
        watch = Watch(self._timer.steady, self._stale_s)
        until = self._timer.steady() + timeout_s
        for number, pause_s in enumerate(chain((1.0, 2.0, 4.0, 8.0), repeat(16.0))):
            try:
                with self._transaction():
                    moment = self._clock()
                    return Lock.take(self._db, command, timestamp(moment), moment.timestamp(), watch)
            except StateLocked:
                left_s = until - self._timer.steady()
                if left_s <= 0:
                    raise
            holder = self.snapshot.holder()
            if on_wait and number == 0 and holder:
                on_wait(f"Waiting for the lock of the state, up to {timeout_s:g} s. It is held by {told(holder._asdict())}.")
            self._timer.sleep(min(pause_s, left_s))
        raise AssertionError("there is always another pause")

    def beat(self) -> None:
        """Show that the holder lives. Raises StateLocked when the lock was taken away.

        It never waits: where somebody writes just now, or the disk is full, the next beat will do.
        """
        with suppress(StateUnwritable), self._write(patience_s=0.0):
            self._held().beat(self._db, self._clock().timestamp())

    def check_lock(self) -> None:
        """Ask before a step outside of the state that must not be done twice. Reads only. Raises StateLocked when the lock was taken away."""
        self._held().check(self._db)

    def reserve(self, runs: int) -> None:
        """Have room on the disk for the job ids of so many runs, should the state not take them. Raises StateUnwritable."""
        self._held()
        assert self._journal is not None
        try:
            self._journal.reserve(runs)
        except OSError as error:
            raise _unwritable(self.path, error.strerror or error) from None

    def hurry(self) -> None:
        """From now on no write waits long for another program's; a signal handler may call it."""
        self.patience_s = min(self.patience_s, _HURRIED_S)

    def unlock(self, holder: str) -> str:
        """Take the lock from whoever holds it under this id; returns who that was. Its next write is refused. Raises Refused."""
        with self._transaction():
            found = self.snapshot.holder()
            if found is None:
                raise Refused("The state is not locked", "There is nothing to unlock.")
            who = told(found._asdict())
            if found.holder != holder:
                raise Refused(
                    f"The lock of the state has another ID than {holder}",
                    f"It is {found.holder}, held by {who}. Make sure that it is this one that is gone, and give its ID.",
                )
            self._db.execute("UPDATE lock SET holder = NULL, fence = fence + 1 WHERE id = 1")
        return who

    def _held(self) -> Lock:
        if self._lock is None:
            raise StateLocked("The state is written without its lock", "This is a bug; please report it.")
        return self._lock

    # The journal

    def _recovered(self, lock: Lock) -> Lock:
        """Read what was left behind into the state: as often as one likes, to the same end."""
        before = self.snapshot.serial
        notes: list[str] = []
        for path in leftovers(self.path):
            try:
                with closing(Leftover(path)) as leftover:
                    notes += [note for entry in leftover.entries() if (note := self._recover(entry))]
                    leftover.remove()
            except OSError as error:
                detail = f"The system says: {error.strerror}. It holds the ids of jobs that could not be recorded. Make it readable and try again."
                raise StateUnreadable(f"The journal {path} cannot be read", detail) from None
        return replace(lock, recovered=tuple(notes), replayed=self.snapshot.serial - before)

    def _recover(self, entry: Entry) -> str | None:
        """What the user is told, None when there was nothing left to do."""
        run, job_id = self.snapshot.run(entry.run_id), entry.facts["job_id"]
        if run is not None and run.job_id == job_id:
            return None
        if run is not None and run.status is Status.INTENDED:
            facts = {name: value for name, value in entry.facts.items() if name in _COLUMNS}
            self._move(run, Status.SUBMITTED, facts, {"status_details": "recovered from the journal"})
            return f"{entry.address}: job {job_id}, which could not be recorded, was recovered from the journal."
        now = "is unknown to this state" if run is None else f"has the job {run.job_id}" if run.job_id else f"was {run.status}"
        note = f"{entry.address}: job {job_id} was made for the run {entry.run_id}, which {now}. Nobody tracks that job."
        if any(event.detail.get("status_details") == note for event in self.snapshot.history(entry.workspace, entry.address)):
            return None
        with self._write():
            self._happened(entry.workspace, entry.address, None if run is None else run.id, "stray", {"job_id": job_id, "status_details": note})
        return note

    def _save(self, run: Run, facts: Mapping[str, Any], error: BaseException) -> None:
        """Keep the job id that the state could not take, and say in the error where it is."""
        if self._journal is None:
            return
        path = self._journal.save(Entry(run.id, run.workspace, run.address, facts))
        if path is not None and isinstance(error, ReconcilerError):
            error.detail += f"\nThe job that was made for {run.address}, {run.job_id}, is safe in {path}; run the command again to go on."

    # Runs

    def intend(self, run: Run, metadata: Mapping[str, Any]) -> None:
        """Write down that a run will be submitted, before it is."""
        with self._write():
            self._db["runs"].insert(row_from_run(run))
            key = {"workspace": run.workspace, "address": run.address}
            self._db.execute(
                "INSERT INTO instances (workspace, address, latest_run, metadata, metadata_digest) "
                "VALUES (:workspace, :address, :run, :metadata, :digest) "
                "ON CONFLICT (workspace, address) DO UPDATE SET latest_run = :run, metadata = :metadata, metadata_digest = :digest",
                {**key, "run": run.id, "metadata": json.dumps(metadata, ensure_ascii=False), "digest": value_digest(metadata)},
            )
            self._happened(run.workspace, run.address, run.id, str(run.status), {"reasons": run.reasons})

    def move(self, run: Run, status: Status, **facts: Any) -> Run:
        """Move a run to its next status together with what was learned; returns the run as it is now.

        A job id that cannot be recorded is kept in the journal; every other fact can be asked for again. Raises ValueError on a move that the
        lifecycle does not allow, and StateError.
        """
        if not is_lawful(run.status, status):
            raise ValueError(f"{run.address}: a run does not move from {run.status} to {status}")
        moved = replace(run, status=status, **facts)
        try:
            self._move(run, status, facts)
        except BaseException as error:  # an interrupt too: what is known of the job is only here
            if status is Status.SUBMITTED:
                self._save(moved, facts, error)
            raise
        return moved

    def _move(self, run: Run, status: Status, facts: Mapping[str, Any], told: Mapping[str, Any] | None = None) -> None:
        with self._write():
            self._db["runs"].update(run.id, {"status": str(status), **facts})
            if status is Status.DELIVERED:
                self._supersede(run)
            self._happened(run.workspace, run.address, run.id, str(status), {**facts, **(told or {})})

    def uploaded(self, run: Run) -> Run:
        """Write down that the service has acknowledged the whole intake."""
        noted = replace(run, uploaded_at=timestamp(self._clock()))
        with self._write():
            self._db["runs"].update(run.id, {"uploaded_at": noted.uploaded_at})
            self._happened(run.workspace, run.address, run.id, "uploaded", {})
        return noted

    def doubt(self, run: Run, question: str) -> Run:
        """Write down what the user is asked about the run, which stays open."""
        noted = replace(run, status_details=question)
        with self._write():
            self._db["runs"].update(run.id, {"status_details": question})
            self._happened(run.workspace, run.address, run.id, "doubted", {"status_details": question})
        return noted

    def _supersede(self, run: Run) -> None:
        where = (run.workspace, run.address)
        self._db.execute(
            "UPDATE runs SET superseded_by = ? WHERE id = (SELECT current_run FROM instances WHERE workspace = ? AND address = ?)", (run.id, *where)
        )
        self._db.execute("UPDATE instances SET current_run = ? WHERE workspace = ? AND address = ?", (run.id, *where))

    def update(self, workspace: str, address: str, metadata: Mapping[str, Any]) -> None:
        """Change in place what never reaches the scorer."""
        with self._write():
            self._db.execute(
                "UPDATE instances SET metadata = ?, metadata_digest = ? WHERE workspace = ? AND address = ?",
                (json.dumps(metadata, ensure_ascii=False), value_digest(metadata), workspace, address),
            )
            self._happened(workspace, address, None, "updated", dict(metadata))

    def forget(self, workspace: str, address: str) -> None:
        """Stop tracking an address; its runs and its history stay."""
        with self._write():
            self._db.execute("DELETE FROM instances WHERE workspace = ? AND address = ?", (workspace, address))
            self._happened(workspace, address, None, "forgotten", {})

    def _happened(self, workspace: str, address: str, run_id: str | None, kind: str, detail: Mapping[str, Any]) -> None:
        serial = self.snapshot.serial + 1
        self._db.execute("UPDATE meta SET value = ? WHERE key = 'serial'", (str(serial),))
        self._db["history"].insert(
            {
                "serial": serial,
                "at": timestamp(self._clock()),
                "workspace": workspace,
                "address": address,
                "run_id": run_id,
                "kind": kind,
                "detail": json.dumps(detail, ensure_ascii=False),
                "fence": self._held().fence,
            }
        )

    @contextmanager
    def _write(self, patience_s: float | None = None) -> Iterator[None]:
        with self._transaction(patience_s):
            # The fence: whoever lost the lock (a suspended laptop, say) must not write over its successor.
            self._held().check(self._db)
            yield

    @contextmanager
    def _transaction(self, patience_s: float | None = None) -> Iterator[None]:
        try:
            with _immediate(self._db.conn, self.path, lambda: self.patience_s if patience_s is None else patience_s):
                yield
        except StateUnwritable:
            if patience_s is None:
                self.hurry()  # many runs may meet the same trouble, and an apply that stops waits for it once
            raise

    # Caches: no lock, no serial; losing them costs time only

    def keep_witnesses(self, learned: Iterable[Witness]) -> None:
        with self._transaction():
            self._db.conn.executemany(
                "INSERT OR REPLACE INTO witnesses (path, size, mtime_ns, ctime_ns, inode, digest) VALUES (?, ?, ?, ?, ?, ?)", learned
            )

    def keep_proof(self, workspace: str, body: str) -> None:
        with self._transaction():
            self._db["proofs"].upsert({"workspace": workspace, "body": body}, pk="workspace")

    def keep_configuration(self, key: str, body: str, instances: Sequence[tuple[str, str]]) -> None:
        with self._transaction():
            self._db["configurations"].upsert({"key": key, "used_at": time.time(), "body": body}, pk="key")
            self._db.conn.executemany(
                "INSERT OR REPLACE INTO configured_instances (key, address, body) VALUES (?, ?, ?)", [(key, *row) for row in instances]
            )
            self._db.execute(
                "DELETE FROM configurations WHERE key NOT IN (SELECT key FROM configurations ORDER BY used_at DESC LIMIT ?)", (_CONFIGURATIONS_KEPT,)
            )


def _give_birth(path: Path) -> None:
    """Make the database under another name and link it into place: a state file is whole or absent, and of two makers one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    newborn = path.with_name(f".{path.name}.{os.getpid()}")
    newborn.unlink(missing_ok=True)
    try:
        db = _connect(newborn)
        migrations.apply(db)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        _publish(newborn, path)
    finally:
        for suffix in ("", "-wal", "-shm"):
            newborn.with_name(newborn.name + suffix).unlink(missing_ok=True)


def _publish(newborn: Path, path: Path) -> None:
    try:
        os.link(newborn, path)
    except FileExistsError:
        pass  # another process was first; its database is as good
    except OSError:
        # A file system without hard links (exFAT, some shares): a rename is all there is, and two makers at once are unlikely.
        if not path.exists():
            newborn.rename(path)


def _connect(path: Path) -> Any:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db = sqlite_utils.Database(connection, execute_plugins=False)
    for pragma in (_READ_PATIENCE, "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON"):
        connection.execute(pragma)
    return db


@contextmanager
def _immediate(connection: sqlite3.Connection, path: Path, patience_s: Callable[[], float]) -> Iterator[None]:
    """A write transaction that waits for its turn. sqlite-utils' `atomic()` begins a deferred one, which loses to a concurrent writer at once."""
    _begin(connection, path, patience_s)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.OperationalError):
            raise _unwritable(path, error) from None
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.IntegrityError):
            raise corrupt(path, error) from None
        raise


def _begin(connection: sqlite3.Connection, path: Path, patience_s: Callable[[], float]) -> None:
    began = time.monotonic()
    while True:
        try:
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() - began >= patience_s():
                raise _unwritable(path, error) from None
        finally:
            connection.execute(_READ_PATIENCE)
        time.sleep(_STEP_S)


def _tell_homeless(entries: Sequence[Entry], path: Path, error: BaseException) -> None:
    """The last resort: whoever reads the error is the only place that is left."""
    if not entries:
        return
    ids = "".join(f"\n  {settling('adopt', entry.workspace, entry.address, entry.facts['job_id'])}" for entry in entries)
    told = f"These jobs were made and could be recorded nowhere. Keep this text; when the state can be written again, run:{ids}"
    if not isinstance(error, ReconcilerError):
        raise StateUnwritable(f"The state {path} cannot be written", told) from error
    error.detail += f"\n{told}"


def _unwritable(path: Path, reason: object) -> StateUnwritable:
    return StateUnwritable(
        f"The state {path} cannot be written",
        f"The reason given: {reason}. Check that the folder is writable, that the disk has room and that no other program holds the file; "
        "then run the command again. What was recorded before is safe.",
    )
