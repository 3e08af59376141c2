"""A warehouse that Microsoft's own driver takes for SQL Server, and its storage account. The rule here: `warehouse` says what it is, and is not."""

import ctypes.util
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from servers.azurite import Azurite
from servers.process import free_port, is_listening, running

_DATABASE, _USER = "warehouse", "loader"
_PASSWORD = "Pass;word}1'"  # with what a connection string must quote


@dataclass(frozen=True)
class Synapse:
    port: int
    azurite: Azurite
    database: str = _DATABASE
    user: str = _USER
    password: str = _PASSWORD

    @property
    def credential(self) -> dict[str, str]:
        return {"credentialType": "basic", "user": self.user, "password": self.password}

    @property
    def data_store(self) -> dict[str, str]:
        return store(self.port)

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """The rows of the last one."""
        return [tuple(row.values()) for row in self.rows(*statements)]

    def rows(self, *statements: str) -> list[dict[str, Any]]:
        """The same, by the names of their columns."""
        with closing(self.connect()) as connection, closing(connection.cursor()) as cursor:
            for statement in statements:
                cursor.execute(statement)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()] if names else []

    def connect(self) -> Any:
        import mssql_python

        password = self.password.replace("}", "}}")
        server = (
            f"Server=tcp:127.0.0.1,{self.port};Database={self.database};UID={self.user};PWD={{{password}}};Encrypt=yes;TrustServerCertificate=yes"
        )
        return mssql_python.connect(server, autocommit=True, timeout=10)

    def external_source(self, name: str, container: str, root: str = "", key: str | None = None) -> None:
        """A new container, and an external data source of this name that is a folder of it."""
        self.azurite.bucket(container)
        self.run(
            f"CREATE DATABASE SCOPED CREDENTIAL [{name}] WITH IDENTITY = 'any', SECRET = '{key or self.azurite.key}'",
            f"CREATE EXTERNAL DATA SOURCE [{name}] WITH (TYPE = HADOOP, CREDENTIAL = [{name}], "
            f"LOCATION = 'wasbs://{container}@{self.azurite.account}.blob.core.windows.net/{root}')",
        )

    def files(self, container: str) -> list[str]:
        return [item["path"] for items in self.azurite.store(container).list() for item in items]


def store(port: int, database: str = _DATABASE) -> dict[str, str]:
    return {"jdbcUrl": f"jdbc:sqlserver://127.0.0.1:{port};database={database};encrypt=true;trustServerCertificate=true"}


@contextmanager
def running_synapse(azurite: Azurite, folder: Path) -> Iterator[Synapse]:
    assert ctypes.util.find_library("ltdl"), "Microsoft's driver needs it: apt-get install libltdl7"
    port = free_port()
    account = f"{azurite.account}={azurite.url}"
    command = [sys.executable, Path(__file__).with_name("tds.py"), str(port), _DATABASE, _USER, _PASSWORD, account]
    with running(command, folder / "synapse.log", lambda: is_listening(port)):
        yield Synapse(port, azurite)


@pytest.fixture(scope="session")
def synapse(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    with running_synapse(azurite, tmp_path_factory.mktemp("synapse")) as server:
        yield server
