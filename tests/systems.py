"""The systems that whole-house tests score from and to, one class for each. The rule here: rows go in and come out by the system's own client."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
from servers.clouds import Cloud, azure_cloud, gcp_cloud, s3_cloud

Rows = list[dict[str, str]]


class System(Protocol):
    """`openers` are the sections of a specification that its settings name; `secrets` the environment variables that these name.

    Where a second run adds its rows to those of the first, the system `appends`.
    """

    openers: Mapping[str, Any]
    secrets: Mapping[str, str]
    appends: bool

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


def credential(fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """As a specification has it, and the variables that hold its secrets."""
    secrets = {f"SYSTEM_{name}": value if isinstance(value, str) else json.dumps(value) for name, value in fields.items() if name != "credentialType"}
    return {**fields, **{name.removeprefix("SYSTEM_"): f"${{env.{name}}}" for name in secrets}}, secrets


@dataclass
class Objects:
    """An object store, with a csv object for each source and output."""

    cloud: Cloud
    openers: dict[str, Any] = field(init=False)
    secrets: dict[str, str] = field(init=False)
    appends: bool = False

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


def _objects(server: str, cloud: Callable[[Any, str], Cloud]) -> Callable[[pytest.FixtureRequest, str], System]:
    return lambda request, name: Objects(cloud(request.getfixturevalue(server), name))


# How each is made: with the fixture that runs its server, and a name that no other test has.
SYSTEMS: dict[str, Callable[[pytest.FixtureRequest, str], System]] = {
    "s3": _objects("seaweed", s3_cloud),
    "azure": _objects("azurite", azure_cloud),
    "gcp": _objects("gcs", gcp_cloud),
}
