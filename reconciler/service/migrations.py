"""The tables of service.db. The rule here: append-only; a released migration is never edited."""

from sqlite_utils.db import Database
from sqlite_utils.migrations import Migrations

MIGRATIONS = Migrations("service")

_JOBS = """
CREATE TABLE jobs (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL,
  created TEXT NOT NULL,
  username TEXT NOT NULL,
  source TEXT NOT NULL,
  deployment_id TEXT NOT NULL,
  model_id TEXT,
  intake_type TEXT NOT NULL,
  output_type TEXT NOT NULL,
  output_place TEXT NOT NULL,
  spec TEXT NOT NULL,
  logs TEXT NOT NULL,
  idempotency_key TEXT UNIQUE,
  request TEXT NOT NULL,
  hidden TEXT,
  is_deleted INTEGER NOT NULL DEFAULT 0,
  scored_rows INTEGER NOT NULL DEFAULT 0,
  failed_rows INTEGER NOT NULL DEFAULT 0,
  skipped_rows INTEGER NOT NULL DEFAULT 0,
  intake_size INTEGER,
  output_size INTEGER,
  percentage REAL NOT NULL DEFAULT 0,
  elapsed INTEGER NOT NULL DEFAULT 0
) STRICT
"""

# The second index is a rule: no two jobs that have not ended write to one place.
_INDEXES = (
    "CREATE INDEX jobs_queue ON jobs (deployment_id, status, sequence)",
    "CREATE UNIQUE INDEX jobs_open_output ON jobs (output_place) WHERE status IN ('INITIALIZING', 'RUNNING')",
    "CREATE INDEX jobs_status ON jobs (status, sequence)",
    "CREATE INDEX jobs_created ON jobs (created, sequence)",
)


@MIGRATIONS(name="m001_jobs")
def _m001_jobs(db: Database) -> None:
    for statement in (_JOBS, *_INDEXES):
        db.execute(statement)
