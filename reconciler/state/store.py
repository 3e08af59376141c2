"""The state as it is written. The rule here: a write is one `BEGIN IMMEDIATE` transaction with the fact, its history and the next serial."""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import sqlite_utils

from reconciler.digests import Witness
from reconciler.errors import StateLocked, StateUnwritable
from reconciler.fingerprint import value_digest
from reconciler.state.lifecycle import Status, is_lawful
from reconciler.state.lock import Lock
from reconciler.state.migrations import migrations
from reconciler.state.record import Run
from reconciler.state.snapshot import Snapshot, corrupt, open_snapshot, row_from_run

# How long a write waits for another process's write; both are short.
_BUSY_S = 30.0
_CONFIGURATIONS_KEPT = 4

Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(UTC)


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Store:
    """Read and write access to one state database, made when it is missing. Use as a context manager."""

    def __init__(self, path: Path, clock: Clock = now) -> None:
        """Raises StateCorrupt, StateNewer, StateUnwritable."""
        self.path = path
        self._clock = clock
        self._lock: Lock | None = None
        self._db = self._open()
        self.snapshot = Snapshot(self._db.conn, path)

    def _open(self) -> Any:
        try:
            if not self.path.exists():
                _give_birth(self.path)
            open_snapshot(self.path).close()  # says what is wrong with the file before anything is written
            db = _connect(self.path)
            if migrations.pending(db):
                with _immediate(db.conn, self.path):
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
    def locked(self, command: str) -> Iterator[Lock]:
        """Hold the lock: one apply at a time. Raises StateLocked with the holder's facts."""
        with _immediate(self._db.conn, self.path):
            self._lock = Lock.take(self._db, command, timestamp(self._clock()))
        try:
            yield self._lock
        finally:
            with suppress(StateUnwritable), _immediate(self._db.conn, self.path):
                self._lock.release(self._db)
            self._lock = None

    def beat(self) -> None:
        """Show that the holder lives. Raises StateLocked when the lock was taken away."""
        with self._write():
            self._held().beat(self._db)

    def _held(self) -> Lock:
        if self._lock is None:
            raise StateLocked("The state is written without its lock", "This is a bug; please report it.")
        return self._lock

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

        Raises ValueError on a move that the lifecycle does not allow.
        """
        if not is_lawful(run.status, status):
            raise ValueError(f"{run.address}: a run does not move from {run.status} to {status}")
        moved = replace(run, status=status, **facts)
        with self._write():
            self._db["runs"].update(run.id, {"status": str(status), **facts})
            if status is Status.DELIVERED:
                self._supersede(moved)
            self._happened(run.workspace, run.address, run.id, str(status), facts)
        return moved

    def uploaded(self, run: Run) -> Run:
        """Write down that the service has acknowledged the whole intake."""
        noted = replace(run, uploaded_at=timestamp(self._clock()))
        with self._write():
            self._db["runs"].update(run.id, {"uploaded_at": noted.uploaded_at})
            self._happened(run.workspace, run.address, run.id, "uploaded", {})
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
    def _write(self) -> Iterator[None]:
        with _immediate(self._db.conn, self.path):
            # The fence: whoever lost the lock (a suspended laptop, say) must not write over its successor.
            self._held().check(self._db)
            yield

    # Caches: no lock, no serial; losing them costs time only

    def keep_witnesses(self, learned: Iterable[Witness]) -> None:
        with _immediate(self._db.conn, self.path):
            self._db.conn.executemany(
                "INSERT OR REPLACE INTO witnesses (path, size, mtime_ns, ctime_ns, inode, digest) VALUES (?, ?, ?, ?, ?, ?)", learned
            )

    def keep_proof(self, workspace: str, body: str) -> None:
        with _immediate(self._db.conn, self.path):
            self._db["proofs"].upsert({"workspace": workspace, "body": body}, pk="workspace")

    def keep_configuration(self, key: str, body: str, instances: Sequence[tuple[str, str]]) -> None:
        with _immediate(self._db.conn, self.path):
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
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S, check_same_thread=False)
    db = sqlite_utils.Database(connection, execute_plugins=False)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return db


@contextmanager
def _immediate(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """A write transaction that waits for its turn. sqlite-utils' `atomic()` begins a deferred one, which loses to a concurrent writer at once."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        raise _unwritable(path, error) from None
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


def _unwritable(path: Path, reason: object) -> StateUnwritable:
    return StateUnwritable(
        f"The state {path} cannot be written",
        f"The reason given: {reason}. Check that the folder is writable, that the disk has room and that no other program holds the file; "
        "then run the command again. What was recorded before is safe.",
    )
