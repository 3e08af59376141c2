"""The data stores and the data drivers, in SQLite. The rule here: one table for each, one code for both; names are unique in their table."""

import json
import secrets
import sqlite3
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from reconciler import confidential
from reconciler.api.schema import validation_problems
from reconciler.service import moment
from reconciler.service.connection import DataDriver, DataStore
from reconciler.service.database import Database
from reconciler.service.refusal import Refusal, invalid
from reconciler.service.secret_box import SecretBox, redacted_problems

Table = Literal["data_stores", "data_drivers"]
_KINDS: dict[Table, type[DataStore] | type[DataDriver]] = {"data_stores": DataStore, "data_drivers": DataDriver}
_NOUNS: dict[Table, str] = {"data_stores": "data store", "data_drivers": "data driver"}


@dataclass(frozen=True)
class Connection:
    id: str
    body: dict[str, Any]
    creator: str
    updated: str

    @property
    def shown(self) -> dict[str, Any]:
        return confidential.redacted(self.body) | {"id": self.id, "creator": self.creator, "updated": self.updated}


class Connections:
    def __init__(self, database: Database, table: Table, box: SecretBox, clock: moment.Clock) -> None:
        self._database = database
        self._table = table
        self._box = box
        self._clock = clock

    def page(self, offset: int, limit: int, kind: str | None, name: str) -> tuple[int, list[Connection]]:
        """Those of one type (all when None) whose name contains `name`, whatever its case."""
        where, values = "(? IS NULL OR type = ?) AND instr(lower(name), lower(?))", [kind, kind, name]
        with self._database.reading() as connection:
            total = connection.execute(f"SELECT count(*) FROM {self._table} WHERE {where}", values).fetchone()[0]
            rows = connection.execute(f"SELECT * FROM {self._table} WHERE {where} ORDER BY sequence LIMIT ? OFFSET ?", [*values, limit, offset])
            return total, [_from_row(row) for row in rows]

    def get(self, connection_id: str) -> Connection:
        """Raises Refusal 404."""
        with self._database.reading() as connection:
            return _from_row(self._present(connection, connection_id))

    def create(self, body: dict[str, Any], creator: str) -> Connection:
        made = Connection(secrets.token_hex(12), self._accepted(body), creator, moment.rfc3339(self._clock()))
        with self._database.writing() as connection:
            self._refuse_taken(connection, made.body["canonicalName"], made.id)
            connection.execute(
                f"INSERT INTO {self._table} (id, name, type, body, creator, updated) VALUES (?, ?, ?, ?, ?, ?)",
                (made.id, made.body["canonicalName"], made.body["type"], json.dumps(made.body), made.creator, made.updated),
            )
        return made

    def update(self, connection_id: str, body: dict[str, Any]) -> Connection:
        """The fields given replace the stored ones; `params` is replaced as one."""
        with self._database.writing() as connection:
            old = _from_row(self._present(connection, connection_id))
            given = confidential.restored(body, old.body)
            new = self._accepted({name: value for name, value in old.body.items() if name != "driverClassType"} | given)
            if new["type"] != old.body["type"]:
                raise Refusal(422, "the type cannot change", {"type": f"this {_NOUNS[self._table]} is {old.body['type']}"})
            self._refuse_taken(connection, new["canonicalName"], connection_id)
            connection.execute(
                f"UPDATE {self._table} SET name = ?, body = ?, updated = ? WHERE id = ?",
                (new["canonicalName"], json.dumps(new), moment.rfc3339(self._clock()), connection_id),
            )
            return _from_row(self._present(connection, connection_id))

    def delete(self, connection_id: str) -> None:
        with self._database.writing() as connection:
            self._present(connection, connection_id)
            connection.execute(f"DELETE FROM {self._table} WHERE id = ?", (connection_id,))

    def _accepted(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            accepted = _KINDS[self._table].model_validate(body).shown()
        except ValidationError as error:
            raise invalid(validation_problems(error)) from None
        if unknown := list(redacted_problems(accepted)):
            raise invalid(unknown)
        return self._box.sealed(accepted)

    def _present(self, connection: sqlite3.Connection, connection_id: str) -> sqlite3.Row:
        row: sqlite3.Row | None = connection.execute(f"SELECT * FROM {self._table} WHERE id = ?", (connection_id,)).fetchone()
        if row is None:
            raise Refusal(404, f"there is no {_NOUNS[self._table]} {connection_id}")
        return row

    def _refuse_taken(self, connection: sqlite3.Connection, name: str, connection_id: str) -> None:
        if connection.execute(f"SELECT 1 FROM {self._table} WHERE name = ? AND id != ?", (name, connection_id)).fetchone():
            sentence = f"another {_NOUNS[self._table]} has this name"
            raise Refusal(409, sentence, {"canonicalName": sentence})


def _from_row(row: sqlite3.Row) -> Connection:
    return Connection(row["id"], json.loads(row["body"]), row["creator"], row["updated"])
