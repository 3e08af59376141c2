"""A PostgreSQL server, Debian's. The rule here: it is the real one, without what makes it slow and outlives it: no disk is synced."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from servers.process import free_port, running

USER, PASSWORD = "test", "s3cret pass/wörd"
_OWNER = "postgres"  # the server refuses to be run by root


@dataclass(frozen=True)
class Postgres:
    port: int
    database: str = "postgres"

    def connect(self, user: str = USER, password: str = PASSWORD) -> psycopg.Connection[Any]:
        address = {"host": "127.0.0.1", "port": self.port, "dbname": self.database}
        return psycopg.connect(**address, user=user, password=password, autocommit=True)

    def url(self, port: int | None = None) -> str:
        return f"jdbc:postgresql://127.0.0.1:{port or self.port}/{self.database}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda found: int(re.findall(r"\d+", str(found))[0]))
    assert binaries, "there is no PostgreSQL server here: apt-get install postgresql"
    folder = Path(tempfile.mkdtemp(prefix="reconciler-postgres-"))
    try:
        own = folder / "server"
        own.mkdir()
        password = own / "password"
        password.write_text(PASSWORD)
        if os.getuid() == 0:
            folder.chmod(0o755)
            for path in (own, password):
                shutil.chown(path, _OWNER)
        where = binaries[-1].parent
        made = [where / "initdb", "-D", own / "data", "-U", USER, "-A", "scram-sha-256", f"--pwfile={password}", "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run(_as_owner([*made, "--no-sync"]), check=True, capture_output=True, cwd=folder)
        port = free_port()
        options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "full_page_writes": "off"}
        command = [where / "postgres", "-D", own / "data", *(word for name, value in options.items() for word in ("-c", f"{name}={value}"))]
        server = Postgres(port)
        with running(_as_owner(command), folder / "log", lambda: _answers(server)):
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_owner(command: list[Any]) -> list[str]:
    words = list(map(str, command))
    return ["setpriv", f"--reuid={_OWNER}", f"--regid={_OWNER}", "--clear-groups", "--pdeathsig=QUIT", *words] if os.getuid() == 0 else words


def _answers(server: Postgres) -> bool:
    try:
        server.connect().close()
    except psycopg.OperationalError:
        return False
    return True
