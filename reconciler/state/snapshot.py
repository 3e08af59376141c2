"""The state as it is read. The rule here: reading never locks, never waits and never writes."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, Self

from reconciler.digests import Witness
from reconciler.errors import StateCorrupt, StateNewer, StateUnreadable
from reconciler.state.lifecycle import OPEN, Status
from reconciler.state.record import Event, Facts, Recorded, Run

# The steps that this release knows; `migrations.py` has them, and a test compares the two. Named here so that a read need not import them.
STEPS = frozenset({"m001_lineage_runs_history", "m002_uploads_retries_fences"})

_COLUMNS = tuple(field.name for field in fields(Run))
_JSON = ("spec", "intake", "model", "request", "reasons")
# What a NamedTuple's `_make` does, without a call into Python for each of 300,000 rows.
_new = tuple.__new__
# From the index alone, since the runs themselves are ten times as large.
_FACTS = "r.id, r.status, r.spec_digest, r.intake_digest, r.model_digest, r.output, r.output_digest"
_CURRENT = (
    f"SELECT i.address, i.metadata_digest, {_FACTS} FROM instances i "
    "LEFT JOIN runs r INDEXED BY runs_facts ON r.id = i.current_run WHERE i.workspace = ?"
)
_OTHER_LATEST = (
    f"SELECT i.address, {_FACTS} FROM instances i "
    "JOIN runs r INDEXED BY runs_facts ON r.id = i.latest_run WHERE i.workspace = ? AND i.latest_run IS NOT i.current_run"
)


class Holder(NamedTuple):
    """Who holds the lock."""

    holder: str
    who: str
    host: str
    pid: int
    command: str
    since: str
    heartbeat: float
    fence: int


def open_snapshot(path: Path) -> "Snapshot":
    """The state at `path`, empty when there is none yet. Raises StateCorrupt, StateUnreadable and StateNewer."""
    try:
        if not path.exists():
            return Snapshot(_blank(), path)
        path.open("rb").close()  # SQLite would not say why
    except OSError as error:
        detail = f"The system says: {error.strerror}. Check the path and its permissions, or name another database with -state=PATH."
        raise StateUnreadable(f"The state {path} cannot be read", detail) from None
    try:
        db = _connected(path)
    except sqlite3.DatabaseError as error:
        raise corrupt(path, error) from None
    try:
        return Snapshot(_migrated(db) if _is_older(db, path) else db, path)
    except BaseException:
        db.close()
        raise


def _connected(path: Path) -> sqlite3.Connection:
    def connect(mode: str) -> sqlite3.Connection:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA query_only = 1")
            db.execute("SELECT 1 FROM sqlite_schema")
        except BaseException:
            db.close()
            raise
        return db

    try:
        # A reader beside a writer must see the write-ahead log, so `immutable` is only for where there is none,
        return connect("mode=ro")
    except sqlite3.OperationalError:
        if os.access(path.parent, os.W_OK) or path.with_name(f"{path.name}-wal").exists():
            raise
        # and none can be made by us: someone who may only look, or a read-only disk.
        return connect("immutable=1")


def _is_older(db: sqlite3.Connection, path: Path) -> bool:
    """Whether an earlier release wrote it. Raises StateNewer and StateCorrupt."""
    try:
        steps = {row[0] for row in db.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = 'reconciler'")}
    except sqlite3.DatabaseError as error:
        raise corrupt(path, error) from None
    if newer := steps - STEPS:
        raise StateNewer(
            f"The state {path} was written by a later release of reconciler",
            f"It holds {', '.join(sorted(newer))}, which this release does not know. Nothing was changed. Install the later release, "
            "or name another database with -state=PATH.",
        )
    return steps != STEPS


def _migrated(db: sqlite3.Connection) -> sqlite3.Connection:
    """An earlier release's state as this one reads it, in memory: reading never writes."""
    with closing(db):
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        db.backup(copy)
    _migrate(copy)
    return copy


def corrupt(path: Path, error: sqlite3.DatabaseError) -> StateCorrupt:
    return StateCorrupt(
        f"The state {path} cannot be read",
        f"SQLite says: {error}. Nothing was changed. Restore the file from a backup, or name another database with -state=PATH. "
        f"`sqlite3 {path} .recover` may save what a damaged file still holds.",
    )


def _blank() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _migrate(db)
    return db


def _migrate(db: sqlite3.Connection) -> None:
    import sqlite_utils

    from reconciler.state.migrations import migrations

    migrations.apply(sqlite_utils.Database(db, execute_plugins=False))


class Snapshot:
    """Read access; every method is one or two queries. Use as a context manager, which closes the connection."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def freeze(self) -> None:
        """From the next read on, everything that is read is of one moment, whoever writes meanwhile."""
        self._db.execute("BEGIN")

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with self._told():
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise corrupt(self.path, error) from None

    @property
    def lineage(self) -> str:
        return str(self._meta("lineage"))

    @property
    def serial(self) -> int:
        return int(self._meta("serial"))

    def _meta(self, key: str) -> Any:
        return self._rows("SELECT value FROM meta WHERE key = ?", key)[0][0]

    def recorded(self, workspace: str) -> dict[str, Recorded]:
        """Every address the state knows in the workspace, with its current and its latest run."""
        found = {}
        with self._told():
            others = {row[0]: _new(Facts, row[1:]) for row in self._db.execute(_OTHER_LATEST, (workspace,))}
            for row in self._db.execute(_CURRENT, (workspace,)):
                address = row[0]
                current = None if row[2] is None else _new(Facts, row[2:])
                found[address] = _new(Recorded, (address, current, others.get(address, current), row[1]))
        return found

    def metadata(self, workspace: str, address: str) -> dict[str, Any]:
        rows = self._rows("SELECT metadata FROM instances WHERE workspace = ? AND address = ?", workspace, address)
        return dict(json.loads(rows[0][0])) if rows else {}

    def run(self, run_id: str) -> Run | None:
        return next(iter(self._runs("id = ?", run_id)), None)

    def runs(self, workspace: str, address: str | None = None) -> list[Run]:
        """Every run, oldest first."""
        if address is None:
            return self._runs("workspace = ? ORDER BY intended_at, id", workspace)
        return self._runs("workspace = ? AND address = ? ORDER BY intended_at, id", workspace, address)

    def current_runs(self, workspace: str) -> list[Run]:
        """The latest good run of every address, by address."""
        return self._runs("id IN (SELECT current_run FROM instances WHERE workspace = ?) ORDER BY address", workspace)

    def run_of_job(self, job_id: str) -> Run | None:
        """The run that has this job, in whatever workspace."""
        return next(iter(self._runs("job_id = ?", job_id)), None)

    def open_runs(self, workspace: str) -> list[Run]:
        """Runs of an apply that is going on, or that was interrupted; oldest first."""
        wanted = ", ".join(f"'{status}'" for status in sorted(OPEN))
        return self._runs(f"workspace = ? AND status IN ({wanted}) ORDER BY intended_at, id", workspace)

    def _runs(self, where: str, *values: Any) -> list[Run]:
        rows = self._rows(f"SELECT {', '.join(_COLUMNS)} FROM runs WHERE {where}", *values)
        return [run_from_row(dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    def history(self, workspace: str, address: str | None = None) -> list[Event]:
        """What was written, oldest first."""
        sql = "SELECT serial, at, workspace, address, run_id, kind, detail, fence FROM history WHERE workspace = ?"
        values = [workspace] if address is None else [workspace, address]
        rows = self._rows(sql + ("" if address is None else " AND address = ?") + " ORDER BY serial", *values)
        return [Event(*(*row[:6], json.loads(row[6]), row[7])) for row in rows]

    def holder(self) -> Holder | None:
        rows = self._rows("SELECT holder, who, host, pid, command, since, heartbeat, fence FROM lock WHERE holder IS NOT NULL")
        return Holder(*rows[0]) if rows else None

    def witnesses(self) -> dict[str, Witness]:
        with self._told():
            rows = self._db.execute("SELECT path, size, mtime_ns, ctime_ns, inode, digest FROM witnesses")
            return {row[0]: _new(Witness, row) for row in rows}

    def proof(self, workspace: str) -> str | None:
        """What the last plan that found nothing to do has kept (see `reconciler.proof`)."""
        rows = self._rows("SELECT body FROM proofs WHERE workspace = ?", workspace)
        return str(rows[0][0]) if rows else None

    def configuration(self, key: str) -> str | None:
        """What was parsed and validated before, by everything that decides the result."""
        rows = self._rows("SELECT body FROM configurations WHERE key = ?", key)
        return str(rows[0][0]) if rows else None

    def configured_instances(self, key: str, addresses: Iterable[str]) -> dict[str, Any]:
        found = {}
        for address in addresses:
            for row in self._rows("SELECT body FROM configured_instances WHERE key = ? AND address = ?", key, address):
                found[address] = json.loads(row[0])
        return found


def run_from_row(row: dict[str, Any]) -> Run:
    decoded = {name: json.loads(row[name]) for name in _JSON}
    return Run(**{**row, **decoded, "status": Status(row["status"]), "reasons": tuple(decoded["reasons"])})


def row_from_run(run: Run) -> dict[str, Any]:
    row = dict(vars(run))
    return {**row, **{name: json.dumps(row[name], ensure_ascii=False) for name in _JSON}, "status": str(run.status)}
