"""fakesnow as a program of its own environment, with some of what it lacks. The rule here: each thing that is added is one function.

Unloading to a stage, users, MERGE in a transaction, LAST_ALTERED, names that need quotes, moments that are NULL, results in chunks.
Its one argument is JSON: port, users (name to password), key (a user's public key), token, s3 (of DuckDB's secret). Run it with `-P`: beside it
lies a module of Snowflake's name.
"""

import gzip
import json
import sys
import uuid
from contextvars import ContextVar
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
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CONFIG = json.loads(sys.argv[1])
_load = fakesnow.cursor.copy_into
_execute = fakesnow.cursor.FakeSnowflakeCursor._execute
_run = fakesnow.cursor.FakeSnowflakeCursor.execute
_moments = fakesnow.arrow.timestamp_to_sf_struct
_login = fakesnow.server.login_request
_query = fakesnow.server.query_request
_encoded = fakesnow.server.to_ipc
_FIRST_ROWS = 1000  # of a result come with the answer itself
_rest: ContextVar[list[pa.Table]] = ContextVar("_rest")  # of the answer that is being made


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
        answer = await _login(request)
        session = fakesnow.server.sessions[json.loads(answer.body)["data"]["token"]]
        session.chunks, session.chunk_bytes = {}, said["SESSION_PARAMETERS"].get("CLIENT_RESULT_CHUNK_SIZE", 160) << 20
        return answer
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


def first_rows(table: pa.Table) -> Any:
    _rest.get().append(table.slice(_FIRST_ROWS))
    return _encoded(table.slice(0, _FIRST_ROWS))


async def query(request: Request) -> Response:
    """The first rows of a result, and where the others are: in chunks, each of CLIENT_RESULT_CHUNK_SIZE MB at the most."""
    _rest.set([])
    answer = await _query(request)
    rest = next(iter(_rest.get()), None)
    if not rest:
        return answer
    token = fakesnow.server.to_token(request)
    session = fakesnow.server.sessions[token]
    rows = max(1, session.chunk_bytes * rest.num_rows // rest.nbytes)
    said, chunks = json.loads(answer.body), []
    for start in range(0, rest.num_rows, rows):
        chunk, name = rest.slice(start, rows), uuid.uuid4().hex
        session.chunks[name] = chunk
        size = {"rowCount": chunk.num_rows, "uncompressedSize": chunk.nbytes, "compressedSize": chunk.nbytes}
        chunks.append({"url": f"{request.base_url}chunks/{token}/{name}", **size})
    said["data"]["chunks"] = chunks
    return JSONResponse(said)


def chunk(request: Request) -> Response:
    session = fakesnow.server.sessions[request.path_params["token"]]
    return Response(_encoded(session.chunks[request.path_params["name"]]).to_pybytes())


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
    fakesnow.server.to_ipc = first_rows
    ours = (
        Route("/session/v1/login-request", login, methods=["POST"]),
        Route("/queries/v1/query-request", query, methods=["POST"]),
        Route("/chunks/{token}/{name}", chunk),
    )
    uvicorn.run(Starlette(routes=[*ours, *fakesnow.server.routes]), host="127.0.0.1", port=CONFIG["port"])


if __name__ == "__main__":
    main()
