"""PostgreSQL as intake and output. The rule here: a real server over a real socket, and every table in a schema of its test's own."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from psycopg import sql
from servers.postgres import PASSWORD, USER, Postgres
from servers.process import free_port
from targets import TARGETS

from reconciler.engine.connectors import jdbc
from reconciler.engine.dialect import Dialect
from reconciler.engine.job import ScoringJob, Tally
from reconciler.engine.pipeline import score
from reconciler.engine.place import Place
from reconciler.engine.settle import settle
from reconciler.errors import UNSETTLED, Lost, ScoringError
from reconciler.options import CsvSettings, Options
from reconciler.settings import JdbcIntake, JdbcOutput

CREDENTIAL = {"credentialType": "basic", "user": USER, "password": PASSWORD}
SCHEMA = 'my "own". schémà'


class Database:
    """The server with an empty schema, which the places name."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.connection = server.connect()
        self.run("DROP SCHEMA IF EXISTS {} CASCADE; CREATE SCHEMA {}", SCHEMA, SCHEMA)
        self.run("SET search_path = {}", SCHEMA)

    def run(self, statement: str, *names: str) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))  # type: ignore[arg-type]
        return list(cursor.fetchall()) if cursor.description else []

    def tables(self) -> list[str]:
        return [name for _, name, _ in jdbc.tables(self.intake(table="any"), SCHEMA)]

    def intake(self, probe: str | None = None, port: int | None = None, **settings: Any) -> Place:
        given = {"db_schema": SCHEMA} if "table" in settings else {}
        return self._place(JdbcIntake(type="jdbc", data_store_id="d", **given | settings), port, probe)

    def output(self, port: int | None = None, **settings: Any) -> Place:
        given = {"table": "scores", "db_schema": SCHEMA, "statement_type": "insert"}
        return self._place(JdbcOutput(type="jdbc", data_store_id="d", **given | settings), port)

    def _place(self, settings: Any, port: int | None, probe: str | None = None) -> Place:
        return Place(settings, CREDENTIAL, {}, {"jdbcUrl": self.server.url(port)}, "6166c01ee91fb6641ecd28bd", probe)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    found = Database(postgres)
    yield found
    found.connection.close()


def never() -> bool:
    return False


def read(place: Place, columns: Sequence[str] | None = None) -> pa.Table:
    intake = jdbc.open_intake(place, Dialect.of(CsvSettings()), never)
    try:
        pieces = intake.pieces(columns or list(intake.header), 1000, None, never)
        batches = [piece.read().table for piece in pieces]
        return pa.Table.from_batches(batches, pa.schema(list(zip(intake.header, intake.types, strict=True))) if not batches else None)
    finally:
        intake.close()


def write(place: Place, *batches: pa.RecordBatch) -> None:
    with jdbc.open_output(place, batches[0].schema) as output:
        for batch in batches:
            output.write(batch)
        output.finish()
    jdbc.settle(place, sum(batch.num_rows for batch in batches))
    jdbc.discard(place)


def rows(**columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


READ = [
    ("int2", "1", pa.int16(), 1),
    ("int4", "-1", pa.int32(), -1),
    ("int8", "9007199254740993", pa.int64(), 9007199254740993),
    ("float4", "0.5", pa.float32(), 0.5),
    ("float8", "0.1", pa.float64(), 0.1),
    ("numeric", "0.1000000000000000055511151231257827", pa.float64(), 0.1),
    ("numeric(12,2)", "1234567890.12", pa.float64(), 1234567890.12),
    ("money", "1234.5", pa.float64(), 1234.5),
    ("bool", "true", pa.bool_(), True),
    ("text", "'Größe \U0001f600'", pa.string(), "Größe \U0001f600"),
    ("varchar(5)", "''", pa.string(), ""),
    ("char(3)", "'a'", pa.string(), "a  "),
    ("bytea", "'\\x00ff'", pa.binary(), b"\x00\xff"),
    ("oid", "4294967295", pa.int64(), 4294967295),
    ("uuid", "'616d01a8-ddbd-17fc-2c75-caf4ffffffff'", pa.string(), "616d01a8-ddbd-17fc-2c75-caf4ffffffff"),
    ("json", "'{\"a\": 1}'", pa.string(), '{"a": 1}'),
    ("jsonb", "'{\"a\":1}'", pa.string(), '{"a": 1}'),
    ("int4[]", "'{1,NULL}'", pa.string(), "{1,NULL}"),
    ("inet", "'10.0.0.1'", pa.string(), "10.0.0.1"),
    ("interval", "'1 day 2 hours'", pa.string(), "1 day 02:00:00"),
    ("int4range", "'[1,3)'", pa.string(), "[1,3)"),
    ("date", "'2026-02-28'", pa.date32(), "2026-02-28"),
    ("date", "'infinity'", pa.date32(), None),
    ("time", "'12:30:00.5'", pa.time64("us"), "12:30:00.500000"),
    ("timestamp", "'2026-02-28 12:00:00.000001'", pa.timestamp("us"), "2026-02-28 12:00:00.000001"),
    ("timestamp", "'-infinity'", pa.timestamp("us"), None),
    ("timestamptz", "'2026-02-28 12:00:00+02'", pa.timestamp("us", "UTC"), "2026-02-28 10:00:00.000000Z"),
    ("timestamptz", "'infinity'", pa.timestamp("us", "UTC"), None),
    ("float8", "NULL", pa.float64(), None),
]


@pytest.mark.parametrize(("kind", "value", "expected", "content"), [pytest.param(*case, id=f"{case[0]} {case[1]}") for case in READ])
def test_a_value_is_read_as_the_type_that_holds_it(database: Database, kind: str, value: str, expected: pa.DataType, content: Any) -> None:
    column = read(database.intake(query=f"SELECT CAST({value} AS {kind}) AS x"))["x"]
    assert column.type == expected
    (found,) = column.cast(pa.string()).to_pylist() if isinstance(content, str) else column.to_pylist()
    assert found == content


def test_a_table_is_read_whole_under_any_name(database: Database) -> None:
    database.run('CREATE TABLE {} AS SELECT i AS "select", i / 2.0 AS "x y" FROM generate_series(1, 100000) i', 'Größe.of "all"')
    found = read(database.intake(table='Größe.of "all"', catalog="postgres"))
    assert found.num_rows == 100_000
    assert found["select"].to_pylist() == list(range(1, 100_001))
    assert found["x y"].to_pylist()[:2] == [0.5, 1.0]


def test_a_table_of_no_rows_has_its_columns(database: Database) -> None:
    database.run("CREATE TABLE t (a int, b text)")
    found = read(database.intake(table="t"))
    assert (found.num_rows, found.schema.names) == (0, ["a", "b"])


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("SELECT i FROM generate_series(1, 5) i ORDER BY i DESC;", id="order"),
        pytest.param("WITH x AS (SELECT i FROM generate_series(1, 5) i) SELECT i FROM x ORDER BY i DESC -- with a comment", id="with-and-comment"),
        pytest.param("VALUES (5), (4), (3), (2), (1)", id="values"),
        pytest.param("SELECT 6 - i AS i FROM generate_series(1, 5) i WHERE '%s' <> '%'", id="percent"),
    ],
)
def test_the_rows_of_a_query_come_in_its_order(database: Database, query: str) -> None:
    assert read(database.intake(query=query)).columns[0].to_pylist() == [5, 4, 3, 2, 1]


def test_the_current_schema_of_the_url_is_where_names_are_looked_for(database: Database) -> None:
    database.run("CREATE SCHEMA IF NOT EXISTS other; CREATE TABLE IF NOT EXISTS other.here AS SELECT 7 AS a")
    place = database.intake(query="SELECT a FROM here")
    there = replace(place, data_store={"jdbcUrl": database.server.url() + "?currentSchema=other&ApplicationName=a%20b"})
    assert read(there)["a"].to_pylist() == [7]
    with pytest.raises(ScoringError):
        read(place)


BAD_INTAKES = [
    ({"table": "gone"}, "The table does not exist", "gone"),
    ({"table": "T"}, "The table does not exist", ".t: upper and lower case matter"),
    ({"table": "t", "db_schema": "gone"}, "The schema does not exist", "no schema gone"),
    ({"table": "t", "catalog": "gone"}, "The catalog is another database", "the catalog is gone"),
    ({"query": "SELECT gone FROM pg_class"}, "The database refuses", 'column "gone" does not exist'),
    ({"query": "SELEC 1"}, "The database refuses", "syntax error"),
    ({"query": "SELECT 1 AS a, 2 AS a"}, "Columns have the same name", "names a more than once"),
    ({"query": "SELECT 1) AS q; DROP TABLE t; SELECT * FROM (SELECT 1"}, "The database refuses", "multiple commands"),
    ({"query": "SELECT 1 / (i - 5000) AS x FROM generate_series(1, 9999) i"}, "The intake cannot be read", "division by zero"),
    ({"query": "SELECT setval('s', 1)"}, "The intake cannot be read", "read-only transaction"),
    ({"query": "SELECT 1e300::numeric * 1e300 AS x"}, "The intake cannot be read", "out of range"),
]


@pytest.mark.parametrize(("settings", "summary", "detail"), [pytest.param(*case, id=str(next(reversed(case[0].values())))) for case in BAD_INTAKES])
def test_what_cannot_be_read_is_told_in_the_servers_words(database: Database, settings: dict[str, str], summary: str, detail: str) -> None:
    database.run("CREATE TABLE t (a int); CREATE SEQUENCE s")
    if "setval" in settings.get("query", ""):
        settings = {"query": f"SELECT setval('{sql.Identifier(SCHEMA, 's').as_string(None)}', 1)"}
    with pytest.raises(ScoringError) as caught:
        read(database.intake(**settings))
    assert caught.value.summary == summary
    assert detail in caught.value.detail
    assert "Query was" not in caught.value.detail


def test_a_wrong_password_is_not_repeated(database: Database) -> None:
    place = replace(database.intake(query="SELECT 1"), credential=CREDENTIAL | {"password": "hunter2"})
    with pytest.raises(ScoringError) as caught:
        jdbc.ping(place)
    assert caught.value.summary == "The database refuses the login"
    assert "password authentication failed" in caught.value.detail
    assert caught.value.detail.endswith("Name a credential, or correct its user or password.")
    assert not isinstance(caught.value, Lost)  # another try is no use
    assert "hunter2" not in caught.value.detail


def test_a_login_without_a_password_is_told_to_name_a_credential(database: Database) -> None:
    with pytest.raises(ScoringError) as caught:
        jdbc.ping(replace(database.intake(query="SELECT 1"), credential={}))
    assert caught.value.detail.endswith("Name a credential, or correct its user or password.")


def test_a_server_that_is_down_is_named(database: Database) -> None:
    port = free_port()
    with pytest.raises(ScoringError) as caught:
        jdbc.look(database.intake(table="t", port=port))
    assert f"127.0.0.1:{port}" in caught.value.detail


def test_a_database_that_is_not_there_is_named(database: Database) -> None:
    with pytest.raises(ScoringError) as caught:
        jdbc.ping(replace(database.intake(table="t"), data_store={"jdbcUrl": database.server.url() + "_gone"}))
    assert 'database "postgres_gone" does not exist' in caught.value.detail


def test_a_server_tells_its_schemas_and_tables(database: Database) -> None:
    database.run("CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM t; CREATE MATERIALIZED VIEW m AS SELECT a FROM t")
    place = database.intake(table="t")
    assert SCHEMA in jdbc.schemas(place)
    assert not [name for name in jdbc.schemas(place) if name.startswith("pg_")]
    assert jdbc.tables(place, SCHEMA) == [(SCHEMA, "m", "materialized view"), (SCHEMA, "t", "table"), (SCHEMA, "v", "view")]
    assert (SCHEMA, "t", "table") in jdbc.tables(place, None)


def test_a_table_is_unknown_without_a_probe(database: Database) -> None:
    database.run("CREATE TABLE t (a int)")
    assert jdbc.look(database.intake(table="t")) is None
    assert jdbc.look(database.intake(query="SELECT 1 AS a")) is None


def test_a_probe_tells_one_content_from_another(database: Database) -> None:
    database.run("CREATE TABLE t AS SELECT i AS a FROM generate_series(1, 9) i")
    place = database.intake(table="t", probe=f"SELECT count(*), max(a), NULL FROM {sql.Identifier(SCHEMA, 't').as_string(None)};")
    before = jdbc.look(place)
    assert before == jdbc.look(place) == {"probe": [["9", "9", None]]}
    database.run("UPDATE t SET a = 10 WHERE a = 9")
    assert jdbc.look(place) == {"probe": [["9", "10", None]]}


def test_a_probe_may_give_one_name_to_several_columns_and_rows_in_no_order(database: Database) -> None:
    database.run("CREATE TABLE t AS SELECT i AS a, i + 10 AS b FROM generate_series(1, 3) i")
    table = sql.Identifier(SCHEMA, "t").as_string(None)
    assert jdbc.look(database.intake(table="t", probe=f"SELECT max(a), max(b), '100%' FROM {table} -- all of it")) == {"probe": [["3", "13", "100%"]]}
    either = [jdbc.look(database.intake(table="t", probe=f"SELECT a FROM {table} ORDER BY a {order}")) for order in ("ASC", "DESC")]
    assert either[0] == either[1] == {"probe": [["1"], ["2"], ["3"]]}


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        pytest.param("SELECT * FROM generate_series(1, 1001)", "more than 1000 rows", id="too-many-rows"),
        pytest.param("SELECT 1; DROP TABLE t", "syntax error", id="two-statements"),
        pytest.param("SELECT gone", 'column "gone"', id="wrong"),
    ],
)
def test_a_probe_that_cannot_be_asked_is_refused(database: Database, probe: str, said: str) -> None:
    database.run("CREATE TABLE t (a int)")
    with pytest.raises(ScoringError) as caught:
        jdbc.look(database.intake(table="t", probe=probe))
    assert said in caught.value.detail
    assert database.tables() == ["t"]


def test_looking_for_a_table_that_is_gone_or_forbidden_is_an_error(database: Database) -> None:
    database.run("CREATE TABLE t (a int); DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA {} TO poor", SCHEMA)
    with pytest.raises(ScoringError):
        jdbc.look(database.intake(table="gone"))
    with pytest.raises(ScoringError) as caught:
        jdbc.look(replace(database.intake(table="t"), credential={"user": "poor", "password": "p"}))
    assert "permission denied for table t" in caught.value.detail
    assert "Grant the role what is missing" in caught.value.detail
    database.run("DROP OWNED BY poor; DROP ROLE poor")


WRITTEN = rows(id=["1", "2"], p=[0.25, None])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, [(1, 9.0), (3, 9.0), (1, 0.25), (2, None)], id="insert"),
        pytest.param({"statement_type": "update"}, [(1, 0.25), (3, 9.0)], id="update"),
        pytest.param({"statement_type": "insertUpdate"}, [(1, 0.25), (3, 9.0), (2, None)], id="insertUpdate"),
        pytest.param({"commit_interval": 1}, [(1, 9.0), (3, 9.0), (1, 0.25), (2, None)], id="insert-by-and-by"),
        pytest.param({"statement_type": "insertUpdate", "commit_interval": 1}, [(1, 0.25), (3, 9.0), (2, None)], id="insertUpdate-by-and-by"),
    ],
)
def test_rows_are_written_as_the_statement_type_says(database: Database, settings: dict[str, Any], expected: list[Any]) -> None:
    database.run("CREATE TABLE scores (more text DEFAULT 'x', n int GENERATED ALWAYS AS IDENTITY, id bigint NOT NULL, p double precision)")
    database.run("INSERT INTO scores (id, p) VALUES (1, 9), (3, 9)")
    keys = {"update_columns": ["p"], "where_columns": ["id"]} if "statement_type" in settings else {}
    write(database.output(**settings | keys), WRITTEN)
    assert sorted(map(str, database.run("SELECT id, p FROM scores"))) == sorted(map(str, expected))
    assert {more for (more,) in database.run("SELECT more FROM scores")} == {"x"}
    assert database.tables() == ["scores"]


@TARGETS
def test_a_table_is_kept_or_created_or_in_the_way(database: Database, statement: str, if_not_exists: bool, is_there: bool, outcome: Any) -> None:
    if is_there:
        database.run("CREATE TABLE scores (id bigint, p double precision); INSERT INTO scores VALUES (1, 9)")
    place = database.output(statement_type=statement, create_table_if_not_exists=if_not_exists)
    if isinstance(outcome, str):
        with pytest.raises(ScoringError, match=outcome) as caught:
            write(place, rows(id=[1], p=[0.5]))
        assert "scores" in caught.value.detail
        assert database.tables() == ["scores"] * is_there
    else:
        write(place, rows(id=[1], p=[0.5]))
        assert database.run("SELECT count(*) FROM scores") == [(outcome,)]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"create_table_if_not_exists": True}, id="insert"),
        pytest.param({"statement_type": "createTable"}, id="createTable"),
        pytest.param({"create_table_if_not_exists": True, "commit_interval": 1}, id="by-and-by"),
    ],
)
def test_a_table_is_created_by_the_types_of_its_columns(database: Database, settings: dict[str, Any]) -> None:
    table = "Scores of 'x' {0}"
    columns = {
        "id": pa.array([1]),
        "y_PREDICTION": pa.array([0.5]),
        "when %s": pa.array([0], pa.timestamp("ns", "Europe/Berlin")),
        "ok": [True],
        "texts": pa.array([["a"]]),
        "kind": pa.array(["k"]).dictionary_encode(),
        "large": pa.array([2**63], pa.uint64()),
    }
    write(database.output(table=table, **settings), rows(**columns))
    kinds = "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass({}::text) AND attnum > 0"
    found = database.connection.execute(kinds.format("%s"), [sql.Identifier(SCHEMA, table).as_string(None)]).fetchall()
    assert dict(found) == {
        "id": "bigint",
        "y_PREDICTION": "double precision",
        "when %s": "timestamp with time zone",
        "ok": "boolean",
        "texts": "text",
        "kind": "text",
        "large": "numeric(20,0)",
    }
    ((*values,),) = database.run("SELECT id, {}, ok, texts, kind, large FROM {}", "y_PREDICTION", table)
    assert values == [1, 0.5, True, '["a"]', "k", 2**63]
    assert database.tables() == [table]


def test_no_rows_create_the_table_all_the_same(database: Database) -> None:
    write(database.output(create_table_if_not_exists=True), WRITTEN.slice(0, 0))
    assert database.run("SELECT * FROM scores") == []
    assert database.tables() == ["scores"]


def test_a_second_settling_finds_it_done(database: Database) -> None:
    database.run("CREATE TABLE scores (id text, p float8)")
    place = database.output()
    with jdbc.open_output(place, WRITTEN.schema) as output:
        output.write(WRITTEN)
        output.finish()
    jdbc.settle(place, 2)
    jdbc.settle(place, 2)
    assert len(database.run("SELECT 1 FROM scores")) == 2


def test_rows_whose_staging_table_is_gone_are_not_taken_for_moved(database: Database) -> None:
    """Somebody has cleared it away, after the process died that had staged them, and before another one went on."""
    database.run("CREATE TABLE scores (id text, p float8)")
    place = database.output()
    write(place, WRITTEN)
    with pytest.raises(Lost) as caught:
        settle(place, 2)
    assert caught.value.summary == "The staged rows are gone"
    assert UNSETTLED in caught.value.detail and place.job in caught.value.detail


def test_an_output_that_is_left_leaves_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), jdbc.open_output(database.output(create_table_if_not_exists=True), WRITTEN.schema) as output:
        output.write(WRITTEN)
        assert database.tables() == ["reconciler_6166c01ee91fb6641ecd28bd"]
        raise RuntimeError
    assert database.tables() == []


FITTING = [
    ("bigint", " 42 ", 42),
    ("boolean", "True", True),
    ("numeric(6,2)", "1.005", "1.01"),
    ("date", "2026-02-28", "2026-02-28"),
    ("timestamptz", "2026-02-28T12:00:00+02:00", "2026-02-28 10:00:00+00"),
    ("uuid", "616d01a8ddbd17fc2c75caf4ffffffff", "616d01a8-ddbd-17fc-2c75-caf4ffffffff"),
    ("jsonb", '{"a":1}', '{"a": 1}'),
    ("int[]", "{1,2}", "{1,2}"),
    ("varchar(3)", "abc ", "abc"),
    ("char(3)", "a", "a  "),
    ("mood", "good", "good"),
]


@pytest.mark.parametrize(("kind", "text", "expected"), [pytest.param(*case, id=case[0]) for case in FITTING])
def test_text_becomes_what_the_column_is(database: Database, kind: str, text: str, expected: Any) -> None:
    database.run("CREATE TYPE mood AS ENUM ('good', 'bad'); SET TimeZone = 'UTC'")
    database.run(f"CREATE TABLE scores (x {kind})")
    write(database.output(), rows(x=[text, None]))
    shown = "x" if not isinstance(expected, str) else "CAST(format('%s', x) AS text)"
    assert database.run(f"SELECT {shown} FROM scores WHERE x IS NOT NULL") == [(expected,)]


UNFIT = [
    ("bigint", pa.array(["1", "abc"]), 'invalid input syntax for type bigint: "abc"'),
    ("smallint", pa.array([1, 70_000]), "smallint out of range"),
    ("integer", pa.array([1.0, 1.5]), "cannot hold '1.5'"),
    ("date", pa.array(["2026-02-30"]), 'date/time field value out of range: "2026-02-30"'),
    ("varchar(3)", pa.array(["abcd"]), "cannot hold 'abcd'"),
    ("numeric(4,2)", pa.array(["123.4"]), "numeric field overflow"),
    ("boolean", pa.array(["maybe"]), 'invalid input syntax for type boolean: "maybe"'),
]


@pytest.mark.parametrize(("kind", "values", "said"), [pytest.param(*case, id=case[0]) for case in UNFIT])
def test_what_does_not_fit_names_column_and_value(database: Database, kind: str, values: pa.Array, said: str) -> None:
    database.run(f"CREATE TABLE scores (ok text, x {kind})")
    with pytest.raises(ScoringError) as caught:
        write(database.output(), rows(ok=pa.nulls(len(values), pa.string()), x=values))
    assert caught.value.summary == "A value does not fit its column"
    assert "column x" in caught.value.detail
    assert said in caught.value.detail
    assert database.run("SELECT 1 FROM scores") == []
    assert database.tables() == ["scores"]


def test_a_character_that_text_cannot_hold_names_its_column(database: Database) -> None:
    database.run("CREATE TABLE scores (id text, x text)")
    with pytest.raises(ScoringError) as caught:
        write(database.output(), rows(id=["1"], x=["a\0b"]))
    assert "invalid byte sequence" in caught.value.detail
    assert "column x" in caught.value.detail
    assert database.tables() == ["scores"]


BAD_OUTPUTS = [
    ({"table": "gone"}, "The table does not exist. PostgreSQL at"),
    ({"table": "Scores"}, "scores: upper and lower case matter"),
    ({"db_schema": "gone"}, "no schema gone"),
    ({"catalog": "gone"}, "The catalog is another database"),
    ({"table": "fewer"}, "fewer has no p, which the output has; it has id"),
    ({"table": "strict"}, "needs must in every row"),
    ({"table": "generating"}, "the database itself fills p"),
    ({"table": "other"}, "cannot cast type double precision to date"),
    ({"statement_type": "update", "update_columns": ["q"], "where_columns": ["id"]}, "update_columns names q; the output has id, p"),
    ({"statement_type": "update", "update_columns": ["p"], "where_columns": ["k"]}, "where_columns names k"),
]


@pytest.mark.parametrize(("settings", "said"), [pytest.param(*case, id=case[1]) for case in BAD_OUTPUTS])
def test_what_cannot_be_written_is_told_before_the_first_row(
    database: Database, settings: dict[str, Any], said: str, bad: Callable[..., str]
) -> None:
    database.run("CREATE TABLE scores (id text, p float8); CREATE TABLE fewer (id text); CREATE TABLE strict (id text, p float8, must int NOT NULL)")
    database.run("CREATE TABLE generating (id text, p float8 GENERATED ALWAYS AS (1.5) STORED); CREATE TABLE other (id text, p date)")
    before = database.tables()
    with pytest.raises(ScoringError) as caught:
        jdbc.open_output(database.output(**settings), WRITTEN.schema)
    assert said in bad(caught)
    assert database.tables() == before


@pytest.mark.parametrize("key", ["text", "bigint"])
def test_rows_with_the_same_key_are_refused(database: Database, key: str, bad: Callable[..., str]) -> None:
    database.run(f"CREATE TABLE scores (id {key}, p float8)")
    place = database.output(statement_type="insertUpdate", update_columns=["p"], where_columns=["id"])
    twice = {"text": ["1", "1"], "bigint": ["1", "01"]}[key]
    with pytest.raises(ScoringError) as caught:
        write(place, rows(id=twice, p=[1.0, 2.0]))
    assert "2 rows of the output have id = 1" in bad(caught)
    assert (database.run("SELECT 1 FROM scores"), database.tables()) == ([], ["scores"])


def test_a_name_that_postgresql_would_cut_is_refused_before_the_first_row(database: Database) -> None:
    with pytest.raises(ScoringError, match="Names of columns are too long") as caught:
        jdbc.open_output(database.output(table="new", statement_type="createTable"), rows(**{"p" * 63: [0.5], "ü" * 32: [1]}).schema)
    assert "ü" * 32 in caught.value.detail and "p" * 63 not in caught.value.detail
    assert database.tables() == []


def test_a_key_that_is_null_matches_nothing(database: Database) -> None:
    database.run("CREATE TABLE scores (id text, p float8); INSERT INTO scores VALUES (NULL, 9)")
    write(database.output(statement_type="insertUpdate", update_columns=["p"], where_columns=["id"]), rows(id=pa.nulls(2, pa.string()), p=[1.0, 2.0]))
    assert sorted(database.run("SELECT p FROM scores")) == [(1.0,), (2.0,), (9.0,)]


def test_columns_are_found_whatever_their_case(database: Database) -> None:
    database.run("CREATE TABLE scores (ID bigint, Y_prediction float8)")
    place = database.output(statement_type="insertUpdate", update_columns=["y_PREDICTION"], where_columns=["ID"])
    write(place, rows(ID=["1"], y_PREDICTION=[0.5]))
    assert database.run("SELECT id, y_prediction FROM scores") == [(1, 0.5)]


def test_a_rule_of_the_table_that_is_broken_leaves_it_as_it_was(database: Database) -> None:
    database.run("CREATE TABLE scores (id text PRIMARY KEY, p float8); INSERT INTO scores VALUES ('2', 9)")
    place = database.output()
    with jdbc.open_output(place, WRITTEN.schema) as output:
        output.write(WRITTEN)
        output.finish()
    with pytest.raises(ScoringError) as caught:
        jdbc.settle(place, 2)
    assert "Key (id)=(2) already exists" in caught.value.detail
    assert database.run("SELECT id FROM scores") == [("2",)]
    jdbc.discard(place)
    assert database.tables() == ["scores"]


def test_staged_rows_that_somebody_has_changed_are_not_moved(database: Database) -> None:
    database.run("CREATE TABLE scores (id text, p float8)")
    place = database.output()
    with jdbc.open_output(place, WRITTEN.schema) as output:
        output.write(WRITTEN)
        output.finish()
    database.run("DELETE FROM {} WHERE id = '1'", "reconciler_6166c01ee91fb6641ecd28bd")
    with pytest.raises(ScoringError) as caught:
        jdbc.settle(place, 2)
    assert "has 1 rows, and 2 were staged" in caught.value.detail
    assert database.run("SELECT 1 FROM scores") == []


@pytest.mark.parametrize(
    ("granted", "said"),
    [
        pytest.param("SELECT 1", "permission denied for schema", id="no-create-on-the-schema"),
        pytest.param("GRANT CREATE ON SCHEMA {} TO poor", "permission denied for table scores", id="no-insert-into-the-table"),
    ],
)
def test_a_role_that_may_not_write_is_told_before_the_first_row(database: Database, granted: str, said: str) -> None:
    database.run("CREATE TABLE scores (id text, p float8); DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN PASSWORD 'p'")
    database.run("GRANT USAGE ON SCHEMA {} TO poor", SCHEMA)
    database.run(granted, *([SCHEMA] if "{}" in granted else []))
    with pytest.raises(ScoringError) as caught:
        jdbc.open_output(replace(database.output(), credential={"user": "poor", "password": "p"}), WRITTEN.schema)
    assert said in caught.value.detail
    assert "needs CREATE on the schema" in caught.value.detail
    assert database.tables() == ["scores"]
    database.run("DROP OWNED BY poor; DROP ROLE poor")


CSV = 'id,a,b,day,note,ok\n1,1.5,2,2026-02-28,"a ""x"", ü",True\n2,2.5,,,,False\n'


def scored(database: Database, model: Path, tmp_path: Path, text: str, **settings: Any) -> Tally:
    (tmp_path / "in.csv").write_text(text)
    job = ScoringJob(model, tmp_path / "in.csv", database.output(**settings), Options(passthrough_columns_set="all"), tmp_path / "rejects.csv")
    return score(job, report=lambda progress: None, is_cancelled=never)


def test_rows_that_are_noted_as_settled_are_not_brought_over_again(database: Database, regression: Path, tmp_path: Path) -> None:
    """Where a staging table is gone, only the note tells whether that is because its rows were moved."""
    for _ in range(2):
        assert scored(database, regression, tmp_path, CSV, create_table_if_not_exists=True).scored == 2
        assert len(database.run("SELECT 1 FROM scores")) == 2
        assert database.tables() == ["scores"]
    note = tmp_path / "rejects.staged.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "is_settled": False}))
    with pytest.raises(Lost, match="The staged rows are gone"):
        scored(database, regression, tmp_path, CSV, create_table_if_not_exists=True)
    assert len(database.run("SELECT 1 FROM scores")) == 2


def test_a_file_is_scored_into_columns_of_every_type(database: Database, regression: Path, tmp_path: Path) -> None:
    database.run('CREATE TABLE scores (id bigint, a numeric, b int, day date, note varchar(10), ok boolean, "y_PREDICTION" real)')
    assert scored(database, regression, tmp_path, CSV).scored == 2
    found = database.run("SELECT id, CAST(a AS text), b, CAST(day AS text), note, ok FROM scores ORDER BY id")
    assert found == [(1, "1.5", 2, "2026-02-28", 'a "x", ü', True), (2, "2.5", None, None, None, False)]
    assert database.tables() == ["scores"]


def test_a_file_with_a_value_that_does_not_fit_writes_nothing(database: Database, regression: Path, tmp_path: Path) -> None:
    database.run('CREATE TABLE scores (id bigint, a numeric, b int, day date, note varchar(10), ok boolean, "y_PREDICTION" real)')
    with pytest.raises(ScoringError) as caught:
        scored(database, regression, tmp_path, CSV.replace("2026-02-28", "tomorrow-ish"))
    assert 'column day, which is date: invalid input syntax for type date: "tomorrow-ish"' in caught.value.detail
    assert (database.run("SELECT 1 FROM scores"), database.tables()) == ([], ["scores"])


def test_a_file_of_no_rows_writes_none(database: Database, regression: Path, tmp_path: Path) -> None:
    assert scored(database, regression, tmp_path, "a,b\n", create_table_if_not_exists=True).scored == 0
    assert database.run("SELECT a, b FROM scores") == []
