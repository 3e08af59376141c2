"""fakesnow as a server of Snowflake's protocol, its stages on the S3 server. The rule here: a user, a key and a token that it knows, and no others.

It is DuckDB under Snowflake's SQL: identifiers that differ only in case are one, and a stage's own credential is not looked at.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from servers.environment import environment
from servers.process import free_port, is_listening, running
from servers.seaweed import Seaweed

_PROGRAM = Path(__file__).with_name("fakesnow_program.py")
_SETUP = "from duckdb_extensions import import_extension; import_extension('httpfs')"
PASSPHRASE = "opens the key"
BUCKET = "stages"


@dataclass(frozen=True)
class Snowflake:
    port: int
    private_key: str  # PEM, encrypted by PASSPHRASE
    seaweed: Seaweed
    user: str = "SCORER"
    password: str = "sn0wfl4ke-passw0rd"
    token: str = "an-oauth-access-token"
    database: str = "DB1"

    @property
    def url(self) -> str:
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        return f"jdbc:snowflake://127.0.0.1:{port}/?account=fakesnow&db={self.database}&schema=PUBLIC&ssl=off"

    @property
    def credential(self) -> dict[str, str]:
        """As the API spells it."""
        return {"credentialType": "basic", "user": self.user, "password": self.password}

    def connect(self) -> Any:
        import snowflake.connector

        return snowflake.connector.connect(
            user=self.user,
            password=self.password,
            account="fakesnow",
            host="127.0.0.1",
            port=self.port,
            protocol="http",
            database=self.database,
            schema="PUBLIC",
            login_timeout=10,
            session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False, "CLIENT_TELEMETRY_ENABLED": False},
        )

    def run(self, *statements: str) -> list[Any]:
        """The rows of the last one."""
        with self.connect() as connection, connection.cursor() as cursor:
            rows: list[Any] = []
            for statement in statements:
                rows = cursor.execute(statement).fetchall()
            return rows


@contextmanager
def running_snowflake(folder: Path, seaweed: Seaweed) -> Iterator[Snowflake]:
    made = environment(
        "fakesnow",
        "fakesnow[server]==0.12.1",
        "snowflake-connector-python[pandas]<5",
        overrides=("duckdb==1.5.5", "duckdb-extensions", "duckdb-extension-httpfs==1.5.5"),  # the last whose extensions are on the registry
        setup=_SETUP,
    )
    key = rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(PASSPHRASE.encode())
    )
    server = Snowflake(free_port(), private.decode(), seaweed)
    secret = {"KEY_ID": seaweed.access_key_id, "SECRET": seaweed.secret_access_key, "ENDPOINT": seaweed.url.removeprefix("http://")}
    config = {
        "port": server.port,
        "users": {server.user: server.password},
        "key": public.decode(),
        "token": server.token,
        "s3": {**secret, "USE_SSL": "false", "URL_STYLE": "path", "REGION": seaweed.region},
    }
    command = [made / "bin" / "python", "-P", _PROGRAM, json.dumps(config)]
    with running(command, folder / "fakesnow.log", lambda: is_listening(server.port)):
        seaweed.bucket(BUCKET)
        server.run("CREATE DATABASE DB1", "CREATE SCHEMA DB1.PUBLIC", f"CREATE STAGE DB1.PUBLIC.LAKE URL = 's3://{BUCKET}/in the/lake/'")
        server.run(f"UPDATE _fs_global._fs_information_schema._fs_stages SET endpoint = '{seaweed.url}'")  # as of a stage of s3compat://
        yield server


@pytest.fixture(scope="session")
def snowflake(tmp_path_factory: pytest.TempPathFactory, seaweed: Seaweed) -> Iterator[Snowflake]:
    with running_snowflake(tmp_path_factory.mktemp("snowflake"), seaweed) as server:
        yield server
