"""The SQL of tables. Each case is one table's row; what a real server makes of it is told beside the server."""

from collections.abc import Callable, Sequence
from typing import Any, get_args

import pyarrow as pa
import pytest
from targets import TARGETS

from reconciler.engine.connectors import statements
from reconciler.engine.connectors.statements import Flavor, Kind, Move, Name
from reconciler.errors import ScoringError
from reconciler.settings import JdbcIntake, JdbcOutput, Statement

TYPES: dict[Kind, str] = {kind: kind.upper() for kind in get_args(Kind)} | {"decimal": "DECIMAL({precision}, {scale})"}
PLAIN = Flavor("Plain", TYPES, statements.UPDATE_FROM, (statements.UPDATE_FROM, statements.INSERT_MISSING))
MERGING = Flavor("Merging", TYPES, statements.UPDATE_JOIN, (statements.MERGE,))
BRACKETS = Flavor(
    "Brackets",
    TYPES,
    statements.UPDATE_JOIN,
    (statements.MERGE,),
    quotes=("[", "]"),
    create="IF OBJECT_ID(N'{text}', N'U') IS NULL CREATE TABLE {table} ({columns})",
    lock="LOCK {staging}",
    rows="COUNT_BIG(*)",
)


def move(statement: str, **changes: Any) -> Move:
    return Move(statement, **{"target": Name("t", "a"), "staging": Name("r", "a"), "columns": ["k", "p"], "update": ["p"], "where": ["k"]} | changes)


def settings(statement: Statement = "insert", update: Sequence[str] | None = None, where: Sequence[str] | None = None) -> JdbcOutput:
    given = {"update_columns": update and list(update), "where_columns": where and list(where)}
    return JdbcOutput(type="jdbc", data_store_id="d", table="t", db_schema="a", statement_type=statement, **given)


@pytest.mark.parametrize(
    ("name", "plain", "brackets"),
    [
        pytest.param(Name("scores"), '"scores"', "[scores]", id="table"),
        pytest.param(Name("scores", "crm", "db"), '"db"."crm"."scores"', "[db].[crm].[scores]", id="all-parts"),
        pytest.param(Name('a"b', "c]d"), '"c]d"."a""b"', '[c]]d].[a"b]', id="quotes"),
        pytest.param(Name("select x.y", "Größe {0}"), '"Größe {0}"."select x.y"', "[Größe {0}].[select x.y]", id="spaces-dots-keywords-braces"),
    ],
)
def test_every_part_of_a_name_is_quoted(name: Name, plain: str, brackets: str) -> None:
    assert PLAIN.qualified(name) == plain
    assert BRACKETS.qualified(name) == brackets


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"table": "t"}, 'SELECT * FROM "t"', id="table"),
        pytest.param({"table": "t", "schema": "s", "catalog": "c"}, 'SELECT * FROM "c"."s"."t"', id="qualified-table"),
        pytest.param({"query": "SELECT 1;\n ; "}, "SELECT 1", id="query-without-its-last-semicolon"),
        pytest.param({"query": "SELECT ';' -- {x}"}, "SELECT ';' -- {x}", id="query-as-it-stands"),
    ],
)
def test_what_is_read_is_the_query_or_all_of_the_table(given: dict[str, str], said: str) -> None:
    assert statements.selection(PLAIN, JdbcIntake.model_validate({"type": "jdbc", "dataStoreId": "d"} | given)) == said


KINDS = [
    (pa.bool_(), "BOOLEAN"),
    (pa.int8(), "INT16"),
    (pa.uint8(), "INT16"),
    (pa.int16(), "INT16"),
    (pa.uint16(), "INT32"),
    (pa.int32(), "INT32"),
    (pa.uint32(), "INT64"),
    (pa.int64(), "INT64"),
    (pa.uint64(), "DECIMAL(20, 0)"),
    (pa.float16(), "FLOAT32"),
    (pa.float32(), "FLOAT32"),
    (pa.float64(), "FLOAT64"),
    (pa.decimal128(12, 3), "DECIMAL(12, 3)"),
    (pa.date32(), "DATE"),
    (pa.date64(), "DATE"),
    (pa.time32("ms"), "TIME"),
    (pa.time64("us"), "TIME"),
    (pa.timestamp("ns"), "TIMESTAMP"),
    (pa.timestamp("us", "UTC"), "TIMESTAMPTZ"),
    (pa.string(), "TEXT"),
    (pa.large_string(), "TEXT"),
    (pa.dictionary(pa.int32(), pa.string()), "TEXT"),
    (pa.list_(pa.int64()), "TEXT"),
    (pa.null(), "TEXT"),
    (pa.binary(), "BINARY"),
]


@pytest.mark.parametrize(("kind", "said"), [pytest.param(*case, id=str(case[0])) for case in KINDS])
def test_a_column_is_created_for_every_value_of_its_type(kind: pa.DataType, said: str) -> None:
    assert PLAIN.type_of(kind) == said


@pytest.mark.parametrize(
    ("flavor", "said"),
    [
        pytest.param(PLAIN, 'CREATE TABLE IF NOT EXISTS "a"."o\'t" ("x ""y" FLOAT64, "k" TEXT)', id="if-not-exists"),
        pytest.param(BRACKETS, "IF OBJECT_ID(N'[a].[o''t]', N'U') IS NULL CREATE TABLE [a].[o't] ([x \"y] FLOAT64, [k] TEXT)", id="object-id"),
    ],
)
def test_a_table_is_created_if_there_is_none(flavor: Flavor, said: str) -> None:
    assert statements.creation(flavor, Name("o't", "a"), {'x "y': pa.float64(), "k": pa.string()}) == said


def test_rows_are_counted_where_there_may_be_more_than_an_int_holds() -> None:
    assert statements.count(PLAIN, Name("t")) == 'SELECT COUNT(*) FROM "t"'
    assert statements.count(BRACKETS, Name("t")) == "SELECT COUNT_BIG(*) FROM [t]"


def test_a_table_is_removed_if_there_is_one() -> None:
    assert statements.removal(PLAIN, Name("r", "a")) == 'DROP TABLE IF EXISTS "a"."r"'


def test_the_staging_table_lies_beside_the_target_and_is_named_after_the_job() -> None:
    assert statements.staging_name(Name("t", "a", "c"), "6166") == Name("reconciler_6166", "a", "c")


@TARGETS
def test_a_statement_wants_a_table_or_none(statement: Statement, if_not_exists: bool, is_there: bool, outcome: Any) -> None:
    given = JdbcOutput(type="jdbc", data_store_id="d", table="t", statement_type=statement, create_table_if_not_exists=if_not_exists)
    if isinstance(outcome, str):
        with pytest.raises(ScoringError, match=outcome):
            statements.check_target(given, "Plain", Name("t"), is_there)
    else:
        statements.check_target(given, "Plain", Name("t"), is_there)


EMPTY = 'DELETE FROM "a"."r"'
INSERT = 'INSERT INTO "a"."t" ("k", "p") SELECT s."k", s."p" FROM "a"."r" AS s'
UPDATE = 'UPDATE "a"."t" AS t SET "p" = s."p" FROM "a"."r" AS s WHERE t."k" = s."k"'


@pytest.mark.parametrize(
    ("flavor", "given", "said"),
    [
        pytest.param(PLAIN, move("insert"), [INSERT], id="insert"),
        pytest.param(PLAIN, move("createTable"), [INSERT], id="createTable"),
        pytest.param(PLAIN, move("update"), [UPDATE], id="update"),
        pytest.param(
            PLAIN,
            move("insertUpdate"),
            [UPDATE, INSERT + ' WHERE NOT EXISTS (SELECT 1 FROM "a"."t" AS t WHERE t."k" = s."k")'],
            id="insertUpdate",
        ),
        pytest.param(
            MERGING,
            move("update", where=["k", "l"], update=["p", "q"]),
            ['UPDATE t SET "p" = s."p", "q" = s."q" FROM "a"."t" AS t JOIN "a"."r" AS s ON t."k" = s."k" AND t."l" = s."l"'],
            id="update-of-several-columns-by-a-join",
        ),
        pytest.param(
            MERGING,
            move("insertUpdate", casts={"k": "bigint"}),
            [
                'MERGE INTO "a"."t" AS t USING "a"."r" AS s ON t."k" = CAST(s."k" AS bigint) WHEN MATCHED THEN UPDATE SET "p" = s."p" '
                'WHEN NOT MATCHED THEN INSERT ("k", "p") VALUES (CAST(s."k" AS bigint), s."p")'
            ],
            id="insertUpdate-by-a-merge-with-a-cast",
        ),
        pytest.param(
            PLAIN,
            move("insert", casts={"p": "date"}),
            ['INSERT INTO "a"."t" ("k", "p") SELECT s."k", CAST(s."p" AS date) FROM "a"."r" AS s'],
            id="insert-with-a-cast",
        ),
    ],
)
def test_the_staged_rows_are_moved_and_then_deleted(flavor: Flavor, given: Move, said: list[str]) -> None:
    assert statements.settlement(flavor, given) == [*said, EMPTY]


@pytest.mark.parametrize("statement", get_args(Statement.__origin__))
@pytest.mark.parametrize("flavor", [PLAIN, MERGING, BRACKETS], ids=lambda flavor: flavor.system)
def test_every_statement_type_ends_by_emptying_the_staging_table(flavor: Flavor, statement: str) -> None:
    assert statements.settlement(flavor, move(statement))[-1] == statements.emptying(flavor, Name("r", "a"))


def test_braces_in_a_name_stay_as_they_are() -> None:
    named = move("insert", columns=["{target}"], target=Name("{values}", "a"))
    assert statements.settlement(PLAIN, named)[0] == 'INSERT INTO "a"."{values}" ("{target}") SELECT s."{target}" FROM "a"."r" AS s'


def test_a_flavor_that_locks_says_so_first() -> None:
    assert statements.locking(BRACKETS, Name("r", "a")) == ["LOCK [a].[r]"]
    assert statements.locking(PLAIN, Name("r", "a")) == []


def test_keys_are_compared_as_the_target_will_have_them_and_a_null_equals_none() -> None:
    given = move("update", where=["k", "l"], casts={"k": "bigint"})
    assert statements.repeated_keys(PLAIN, given) == (
        'SELECT CAST(s."k" AS bigint), s."l", COUNT(*) FROM "a"."r" AS s WHERE CAST(s."k" AS bigint) IS NOT NULL AND s."l" IS NOT NULL '
        'GROUP BY CAST(s."k" AS bigint), s."l" HAVING COUNT(*) > 1'
    )


def test_a_key_of_several_rows_is_named(bad: Callable[..., str]) -> None:
    statements.check_keys(move("update"), [])
    with pytest.raises(ScoringError) as caught:
        statements.check_keys(move("update", where=["k", "l"]), [(7, "x", 3), (8, "y", 2)])
    assert "a.t: 3 rows of the output have k = 7, l = x, so update cannot tell" in bad(caught)


@pytest.mark.parametrize(
    ("given", "output", "target", "names"),
    [
        pytest.param(settings(), ["k", "p"], ["k", "p", "more"], {"k": "k", "p": "p"}, id="a-partial-set-of-columns"),
        pytest.param(settings(), ["K", "p"], ["k", "P"], {"K": "k", "p": "P"}, id="the-same-but-for-case"),
        pytest.param(settings(), ["k", "K"], ["K", "k"], {"k": "k", "K": "K"}, id="the-very-same-first"),
        pytest.param(settings(), ["k", "p"], None, {"k": "k", "p": "p"}, id="a-table-to-create"),
        pytest.param(settings("update", ["p"], ["k"]), ["x", "k", "p"], ["k", "p"], {"k": "k", "p": "p"}, id="an-update-writes-what-it-names"),
        pytest.param(settings("insertUpdate", ["p"], ["k"]), ["x", "k", "p"], ["x", "k", "p"], {"x": "x", "k": "k", "p": "p"}, id="an-upsert-all"),
        pytest.param(settings("insert", ["gone"], ["gone"]), ["k"], ["k"], {"k": "k"}, id="an-insert-has-no-where"),
    ],
)
def test_columns_are_found_by_name(given: JdbcOutput, output: list[str], target: list[str] | None, names: dict[str, str]) -> None:
    assert statements.fitted(given, output, target) == names


@pytest.mark.parametrize(
    ("given", "target", "required", "said"),
    [
        pytest.param(settings(), ["k"], [], "The table lacks columns. a.t has no p, which the output has; it has k.", id="target-lacks"),
        pytest.param(settings(), ["k", "p1", "P"], ["p1"], "The output lacks columns of the table. a.t needs p1 in every row", id="needs-a-value"),
        pytest.param(settings("update", ["q", "p"], ["k"]), ["k"], [], "update_columns names q; the output has k, p.", id="no-update-column"),
        pytest.param(settings("insertUpdate", ["p"], ["id"]), None, [], "where_columns names id; the output has k, p.", id="no-where-column"),
        pytest.param(settings("update", ["p"], ["k"]), ["k"], [], "a.t has no p", id="target-lacks-an-update-column"),
    ],
)
def test_columns_that_are_not_there_are_named(
    given: JdbcOutput, target: list[str] | None, required: list[str], said: str, bad: Callable[..., str]
) -> None:
    with pytest.raises(ScoringError) as caught:
        statements.fitted(given, ["k", "p"], target, required)
    assert said in bad(caught)


def test_two_columns_that_differ_by_case_do_not_share_one() -> None:
    with pytest.raises(ScoringError):
        statements.fitted(settings(), ["k", "K"], ["k"])


def test_a_column_that_needs_a_value_hinders_no_update() -> None:
    assert statements.fitted(settings("update", ["p"], ["k"]), ["k", "p"], ["k", "p", "must"], ["must"]) == {"k": "k", "p": "p"}


def test_a_move_speaks_of_the_columns_as_the_target_does() -> None:
    given = settings("insertUpdate", ["p"], ["K"])
    target, staging = statements.target_name(given), statements.staging_name(statements.target_name(given), "1")
    moved = statements.moved(given, target, staging, ["k", "p"], {"k": "bigint"})
    assert moved == Move("insertUpdate", Name("t", "a"), Name("reconciler_1", "a"), ["k", "p"], ["p"], ["k"], {"k": "bigint"})
