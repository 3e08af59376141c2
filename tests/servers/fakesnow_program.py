"""fakesnow as a program of its own environment, with some of what it lacks. The rule here: each thing that is added is one function.

Unloading to a stage, users, MERGE in a transaction, LAST_ALTERED, names that need quotes, moments that are NULL.
Its one argument is JSON: port, users (name to password), key (a user's public key), token, s3 (of DuckDB's secret). Run it with `-P`: beside it
lies a module of Snowflake's name.
"""

import gzip
import json
import sys
from typing import Any

import duckdb
import fakesnow.arrow
import fakesnow.copy_into
import fakesnow.cursor
import fakesnow.info_schema
import fakesnow.server
import fakesnow.transforms
import jwt
import pyarrow as pa
import snowflake.connector.errors
import uvicorn
from fakesnow.instance import FakeSnow
from sqlglot import exp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

CONFIG = json.loads(sys.argv[1])
_load = fakesnow.cursor.copy_into
_execute = fakesnow.cursor.FakeSnowflakeCursor._execute
_run = fakesnow.cursor.FakeSnowflakeCursor.execute
_moments = fakesnow.arrow.timestamp_to_sf_struct
_login = fakesnow.server.login_request


def copy_into(duck: Any, database: Any, schema: Any, copy: exp.Copy, stages: Any, params: Any = None) -> str:
    """With a stage as its target, it unloads: one Parquet file, as DuckDB writes it."""
    stage = copy.this.this if isinstance(copy.this, exp.Table) else None
    if not isinstance(stage, exp.Var) or not stage.name.startswith("@"):
        return str(_load(duck, database, schema, copy, stages, params))
    url = fakesnow.copy_into.stage_url_from_var(stage.name[1:], duck, database, schema, stages, exp.Table())
    query = copy.args["files"][0].this.sql(dialect="duckdb")
    duck.execute(f"COPY ({query}) TO '{url.rstrip('/')}/data_0_0_0.snappy.parquet' (FORMAT PARQUET)")
    result = f"SELECT {duck.fetchall()[0][0]} AS rows_unloaded"
    duck.execute(result)
    return result


def execute(cursor: Any, command: str, *args: Any, **kwargs: Any) -> Any:
    """What DuckDB refuses is refused, and no fault of the server's, after which the client would ask again and again."""
    try:
        return _run(cursor, command, *args, **kwargs)
    except duckdb.Error as error:
        raise snowflake.connector.errors.ProgrammingError(msg=str(error), errno=100069, sqlstate="22000") from error


def execute_noting(cursor: Any, transformed: Any, params: Any = None) -> None:
    """INFORMATION_SCHEMA.TABLES knows when a table was last altered."""
    _execute(cursor, transformed, params)
    if isinstance(transformed, exp.Merge):
        cursor._last_sql = 'SELECT 0 AS "number of rows merged"'  # what the answer's columns are taken from
    if isinstance(transformed, exp.Insert | exp.Update | exp.Delete | exp.Merge | exp.Copy | exp.Create) and (table := transformed.find(exp.Table)):
        with cursor._duck_conn.cursor() as apart:  # not in the transaction, which may write to one database only
            apart.execute("INSERT OR REPLACE INTO _fs_global._fs_information_schema._altered VALUES (upper(?), now())", [table.name])


async def login(request: Request) -> JSONResponse:
    """Knows its users, by password, by key pair, or by token."""
    body = await request.body()
    said = json.loads(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)["data"]
    if is_known(said):
        return await _login(request)
    return JSONResponse({"data": None, "code": "390100", "message": "Incorrect username or password was specified.", "success": False})


def is_known(said: dict[str, Any]) -> bool:
    user, token = said.get("LOGIN_NAME"), said.get("TOKEN")
    match said.get("AUTHENTICATOR"):
        case "SNOWFLAKE_JWT":
            try:
                claims = jwt.decode(token, CONFIG["key"], algorithms=["RS256"])
            except jwt.PyJWTError:
                return False
            return str(claims["sub"]).endswith(f".{str(user).upper()}")
        case "OAUTH":
            return bool(token == CONFIG["token"])
        case _:
            return user in CONFIG["users"] and said.get("PASSWORD") == CONFIG["users"][user]


def describe_table(table: exp.Table, duck: Any, database: Any, schema: Any) -> list[Any]:
    """With names that need quotes, too."""
    parts = (table.catalog or database, table.db or schema, table.name)
    quoted = ".".join(exp.to_identifier(part, quoted=True).sql("duckdb") for part in parts)
    return [(row[0], row[1]) for row in duck.execute(f"DESCRIBE {quoted}").fetchall()]


def table_columns(table: exp.Table, duck: Any, database: Any, schema: Any) -> list[str]:
    """As they are: CASE_SENSITIVE looks for them."""
    return [row[0] for row in describe_table(table, duck, database, schema)]


def moments(values: Any) -> Any:
    """NULL is no moment, and not the first of 1970."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    made = _moments(whole.fill_null(0))
    return pa.StructArray.from_arrays(made.flatten(), fields=list(made.type), mask=whole.is_null())


def main() -> None:
    fakesnow.arrow.timestamp_to_sf_struct = moments
    fakesnow.transforms.merge = lambda merge: [merge]  # DuckDB has it of its own, and in a transaction too
    fakesnow.copy_into._describe_table = describe_table
    fakesnow.copy_into._get_table_columns = table_columns
    duckdb.ResourceInUseException = type("ResourceInUseException", (duckdb.Error,), {})  # of DuckDB 2
    fakesnow.cursor.copy_into = copy_into
    fakesnow.cursor.FakeSnowflakeCursor.execute = execute
    fakesnow.cursor.FakeSnowflakeCursor._execute = execute_noting
    template = fakesnow.info_schema.SQL_CREATE_INFORMATION_SCHEMA_TABLES_VIEW
    altered = "(SELECT max(a.moment) FROM _fs_global._fs_information_schema._altered a WHERE a.name = upper(tables.table_name))"
    template.template = template.template.replace('to_timestamp(0)::timestamptz AS "LAST_ALTERED"', f'{altered} AS "LAST_ALTERED"')
    fakesnow.server.shared_fs = FakeSnow(create_database_on_connect=False, create_schema_on_connect=False)
    duck = fakesnow.server.shared_fs.duck_conn
    duck.execute("CREATE TABLE _fs_global._fs_information_schema._altered (name VARCHAR PRIMARY KEY, moment TIMESTAMPTZ)")
    duck.execute(f"CREATE SECRET (TYPE s3, {', '.join(f'{key} {value!r}' for key, value in CONFIG['s3'].items())})")
    log_in = Route("/session/v1/login-request", login, methods=["POST"])
    uvicorn.run(Starlette(routes=[log_in, *fakesnow.server.routes]), host="127.0.0.1", port=CONFIG["port"])


if __name__ == "__main__":
    main()
