"""Jobs that ended when nobody knew whether their rows are in the table. The rule here: each row is there once, and none is added unasked.

The program and `reconciler serve` are processes of their own; what lies between the server and PostgreSQL is cut at the commit.
"""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from house import REPOSITORY, Reconciler, Said, child
from program import Program, awaited, project, serving
from servers.line import Line, lost_commit
from servers.postgres import PASSWORD, USER, Postgres
from systems import PREDICTIONS
from test_systems import WINES

from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.snapshot import open_snapshot

STATE = Path("state/reconciler.db")
LOCK = 31
SPEC = {
    "deployment": "wine",
    "passthrough_columns": ["bottle_id"],
    "intake_settings": {"type": "localFile", "file": "data/wine.csv"},
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with serving(project(tmp_path_factory.mktemp("doubt"))) as running:
        yield running


class Table:
    """The table `scores` of a schema of its own."""

    def __init__(self, server: Postgres, schema: str) -> None:
        self.server, self.schema = server, schema
        numbers = ", ".join(f'"{name}" float8' for name in PREDICTIONS)
        self.run(f"CREATE SCHEMA {schema}")
        self.run(f'CREATE TABLE {schema}.scores (bottle_id text, {numbers}, "cultivar_PREDICTION" text)')

    def run(self, statement: str) -> list[Any]:
        with self.server.connect() as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []

    @property
    def ids(self) -> list[str]:
        return sorted(row for (row,) in self.run(f"SELECT bottle_id FROM {self.schema}.scores"))

    def hold(self) -> None:
        """Whoever inserts waits for a lock, which `held` takes."""
        self.run(
            f"CREATE FUNCTION {self.schema}.await_its_turn() RETURNS trigger LANGUAGE plpgsql AS "
            f"'BEGIN PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NEW; END'"
        )
        self.run(f"CREATE TRIGGER awaits BEFORE INSERT ON {self.schema}.scores FOR EACH ROW EXECUTE FUNCTION {self.schema}.await_its_turn()")

    @contextmanager
    def held(self) -> Iterator[None]:
        with self.server.connect() as connection, connection.transaction():
            connection.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
            yield

    @property
    def is_awaited(self) -> bool:
        return bool(self.run(f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = {LOCK} AND NOT granted"))


@pytest.fixture
def table(request: pytest.FixtureRequest, postgres: Postgres) -> Table:
    return Table(postgres, f"doubt_{abs(hash(request.node.name)) % 10**9}")


class House:
    """A project with one job into the table, scored by the server that is reached at an endpoint."""

    def __init__(self, root: Path, served: Program, table: Table, port: int | None = None) -> None:
        self.root, self.served, self.table = root, served, table
        (root / "data").mkdir()
        (root / "specs").mkdir()
        shutil.copy(REPOSITORY / "specs/data/wine.csv", root / "data/wine.csv")
        self.ids = sorted(line.split(",")[0] for line in (root / "data/wine.csv").read_text().splitlines()[1:])
        url = table.server.url() if port is None else table.server.url(port)
        body = {"type": "jdbc", "canonicalName": table.schema, "params": {"jdbcUrl": url}}
        self.store = served.http.post("externalDataStores/", json=body).json()["id"]
        body = {"name": table.schema, "credentialType": "basic", "user": USER, "password": PASSWORD}
        self.credential = served.http.post("credentials/", json=body).json()["credentialId"]
        self.write()

    def write(self, **more: Any) -> None:
        place = {"data_store_id": self.store, "credential_id": self.credential, "schema": self.table.schema, "table": "scores"}
        document = {
            "workspaces": {"prod": {"endpoint": self.served.document["endpoint"]}},
            "deployments": {"wine": {"prod": self.served.deployments["wine"]}},
            "jobs": {"a": {**SPEC, "retries": 2, "output_settings": {"type": "jdbc", "statement_type": "insert", **place}, **more}},
        }
        (self.root / "specs/jobs.yaml").write_text(json.dumps(document))

    @contextmanager
    def applying(self) -> Iterator["subprocess.Popen[str]"]:
        with child("-m", "reconciler", "apply", "-auto-approve", "-no-color", "-workspace=prod", cwd=self.root) as process:
            try:
                yield process
            finally:
                process.kill()

    def jobs(self) -> list[dict[str, Any]]:
        """Of this project, by its data store; one that was deleted is not listed."""
        data = self.served.http.get("batchPredictions/", params={"limit": 1000}).json()["data"]
        return [job for job in data if job["jobSpec"]["outputSettings"].get("dataStoreId") == self.store]

    def abort(self) -> None:
        """The one that has not ended."""
        (job,) = (job["id"] for job in self.jobs() if job["status"] != "COMPLETED")
        assert self.served.http.delete(f"batchPredictions/{job}/").status_code == 202

    def runs(self) -> list[Run]:
        with open_snapshot(self.root / STATE) as snapshot:
            return snapshot.runs("prod")


def ended(process: "subprocess.Popen[str]") -> Said:
    out, _ = process.communicate()
    return Said(process.returncode, " ".join(out.split()), "")


@pytest.fixture
def root(tmp_path: Path, served: Program, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DATAROBOT_API_TOKEN", served.token)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def lost(root: Path, served: Program, table: Table) -> Iterator[House]:
    """An apply has ended whose job's commit was done, and not answered."""
    hear = lost_commit(lambda: awaited(lambda: table.ids), is_for_good=True)
    with Line(table.server.port, hear) as line:
        house = House(root, served, table, line.port)
        with house.applying() as process:
            awaited(lambda: line.cuts or process.poll() is not None)
            house.abort()
            said = ended(process)
        check_asked(house, said)
        line.is_down = False
        yield house


@pytest.fixture
def aborted(root: Path, served: Program, table: Table) -> House:
    """An apply has ended whose job was aborted by somebody while it wrote."""
    table.hold()
    house = House(root, served, table)
    check_asked(house, said_when_aborted(house))
    return house


def said_when_aborted(house: House) -> Said:
    with house.applying() as process, house.table.held():
        awaited(lambda: house.table.is_awaited or process.poll() is not None)
        house.abort()
        return ended(process)


def check_asked(house: House, said: Said) -> None:
    """It was submitted once, and the user is asked."""
    (run,) = house.runs()
    assert (said.code, "Rows may be in the table already" in said.out) == (1, True), said.out
    assert f"reconciler state resubmit {run.address} -workspace=prod" in said.out
    assert f"reconciler state adopt {run.address} {run.job_id} -workspace=prod" in said.out
    assert (house.served.job(str(run.job_id))["status"], house.jobs()) == ("ABORTED", [])
    assert (run.status.value in ("submitted", "running"), run.is_in_doubt) == (True, True)


def check_each_row_once(house: House, reconciler: Reconciler) -> None:
    assert house.table.ids == house.ids
    assert reconciler("plan", "-workspace=prod", "-detailed-exitcode").code == 0


def test_lost_commit_is_not_followed_by_another_job_until_somebody_says_that_the_rows_are_there(lost: House, reconciler: Reconciler) -> None:
    before = lost.runs()
    for _ in range(2):
        said = reconciler("apply", "-workspace=prod", "-auto-approve", "-no-color")
        assert (said.code, "Rows may be in the table already" in said.out + said.err) == (1, True)
    assert (lost.runs(), lost.jobs()) == (before, [])
    (run,) = before
    said = reconciler("state", "adopt", "job.a", str(run.job_id), "-workspace=prod")
    assert (said.code, "is recorded as delivered" in said.out) == (0, True), said.err
    assert [run.status for run in lost.runs()] == [Status.DELIVERED]
    check_each_row_once(lost, reconciler)


def test_lost_commit_is_followed_by_another_job_when_somebody_has_removed_the_rows(lost: House, reconciler: Reconciler) -> None:
    lost.table.run(f"DELETE FROM {lost.table.schema}.scores")
    assert reconciler("state", "resubmit", "job.a", "-auto-approve", "-workspace=prod").code == 0
    assert reconciler("apply", "-workspace=prod", "-auto-approve").code == 0
    assert [run.status for run in lost.runs()] == [Status.ABORTED, Status.DELIVERED]
    check_each_row_once(lost, reconciler)


def test_plan_says_what_an_apply_will_ask(aborted: House, reconciler: Reconciler) -> None:
    (run,) = aborted.runs()
    said = reconciler("plan", "-workspace=prod", "-no-color")
    assert f"# (in doubt: run {run.id})" in said.out
    assert "Warning: Rows may be in the table already" in said.out
    (change,) = json.loads(reconciler("plan", "-workspace=prod", "-json").out)["resource_changes"]
    assert (change["action"], change["reasons"]) == ("resume", ["in doubt"])


@pytest.mark.parametrize("how", ["another spec", "-replace"])
def test_job_that_is_in_doubt_is_not_submitted_for_another_reason_either(aborted: House, reconciler: Reconciler, how: str) -> None:
    if how == "another spec":
        aborted.write(passthrough_columns=["bottle_id"], max_explanations=0, include_probabilities=False)
    options = ["-replace=job.a"] if how == "-replace" else []
    assert "Warning: Rows may be in the table already" in reconciler("plan", "-workspace=prod", "-no-color", *options).out
    said = reconciler("apply", "-workspace=prod", "-auto-approve", "-no-color", *options)
    assert (said.code, "reconciler state resubmit job.a -workspace=prod" in said.out + said.err) == (1, True)
    assert aborted.jobs() == []


def test_job_of_another_spec_is_submitted_once_the_rows_of_the_one_before_are_accounted_for(aborted: House, reconciler: Reconciler) -> None:
    (run,) = aborted.runs()
    aborted.write(passthrough_columns=["bottle_id"], include_probabilities=False)
    assert reconciler("state", "adopt", "job.a", str(run.job_id), "-workspace=prod").code == 0
    assert "# (spec changed" in reconciler("plan", "-workspace=prod", "-no-color").out
    assert reconciler("apply", "-workspace=prod", "-auto-approve").code == 0
    check_each_row_once(aborted, reconciler)


def test_spec_that_is_taken_back_answers_nothing(root: Path, served: Program, table: Table, reconciler: Reconciler) -> None:
    house = House(root, served, table)
    assert reconciler("apply", "-workspace=prod", "-auto-approve").code == 0
    table.hold()
    house.write(passthrough_columns=["bottle_id"], include_probabilities=False)
    assert said_when_aborted(house).code == 1
    house.write()
    said = reconciler("apply", "-workspace=prod", "-auto-approve", "-no-color")
    assert (said.code, "Rows may be in the table already" in said.out + said.err) == (1, True), said.out + said.err
    assert [run.is_in_doubt for run in house.runs()] == [False, True]
    assert reconciler("state", "resubmit", "job.a", "-auto-approve", "-workspace=prod").code == 0
    check_each_row_once(house, reconciler)


def test_what_is_asked_stays_what_was_asked_first(aborted: House, reconciler: Reconciler) -> None:
    (before,) = aborted.runs()
    aborted.write(passthrough_columns=["bottle_id"], include_probabilities=False)
    assert reconciler("apply", "-workspace=prod", "-auto-approve").code == 1
    assert [run.status_details for run in aborted.runs()] == [before.status_details]


def test_job_whose_rows_were_dealt_with_is_submitted_again(aborted: House, reconciler: Reconciler) -> None:
    assert reconciler("state", "resubmit", "job.a", "-auto-approve", "-workspace=prod").code == 0
    assert reconciler("apply", "-workspace=prod", "-auto-approve").code == 0
    check_each_row_once(aborted, reconciler)


def test_job_in_doubt_that_is_forgotten_submits_nothing(aborted: House, reconciler: Reconciler) -> None:
    path = aborted.root / "specs/jobs.yaml"
    path.write_text(json.dumps({**json.loads(path.read_text()), "jobs": {}}))
    assert reconciler("apply", "-workspace=prod", "-auto-approve").code == 0
    assert [run.status for run in aborted.runs()] == [Status.ABORTED]


def test_job_that_the_service_has_lost_is_in_doubt_too(root: Path, served: Program, table: Table, reconciler: Reconciler) -> None:
    house = House(root, served, table)
    assert reconciler("apply", "-workspace=prod", "-auto-approve").code == 0
    with closing(sqlite3.connect(root / STATE, isolation_level=None)) as db:
        db.execute("UPDATE runs SET status = 'running', job_id = ?", ("0" * 24,))
        db.execute("UPDATE instances SET current_run = NULL")
    said = reconciler("apply", "-workspace=prod", "-auto-approve", "-no-color")
    assert (said.code, "Rows may be in the table already" in said.out + said.err) == (1, True)
    assert len(house.jobs()) == 1


def test_rows_of_a_job_that_had_scored_when_its_apply_was_killed_are_not_in_doubt(
    root: Path, served: Program, table: Table, reconciler: Reconciler
) -> None:
    house = House(root, served, table)
    assert reconciler("apply", "-workspace=prod", "-auto-approve").code == 0
    with closing(sqlite3.connect(root / STATE, isolation_level=None)) as db:
        db.execute("UPDATE runs SET status = 'scored'")
        db.execute("UPDATE instances SET current_run = NULL")
    house.write(passthrough_columns=["bottle_id"], include_probabilities=False)
    assert reconciler("apply", "-workspace=prod", "-auto-approve").code == 0
    assert [run.status for run in house.runs()] == [Status.DELIVERED, Status.DELIVERED]
    assert table.ids == sorted(2 * house.ids)


@pytest.fixture
def embedded(root: Path, table: Table, monkeypatch: pytest.MonkeyPatch) -> Table:
    """A project whose job `a` is scored by the embedded service."""
    monkeypatch.setenv("CRM", PASSWORD)
    shutil.copytree(REPOSITORY / "specs/models/wine", root / "specs/models/wine")
    (root / "data").mkdir()
    shutil.copy(REPOSITORY / "specs/data/wine.csv", root / "data/wine.csv")
    output = {"type": "jdbc", "statement_type": "insert", "data_store": "crm", "credential": "crm", "schema": table.schema, "table": "scores"}
    document = {
        "deployments": {"wine": {"local": "specs/models/wine"}},
        "credentials": {"crm": {"local": {"type": "basic", "user": USER, "password": "${env.CRM}"}}},
        "data_stores": {"crm": {"local": {"jdbc_url": table.server.url()}}},
        "jobs": {"a": {**SPEC, "retries": 1, "output_settings": output}},
    }
    (root / "specs/jobs.yaml").write_text(json.dumps(document))
    return table


def test_embedded_job_of_which_no_row_can_be_there_is_tried_again(embedded: Table, reconciler: Reconciler) -> None:
    """Its table refuses the rows as they are moved, all of them in one transaction."""
    embedded.run(f"ALTER TABLE {embedded.schema}.scores ADD CHECK (bottle_id IS NULL)")
    assert reconciler("apply", "-auto-approve").code == 1
    with open_snapshot(STATE) as snapshot:
        assert [run.status for run in snapshot.runs("local")] == [Status.ABORTED, Status.ABORTED]
    embedded.run(f"ALTER TABLE {embedded.schema}.scores DROP CONSTRAINT scores_bottle_id_check")
    assert reconciler("apply", "-auto-approve").code == 0
    assert len(embedded.ids) == len(set(embedded.ids)) >= len(WINES)


def test_system_that_is_lost_while_rows_are_staged_is_said_to_keep_them(root: Path, embedded: Table, reconciler: Reconciler) -> None:
    def hear(line: Line, sent: bytes) -> None:
        if b"COPY " in sent:
            line.is_down = True
            line.cut()

    path, direct = root / "specs/jobs.yaml", embedded.server.url()
    with Line(embedded.server.port, hear) as line:
        path.write_text(path.read_text().replace(direct, embedded.server.url(line.port)))
        said = reconciler("apply", "-auto-approve", "-no-color")
    assert (said.code, embedded.ids) == (1, [])
    left = [name for (name,) in embedded.run(f"SELECT tablename FROM pg_tables WHERE schemaname = '{embedded.schema}' AND tablename <> 'scores'")]
    embedded.run(f"DROP SCHEMA {embedded.schema} CASCADE")  # other tests count such tables in all of the server
    assert [f"if {name} is left beside the output, remove it" in " ".join((said.out + said.err).split()) for name in left] == [True]


def test_embedded_job_that_commits_as_it_goes_is_not_scored_again_after_a_kill_unasked(root: Path, embedded: Table, reconciler: Reconciler) -> None:
    path = root / "specs/jobs.yaml"
    document = json.loads(path.read_text())
    document["jobs"]["a"]["output_settings"]["commit_interval"] = 1
    path.write_text(json.dumps(document))
    embedded.hold()
    with child("-m", "reconciler", "apply", "-auto-approve", "-no-color", cwd=root) as process, embedded.held():
        awaited(lambda: embedded.is_awaited or process.poll() is not None)
        process.kill()
        process.wait()
        embedded.run("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'reconciler'")
    for _ in range(2):
        said = reconciler("apply", "-auto-approve", "-no-color")
        assert (said.code, "Rows may be in the table already" in said.out + said.err, embedded.ids) == (1, True, []), said.out + said.err
    assert reconciler("state", "resubmit", "job.a", "-auto-approve").code == 0
    assert reconciler("apply", "-auto-approve").code == 0
    assert len(embedded.ids) == len(set(embedded.ids)) >= len(WINES)
