"""Jobs into a table of PostgreSQL that are cut off between the two steps of their output: each row is there once, or none is.

What holds a job between its steps is a lock that the test has taken, and that a trigger of the target waits for: the scores are staged, and noted.
"""

import csv
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers.postgres import PASSWORD, USER, Postgres, postgres  # noqa: F401
from service.live import wait_for

from reconciler.fingerprint import short_id
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.service import Service

pytestmark = pytest.mark.xdist_group("jdbc")
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

    def count(self):
        with self.server.connect() as connection:
            return connection.execute("SELECT count(*) FROM scores").fetchone()[0]

    def staged(self):
        with self.server.connect() as connection:
            return [name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'reconciler%'")]


@pytest.fixture
def bench(tmp_path, postgres: Postgres, client_of):  # noqa: F811
    return Bench(tmp_path, postgres, client_of)


@pytest.fixture
def killed(bench):
    """A job whose scores are staged, and whose service was killed then."""
    arguments = [sys.executable, "-c", CHILD, str(bench.storage), short_id("diabetes"), str(MODEL), json.dumps(bench.spec())]
    with bench.locked(), subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            job_id = child.stdout.readline().strip()
            wait_for(bench.note(job_id).exists)
        finally:
            child.kill()
    assert (bench.count(), len(bench.staged())) == (0, 1)
    return job_id


def rows():
    with open(ROWS) as file:
        return sum(1 for _ in csv.reader(file)) - 1


def test_a_job_whose_service_was_killed_between_its_steps_takes_the_second_only(bench, killed):
    with bench.service() as client:
        ended = client.until(killed, "COMPLETED", "ABORTED")
        assert (ended["status"], ended["scoredRows"], ended["percentageCompleted"]) == ("COMPLETED", rows(), 100.0), ended["statusDetails"]
    assert (bench.count(), bench.staged(), bench.note(killed).exists()) == (rows(), [], False)


def test_a_job_that_is_deleted_after_that_leaves_nothing(bench, killed):
    with bench.service(workers=0) as client:
        assert client.request("DELETE", f"batchPredictions/{killed}/").status_code == 202
    with bench.service() as client:
        assert client.until(killed, "COMPLETED", "ABORTED")["status"] == "ABORTED"
        again = client.request("POST", "batchPredictions/", json=bench.spec())
        assert client.until(again.json()["id"], "COMPLETED", "ABORTED")["status"] == "COMPLETED"
    assert (bench.count(), bench.staged(), bench.note(killed).exists()) == (rows(), [], False)


def test_a_job_that_is_deleted_between_its_steps_leaves_nothing(bench):
    with bench.service() as client, bench.locked():
        job_id = client.request("POST", "batchPredictions/", json=bench.spec()).json()["id"]
        wait_for(bench.note(job_id).exists)
        assert client.request("DELETE", f"batchPredictions/{job_id}/").status_code == 202
        assert client.until(job_id, "COMPLETED", "ABORTED")["status"] == "ABORTED"
    assert (bench.count(), bench.staged(), bench.note(job_id).exists()) == (0, [], False)


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
