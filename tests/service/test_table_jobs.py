"""Jobs into a table of PostgreSQL that are cut off between the two steps of their output: each row is there once, or none is.

What holds a job at a step is a lock that the test has taken: one that the intake's second half waits for, one that a trigger of the target waits
for (the scores are staged, and noted), and one of the staging table's own, which has to be dropped once its rows are moved.
"""

import csv
import json
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from servers.line import Line, lost_commit
from servers.postgres import PASSWORD, USER, Postgres
from service.live import wait_for

from reconciler.errors import UNSETTLED
from reconciler.fingerprint import short_id
from reconciler.service.moment import now
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.service import Service
from reconciler.service.store import DEATHS, Store

SPECS = Path(__file__).parents[2] / "specs"
MODEL = SPECS / "models" / "diabetes"
ROWS = SPECS / "data" / "diabetes" / "2026-09.csv"

CHILD = """
import json, sys, threading
from pathlib import Path
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.service import Service

storage, deployment, folder, spec = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4])
service = Service(storage, Registry([LocalDeployment(deployment, "diabetes", folder)]))
service.start()
print(service.submit(spec, "127.0.0.1", None).id, flush=True)
threading.Event().wait()
"""

GATE = 7
TARGET = """
DROP TABLE IF EXISTS scores;
CREATE TABLE scores ("progression_PREDICTION" double precision);
CREATE OR REPLACE FUNCTION await_its_turn() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN PERFORM pg_advisory_xact_lock_shared(6); RETURN NEW; END';
CREATE TRIGGER awaits BEFORE INSERT ON scores FOR EACH ROW EXECUTE FUNCTION await_its_turn();
"""


class Bench:
    """A service's storage, a table that scores go to, and what opens it."""

    def __init__(self, folder, server, client_of):
        self.storage = folder / "storage"
        self.server = server
        self.client_of = client_of
        self.registry = Registry([LocalDeployment(short_id("diabetes"), "diabetes", MODEL)])
        with self.service(workers=0) as client:
            body = {"type": "jdbc", "canonicalName": "crm", "params": {"jdbcUrl": server.url()}}
            self.store = client.request("POST", "externalDataStores/", json=body).json()["id"]
            body = {"name": "crm", "credentialType": "basic", "user": USER, "password": PASSWORD}
            self.user = client.request("POST", "credentials/", json=body).json()["credentialId"]
        with server.connect() as connection:
            connection.execute(TARGET)

    @contextmanager
    def service(self, **options):
        with Service(self.storage, self.registry, **options) as service:
            yield self.client_of(service)

    def spec(self, **more):
        output = {"type": "jdbc", "dataStoreId": self.store, "credentialId": self.user, "table": "scores", "statementType": "insert"}
        return {
            "deploymentId": short_id("diabetes"),
            "intakeSettings": {"type": "fileSystem", "path": str(ROWS)},
            "outputSettings": output | more,
        }

    def note(self, job_id):
        return self.storage / "rejects" / f"{job_id}.staged.json"

    @contextmanager
    def locked(self):
        """Nobody writes to the table meanwhile."""
        with self.server.connect() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(6)")
            yield

    def from_table(self):
        """The spec of the same job with its rows in a table, twice; whoever reads the second half waits for a lock."""
        with open(ROWS) as file:
            names, *rows = csv.reader(file)
        columns = ", ".join(f'"{name}" float8' for name in names)
        with self.server.connect() as connection:
            connection.execute(f"DROP TABLE IF EXISTS patients; CREATE TABLE patients ({columns})")
            connection.cursor().executemany(f"INSERT INTO patients VALUES ({', '.join(['%s'] * len(names))})", rows)
        gate = f"(SELECT pg_advisory_lock_shared({GATE}) OFFSET 0) AS gate"
        query = f"SELECT * FROM patients UNION ALL SELECT patients.* FROM patients, {gate}"
        return self.spec() | {"intakeSettings": {"type": "jdbc", "dataStoreId": self.store, "credentialId": self.user, "query": query}}

    @contextmanager
    def half_read(self):
        with self.server.connect() as connection, connection.transaction():
            connection.execute(f"SELECT pg_advisory_xact_lock({GATE})")
            yield

    def until(self, query):
        with self.server.connect() as connection:
            wait_for(lambda: connection.execute(query).fetchall())

    @contextmanager
    def not_to_be_dropped(self, job_id):
        """The staging table, as soon as its rows are moved and not before."""
        gone = threading.Event()

        def hold():
            with self.server.connect() as connection, connection.transaction():
                connection.execute(f"LOCK TABLE reconciler_{job_id} IN ACCESS SHARE MODE")
                gone.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            self.until("SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock'")
            yield
        finally:
            gone.set()
            thread.join()

    def forget(self):
        """The server ends the sessions of whoever was killed."""
        with self.server.connect() as connection:
            connection.execute("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = 'reconciler'")

    def count(self):
        with self.server.connect() as connection:
            return connection.execute("SELECT count(*) FROM scores").fetchone()[0]

    def staged(self):
        with self.server.connect() as connection:
            return [name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'reconciler%'")]


@pytest.fixture
def bench(tmp_path, postgres: Postgres, client_of):
    return Bench(tmp_path, postgres, client_of)


def rows():
    with open(ROWS) as file:
        return sum(1 for _ in csv.reader(file)) - 1


class Step:
    """Where a job is held, by its name. `spec` is the job's; `reached` comes back when it is there, and lets it wait until the block is left."""

    count = 0

    def spec(self, bench):
        return bench.spec()


class Staging(Step):
    def spec(self, bench):
        return bench.from_table()

    @contextmanager
    def reached(self, bench, submit):
        with bench.half_read():
            job_id = submit()
            bench.until("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            wait_for(bench.staged)
            assert not bench.note(job_id).exists()
            yield job_id


class Staged(Step):
    @contextmanager
    def reached(self, bench, submit):
        with bench.locked():
            job_id = submit()
            wait_for(bench.note(job_id).exists)
            yield job_id


class Settled(Step):
    count = rows()

    @contextmanager
    def reached(self, bench, submit):
        with ExitStack() as held:
            with bench.locked():
                job_id = submit()
                bench.until("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
                held.enter_context(bench.not_to_be_dropped(job_id))
            bench.until("SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'")
            assert bench.note(job_id).exists()
            yield job_id


@pytest.fixture(params=[Staging, Staged, Settled])
def step(request):
    return request.param()


@pytest.fixture
def killed(bench, step):
    """A job whose service was killed at this step."""
    arguments = [sys.executable, "-c", CHILD, str(bench.storage), short_id("diabetes"), str(MODEL), json.dumps(step.spec(bench))]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            with step.reached(bench, lambda: child.stdout.readline().strip()) as job_id:
                child.kill()
                child.wait()
                bench.forget()
        finally:
            child.kill()
    assert (bench.count(), len(bench.staged())) == (step.count, 1)
    return job_id


def scored(step):
    return 2 * rows() if isinstance(step, Staging) else rows()


def test_a_job_whose_service_was_killed_has_every_row_once(bench, step, killed):
    with bench.service() as client:
        ended = client.until(killed, "COMPLETED", "ABORTED")
        assert (ended["status"], ended["scoredRows"], ended["percentageCompleted"]) == ("COMPLETED", scored(step), 100.0), ended["statusDetails"]
    assert (bench.count(), bench.staged(), bench.note(killed).exists()) == (scored(step), [], False)


def test_a_job_that_is_deleted_at_a_step_leaves_all_of_it_or_nothing(bench, step):
    with bench.service() as client:
        submit = lambda: client.request("POST", "batchPredictions/", json=step.spec(bench)).json()["id"]  # noqa: E731
        with step.reached(bench, submit) as job_id:
            assert client.request("DELETE", f"batchPredictions/{job_id}/").status_code == 202
            if not step.count:
                assert client.until(job_id, "COMPLETED", "ABORTED")["status"] == "ABORTED"
        ended = client.until(job_id, "COMPLETED", "ABORTED")
    assert ended["status"] == ("COMPLETED" if step.count else "ABORTED")
    assert (bench.count(), bench.staged(), bench.note(job_id).exists()) == (step.count, [], False)


def test_a_job_is_refused_while_another_writes_to_its_table(bench):
    with (
        bench.service() as client,
        Staged().reached(bench, lambda: client.request("POST", "batchPredictions/", json=bench.spec()).json()["id"]) as job_id,
    ):
        refused = client.request("POST", "batchPredictions/", json=bench.spec())
        assert (refused.status_code, job_id in refused.text) == (422, True), refused.text


def test_a_job_that_is_deleted_after_its_service_was_killed_leaves_nothing(bench, step, killed):
    with bench.service(workers=0) as client:
        assert client.request("DELETE", f"batchPredictions/{killed}/").status_code == 202
    with bench.service() as client:
        ended = client.until(killed, "COMPLETED", "ABORTED")
        assert (ended["status"], UNSETTLED in ended["statusDetails"]) == ("ABORTED", not isinstance(step, Staging)), ended
        again = client.request("POST", "batchPredictions/", json=bench.spec())
        assert client.until(again.json()["id"], "COMPLETED", "ABORTED")["status"] == "COMPLETED"
    assert (bench.count(), bench.staged(), bench.note(killed).exists()) == (step.count + rows(), [], False)


def test_a_job_whose_service_stops_between_its_steps_ends_at_the_next_start(bench):
    with bench.locked():
        with bench.service() as client:
            job_id = client.request("POST", "batchPredictions/", json=bench.spec()).json()["id"]
            wait_for(bench.note(job_id).exists)
        assert bench.count() == 0
    with bench.service() as client:
        assert client.until(job_id, "COMPLETED", "ABORTED")["status"] == "COMPLETED"
    assert (bench.count(), bench.staged(), bench.note(job_id).exists()) == (rows(), [], False)


def test_what_cannot_be_moved_is_said_and_leaves_nothing(bench):
    with bench.server.connect() as connection:
        connection.execute('ALTER TABLE scores ADD CHECK ("progression_PREDICTION" < 0)')
    with bench.service() as client:
        job_id = client.request("POST", "batchPredictions/", json=bench.spec()).json()["id"]
        ended = client.until(job_id, "COMPLETED", "ABORTED")
    assert (ended["status"], "scores" in ended["statusDetails"], PASSWORD in json.dumps(ended)) == ("ABORTED", True, False)
    assert (bench.count(), bench.staged(), bench.note(job_id).exists()) == (0, [], False)


class Lost:
    """A job whose service lost the server at the commit, for good, and knows nothing of what became of it."""

    def __init__(self, bench):
        self.bench = bench
        self.line = Line(bench.server.port, lost_commit(lambda: bench.until("SELECT 1 FROM scores LIMIT 1"), is_for_good=True))

    @contextmanager
    def submitted(self):
        with self.bench.service() as client:
            body = {"type": "jdbc", "canonicalName": "far", "params": {"jdbcUrl": self.bench.server.url(self.line.port)}}
            store = client.request("POST", "externalDataStores/", json=body).json()["id"]
            job_id = client.request("POST", "batchPredictions/", json=self.bench.spec(dataStoreId=store)).json()["id"]
            wait_for(lambda: self.line.cuts)
            yield client, job_id


@pytest.fixture
def lost(bench):
    found = Lost(bench)
    with found.line:
        yield found


def test_a_job_whose_commit_was_not_answered_is_completed_when_the_server_is_back(bench, lost):
    with lost.submitted() as (client, job_id):
        lost.line.is_down = False
        assert client.until(job_id, "COMPLETED", "ABORTED")["status"] == "COMPLETED"
    assert (bench.count(), bench.staged(), bench.note(job_id).exists()) == (rows(), [], False)


def test_a_job_whose_commit_was_not_answered_is_asked_for_again_at_the_next_start(bench, lost):
    with lost.submitted() as (_, job_id):
        pass
    assert bench.note(job_id).exists()
    lost.line.is_down = False
    with bench.service() as client:
        ended = client.until(job_id, "COMPLETED", "ABORTED")
        assert ended["status"] == "COMPLETED", ended["statusDetails"]
    assert (bench.count(), bench.staged(), bench.note(job_id).exists()) == (rows(), [], False)


def test_a_job_that_is_deleted_while_nobody_knows_what_its_commit_did_says_so(bench, lost):
    with lost.submitted() as (client, job_id):
        assert client.request("DELETE", f"batchPredictions/{job_id}/").status_code == 202
        ended = client.until(job_id, "COMPLETED", "ABORTED")
    assert (ended["status"], "Nobody knows whether the rows are in the output" in ended["statusDetails"]) == ("ABORTED", True)
    assert (bench.count(), bench.staged(), bench.note(job_id).exists()) == (rows(), [f"reconciler_{job_id}"], False)
    with bench.server.connect() as connection:
        connection.execute(f"DROP TABLE reconciler_{job_id}")


@pytest.mark.parametrize("step", [Staged()], indirect=False)
def test_a_job_that_is_given_up_leaves_nothing(bench, step, killed):
    with closing(Store(bench.storage / "service.db", now)) as store:
        for _ in range(DEATHS - 1):
            store.recover(killed)
            assert store.take().id == killed
    assert bench.staged() == [f"reconciler_{killed}"]
    with bench.service() as client:
        ended = client.until(killed, "COMPLETED", "ABORTED")
    assert (ended["status"], ended["statusDetails"].startswith(f"The service died {DEATHS} times")) == ("ABORTED", True), ended
    assert (bench.count(), bench.staged()) == (0, [])
