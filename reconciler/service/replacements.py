"""Which deployments serve another one's folder. The rule here: append-only; a deployment's last row counts, and its own folder without one.

A folder is named by the deployment that it belongs to, so that a project that was moved keeps its replacements.
"""

import secrets
import sqlite3
import threading
from dataclasses import astuple, dataclass
from pathlib import Path

from reconciler.service import moment
from reconciler.service.database import Database

_LATEST = "SELECT * FROM replacements WHERE sequence IN (SELECT max(sequence) FROM replacements GROUP BY deployment_id)"


@dataclass(frozen=True)
class Replacement:
    """`owner_id` is the deployment whose folder is served, `folder` where that was then."""

    status_id: str
    deployment_id: str
    owner_id: str
    folder: str
    reason: str
    created: str
    created_by: str


class Replacements:
    def __init__(self, database: Database, clock: moment.Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        with database.reading() as connection:
            found = [_from_row(row) for row in connection.execute(_LATEST)]
        self._latest = {replacement.deployment_id: replacement for replacement in found}  # one process writes, and every job looks

    def latest(self, deployment_id: str) -> Replacement | None:
        return self._latest.get(deployment_id)

    def with_status(self, status_id: str) -> Replacement | None:
        with self._database.reading() as connection:
            row = connection.execute("SELECT * FROM replacements WHERE status_id = ?", (status_id,)).fetchone()
        return _from_row(row) if row else None

    def add(self, deployment_id: str, owner_id: str, folder: Path, reason: str, user: str) -> Replacement:
        made = Replacement(secrets.token_hex(12), deployment_id, owner_id, str(folder), reason, moment.rfc3339(self._clock()), user)
        with self._lock:  # so that memory and disk agree on which is the last
            with self._database.writing() as connection:
                connection.execute(
                    "INSERT INTO replacements (status_id, deployment_id, owner_id, folder, reason, created, created_by) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    astuple(made),
                )
            self._latest[deployment_id] = made
        return made


def _from_row(row: sqlite3.Row) -> Replacement:
    return Replacement(**{name: row[name] for name in Replacement.__dataclass_fields__})
