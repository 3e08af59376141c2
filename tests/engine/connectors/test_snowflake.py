"""Snowflake as intake and output, against an emulator of it. The rule here: what the emulator cannot do is said where it is checked otherwise.

The emulator is DuckDB: it has no case in its names, always a current database, no warehouses, no privileges, and no lock to wait for.
"""

import dataclasses
import itertools
import logging
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import obstore
import pyarrow as pa
import pytest
from servers.line import Line
from servers.snowflake import BUCKET, PASSPHRASE, Snowflake
from servers.wire import Cut, Wire
from snowflake.connector.errors import IntegrityError, OperationalError, ProgrammingError
from targets import TARGETS

from reconciler.engine.connectors import snowflake as room
from reconciler.engine.connectors.snowflake_names import one_of
from reconciler.engine.connectors.snowflake_session import Session, address
from reconciler.engine.connectors.snowflake_types import Stored, fit, typed
from reconciler.engine.connectors.statements import Name
from reconciler.engine.dialect import Dialect
from reconciler.engine.job import ScoringJob, Tally
from reconciler.engine.look import look
from reconciler.engine.pipeline import score
from reconciler.engine.place import Place
from reconciler.engine.settle import settle
from reconciler.errors import Cancelled, ScoringError
from reconciler.options import Options
from reconciler.settings import SnowflakeIntake, SnowflakeOutput

NUMBERS = itertools.count(1)
STAGED = pytest.mark.parametrize("stage", [None, "lake"], ids=["without-a-stage", "through-a-stage"])


def place(server: Snowflake, output: bool = False, *, credential: dict[str, str] | None = None, url: str = "", **settings: Any) -> Place:
    made = (SnowflakeOutput if output else SnowflakeIntake)(type="snowflake", data_store_id="store", **settings)
    job = f"{next(NUMBERS):024x}"
    return Place(made, credential or server.credential, server.seaweed.credential, {"jdbcUrl": url or server.url}, job)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Snowflake:
    found: Snowflake = request.getfixturevalue("snowflake")
    return found


@pytest.fixture
def rows(server: Snowflake) -> str:
    """The name of a table of three rows, as its user writes it."""
    name = f"rows_{next(NUMBERS)}"
    server.run(f'CREATE TABLE {name} (ID INTEGER, "a" FLOAT, "b" NUMBER(10, 2))')
    server.run(f"INSERT INTO {name} VALUES (1, 0.5, 1.25), (2, -0.5, 2), (3, 0, -3)")
    return name


Run = Callable[..., Tally]


@pytest.fixture
def run(regression: Path, tmp_path: Path) -> Run:
    def scored(intake: Place | Path, output: Place | Path, **options: Any) -> Tally:
        rejects = tmp_path / f"{output.job if isinstance(output, Place) else next(NUMBERS)}.csv"
        job = ScoringJob(regression, intake, output, Options(**options), rejects)
        return score(job, report=lambda progress: None, is_cancelled=lambda: False)

    return scored


def text_of(caught: pytest.ExceptionInfo[ScoringError]) -> str:
    return f"{caught.value.summary}. {caught.value.detail}"


def read(where: Place) -> pa.Table:
    intake = room.open_intake(where, Dialect(), lambda: False)
    try:
        pieces = [piece.read().table for piece in intake.pieces(intake.header, 1000, None, lambda: False)]
        return pa.Table.from_batches(pieces, pa.schema(list(zip(intake.header, intake.types, strict=True))))
    finally:
        intake.close()


def files(server: Snowflake) -> list[str]:
    return [found["path"] for found in obstore.list(server.seaweed.store(BUCKET)).collect()]


def tables(server: Snowflake) -> list[str]:
    return [name for (name,) in server.run("SELECT table_name FROM information_schema.tables")]


# Rows


@STAGED
def test_a_table_is_scored_into_a_new_table(server: Snowflake, rows: str, run: Run, stage: str | None) -> None:
    target = f"Scored of {rows}"
    source = place(server, table=rows, external_stage=stage)
    scored = place(server, True, table=target, external_stage=stage, statement_type="insert", create_table_if_not_exists=True)
    tally = run(
        source,
        dataclasses.replace(scored, job=source.job),  # as the service has it
        passthrough_columns=["ID"],
        column_names_remapping={"ID": "id"},
    )
    assert (tally.scored, tally.failed) == (3, 0)
    assert server.run(f'SELECT COUNT(*), COUNT("y_PREDICTION"), SUM("id") FROM "{target}"') == [(3, 3, 6)]
    assert_nothing_is_left(server)


@STAGED
def test_a_query_is_scored_as_its_table_is(server: Snowflake, rows: str, run: Run, tmp_path: Path, stage: str | None) -> None:
    run(place(server, table=rows), tmp_path / "table.csv")
    run(place(server, query=f"SELECT * FROM {rows} WHERE ID > 0 ORDER BY ID;\n", external_stage=stage), tmp_path / "query.csv")
    assert (tmp_path / "query.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()
    assert_nothing_is_left(server)


EVERYTHING = {
    "I": ("INTEGER", "12345678901", pa.int64(), 12345678901),
    "N": ("NUMBER(10, 2)", "2.25", pa.float64(), 2.25),
    "F": ("FLOAT", "0.1", pa.float64(), 0.1),
    "S": ("VARCHAR", "'Zürich, \"x\"'", pa.string(), 'Zürich, "x"'),
    "L": ("BOOLEAN", "TRUE", pa.bool_(), True),
    "D": ("DATE", "'2024-02-29'::DATE", pa.date32(), date(2024, 2, 29)),
    "T": ("TIMESTAMP_NTZ", "'2024-02-29 10:11:12.123456'::TIMESTAMP_NTZ", pa.timestamp("us"), datetime.fromisoformat("2024-02-29T10:11:12.123456")),
    "V": ("VARIANT", "PARSE_JSON('{\"k\": [1, 2]}')", pa.string(), '{"k":[1,2]}'),
    "B": ("BINARY", "TO_BINARY('00FF', 'HEX')", pa.string(), "00FF"),
}


@STAGED
def test_types_of_a_table_are_those_that_models_and_texts_have(server: Snowflake, stage: str | None) -> None:
    name = f"types_{next(NUMBERS)}"
    declared = ", ".join(f"{column} {kind}" for column, (kind, *_) in EVERYTHING.items())
    values = ", ".join(value for _, value, *_ in EVERYTHING.values())
    server.run(f"CREATE TABLE {name} ({declared}, Z TIMESTAMP_TZ)")
    server.run(f"INSERT INTO {name} SELECT {values}, '2024-01-01 10:00:00 +0200'::TIMESTAMP_TZ", f"INSERT INTO {name} (I) VALUES (NULL)")
    found = read(place(server, table=name, external_stage=stage))
    kinds = {column: kind for column, (_, _, kind, _) in EVERYTHING.items()} | {"Z": pa.timestamp("us", "UTC")}
    assert {field.name: field.type for field in found.schema} == kinds
    first, second = found.to_pylist()
    assert first.pop("Z").isoformat() == "2024-01-01T08:00:00+00:00"
    assert first == {column: value for column, (*_, value) in EVERYTHING.items()}
    assert set(second.values()) == {None}


def test_a_table_comes_in_chunks_that_are_small(server: Snowflake) -> None:
    name, rows, columns = f"large_{next(NUMBERS)}", 300_000, "abcdefghij"
    chosen = ", ".join(f'RANDOM()::FLOAT AS "{column}"' for column in columns)
    server.run(f"CREATE TABLE {name} AS SELECT {chosen} FROM TABLE(GENERATOR(ROWCOUNT => {rows}))")
    with closing(room.open_intake(place(server, table=name), Dialect(), lambda: False)) as intake:
        sizes = [(piece.rows.num_rows, piece.rows.nbytes) for piece in intake.pieces(list(columns), rows, None, lambda: False)]
    assert sum(count for count, _ in sizes) == rows
    assert max(size for _, size in sizes) <= 16 << 20  # of 24 MB


@STAGED
def test_a_table_without_rows_has_its_columns(server: Snowflake, rows: str, run: Run, stage: str | None) -> None:
    empty = place(server, query=f"SELECT * FROM {rows} WHERE ID < 0", external_stage=stage)
    assert read(empty).schema.names == ["ID", "a", "b"]
    target = place(server, True, table=f"none of {rows}", external_stage=stage, statement_type="insert", create_table_if_not_exists=True)
    assert run(empty, target).scored == 0
    assert_nothing_is_left(server)


@STAGED
def test_names_may_have_anything_in_them(server: Snowflake, run: Run, tmp_path: Path, stage: str | None) -> None:
    # The emulator cannot PUT to a stage whose name has to be quoted, so there the schema is an ordinary one.
    schema = "an odd schema" if stage else "PUBLIC"
    odd = f'Möbel "{stage}".x; -- %s'
    quoted = '"' + odd.replace('"', '""') + '"'
    server.run(f'CREATE SCHEMA IF NOT EXISTS DB1."{schema}"')
    server.run(f'CREATE TABLE "{schema}".{quoted} ("a" FLOAT, "b" FLOAT, {quoted} VARCHAR)')
    server.run(f"INSERT INTO \"{schema}\".{quoted} VALUES (1, 2, 'x')")
    target = {"table": f"{odd} scored", "schema": schema, "catalog": "db1"}
    tally = run(
        place(server, table=odd, schema=schema, catalog="DB1", external_stage=stage and "db1.public.lake"),
        place(server, True, **target, external_stage=stage and "PUBLIC.LAKE", statement_type="insert", create_table_if_not_exists=True),
        passthrough_columns=[odd],
    )
    assert tally.scored == 1
    assert read(place(server, **target)).column(odd).to_pylist() == ["x"]


# Statements


def staged(server: Snowflake, table: str, stage: str | None, batch: pa.RecordBatch, **settings: Any) -> Place:
    where = place(server, True, table=table, external_stage=stage, **settings)
    with room.open_output(where, batch.schema) as output:
        output.write(batch)
        output.finish()
    return where


UPSERT = {"statement_type": "insertUpdate", "where_columns": ["key"], "update_columns": ["score"]}
SCORES = pa.RecordBatch.from_pydict({"key": ["a", "c"], "score": [9.5, 7.0], "more": [1, 2]})


@STAGED
@pytest.mark.parametrize(
    ("settings", "after"),
    [
        ({"statement_type": "insert"}, [("a", 9.5, 1), ("a", 1.0, None), ("b", 2.0, None), ("c", 7.0, 2)]),
        (UPSERT | {"statement_type": "update"}, [("a", 9.5, None), ("b", 2.0, None)]),
        (UPSERT, [("a", 9.5, None), ("b", 2.0, None), ("c", 7.0, 2)]),
    ],
    ids=["insert", "update", "insertUpdate"],
)
def test_a_statement_does_to_the_table_what_it_is_called(
    server: Snowflake,
    stage: str | None,
    settings: dict[str, Any],
    after: list[Any],
) -> None:
    name = f"target_{next(NUMBERS)}"
    server.run(f"CREATE TABLE {name} (KEY VARCHAR, SCORE NUMBER(6, 2), MORE INTEGER)", f"INSERT INTO {name} VALUES ('a', 1, NULL), ('b', 2, NULL)")
    where = staged(server, name, stage, SCORES, **settings)
    assert server.run(f"SELECT COUNT(*) FROM {name}") == [(2,)]
    brought(where, 2)
    found = server.run(f"SELECT KEY, SCORE, MORE FROM {name} ORDER BY KEY, SCORE DESC")
    assert [(key, float(value), more) for key, value, more in found] == after
    assert_nothing_is_left(server)


@TARGETS
def test_a_table_is_kept_or_created_or_in_the_way(server: Snowflake, statement: str, if_not_exists: bool, is_there: bool, outcome: Any) -> None:
    name = f"target_{next(NUMBERS)}"
    if is_there:
        server.run(f'CREATE TABLE "{name}" ("key" VARCHAR)', f"INSERT INTO \"{name}\" VALUES ('a')")
    given = {"statement_type": statement, "create_table_if_not_exists": if_not_exists}
    if isinstance(outcome, str):
        with pytest.raises(ScoringError, match=outcome) as caught:
            staged(server, name, None, SCORES.select(["key"]).slice(0, 1), **given)
        assert name in caught.value.detail and (name in tables(server)) == is_there
    else:
        brought(staged(server, name, None, SCORES.select(["key"]).slice(0, 1), **given), 1)
        assert server.run(f'SELECT COUNT(*) FROM "{name}"') == [(outcome,)]
    assert_nothing_is_left(server)


def test_files_may_lie_anywhere_on_the_disk_until_they_are_sent(server: Snowflake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "100% größer (new)"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    name = f"target_{next(NUMBERS)}"
    brought(staged(server, name, None, SCORES, statement_type="insert", create_table_if_not_exists=True), 2)
    assert server.run(f'SELECT COUNT(*) FROM "{name}"') == [(2,)]
    assert list(folder.iterdir()) == []


def test_files_that_a_killed_process_has_left_on_the_disk_are_removed(server: Snowflake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    where = place(server, True, table="left", statement_type="insert", create_table_if_not_exists=True)
    with room.open_output(where, SCORES.schema) as output:
        output.write(SCORES)
        assert list(tmp_path.rglob("*.parquet"))
        with room.open_output(where, SCORES.schema):  # it is scored again
            assert list(tmp_path.iterdir()) == []
    with room.open_output(where, SCORES.schema) as output:
        output.write(SCORES)
        assert list(tmp_path.rglob("*.parquet"))
        room.discard(where)  # it is deleted
        assert list(tmp_path.iterdir()) == []


def test_no_rows_create_the_table_all_the_same(server: Snowflake) -> None:
    name = f"target_{next(NUMBERS)}"
    brought(staged(server, name, None, SCORES.slice(0, 0), statement_type="insert", create_table_if_not_exists=True), 0)
    assert server.run(f'SELECT COUNT(*) FROM "{name}"') == [(0,)]
    assert_nothing_is_left(server)


def test_a_new_table_has_the_types_of_the_output(server: Snowflake) -> None:
    name = f"target_{next(NUMBERS)}"
    given = {"t": pa.array([time(1, 2)], pa.time64("us")), "b": pa.array([b"x"]), "d": pa.array([date(2026, 1, 1)]), "n": pa.array([1], pa.int8())}
    brought(staged(server, name, None, pa.RecordBatch.from_pydict(given), statement_type="createTable"), 1)
    described = server.run(f"SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = '{name}'")
    assert dict(described) == {"t": "TIME", "b": "BINARY", "d": "DATE", "n": "NUMBER"}


def test_a_second_settle_finds_it_done(server: Snowflake) -> None:
    name = f"target_{next(NUMBERS)}"
    where = staged(server, name, None, SCORES, statement_type="insert", create_table_if_not_exists=True)
    room.settle(where, 2)
    room.settle(where, 2)
    room.discard(where)
    assert server.run(f'SELECT COUNT(*) FROM "{name}"') == [(2,)]


def test_rows_that_are_not_all_staged_are_not_settled(server: Snowflake) -> None:
    name = f"target_{next(NUMBERS)}"
    where = staged(server, name, None, SCORES, statement_type="insert", create_table_if_not_exists=True)
    with pytest.raises(ScoringError, match="The staging table is not as it was left"):
        brought(where, 3)
    room.discard(where)
    assert_nothing_is_left(server)
    assert name not in tables(server)


def test_rows_of_one_key_are_named_and_nothing_is_written(server: Snowflake) -> None:
    name = f"target_{next(NUMBERS)}"
    server.run(f"CREATE TABLE {name} (KEY VARCHAR, SCORE FLOAT)")
    where = staged(server, name, None, pa.RecordBatch.from_pydict({"KEY": ["k", "k"], "SCORE": [1.0, 2.0]}), **_upper(UPSERT))
    with pytest.raises(ScoringError, match="Rows of the output have the same key") as caught:
        brought(where, 2)
    room.discard(where)
    assert "KEY = k" in caught.value.detail
    assert server.run(f"SELECT COUNT(*) FROM {name}") == [(0,)]


def _upper(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: [each.upper() for each in value] if isinstance(value, list) else value for name, value in settings.items()}


@STAGED
def test_an_output_without_an_end_leaves_nothing(server: Snowflake, stage: str | None) -> None:
    where = place(server, True, table="never", external_stage=stage, statement_type="insert", create_table_if_not_exists=True)
    with room.open_output(where, SCORES.schema) as output:
        output.write(SCORES)
    assert_nothing_is_left(server)
    assert "never" not in tables(server)


def brought(where: Place, rows: int) -> None:
    """Settled and cleared away."""
    room.settle(where, rows)
    room.discard(where)


def assert_nothing_is_left(server: Snowflake) -> None:
    assert files(server) == []
    assert not [name for name in tables(server) if name.startswith("reconciler_")]


# What does not fit


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("SCORE NUMBER(4, 2)", 123.456, "'123.456' is no NUMBER(4, 2), which the column SCORE is"),
        ("SCORE NUMBER(38, 0)", 0.5, "'0.5' is no NUMBER(38, 0)"),
        ("SCORE BOOLEAN", "maybe", "'maybe' is no BOOLEAN"),
        ("SCORE DATE", "31.12.2024", "'31.12.2024' is no DATE"),
        ("SCORE VARCHAR(3)", "long", "'long' is no TEXT(3)"),
        ("OTHER FLOAT", 1.0, "has no SCORE, which the output has; it has OTHER"),
        ("SCORE FLOAT, MUST VARCHAR NOT NULL", 1.0, "needs MUST in every row"),
    ],
)
def test_what_does_not_fit_the_table_is_named(server: Snowflake, column: str, value: Any, said: str) -> None:
    name = f"narrow_{next(NUMBERS)}"
    server.run(f"CREATE TABLE {name} ({column})")
    with pytest.raises(ScoringError) as caught:
        staged(server, name, None, pa.RecordBatch.from_pydict({"SCORE": [value]}), statement_type="insert")
    assert said in text_of(caught) and name in text_of(caught).lower()
    assert_nothing_is_left(server)


@pytest.mark.parametrize(
    ("value", "kind", "fitting"),
    [
        (1.005, pa.decimal128(10, 1), "1.0"),
        ("1.25", pa.decimal128(10, 1), "1.3"),
        (2**62, pa.decimal128(38, 0), str(2**62)),
        (True, pa.decimal128(38, 0), "1"),
        ("2024-01-01 12:00:00+02:00", pa.timestamp("us", "UTC"), "2024-01-01 10:00:00+00:00"),
        ("2024-01-01 12:00:00", pa.timestamp("us"), "2024-01-01 12:00:00"),
        (0.1, pa.string(), "0.1"),
        (b"\x00\xff", pa.string(), "00FF"),
    ],
)
def test_a_value_becomes_what_its_column_is(value: Any, kind: pa.DataType, fitting: str) -> None:
    assert str(fit(pa.array([value]), Stored("C", "X", kind), "T")[0].as_py()) == fitting


def test_a_number_beyond_64_bits_is_named() -> None:
    # The emulator's results have none: its integers are of 64 bits.
    with pytest.raises(ScoringError, match="A number is too large") as caught:
        typed("BIG", pa.array([2**70], pa.decimal128(38, 0)), pa.int64())
    assert "BIG" in caught.value.detail


# Names


@pytest.mark.parametrize(
    ("names", "meant"),
    [([], None), (["ROWS"], "ROWS"), (["rows", "ROWS"], "rows"), (["Rows", "ROWS"], ScoringError)],
    ids=["none", "upper-case", "exact", "unclear"],
)
def test_a_name_is_the_one_written_or_the_only_one_alike(names: list[str], meant: Any) -> None:
    # In the emulator no two names differ by case alone.
    there = [Name(name, "S", "C") for name in names]
    if meant is ScoringError:
        with pytest.raises(ScoringError, match="The name is not clear"):
            one_of(Name("rows", "S", "C"), there)
    else:
        assert one_of(Name("rows", "S", "C"), there) == (Name(meant, "S", "C") if meant else None)


@pytest.mark.parametrize(
    ("store", "host", "port", "account", "is_http"),
    [
        (
            {"jdbcUrl": "jdbc:snowflake://ab1.eu-central-1.snowflakecomputing.com/?db=D"},
            "ab1.eu-central-1.snowflakecomputing.com",
            443,
            "ab1.eu-central-1",
            False,
        ),
        ({"jdbcUrl": "jdbc:snowflake://127.0.0.1:8084/?ssl=off&account=fake"}, "127.0.0.1", 8084, "fake", True),
        (
            {"fields": [{"id": "1", "name": "address", "value": "org-acc.snowflakecomputing.com"}]},
            "org-acc.snowflakecomputing.com",
            443,
            "org-acc",
            False,
        ),
    ],
    ids=["url", "emulator", "fields"],
)
def test_a_data_store_says_where_it_is(store: dict[str, Any], host: str, port: int, account: str, is_http: bool) -> None:
    found = address(store)
    assert (found.host, found.port, found.account, found.is_http) == (host, port, account, is_http)


# Looking


def test_what_a_table_holds_is_seen_to_change(server: Snowflake, rows: str) -> None:
    before = look(place(server, table=rows))
    assert before == look(place(server, table=rows.upper())) and before is not None and before["rows"] == 3
    server.run(f"UPDATE {rows} SET ID = 9 WHERE ID = 1")
    assert look(place(server, table=rows)) != before


def test_of_a_query_only_a_probe_knows(server: Snowflake, rows: str) -> None:
    assert look(place(server, query=f"SELECT * FROM {rows}")) is None
    asked = f"SELECT MAX(ID), COUNT(*) FROM {rows}"
    assert look(Place(place(server, query="SELECT 1").settings, server.credential, {}, {"jdbcUrl": server.url}, probe=asked)) == {"probe": [[3, 3]]}


def test_a_probe_may_give_one_name_to_several_columns_and_rows_in_no_order(server: Snowflake, rows: str) -> None:
    def answer(probe: str) -> Any:
        return look(dataclasses.replace(place(server, table=rows), probe=probe))

    assert answer(f'SELECT MIN(ID) AS m, MAX(ID) AS M, NULL AS n, MAX("a") FROM {rows}') == {"probe": [[1, 3, None, 0.5]]}
    assert answer(f"SELECT ID FROM {rows} ORDER BY ID") == answer(f"SELECT ID FROM {rows} ORDER BY ID DESC") == {"probe": [[1], [2], [3]]}
    with pytest.raises(ScoringError, match="too many rows"):
        answer("SELECT SEQ4() FROM TABLE(GENERATOR(ROWCOUNT => 1001))")


def test_what_there_is_can_be_listed(server: Snowflake, rows: str) -> None:
    where = place(server, table="t")
    room.ping(where)
    assert "PUBLIC" in room.schemas(where)
    assert ("PUBLIC", rows.upper(), "table") in room.tables(where, "public") and ("PUBLIC", rows.upper(), "table") in room.tables(where, None)


# Who asks


@pytest.mark.parametrize("kind", ["basic", "key pair", "oauth"])
def test_a_credential_of_every_kind_opens(server: Snowflake, rows: str, kind: str) -> None:
    # The emulator has no endpoint for tokens, so clientId and clientSecret are not tried.
    pair = {"credentialType": "snowflake_key_pair_user_account", "user": server.user, "privateKeyStr": server.private_key, "passphrase": PASSPHRASE}
    kinds = {"basic": server.credential, "key pair": pair, "oauth": {"credentialType": "oauth", "token": server.token}}
    assert read(place(server, table=rows, credential=kinds[kind])).num_rows == 3


SECRET = "s3cr3t-of-the-test"


@pytest.mark.parametrize(
    ("credential", "said"),
    [
        ({"credentialType": "basic", "user": "SCORER", "password": SECRET}, "refused the credential"),
        ({"credentialType": "oauth", "token": SECRET}, "refused the credential"),
        ({"credentialType": "snowflake_key_pair_user_account", "user": "SCORER", "privateKeyStr": SECRET}, "key cannot be read"),
        ({"credentialType": "s3", "awsAccessKeyId": SECRET, "awsSecretAccessKey": SECRET}, "the one named is of the type s3"),
        ({"credentialType": "basic", "user": "SCORER"}, "needs password"),
        ({"credentialType": "basic", "configId": "1"}, "configId"),
    ],
)
def test_a_credential_that_does_not_open_is_named_without_its_secret(
    server: Snowflake,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    credential: dict[str, str],
    said: str,
) -> None:
    caplog.set_level(logging.WARNING)
    with pytest.raises(ScoringError) as caught:
        look(place(server, table="t", credential=credential))
    assert (said in text_of(caught) and "127.0.0.1" in text_of(caught)) or "PEM" in text_of(caught)
    assert SECRET not in text_of(caught) + caplog.text + "".join(capfd.readouterr())


def test_a_key_of_another_user_is_refused(server: Snowflake) -> None:
    pair = {"credentialType": "snowflake_key_pair_user_account", "user": "NOBODY", "privateKeyStr": server.private_key, "passphrase": "wrong"}
    with pytest.raises(ScoringError, match="The credential's key cannot be read"):
        look(place(server, table="t", credential=pair))


# What is not there


@pytest.mark.parametrize(
    "store", [{"jdbcUrl": "jdbc:snowflake://h/?port=x"}, {"fields": [{"name": "host", "value": "h"}, {"name": "port", "value": "x"}]}]
)
def test_a_port_that_is_none_is_refused(store: dict[str, Any]) -> None:
    with pytest.raises(ScoringError, match="The data store is not Snowflake"):
        address(store)


def test_only_what_is_secret_is_left_out_of_a_message(server: Snowflake) -> None:
    with Session(place(server, table="t")) as session, pytest.raises(ScoringError) as caught:
        session.asked("a basic question", lambda: raised(ProgrammingError(f"{server.user} said {server.password}")))
    assert server.user in text_of(caught) and "basic" in text_of(caught) and server.password not in text_of(caught)


def test_a_refusal_is_no_lost_line(server: Snowflake) -> None:
    """As the connector raises it for a null in a column that takes none."""
    with Session(place(server, table="t")) as session:
        with pytest.raises(ScoringError, match="A value is missing"):
            session.asked("INSERT", lambda: raised(IntegrityError("NULL result in a non-nullable column", errno=100072)))
        assert session.rows("SELECT 1 AS N") == [{"N": 1}]


def raised(error: Exception) -> None:
    raise error


def test_a_line_that_is_lost_leaves_no_thread_behind(server: Snowflake) -> None:
    before = set(threading.enumerate())
    with Session(place(server, table="t")) as session, pytest.raises(ScoringError, match="cannot be reached"):
        session.asked("SELECT 1", lambda: raised(OperationalError("the line is gone")))
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive(), thread.name


def test_a_server_that_is_not_there_is_named_soon(server: Snowflake) -> None:
    with pytest.raises(ScoringError, match="Snowflake cannot be reached") as caught:
        look(place(server, table="t", url=server.url_at(1)))
    assert "127.0.0.1:1" in caught.value.detail


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"table": "no_such_table"}, "has no table DB1.PUBLIC.no_such_table"),
        ({"table": "t", "schema": "no_such_schema"}, "has no table DB1.no_such_schema.t"),
        ({"table": "t", "schema": "s", "catalog": "no_such_db"}, "no_such_db"),
        ({"query": "SELECT nothing FROM no_such_table"}, "NO_SUCH_TABLE"),
        ({"query": "SELECT no_such_column FROM (SELECT 1 AS a)"}, "NO_SUCH_COLUMN"),
        ({"query": "SELEC"}, "Correct the query"),
        ({"query": "SELECT 1 AS a", "external_stage": "no_such_stage"}, "has no stage DB1.PUBLIC.no_such_stage"),
        ({"query": "SELECT 1 AS a", "external_stage": "lake", "cloud_storage_type": "azure"}, "is not of cloudStorageType azure"),
    ],
)
def test_what_is_not_there_is_named(server: Snowflake, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ScoringError) as caught:
        read(place(server, **settings))
    assert said.lower() in text_of(caught).lower()


def test_unloaded_rows_that_are_gone_end_the_job(server: Snowflake, rows: str) -> None:
    intake = room.open_intake(place(server, table=rows, external_stage="lake"), Dialect(), lambda: False)
    obstore.delete(server.seaweed.store(BUCKET), files(server))
    with pytest.raises(ScoringError, match="Unloaded rows are missing"):
        list(intake.pieces(intake.header, 1000, None, lambda: False))
    intake.close()


def test_a_target_that_is_not_there_is_named(server: Snowflake) -> None:
    with pytest.raises(ScoringError, match="The table does not exist") as caught:
        staged(server, "no_such_target", None, SCORES, statement_type="insert")
    assert "DB1.PUBLIC.no_such_target" in caught.value.detail and "create_table_if_not_exists" in caught.value.detail


@pytest.mark.parametrize(
    ("credential", "said"),
    [({}, "Set cloudStorageCredentialId"), ({"credentialType": "s3", "awsAccessKeyId": "AKIATEST", "awsSecretAccessKey": SECRET}, "credential")],
    ids=["none", "wrong"],
)
def test_a_stage_that_is_not_ours_to_read_is_named(server: Snowflake, credential: dict[str, str], said: str) -> None:
    settings = place(server, query="SELECT 1 AS A", external_stage="lake").settings
    with pytest.raises(ScoringError) as caught:
        read(Place(settings, server.credential, credential, {"jdbcUrl": server.url}, "1" * 24))
    assert said in text_of(caught) and SECRET not in text_of(caught)


@pytest.fixture
def long(server: Snowflake) -> str:
    """A table whose rows are more than 200,000 bytes."""
    name = f"long_{next(NUMBERS)}"
    server.run(f'CREATE TABLE {name} AS SELECT RANDOM()::FLOAT AS "a", RANDOM()::FLOAT AS "b" FROM TABLE(GENERATOR(ROWCOUNT => 60000))')
    return name


def through(wire: Wire, server: Snowflake) -> str:
    return server.url_at(int(wire.netloc.partition(":")[2]))


def test_a_line_that_is_cut_ends_the_job_and_leaves_the_target_alone(server: Snowflake, long: str, run: Run) -> None:
    # One that is cut in the middle of a PUT ends the job as well, after the half minute in which the connector tries it again.
    with Wire(f"http://127.0.0.1:{server.port}", Cut("down", 200_000)) as wire:
        target = place(server, True, table="cut off", statement_type="insert", create_table_if_not_exists=True)
        with pytest.raises(ScoringError, match="Snowflake cannot be reached") as caught:
            run(place(server, table=long, url=through(wire, server)), target)
        assert wire.is_cut.is_set() and wire.netloc in caught.value.detail
    assert "cut off" not in tables(server)
    assert_nothing_is_left(server)


def test_a_job_that_waits_for_snowflake_can_be_aborted(server: Snowflake, long: str, regression: Path, tmp_path: Path) -> None:
    with Wire(f"http://127.0.0.1:{server.port}", Cut("down", 200_000, is_silent=True)) as wire:
        intake = place(server, table=long, url=through(wire, server))
        job = ScoringJob(regression, intake, tmp_path / "out.csv", Options(), tmp_path / "rejects.csv")
        with pytest.raises(Cancelled):
            score(job, report=lambda progress: None, is_cancelled=wire.is_cut.is_set)


def test_a_job_that_is_aborted_while_it_is_unloaded_leaves_no_file(server: Snowflake, rows: str) -> None:
    def is_unloaded() -> bool:
        line.is_down = bool(files(server))
        return line.is_down

    with Line(server.port, is_enough=is_unloaded) as line:
        intake = place(server, table=rows, url=server.url_at(line.port), external_stage="lake")
        with pytest.raises(Cancelled):
            room.open_intake(replace(intake, is_halted=lambda: bool(files(server))), Dialect(), lambda: False)
    assert_nothing_is_left(server)


def test_an_answer_to_the_commit_that_never_comes_moves_no_row_twice(server: Snowflake) -> None:
    name = f"target_{next(NUMBERS)}"
    server.run(f'CREATE TABLE "{name}" ("key" VARCHAR, "score" FLOAT, "more" INTEGER)')
    where = staged(server, name, None, SCORES, statement_type="insert")
    with Line(server.port, is_enough=lambda: server.run(f'SELECT "key" FROM "{name}"')) as line:
        settle(replace(where, data_store={"jdbcUrl": server.url_at(line.port)}), 2)
        assert line.cuts == 1
    room.discard(where)
    assert server.run(f'SELECT COUNT(*) FROM "{name}"') == [(2,)]
    assert_nothing_is_left(server)


# Killed

DYING = """
import os, pickle, signal, sys
from reconciler.engine.job import ScoringJob
from reconciler.engine.pipeline import score
from reconciler.options import Options

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def report(progress):
    if moment == "staged" and progress.bytes_written:  # its one file is there, and in the table
        die()

def is_cancelled():
    return die() if moment == "midway" else False

moment, model, intake, output, rejects = pickle.loads(sys.stdin.buffer.read())
job = ScoringJob(model, intake, output, Options(), rejects)
score(job, report=report, is_cancelled=is_cancelled)
"""


@STAGED
def test_a_killed_job_leaves_no_duplicate_row(server: Snowflake, run: Run, regression: Path, tmp_path: Path, stage: str | None) -> None:
    table = f"killed {stage}"
    (tmp_path / "in.csv").write_text("a,b\n" + "1,2\n" * 5000)
    where = place(server, True, table=table, external_stage=stage, statement_type="insert", create_table_if_not_exists=True)
    staging = f"reconciler_{where.job}"
    for moment, rows in (("midway", 0), ("staged", 5000)):
        given = pickle.dumps((moment, regression, tmp_path / "in.csv", where, tmp_path / f"{where.job}.csv"))
        killed = subprocess.run([sys.executable, "-c", DYING], input=given, capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        assert server.run(f"SELECT COUNT(*) FROM {staging}") == [(rows,)]
        assert table not in tables(server)
    for _ in range(2):  # the second finds the note of the first
        assert run(tmp_path / "in.csv", where).scored == 5000
    assert server.run(f'SELECT COUNT(*) FROM "{table}"') == [(5000,)]
    assert_nothing_is_left(server)


@STAGED
def test_rows_are_explained_beside_others_of_the_same_intake(server: Snowflake, rows: str, run: Run, tmp_path: Path, stage: str | None) -> None:
    """A method that compares rows reads the first of the intake a second time, while it is open."""
    run(place(server, table=rows), tmp_path / "table.csv", max_explanations=1, explanation_algorithm="xemp")
    run(place(server, table=rows, external_stage=stage), tmp_path / "staged.csv", max_explanations=1, explanation_algorithm="xemp")
    assert (tmp_path / "staged.csv").read_bytes() == (tmp_path / "table.csv").read_bytes()
    assert_nothing_is_left(server)
