"""The tables of the state, one step after the other. The rule here: a step that was released is never edited; a new one is added below."""

import uuid
from typing import Any

from sqlite_utils.migrations import Migrations

# Databases are duck-typed here: sqlite-utils passes its own `Database` to every step.
migrations = Migrations("reconciler")


@migrations()
def m001_lineage_runs_history(db: Any) -> None:
    for statement in _M001:
        db.execute(statement)
    db["meta"].insert_all([{"key": "lineage", "value": str(uuid.uuid4())}, {"key": "serial", "value": "0"}])


@migrations()
def m002_uploads_retries_fences(db: Any) -> None:
    for statement in _M002:
        db.execute(statement)


_M001 = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    """CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        workspace TEXT NOT NULL,
        address TEXT NOT NULL,
        status TEXT NOT NULL,
        spec TEXT NOT NULL,
        spec_digest TEXT NOT NULL,
        intake TEXT NOT NULL,
        intake_digest TEXT,
        model TEXT NOT NULL,
        model_digest TEXT,
        deployment TEXT NOT NULL,
        deployment_id TEXT NOT NULL,
        request TEXT NOT NULL,
        reasons TEXT NOT NULL,
        intended_at TEXT NOT NULL,
        user TEXT NOT NULL,
        host TEXT NOT NULL,
        git_commit TEXT,
        tool_version TEXT NOT NULL,
        staging TEXT,
        job_id TEXT,
        submitted_at TEXT,
        started_at TEXT,
        ended_at TEXT,
        output TEXT,
        output_digest TEXT,
        output_bytes INTEGER,
        scored_rows INTEGER,
        failed_rows INTEGER,
        skipped_rows INTEGER,
        status_details TEXT,
        superseded_by TEXT REFERENCES runs(id)
    ) STRICT""",
    # All that a plan compares, in one small index beside the runs with their specs and requests.
    "CREATE INDEX runs_facts ON runs (id, status, spec_digest, intake_digest, model_digest, output, output_digest)",
    "CREATE INDEX runs_by_address ON runs (workspace, address, intended_at)",
    "CREATE INDEX runs_open ON runs (workspace, status) WHERE status IN ('intended', 'submitted', 'running', 'scored')",
    # One row an address that the state knows; forgetting one deletes the row here and nothing else.
    """CREATE TABLE instances (
        workspace TEXT NOT NULL,
        address TEXT NOT NULL,
        current_run TEXT REFERENCES runs(id),
        latest_run TEXT REFERENCES runs(id),
        metadata TEXT NOT NULL,
        metadata_digest TEXT NOT NULL,
        PRIMARY KEY (workspace, address)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE history (
        serial INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        workspace TEXT NOT NULL,
        address TEXT NOT NULL,
        run_id TEXT REFERENCES runs(id),
        kind TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX history_by_address ON history (workspace, address)",
    "CREATE TRIGGER history_is_append_only_u BEFORE UPDATE ON history BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END",
    "CREATE TRIGGER history_is_append_only_d BEFORE DELETE ON history BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END",
    # INSERT OR REPLACE deletes without the triggers above.
    """CREATE TRIGGER history_is_append_only_i BEFORE INSERT ON history WHEN EXISTS (SELECT 1 FROM history WHERE serial = NEW.serial)
        BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END""",
    """CREATE TRIGGER runs_are_kept_i BEFORE INSERT ON runs WHEN EXISTS (SELECT 1 FROM runs WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, 'a run is never replaced'); END""",
    "CREATE TRIGGER runs_are_kept BEFORE DELETE ON runs BEGIN SELECT RAISE(ABORT, 'a run is never deleted'); END",
    # The lock: one row while somebody applies; the fence outlives the holder and only rises.
    """CREATE TABLE lock (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        holder TEXT,
        who TEXT,
        host TEXT,
        pid INTEGER,
        command TEXT,
        since TEXT,
        heartbeat REAL,
        fence INTEGER NOT NULL
    ) STRICT""",
    "INSERT INTO lock (id, fence) VALUES (1, 0)",
    # Caches: losing them costs time only.
    """CREATE TABLE witnesses (
        path TEXT PRIMARY KEY,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        digest TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE TABLE proofs (workspace TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT",
    "CREATE TABLE configurations (key TEXT PRIMARY KEY, used_at REAL NOT NULL, body TEXT NOT NULL) STRICT",
    """CREATE TABLE configured_instances (
        key TEXT NOT NULL REFERENCES configurations(key) ON DELETE CASCADE,
        address TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (key, address)
    ) STRICT, WITHOUT ROWID""",
)

_M002 = (
    "ALTER TABLE runs ADD COLUMN endpoint TEXT",
    "ALTER TABLE runs ADD COLUMN server_time TEXT",
    "ALTER TABLE runs ADD COLUMN creator TEXT",
    "ALTER TABLE runs ADD COLUMN uploaded_at TEXT",
    "ALTER TABLE runs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1",
    "CREATE INDEX runs_by_job ON runs (job_id) WHERE job_id IS NOT NULL",
    "ALTER TABLE history ADD COLUMN fence INTEGER",
    # When the holder's process began, as its system tells: a pid is given again, the pair is not.
    "ALTER TABLE lock ADD COLUMN began TEXT",
)
