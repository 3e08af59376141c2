"""The credentials, in SQLite. The rule here: a secret is sealed before it is stored, and only `secrets` gives one back, to who scores."""

import json
import secrets as randomness
import sqlite3
from dataclasses import dataclass
from typing import Any

from reconciler.service import moment
from reconciler.service.credential import Label, accepted
from reconciler.service.database import Database
from reconciler.service.refusal import Refusal
from reconciler.service.secret_box import SecretBox


@dataclass(frozen=True)
class Credential:
    id: str
    name: str
    type: str
    description: str
    created: str


class Credentials:
    def __init__(self, database: Database, box: SecretBox, clock: moment.Clock) -> None:
        self._database = database
        self._box = box
        self._clock = clock

    def page(self, offset: int, limit: int, types: list[str]) -> tuple[int, list[Credential]]:
        where = f"type IN ({', '.join('?' * len(types))})" if types else "1"
        with self._database.reading() as connection:
            total = connection.execute(f"SELECT count(*) FROM credentials WHERE {where}", types).fetchone()[0]
            rows = connection.execute(f"SELECT * FROM credentials WHERE {where} ORDER BY sequence LIMIT ? OFFSET ?", [*types, limit, offset])
            return total, [_from_row(row) for row in rows]

    def get(self, credential_id: str) -> Credential:
        """Raises Refusal 404."""
        with self._database.reading() as connection:
            return _from_row(_present(connection, credential_id))

    def secrets(self, credential_id: str) -> dict[str, Any]:
        """Every field, `credentialType` among them. Raises Refusal 404, and ServiceError when the key is another one."""
        with self._database.reading() as connection:
            row = _present(connection, credential_id)
        return self._box.open(row["secrets"])

    def create(self, body: dict[str, Any]) -> Credential:
        label, fields = accepted(body)
        sealed = self._box.seal(fields)
        made = Credential(randomness.token_hex(12), label.name, fields["credentialType"], label.description, moment.rfc3339(self._clock()))
        with self._database.writing() as connection:
            _refuse_taken(connection, made.name, made.id)
            connection.execute(
                "INSERT INTO credentials (id, name, type, description, created, secrets) VALUES (?, ?, ?, ?, ?, ?)",
                (made.id, made.name, made.type, made.description, made.created, sealed),
            )
        return made

    def update(self, credential_id: str, body: dict[str, Any]) -> Credential:
        """The fields given replace the stored ones; a new name without a description clears the old one, as the API does."""
        with self._database.writing() as connection:
            row = _present(connection, credential_id)
            old = {"name": row["name"], "description": "" if "name" in body else row["description"]}
            label, fields = accepted(old | self._box.open(row["secrets"]) | body)
            if fields["credentialType"] != row["type"]:
                raise Refusal(422, "the type of a credential cannot change", {"credentialType": f"this credential is {row['type']}"})
            _refuse_taken(connection, label.name, credential_id)
            self._store(connection, credential_id, label, fields)
        return self.get(credential_id)

    def delete(self, credential_id: str) -> None:
        with self._database.writing() as connection:
            _present(connection, credential_id)
            if name := _user(connection, credential_id):
                raise Refusal(409, f"the credential is used by the job definition {name!r}")
            connection.execute("DELETE FROM credentials WHERE id = ?", (credential_id,))

    def _store(self, connection: sqlite3.Connection, credential_id: str, label: Label, fields: dict[str, Any]) -> None:
        values = (label.name, label.description, self._box.seal(fields), credential_id)
        connection.execute("UPDATE credentials SET name = ?, description = ?, secrets = ? WHERE id = ?", values)


def _present(connection: sqlite3.Connection, credential_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute("SELECT * FROM credentials WHERE id = ?", (credential_id,)).fetchone()
    if row is None:
        raise Refusal(404, f"there is no credential {credential_id}")
    return row


def _refuse_taken(connection: sqlite3.Connection, name: str, credential_id: str) -> None:
    if connection.execute("SELECT 1 FROM credentials WHERE name = ? AND id != ?", (name, credential_id)).fetchone():
        raise Refusal(409, "another credential has this name", {"name": "another credential has this name"})


def _user(connection: sqlite3.Connection, credential_id: str) -> str | None:
    """The name of a definition whose intake or output names the credential."""
    for row in connection.execute("SELECT name, spec FROM definitions"):
        spec = json.loads(row["spec"])
        if any(credential_id in (side.get("credentialId"), side.get("cloudStorageCredentialId")) for side in _sides(spec)):
            return str(row["name"])
    return None


def _sides(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [spec["intakeSettings"], spec["outputSettings"]]


def _from_row(row: sqlite3.Row) -> Credential:
    return Credential(row["id"], row["name"], row["type"], row["description"], row["created"])
