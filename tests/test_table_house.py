"""An apply from a bucket into a table that is cut off when its scores are staged. The rule here: each row is there once, or none is.

The program is held there by a lock of the test's own, for which a trigger of the table waits.
"""

import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from house import Reconciler, child
from servers.clouds import s3_cloud
from servers.seaweed import Seaweed
from service.live import wait_for
from systems import PREDICTIONS, SYSTEMS, Objects, Tables
from test_systems import NUMBERS, WINES, Write, apply, is_up_to_date, root, tell, write  # noqa: F401

APPLY = ("-m", "reconciler", "apply", "-auto-approve", "-no-color")
LOCK = 26
LONG_S = 10_000


class Bench:
    """A project with one job into the table `scores`."""

    def __init__(self, folder: Path, crm: Tables) -> None:
        self.folder = folder
        self.crm = crm
        numbers = ", ".join(f'"{name}" float8' for name in PREDICTIONS)
        crm.run(f'CREATE TABLE {crm.prefix}scores (bottle_id varchar(40), {numbers}, "cultivar_PREDICTION" text)')
        crm.run(
            f"CREATE FUNCTION {crm.prefix}await_its_turn() RETURNS trigger LANGUAGE plpgsql AS "
            f"'BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NEW; END'"
        )
        crm.run(f"CREATE TRIGGER awaits BEFORE INSERT ON {crm.prefix}scores FOR EACH ROW EXECUTE FUNCTION {crm.prefix}await_its_turn()")

    @contextmanager
    def staged(self, server: Any, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """An apply that has staged its scores, and goes on, if it is there still, when the block is left."""
        with server.connect() as connection, child(*APPLY, *arguments, cwd=self.folder) as process:
            try:
                with connection.transaction():
                    connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
                    wait_for(lambda: self.notes() or process.poll() is not None)
                    assert self.notes(), process.stdout and process.stdout.read()
                    yield process
                process.wait()
            finally:
                process.kill()

    def notes(self) -> list[Path]:
        return list(self.folder.glob("state/reconciler.service/local/rejects/*.staged.json"))

    def forget(self) -> None:
        """The server ends the sessions of whoever was killed."""
        self.crm.run("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'reconciler'")

    @property
    def left(self) -> tuple[int, list[str]]:
        """Rows of the table, and the staging tables."""
        (count,) = self.crm.run(f"SELECT count(*) FROM {self.crm.prefix}scores")
        tables = self.crm.run(f"SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'reconciler%' AND relnamespace = {self._schema}")
        return count["count"], [row["relname"] for row in tables]

    @property
    def _schema(self) -> str:
        return f"'{self.crm.prefix.rstrip('.')}'::regnamespace"

    def check_every_row_once(self, reconciler: Reconciler) -> None:
        assert sorted(row["bottle_id"] for row in self.crm.read("scores")) == sorted(row["bottle_id"] for row in WINES)
        assert (self.left, self.notes()) == ((len(WINES), []), [])
        assert is_up_to_date(reconciler)


@pytest.fixture
def bench(
    request: pytest.FixtureRequest,
    seaweed: Seaweed,
    root: Path,  # noqa: F811
    write: Write,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    name = f"table-{next(NUMBERS)}"
    lake, crm = Objects(s3_cloud(seaweed, name)), SYSTEMS["postgresql"](request, name)
    assert isinstance(crm, Tables)
    for system in (lake, crm):
        tell(system, monkeypatch)
    openers = {"credentials": {**lake.openers["credentials"], **crm.openers["credentials"]}, "data_stores": crm.openers["data_stores"]}
    output = {key: value for key, value in crm.output("scores").items() if key not in ("update_columns", "where_columns")}
    write(openers, a={**lake.make("wines.csv", WINES), "output": {**output, "statement_type": "insert"}})
    return Bench(root, crm)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    said, _ = process.communicate()
    return process.returncode, said


def test_a_kill_is_followed_by_an_apply_that_writes_each_row_once(bench: Bench, postgres: Any, reconciler: Reconciler) -> None:
    with bench.staged(postgres) as process:
        process.kill()
        process.wait()
        bench.forget()
        assert bench.left[0] == 0
    apply(reconciler)
    bench.check_every_row_once(reconciler)


def test_an_interrupt_is_followed_by_an_apply_that_writes_each_row_once(bench: Bench, postgres: Any, reconciler: Reconciler) -> None:
    with bench.staged(postgres) as process:
        process.send_signal(signal.SIGINT)
        code, said = ended(process)
        assert (code, "apply" in said) == (1, True), said
        assert bench.left[0] == 0
    apply(reconciler)
    bench.check_every_row_once(reconciler)


def test_with_cancel_an_interrupt_leaves_nothing(bench: Bench, postgres: Any, reconciler: Reconciler) -> None:
    with bench.staged(postgres, "-on-interrupt=cancel") as process:
        process.send_signal(signal.SIGINT)
        code, said = ended(process)
        assert code == 1, said
        assert (bench.left, bench.notes()) == ((0, []), [])
    apply(reconciler)
    bench.check_every_row_once(reconciler)


@pytest.mark.parametrize("is_forgotten", [False, True], ids=["holding", "thought dead"])
def test_a_second_apply_beside_one_that_is_stopped_writes_nothing(
    bench: Bench,
    postgres: Any,
    reconciler: Reconciler,
    is_forgotten: bool,
) -> None:
    with bench.staged(postgres) as process:
        stopped(bench.folder / "state/reconciler.db", process)
        if is_forgotten:
            with sqlite3.connect(bench.folder / "state/reconciler.db") as db:
                assert db.execute("UPDATE lock SET heartbeat = heartbeat - ? WHERE holder IS NOT NULL", (LONG_S,)).rowcount == 1
            db.close()
        second = reconciler("apply", "-auto-approve", "-no-color")
        assert second.code == 1, second.out + second.err
        assert bench.left[0] == 0
        process.send_signal(signal.SIGCONT)
    assert process.returncode == is_forgotten  # for the second one has taken its place, and found the service still running
    apply(reconciler)
    bench.check_every_row_once(reconciler)


def stopped(state: Path, process: "subprocess.Popen[str]") -> None:
    """Between two writes: who is stopped in the middle of one keeps everybody out, as any writer of SQLite does."""
    while True:
        process.send_signal(signal.SIGSTOP)
        db = sqlite3.connect(state, timeout=0.2, isolation_level=None)
        try:
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
            return
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
            time.sleep(0.01)
        finally:
            db.close()
