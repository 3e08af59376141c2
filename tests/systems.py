"""The systems that whole-house tests score from and to, one class for each. The rule here: rows go in and come out by the system's own client."""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
from pydantic.alias_generators import to_snake
from servers.clouds import Cloud, azure_cloud, gcp_cloud, s3_cloud
from servers.web import Web, page, status

from reconciler.credential import OPEN

Rows = list[dict[str, str]]


class System(Protocol):
    """`openers` are the sections of a specification that its settings name; `secrets` the environment variables that these name.

    Where a second run adds its rows to those of the first, the system `appends`; where its sources are files of this machine, it `is_here`.
    """

    openers: Mapping[str, Any]
    secrets: Mapping[str, str]
    appends: bool
    is_here: bool

    def make(self, name: str, rows: Rows) -> dict[str, Any]:
        """A new source of rows with that name; what a job that reads it says: `intake`, its settings, and a `probe` where it needs one."""

    def change(self, name: str, rows: Rows) -> None:
        """The source has these rows now, of which one is another."""

    def output(self, name: str) -> dict[str, Any]:
        """The settings of an output that is not there yet."""

    def read(self, name: str) -> Rows:
        """What was written there, in any order."""


def csv_text(rows: Rows) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def csv_rows(text: str) -> Rows:
    return list(csv.DictReader(io.StringIO(text)))


def other(rows: Rows) -> Rows:
    """The same rows of wines, of which one is another."""
    return [{**rows[0], "alcohol": "11.03", "color_intensity": "2.2", "proline": "407.0"}, *rows[1:]]


def credential(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """As a specification has it, and the variables that hold its secrets."""
    hidden = {name: value for name, value in fields.items() if name != "credentialType" and to_snake(name) not in OPEN}
    secrets = {f"SYSTEM_{name}": value if isinstance(value, str) else json.dumps(value) for name, value in hidden.items()}
    return {**fields, **{name.removeprefix("SYSTEM_"): f"${{env.{name}}}" for name in secrets}}, secrets


@dataclass
class Objects:
    """An object store, with a csv object for each source and output."""

    cloud: Cloud
    openers: dict[str, Any] = field(init=False)
    secrets: dict[str, str] = field(init=False)
    appends: bool = False
    is_here: bool = False

    def __post_init__(self) -> None:
        written, self.secrets = credential(self.cloud.credential)
        self.openers = {"credentials": {"lake": {"local": written}}} if self.secrets else {}

    def make(self, name: str, rows: Rows) -> dict[str, Any]:
        self.change(name, rows)
        return {"intake": self._settings(name)}

    def change(self, name: str, rows: Rows) -> None:
        self.cloud.put(name, csv_text(rows).encode())

    def output(self, name: str) -> dict[str, Any]:
        return self._settings(name)

    def read(self, name: str) -> Rows:
        return csv_rows(self.cloud.get(name).decode())

    def _settings(self, name: str) -> dict[str, Any]:
        named = {"credential": "lake"} if self.secrets else {}
        return {"type": self.cloud.type, "url": self.cloud.url(name), **self.cloud.settings, **named}


@dataclass
class Pages:
    """A web server, with a page for each source, and an address for each output that keeps what is sent to it."""

    web: Web
    openers: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    appends: bool = False
    is_here: bool = False

    def make(self, name: str, rows: Rows) -> dict[str, Any]:
        self.change(name, rows)
        return {"intake": {"type": "http", "url": f"{self.web.url}/{name}"}}

    def change(self, name: str, rows: Rows) -> None:
        content = csv_text(rows).encode()
        self.web.serve(f"/{name}", page(content, ETag=f'"{hashlib.sha256(content).hexdigest()}"'))

    def output(self, name: str) -> dict[str, Any]:
        return {"type": "http", "url": self.web.serve(f"/{name}", status(201)), "method": "PUT"}

    def read(self, name: str) -> Rows:
        return csv_rows([seen.body for seen in self.web.asked("PUT") if seen.path == f"/{name}"][-1].decode())


@dataclass
class Files:
    """This machine, as the working folder has it."""

    openers: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    appends: bool = False
    is_here: bool = True

    def make(self, name: str, rows: Rows) -> dict[str, Any]:
        self.change(name, rows)
        return {"intake": {"type": "fileSystem", "path": f"data/{name}"}}

    def change(self, name: str, rows: Rows) -> None:
        Path("data", name).write_text(csv_text(rows))

    def output(self, name: str) -> dict[str, Any]:
        return {"type": "fileSystem", "path": f"out/{name}"}

    def read(self, name: str) -> Rows:
        return csv_rows(Path("out", name).read_text())


@dataclass
class Catalog(Files):
    """The AI Catalog where the embedded service scores: a dataset is a file that has a name."""

    openers: dict[str, Any] = field(default_factory=lambda: {"datasets": {}})

    def make(self, name: str, rows: Rows) -> dict[str, Any]:
        self.change(name, rows)
        self.openers["datasets"][_table(name)] = {"local": f"data/{name}"}
        return {"intake": {"type": "dataset", "dataset": _table(name)}}


PREDICTIONS = [f"cultivar_{name}_PREDICTION" for name in ("barolo", "grignolino", "barbera")]


@dataclass
class Tables:
    """A database, with a table for each source and output; `run` gives the rows of a statement by their columns' names."""

    run: Callable[[str], list[dict[str, Any]]]
    openers: dict[str, Any]
    secrets: dict[str, str]
    reads: dict[str, Any]  # what intake settings say beside the table
    writes: dict[str, Any]
    text: str = "VARCHAR(40)"
    number: str = "DOUBLE PRECISION"
    quote: str = '"'
    prefix: str = ""  # of a table's name in a statement
    is_probed: bool = False
    appends: bool = False
    is_here: bool = False

    def make(self, name: str, rows: Rows) -> dict[str, Any]:
        table = _table(name)
        columns = ", ".join(f"{self._quoted(column)} {self.text if column == 'bottle_id' else self.number}" for column in rows[0])
        self.run(f"CREATE TABLE {self._name(table)} ({columns})")
        values = (", ".join(f"'{value}'" if column == "bottle_id" else value for column, value in row.items()) for row in rows)
        self.run(f"INSERT INTO {self._name(table)} {' UNION ALL '.join(f'SELECT {row}' for row in values)}")
        probe = {"probe": f"SELECT COUNT(*), SUM({self._quoted('alcohol')}) FROM {self._name(table)}"} if self.is_probed else {}
        return {"intake": {**self.reads, "table": table}, **probe}

    def change(self, name: str, rows: Rows) -> None:
        first = rows[0]
        new = ", ".join(f"{self._quoted(column)} = {first[column]}" for column in ("alcohol", "color_intensity", "proline"))
        self.run(f"UPDATE {self._name(_table(name))} SET {new} WHERE {self._quoted('bottle_id')} = '{first['bottle_id']}'")

    def output(self, name: str) -> dict[str, Any]:
        return {**self.writes, "table": _table(name)}

    def read(self, name: str) -> Rows:
        return [{column: str(value) for column, value in row.items()} for row in self.run(f"SELECT * FROM {self._name(_table(name))}")]

    def _name(self, table: str) -> str:
        return f"{self.prefix}{self._quoted(table)}"

    def _quoted(self, name: str) -> str:
        return f"{self.quote}{name}{self.quote}"


def _table(name: str) -> str:
    return name.removesuffix(".csv")


# Where a row of the same bottle is there already, it is updated: a job that is rerun writes no row twice.
UPSERT = {
    "statement_type": "insert_update",
    "create_table_if_not_exists": True,
    "where_columns": ["bottle_id"],
    "update_columns": [*PREDICTIONS, "cultivar_PREDICTION"],
}


def _postgresql(request: pytest.FixtureRequest, name: str) -> System:
    from servers.postgres import PASSWORD, USER

    server = request.getfixturevalue("postgres")
    written, secrets = credential({"credentialType": "basic", "user": USER, "password": PASSWORD})
    schema = f"{name} Übung"

    def run(statement: str) -> list[dict[str, Any]]:
        with server.connect() as connection:
            found = connection.execute(statement)
            return [dict(zip([column.name for column in found.description], row, strict=True)) for row in found] if found.description else []

    run(f'CREATE SCHEMA "{schema}"')
    openers = {"credentials": {"crm": {"local": written}}, "data_stores": {"crm": {"local": {"jdbc_url": server.url()}}}}
    place = {"type": "jdbc", "data_store": "crm", "credential": "crm", "schema": schema}
    return Tables(run, openers, secrets, place, {**place, **UPSERT}, prefix=f'"{schema}".', is_probed=True)


def _snowflake(request: pytest.FixtureRequest, name: str) -> System:
    server = request.getfixturevalue("snowflake")
    written, secrets = credential(server.credential)
    schema = name.replace("-", "_").upper()
    server.run(f"CREATE SCHEMA {server.database}.{schema}")

    def run(statement: str) -> list[dict[str, Any]]:
        if not statement.startswith("SELECT"):
            server.run(statement)
            return []
        told = server.run(f"SHOW COLUMNS IN TABLE {statement.removeprefix('SELECT * FROM ')}")
        return [dict(zip([row[2] for row in told], row, strict=True)) for row in server.run(statement)]

    openers = {"credentials": {"crm": {"local": written}}, "data_stores": {"crm": {"local": {"jdbc_url": server.url}}}}
    place = {"type": "snowflake", "data_store": "crm", "credential": "crm", "schema": schema}
    return Tables(run, openers, secrets, place, {**place, **UPSERT}, prefix=f'"{server.database}"."{schema}".')


def _synapse(request: pytest.FixtureRequest, name: str) -> System:
    server = request.getfixturevalue("synapse")
    written, secrets = credential(server.credential)
    schema = f"{name} Übung"

    server.run(f"CREATE SCHEMA [{schema}]")
    openers = {"credentials": {"crm": {"local": written}}, "data_stores": {"crm": {"local": {"jdbc_url": server.data_store["jdbcUrl"]}}}}
    place = {"type": "synapse", "data_store": "crm", "credential": "crm", "schema": schema}
    return Tables(server.rows, openers, secrets, place, {**place, **UPSERT}, "NVARCHAR(40)", "FLOAT", prefix=f'"{schema}".', is_probed=True)


def _bigquery(request: pytest.FixtureRequest, name: str) -> System:
    server, keys = request.getfixturevalue("bigquery"), request.getfixturevalue("google_keys")
    client, dataset = server.client(), name.replace("-", "_")
    client.create_dataset(dataset)
    server.gcs.bucket(name)
    written, secrets = credential({"credentialType": "gcp", "gcpKey": keys.account()})

    def run(statement: str) -> list[dict[str, Any]]:
        return [dict(row.items()) for row in client.query_and_wait(statement)]

    place = {"type": "bigquery", "dataset": dataset, "bucket": name, "credential": "crm"}
    openers = {"credentials": {"crm": {"local": written}}}
    return Tables(run, openers, secrets | server.variables, place, place, "STRING", "FLOAT64", "`", f"`{dataset}`.", appends=True)


def _objects(server: str, cloud: Callable[[Any, str], Cloud]) -> Callable[[pytest.FixtureRequest, str], System]:
    return lambda request, name: Objects(cloud(request.getfixturevalue(server), name))


# How each is made: with the fixture that runs its server, and a name that no other test has.
SYSTEMS: dict[str, Callable[[pytest.FixtureRequest, str], System]] = {
    "s3": _objects("seaweed", s3_cloud),
    "azure": _objects("azurite", azure_cloud),
    "gcp": _objects("gcs", gcp_cloud),
    "http": lambda request, name: Pages(request.getfixturevalue("web")),
    "postgresql": _postgresql,
    "snowflake": _snowflake,
    "synapse": _synapse,
    "bigquery": _bigquery,
    "dataset": lambda request, name: Catalog(),
    "fileSystem": lambda request, name: Files(),
}
