"""A job that is killed and scored again. The rule here: whenever it dies, the rows are in the table once, and nothing else is left.

The process is the product's own; it is held by locks of the database at the step where it is to be killed.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import jdbc_scoring
import psycopg
import pytest
from servers.postgres import PASSWORD, USER, Postgres

ROWS = 100_000
STAGING = "kill.reconciler_6166c01ee91fb6641ecd28bd"
GATE = 6166  # an advisory lock between the first rows of the intake and the last one
QUERY = f"""
SELECT id, a, b FROM kill.customers WHERE id < {ROWS}
UNION ALL SELECT id, a, b FROM kill.customers, (SELECT pg_advisory_lock_shared({GATE}) OFFSET 0) AS gate WHERE id = {ROWS}
"""
UPSERT = {"update_columns": ["a", "b", "y_PREDICTION"], "where_columns": ["id"]}


class Scene:
    """The database, the job's process, and what the test holds so that the process waits; the gate is closed."""

    def __init__(self, server: Postgres, gate: psycopg.Connection[Any], given: dict[str, Any]) -> None:
        self.server = server
        self.gate = gate
        self.watch = server.connect()
        self.note = Path(given["rejects"]).with_suffix(".staged.json")
        self.process = subprocess.Popen([sys.executable, jdbc_scoring.__file__, json.dumps(given)], stderr=subprocess.PIPE, text=True)

    def until(self, query: str, *values: Any) -> None:
        """Until the query gives something."""
        while not self.watch.execute(query, values).fetchall():  # type: ignore[call-overload]
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            time.sleep(0.01)

    def until_waiting(self, table: str, mode: str) -> None:
        """Until somebody waits for this lock on it."""
        self.until("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = to_regclass(%s) AND mode = %s", table, mode)

    def until_most_rows_are_staged(self) -> None:
        """All but the last one, which waits at the gate."""
        self.until("SELECT 1 FROM pg_stat_progress_copy WHERE relid = to_regclass(%s) AND tuples_processed > 0", STAGING)
        self.until("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self.process.communicate()
        self.watch.close()

    @contextmanager
    def holding(self, mode: str) -> Iterator[None]:
        with self.server.connect() as connection, connection.transaction():
            connection.execute(f"LOCK TABLE kill.scores IN {mode} MODE")  # type: ignore[call-overload]
            yield

    @contextmanager
    def next_to_lock_the_staging_table(self, mode: str, waiting: str) -> Iterator[None]:
        """As soon as those who hold it now have let it go; kept until the end."""
        gone = threading.Event()

        def hold() -> None:
            with self.server.connect() as connection, connection.transaction():
                connection.execute(f"LOCK TABLE {STAGING} IN {mode} MODE")  # type: ignore[call-overload]
                gone.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            self.until_waiting(STAGING, waiting)
            yield
        finally:
            gone.set()
            thread.join()


def before_any_row(scene: Scene) -> None:
    scene.until_waiting("kill.customers", "AccessShareLock")
    scene.kill()


def in_the_middle_of_staging(scene: Scene) -> None:
    scene.until_most_rows_are_staged()
    scene.kill()


def staged_and_not_noted(scene: Scene) -> None:
    scene.until_most_rows_are_staged()
    with scene.next_to_lock_the_staging_table("ACCESS EXCLUSIVE", "AccessExclusiveLock"):
        scene.gate.commit()
        scene.until_waiting(STAGING, "AccessShareLock")  # whether all values fit
        assert not scene.note.exists()
        scene.kill()


def noted_and_not_settled(scene: Scene) -> None:
    scene.until_most_rows_are_staged()
    with scene.holding("SHARE"):
        scene.gate.commit()
        scene.until("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'kill.scores'::regclass")
        assert scene.note.exists()
        scene.kill()


def settled_and_not_recorded(scene: Scene) -> None:
    scene.until_most_rows_are_staged()
    with ExitStack() as staging_locked:
        with scene.holding("SHARE"):
            scene.gate.commit()
            scene.until("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'kill.scores'::regclass")
            staging_locked.enter_context(scene.next_to_lock_the_staging_table("ACCESS SHARE", "AccessShareLock"))
        scene.until_waiting(STAGING, "AccessExclusiveLock")  # to drop it
        scene.kill()
        # Else the server, which does not know yet that nobody is there, drops it by itself.
        scene.watch.execute("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'reconciler'")


STEPS = [
    (before_any_row, "insert"),
    (in_the_middle_of_staging, "insert"),
    (staged_and_not_noted, "insert"),
    (noted_and_not_settled, "insert"),
    (noted_and_not_settled, "insertUpdate"),
    (settled_and_not_recorded, "insert"),
    (settled_and_not_recorded, "insertUpdate"),
]


@pytest.mark.parametrize(("die", "statement"), [pytest.param(*step, id=f"{step[0].__name__}-{step[1]}") for step in STEPS])
def test_a_killed_job_leaves_no_duplicate_row(
    postgres: Postgres,
    regression: Path,
    tmp_path: Path,
    statement: str,
    die: Callable[[Scene], None],
) -> None:
    given = {
        "model": str(regression),
        "url": postgres.url(),
        "credential": {"user": USER, "password": PASSWORD},
        "intake": {"query": QUERY},
        "output": {"table": "scores", "db_schema": "kill", "statement_type": statement} | (UPSERT if statement == "insertUpdate" else {}),
        "rejects": str(tmp_path / "rejects.csv"),
    }
    with postgres.connect() as connection:
        connection.execute("DROP SCHEMA IF EXISTS kill CASCADE; CREATE SCHEMA kill")
        connection.execute(f"CREATE TABLE kill.customers AS SELECT i AS id, i * 0.5 AS a, i % 7 AS b FROM generate_series(1, {ROWS}) i")  # type: ignore[call-overload]
        connection.execute('CREATE TABLE kill.scores (id bigint, a float8, b smallint, "y_PREDICTION" float8)')
        connection.execute(f"INSERT INTO kill.scores VALUES ({7 if statement == 'insertUpdate' else -1})")  # type: ignore[call-overload]
        with postgres.connect() as gate:
            gate.autocommit = False
            gate.execute(f"SELECT pg_advisory_xact_lock({GATE})")  # type: ignore[call-overload]
            if die is before_any_row:
                gate.execute("LOCK TABLE kill.customers")
            scene = Scene(postgres, gate, given)
            try:
                die(scene)
            finally:
                scene.close()
        assert jdbc_scoring.scored(given).scored == ROWS
        counts = connection.execute('SELECT count(*), count(DISTINCT id), count("y_PREDICTION") FROM kill.scores').fetchone()
        expected = ROWS if statement == "insertUpdate" else ROWS + 1
        assert counts == (expected, expected, ROWS)
        tables = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'kill'::regnamespace AND relkind = 'r' ORDER BY 1")
        assert tables.fetchall() == [("customers",), ("scores",)]
