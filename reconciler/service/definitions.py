"""The job definitions, in SQLite. The rule here: `next_run` is set by every write that can change it, so the scheduler only compares times.

A definition knows nothing of its jobs; what it shows of them is read from the jobs' own rows.
"""

import json
import secrets
import sqlite3
from datetime import datetime
from typing import Any

from reconciler.service import moment
from reconciler.service.database import Database
from reconciler.service.definition import Accept, Content, Definition, accepted, from_row
from reconciler.service.refusal import Refusal
from reconciler.service.schedule import next_run

_LAST = "FROM jobs WHERE jobs.definition_id = definitions.id"
_DEFINITION = f"""
SELECT definitions.*,
  (SELECT status {_LAST} ORDER BY sequence DESC LIMIT 1) AS last_started_status,
  (SELECT created {_LAST} ORDER BY sequence DESC LIMIT 1) AS last_started,
  (SELECT max(ended) {_LAST} AND status = 'COMPLETED') AS last_success,
  (SELECT max(created) {_LAST} AND status = 'COMPLETED') AS last_completed,
  (SELECT max(ended) {_LAST} AND status IN ('ABORTED', 'FAILED')) AS last_failure
FROM definitions
"""
_OPEN = "SELECT id FROM jobs WHERE definition_id = ? AND status IN ('INITIALIZING', 'RUNNING') AND NOT is_deleted"


class Definitions:
    def __init__(self, database: Database, clock: moment.Clock) -> None:
        self._database = database
        self._clock = clock

    def page(self, offset: int, limit: int, search: str, deployment_id: str | None) -> tuple[int, list[Definition]]:
        """Those whose name contains `search`, whatever its case; of one deployment, or of all when None."""
        where = "instr(lower(name), lower(?)) AND (? IS NULL OR deployment_id = ?)"
        values = [search, deployment_id, deployment_id]
        with self._database.reading() as connection:
            total = connection.execute(f"SELECT count(*) FROM definitions WHERE {where}", values).fetchone()[0]
            rows = connection.execute(f"{_DEFINITION} WHERE {where} ORDER BY sequence LIMIT ? OFFSET ?", [*values, limit, offset])
            return total, [from_row(row) for row in rows]

    def get(self, definition_id: str) -> Definition:
        """Raises Refusal 404."""
        with self._database.reading() as connection:
            return _present(connection, definition_id)

    def due(self, now: datetime) -> list[Definition]:
        """Those whose next run has come, the one that waits longest first."""
        with self._database.reading() as connection:
            rows = connection.execute(f"{_DEFINITION} WHERE enabled AND next_run <= ? ORDER BY next_run, sequence", (moment.rfc3339(now),))
            return [from_row(row) for row in rows]

    def create(self, body: dict[str, Any], accept: Accept, user: str) -> Definition:
        content, definition_id, now = accepted(body, accept), secrets.token_hex(12), self._clock()
        row = self._row(content, definition_id, now) | {"created": moment.rfc3339(now), "created_by": user, "updated_by": user}
        with self._database.writing() as connection:
            _refuse_taken(connection, row["name"], definition_id)
            connection.execute(f"INSERT INTO definitions ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})", row)
            return _present(connection, definition_id)

    def update(self, definition_id: str, body: dict[str, Any], accept: Accept, user: str) -> Definition:
        """The fields given replace the stored ones, each as a whole."""
        content, now = accepted(body, accept, self.get(definition_id).content), self._clock()
        row = self._row(content, definition_id, now) | {"updated_by": user}
        with self._database.writing() as connection:
            _present(connection, definition_id)
            _refuse_taken(connection, row["name"], definition_id)
            connection.execute(f"UPDATE definitions SET {', '.join(f'{name} = :{name}' for name in row)} WHERE id = :id", row)
            return _present(connection, definition_id)

    def delete(self, definition_id: str) -> None:
        with self._database.writing() as connection:
            _present(connection, definition_id)
            if job := connection.execute(_OPEN, (definition_id,)).fetchone():
                raise Refusal(409, f"job {job['id']} of this definition has not ended; wait for it, or delete it first")
            connection.execute("DELETE FROM definitions WHERE id = ?", (definition_id,))

    def ran(self, definition: Definition, now: datetime, is_refused: bool) -> None:
        """The run that was due is over with: the next one lies after `now`, so however many were missed, they were one."""
        refused = moment.rfc3339(now) if is_refused else None
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE definitions SET next_run = ?, last_scheduled_run = ?, last_refused_run = coalesce(?, last_refused_run) "
                "WHERE id = ? AND next_run = ?",  # not when it was changed meanwhile
                (_next(definition.content, now), definition.next_run, refused, definition.id, definition.next_run),
            )

    def _row(self, content: Content, definition_id: str, now: datetime) -> dict[str, Any]:
        return {
            "id": definition_id,
            "name": content.name or f"job definition {definition_id}",
            "enabled": content.enabled,
            "schedule": content.schedule.model_dump_json(by_alias=True) if content.schedule else None,
            "spec": json.dumps(content.spec),
            "deployment_id": content.spec["deploymentId"],
            "updated": moment.rfc3339(now),
            "next_run": _next(content, now),
        }


def _next(content: Content, now: datetime) -> str | None:
    following = next_run(content.schedule, now) if content.enabled and content.schedule else None
    return moment.rfc3339(following) if following else None


def _present(connection: sqlite3.Connection, definition_id: str) -> Definition:
    row = connection.execute(f"{_DEFINITION} WHERE definitions.id = ?", (definition_id,)).fetchone()
    if row is None:
        raise Refusal(404, f"there is no job definition {definition_id}")
    return from_row(row)


def _refuse_taken(connection: sqlite3.Connection, name: str, definition_id: str) -> None:
    if connection.execute("SELECT 1 FROM definitions WHERE name = ? AND id != ?", (name, definition_id)).fetchone():
        raise Refusal(409, "another job definition has this name", {"name": "another job definition has this name"})
