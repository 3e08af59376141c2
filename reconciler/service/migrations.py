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


# A job made from a definition keeps what the definition was called then; `ended` says when it came to its end.
_RUNS = (
    "ALTER TABLE jobs ADD COLUMN definition_id TEXT",
    "ALTER TABLE jobs ADD COLUMN definition TEXT",
    "ALTER TABLE jobs ADD COLUMN ended TEXT",
    "CREATE INDEX jobs_definition ON jobs (definition_id, sequence)",
)
_DEFINITIONS = """
CREATE TABLE definitions (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL UNIQUE,
  enabled INTEGER NOT NULL,
  schedule TEXT,
  spec TEXT NOT NULL,
  deployment_id TEXT NOT NULL,
  created TEXT NOT NULL,
  created_by TEXT NOT NULL,
  updated TEXT NOT NULL,
  updated_by TEXT NOT NULL,
  next_run TEXT,
  last_scheduled_run TEXT,
  last_refused_run TEXT
) STRICT
"""
_CREDENTIALS = """
CREATE TABLE credentials (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  description TEXT NOT NULL,
  created TEXT NOT NULL,
  secrets BLOB NOT NULL
) STRICT
"""
_DATASETS = """
CREATE TABLE datasets (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  categories TEXT NOT NULL,
  is_deleted INTEGER NOT NULL DEFAULT 0
) STRICT
"""
_VERSIONS = """
CREATE TABLE dataset_versions (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  dataset_id TEXT NOT NULL REFERENCES datasets (id),
  status_id TEXT NOT NULL UNIQUE,
  file_name TEXT NOT NULL,
  created TEXT NOT NULL,
  created_by TEXT NOT NULL,
  size INTEGER NOT NULL,
  row_count INTEGER NOT NULL,
  error TEXT NOT NULL
) STRICT
"""
_CONNECTIONS = (
    """
CREATE TABLE data_stores (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  body TEXT NOT NULL,
  creator TEXT NOT NULL,
  updated TEXT NOT NULL
) STRICT
""",
    """
CREATE TABLE data_drivers (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  body TEXT NOT NULL,
  creator TEXT NOT NULL,
  updated TEXT NOT NULL
) STRICT
""",
)


@MIGRATIONS(name="m002_resources")
def _m002_resources(db: Database) -> None:
    for statement in (*_RUNS, _DEFINITIONS, _CREDENTIALS, _DATASETS, _VERSIONS, *_CONNECTIONS):
        db.execute(statement)
    db.execute("CREATE INDEX definitions_next_run ON definitions (next_run) WHERE enabled")
    db.execute("CREATE INDEX dataset_versions_dataset ON dataset_versions (dataset_id, sequence)")


# A job whose rows are uploaded: how far they are, whether it counts in the queue, whether a worker has it, whether its files are gone.
_TRANSFERS = (
    "ALTER TABLE jobs ADD COLUMN upload TEXT",
    "ALTER TABLE jobs ADD COLUMN is_queued INTEGER NOT NULL DEFAULT 1",
    "ALTER TABLE jobs ADD COLUMN is_scoring INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN results_deleted INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX jobs_files ON jobs (ended) WHERE results_deleted = 0 AND 'localFile' IN (intake_type, output_type)",
)


@MIGRATIONS(name="m003_transfers")
def _m003_transfers(db: Database) -> None:
    for statement in _TRANSFERS:
        db.execute(statement)


@MIGRATIONS(name="m004_dataset_intakes")
def _m004_dataset_intakes(db: Database) -> None:
    """A job scores the version that was the latest when it was submitted, also when a newer one comes while it waits."""
    db.execute("ALTER TABLE jobs ADD COLUMN dataset_version_id TEXT")
    db.execute("ALTER TABLE jobs ADD COLUMN dataset_name TEXT")


_REPLACEMENTS = """
CREATE TABLE replacements (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  status_id TEXT NOT NULL UNIQUE,
  deployment_id TEXT NOT NULL,
  owner_id TEXT NOT NULL,
  folder TEXT NOT NULL,
  reason TEXT NOT NULL,
  created TEXT NOT NULL,
  created_by TEXT NOT NULL
) STRICT
"""


@MIGRATIONS(name="m005_replacements")
def _m005_replacements(db: Database) -> None:
    """A deployment that serves the model of another one's folder, from when on, and why."""
    db.execute(_REPLACEMENTS)
    db.execute("CREATE INDEX replacements_deployment ON replacements (deployment_id, sequence)")


@MIGRATIONS(name="m006_times")
def _m006_times(db: Database) -> None:
    """What the templates in a job's query and table stand for: the same whenever the job is scored."""
    db.execute("ALTER TABLE jobs ADD COLUMN times TEXT")
