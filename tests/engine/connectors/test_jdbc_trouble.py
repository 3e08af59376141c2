"""PostgreSQL when something goes wrong on the way: aborts, locks, sessions that are ended, lines that are cut. Nothing half-written is left."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import jdbc_scoring
import psycopg
import pyarrow as pa
import pytest
from servers.line import Line, lost_commit
from servers.postgres import PASSWORD, USER, Postgres

from reconciler.engine.connectors import jdbc
from reconciler.engine.dialect import Dialect
from reconciler.engine.job import ScoringJob
from reconciler.engine.pipeline import score
from reconciler.engine.place import Place
from reconciler.engine.settle import settle
from reconciler.errors import Cancelled, Lost, ScoringError
from reconciler.options import CsvSettings
from reconciler.settings import JdbcIntake, JdbcOutput

BATCH = pa.RecordBatch.from_pydict({"id": list(range(50_000)), "p": [0.5] * 50_000})
MOVED = "SELECT 1 FROM scores LIMIT 1"
STAGING = "reconciler_6166c01ee91fb6641ecd28bd"


class Database:
    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.connection = server.connect()
        self.run("DROP SCHEMA IF EXISTS trouble CASCADE; CREATE SCHEMA trouble; SET search_path = trouble")
        self.run(
            "CREATE TABLE scores (id bigint, p float8); CREATE TABLE customers AS SELECT i AS id, i * 0.5 AS a, 1 AS b FROM generate_series(1, 10) i"
        )

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(statement)  # type: ignore[call-overload]
        return list(cursor.fetchall()) if cursor.description else []

    def until(self, query: str) -> None:
        while not self.run(query):
            time.sleep(0.01)

    def is_waiting(self) -> bool:
        return bool(self.run("SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT granted AND application_name = 'reconciler'"))

    def terminate(self, what: str) -> None:
        """The session of ours that does this; it is waited for."""
        ours = "application_name = 'reconciler' AND state = 'active'"
        self.until(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours} AND query LIKE '{what}'")

    @property
    def left(self) -> tuple[int, list[str]]:
        """Rows of the target, and what other tables there are."""
        others = self.run("SELECT relname FROM pg_class WHERE relnamespace = 'trouble'::regnamespace AND relname NOT IN ('scores', 'customers')")
        return self.run("SELECT count(*) FROM scores")[0][0], [name for (name,) in others]

    @contextmanager
    def locked(self, table: str) -> Iterator[psycopg.Connection[Any]]:
        with self.server.connect() as connection:
            connection.execute("BEGIN")
            connection.execute(f"LOCK TABLE trouble.{table} IN ACCESS EXCLUSIVE MODE")  # type: ignore[call-overload]
            yield connection

    def place(self, settings: Any, port: int | None = None, is_halted: Callable[[], bool] = lambda: False) -> Place:
        job = STAGING.removeprefix("reconciler_")
        return Place(settings, {"user": USER, "password": PASSWORD}, {}, {"jdbcUrl": self.server.url(port)}, job, None, is_halted)

    def intake(self, query: str, port: int | None = None) -> Place:
        return self.place(JdbcIntake(type="jdbc", data_store_id="d", query=query), port)

    def output(self, port: int | None = None, is_halted: Callable[[], bool] = lambda: False, **settings: Any) -> Place:
        given = {"table": "scores", "db_schema": "trouble", "statement_type": "insert"}
        return self.place(JdbcOutput(type="jdbc", data_store_id="d", **given | settings), port, is_halted)


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    found = Database(postgres)
    yield found
    found.connection.close()


def job(database: Database, model: Path, tmp_path: Path, query: str) -> ScoringJob:
    given = {"query": query}, {"table": "scored", "db_schema": "trouble", "statement_type": "insert", "create_table_if_not_exists": True}
    return jdbc_scoring.job(str(model), database.server.url(), {"user": USER, "password": PASSWORD}, *given, str(tmp_path / "rejects.csv"))


def aborted(job: ScoringJob, when: Callable[[], bool]) -> None:
    with pytest.raises(Cancelled):
        score(job, report=lambda progress: None, is_cancelled=when)


def test_rows_go_from_table_to_table(database: Database, regression: Path, tmp_path: Path) -> None:
    tally = score(job(database, regression, tmp_path, "SELECT * FROM trouble.customers"), report=lambda progress: None, is_cancelled=lambda: False)
    assert tally.scored == 10
    assert database.run('SELECT id, a, b, "y_PREDICTION" IS NOT NULL FROM scored ORDER BY id')[:2] == [(1, 0.5, 1, True), (2, 1.0, 1, True)]
    assert database.left == (0, ["scored"])


def test_an_abort_ends_a_query_that_has_not_begun_to_answer(database: Database, regression: Path, tmp_path: Path) -> None:
    is_asked = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'reconciler' AND query LIKE '%COPY%pg_sleep%' AND state = 'active'"
    aborted(job(database, regression, tmp_path, "SELECT 1.0 AS a, 1.0 AS b FROM pg_sleep(600)"), lambda: bool(database.run(is_asked)))
    database.until("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = 'reconciler')")
    assert database.left == (0, [])


def test_an_abort_ends_the_wait_for_a_lock_on_the_intake(database: Database, regression: Path, tmp_path: Path) -> None:
    with database.locked("customers"):
        aborted(job(database, regression, tmp_path, "SELECT * FROM trouble.customers"), database.is_waiting)
    assert database.left == (0, [])


def test_an_abort_ends_the_wait_for_a_lock_on_the_target(database: Database) -> None:
    place = database.output(is_halted=database.is_waiting)
    with jdbc.open_output(place, BATCH.schema) as output:
        output.write(BATCH)
        output.finish()
    with database.locked("scores"), pytest.raises(Cancelled):
        jdbc.settle(place, BATCH.num_rows)
    jdbc.discard(place)
    assert database.left == (0, [])


def test_an_abort_ends_the_wait_for_a_lock_on_the_staging_table(database: Database) -> None:
    halted = threading.Event()
    place = database.output(is_halted=halted.is_set)
    with jdbc.open_output(place, BATCH.schema) as output, database.locked(STAGING):
        halted.set()
        with pytest.raises(Cancelled):
            output.write(BATCH)
            output.finish()
    jdbc.discard(place)
    assert database.left == (0, [])


def test_a_job_that_cannot_be_settled_leaves_nothing_and_is_scored_again(database: Database, regression: Path, tmp_path: Path) -> None:
    chosen = job(database, regression, tmp_path, "SELECT * FROM trouble.customers")
    database.run('CREATE TABLE scored (id int CHECK (id < 5), a float8, b int, "y_PREDICTION" float8)')
    with pytest.raises(ScoringError) as caught:
        score(chosen, report=lambda progress: None, is_cancelled=lambda: False)
    assert "violates check constraint" in caught.value.detail
    assert not chosen.note_file.exists()
    assert (database.left, database.run("SELECT 1 FROM scored")) == ((0, ["scored"]), [])
    database.run("DROP TABLE scored")
    assert score(chosen, report=lambda progress: None, is_cancelled=lambda: False).scored == 10
    assert len(database.run("SELECT 1 FROM scored")) == 10


def test_a_session_that_is_ended_while_it_reads_ends_the_job(database: Database, regression: Path, tmp_path: Path) -> None:
    thread = threading.Thread(target=database.terminate, args=("%COPY%pg_sleep%",))
    thread.start()
    with pytest.raises(ScoringError) as caught:
        score(job(database, regression, tmp_path, "SELECT 1.0 AS a, 1.0 AS b FROM pg_sleep(600)"), report=lambda p: None, is_cancelled=lambda: False)
    thread.join()
    assert caught.value.summary == "The intake cannot be read"
    assert "terminating connection due to administrator command" in caught.value.detail
    assert database.left == (0, [])


def test_a_session_that_is_ended_while_it_stages_leaves_nothing(database: Database) -> None:
    with pytest.raises(ScoringError) as caught, jdbc.open_output(database.output(), BATCH.schema) as output:
        output.write(BATCH)
        database.terminate("%COPY%reconciler_6166%")
        output.finish()
    assert caught.value.summary == "The output cannot be written"
    assert database.left == (0, [])


def test_a_session_that_is_ended_while_it_settles_is_followed_by_another(database: Database) -> None:
    place = database.output()
    with jdbc.open_output(place, BATCH.schema) as output:
        output.write(BATCH)
        output.finish()
    with database.locked("scores"):
        settling = threading.Thread(target=settle, args=(place, BATCH.num_rows))
        settling.start()
        database.terminate("INSERT INTO%")
    settling.join()
    jdbc.discard(place)
    assert database.left == (BATCH.num_rows, [])


def test_a_line_that_is_cut_while_rows_are_read_is_told(database: Database) -> None:
    with Line(database.server.port) as line:
        intake = jdbc.open_intake(database.intake("SELECT i FROM generate_series(1, 5000000) i", line.port), Dialect.of(CsvSettings()), lambda: False)
        with closing(intake), pytest.raises(ScoringError) as caught:
            for piece in intake.pieces(["i"], 1000, None, lambda: False):
                piece.read()
                line.cut()
    assert "The connection was lost" in caught.value.detail


def test_a_line_that_is_cut_while_rows_are_staged_leaves_nothing(database: Database) -> None:
    with (
        Line(database.server.port) as line,
        pytest.raises(ScoringError) as caught,
        jdbc.open_output(database.output(line.port), BATCH.schema) as output,
    ):
        output.write(BATCH)
        database.until("SELECT 1 FROM pg_stat_progress_copy WHERE tuples_processed > 0")
        line.cut()
        output.finish()
    assert "The connection was lost" in caught.value.detail
    assert database.left == (0, [])


def staged(database: Database) -> None:
    with jdbc.open_output(database.output(), BATCH.schema) as output:
        output.write(BATCH)
        output.finish()


def test_an_answer_to_the_commit_that_never_comes_moves_no_row_twice(database: Database) -> None:
    staged(database)
    with Line(database.server.port, lost_commit(lambda: database.until(MOVED))) as line:
        settle(database.output(line.port), BATCH.num_rows)
        assert line.cuts == 1
    jdbc.discard(database.output())
    assert database.left == (BATCH.num_rows, [])


def test_a_job_that_is_aborted_while_nobody_knows_what_the_commit_did_says_so(database: Database) -> None:
    staged(database)
    with Line(database.server.port, lost_commit(lambda: database.until(MOVED), is_for_good=True)) as line, pytest.raises(Lost) as caught:
        settle(database.output(line.port, lambda: line.is_down), BATCH.num_rows)
    assert "Nobody knows whether the rows are in the output" in caught.value.detail
    assert STAGING in caught.value.detail
    assert database.left == (BATCH.num_rows, [STAGING])  # which is empty
    settle(database.output(), BATCH.num_rows)
    jdbc.discard(database.output())
    assert database.left == (BATCH.num_rows, [])


def test_an_abort_after_the_commit_undoes_nothing(database: Database) -> None:
    staged(database)
    with database.server.connect() as watch:
        place = database.output(is_halted=lambda: bool(watch.execute("SELECT FROM trouble.scores LIMIT 1").fetchall()))
        settle(place, BATCH.num_rows)
        jdbc.discard(place)
    assert database.left == (BATCH.num_rows, [])


def test_a_commit_interval_shows_rows_while_the_job_runs(database: Database) -> None:
    place = database.output(commit_interval=1)
    with pytest.raises(RuntimeError), jdbc.open_output(place, BATCH.schema) as output:
        while not database.left[0]:
            output.write(BATCH)
        raise RuntimeError
    rows, others = database.left
    assert rows and rows % BATCH.num_rows == 0
    assert others == []


def test_what_does_not_fit_after_a_commit_is_not_said_to_be_all(database: Database) -> None:
    with pytest.raises(ScoringError) as caught, jdbc.open_output(database.output(commit_interval=1), BATCH.schema) as output:
        while not database.left[0]:
            output.write(BATCH)
        database.run("ALTER TABLE scores ADD CHECK (id IS NULL) NOT VALID")
        output.write(BATCH)
        output.finish()
    assert "Rows that were committed before stay there." in caught.value.detail
    assert "Nothing was written" not in caught.value.detail
    assert database.left[0]
