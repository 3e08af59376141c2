"""Data stores of PostgreSQL: what is in a URL or in fields, in libpq's words."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from reconciler.engine.connectors import jdbc_url
from reconciler.engine.connectors.jdbc_url import parameters
from reconciler.errors import ScoringError

HERE = {"host": "h", "port": "5432", "dbname": "db"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("jdbc:postgresql://h:5433/db", HERE | {"port": "5433"}, id="host-port-database"),
        pytest.param("jdbc:postgresql://h/db", HERE, id="usual-port"),
        pytest.param("jdbc:postgresql:db", HERE | {"host": "localhost"}, id="database-alone"),
        pytest.param("jdbc:postgresql://h/", {"host": "h", "port": "5432"}, id="no-database"),
        pytest.param("jdbc:postgresql://[::1]:5433/db", HERE | {"host": "::1", "port": "5433"}, id="ipv6"),
        pytest.param("jdbc:postgresql://a:1,b/db", HERE | {"host": "a,b", "port": "1,5432"}, id="several-hosts"),
        pytest.param(
            "jdbc:postgresql://h/a%20b?user=a%40b&password=p%26w", {**HERE, "dbname": "a b", "user": "a@b", "password": "p&w"}, id="escapes"
        ),
        pytest.param("jdbc:postgresql://h/db?currentSchema=s,public", HERE | {"search_path": "s,public"}, id="current-schema"),
        pytest.param("jdbc:postgresql://h/db?ssl=true", HERE | {"sslmode": "verify-full"}, id="ssl"),
        pytest.param("jdbc:postgresql://h/db?ssl=false", HERE, id="no-ssl"),
        pytest.param("jdbc:postgresql://h/db?sslmode=require&ssl=true", HERE | {"sslmode": "require"}, id="sslmode-wins"),
        pytest.param("jdbc:postgresql://h/db?targetServerType=preferSecondary", HERE | {"target_session_attrs": "prefer-standby"}, id="standby"),
        pytest.param("jdbc:postgresql://h/db?tcpKeepAlive=true&loginTimeout=3", HERE | {"keepalives": "1", "connect_timeout": "3"}, id="timeouts"),
    ],
)
def test_a_url_is_told_in_libpqs_words(url: str, expected: dict[str, str]) -> None:
    assert parameters({"jdbcUrl": url}, {}) == expected


@pytest.mark.parametrize("name", sorted(jdbc_url._PARAMETERS.keys() - {"currentSchema"}))
def test_libpq_knows_every_parameter_that_is_translated(name: str) -> None:
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    assert jdbc_url._PARAMETERS[name]("true").keys() <= known


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"address": "h:5433", "database": "db"}, HERE | {"port": "5433"}, id="address"),
        pytest.param({"host": "h", "port": 5433, "database": "db"}, HERE | {"port": "5433"}, id="host-and-port"),
        pytest.param({"jdbc.host": "h", "jdbc.database": "db"}, HERE, id="usual-port"),
    ],
)
def test_fields_do_as_well(fields: dict[str, Any], expected: dict[str, str]) -> None:
    given = [{"id": name, "name": name.title(), "value": value} for name, value in fields.items()]
    assert parameters({"fields": given}, {}) == expected


def test_a_credential_wins() -> None:
    given = {"credentialType": "basic", "user": "u", "password": "secret"}
    assert parameters({"jdbcUrl": "jdbc:postgresql://h/db?user=a&password=b"}, given) == HERE | {"user": "u", "password": "secret"}


@pytest.mark.parametrize(
    ("store", "credential", "said"),
    [
        pytest.param({"jdbcUrl": "jdbc:mysql://h/db?password=secret"}, {}, "serves PostgreSQL, jdbc:postgresql://", id="mysql"),
        pytest.param({"jdbcUrl": "jdbc:oracle:thin:u/secret@h:1521/x"}, {}, "is of oracle", id="oracle"),
        pytest.param({"jdbcUrl": "jdbc:snowflake://a.snowflakecomputing.com/?password=secret"}, {}, "use the type snowflake", id="snowflake"),
        pytest.param({"jdbcUrl": "jdbc:sqlserver://h;password=secret"}, {}, "use the type synapse", id="sqlserver"),
        pytest.param({"jdbcUrl": "secret"}, {}, "is of something else", id="no-url"),
        pytest.param({"jdbcUrl": "jdbc:postgresql://u:secret@h:1/db"}, {}, "names no host and port", id="a-user-before-the-host"),
        pytest.param({"jdbcUrl": "jdbc:postgresql://h/db?stringtype=secret&x=1"}, {}, "has stringtype, x, which", id="unknown-parameters"),
        pytest.param({}, {}, "neither a jdbcUrl", id="nothing"),
        pytest.param({"jdbcUrl": "jdbc:postgresql://h/db"}, {"credentialType": "s3", "password": "secret"}, "this one is s3", id="s3"),
    ],
)
def test_what_cannot_be_used_is_refused_without_its_secrets(
    store: dict[str, Any], credential: dict[str, Any], said: str, bad: Callable[..., str]
) -> None:
    with pytest.raises(ScoringError) as caught:
        parameters(store, credential)
    assert said in bad(caught)
    assert "secret" not in bad(caught)
