"""Jobs whose rows come by files that the system has made for them, killed while the files are there: deleted, they leave none of them."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import obstore
import pytest
from servers.google_keys import running_keys
from servers.snowflake import BUCKET

from reconciler.fingerprint import short_id
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.service import Service

NUMBERS = count()
MODEL = Path(__file__).parents[2] / "specs" / "models" / "diabetes"
with open(MODEL.parents[1] / "data/diabetes/2026-09.csv") as _file:
    COLUMNS = next(_file).strip().split(",")

# Scores a job until its rows are read, says so, and waits to be killed.
CHILD = """
import json, sys, threading
from pathlib import Path
from reconciler.engine.pipeline import score
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.service import Service

def held(job, *, report, is_cancelled):
    def hold(progress):
        print(job.intake.job, flush=True)
        threading.Event().wait()
    return score(job, report=hold, is_cancelled=is_cancelled)

storage, deployment, folder, spec = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4])
service = Service(storage, Registry([LocalDeployment(deployment, "diabetes", folder)]), score=held)
service.start()
service.submit(spec, "127.0.0.1", None)
threading.Event().wait()
"""


class Warehouse(NamedTuple):
    """`intake` is settings without ids; `credentials` are bodies by the field that names them; `left` is whatever of a job is still there."""

    intake: dict[str, Any]
    credentials: dict[str, dict[str, Any]]
    store: dict[str, Any] | None
    left: Callable[[], list[str]]


def table(quote: str, number: str) -> tuple[str, str]:
    names = ", ".join(f"{quote}{name}{quote} {number}" for name in COLUMNS)
    return names, ", ".join("1.5" for _ in COLUMNS)


def _snowflake(request: pytest.FixtureRequest) -> Warehouse:
    server = request.getfixturevalue("snowflake")
    columns, row = table('"', "FLOAT")
    name = f"UNLOADED_{next(NUMBERS)}"
    server.run(f"CREATE TABLE {name} ({columns})", f"INSERT INTO {name} VALUES ({row})")

    def left() -> list[str]:
        return [found["path"] for found in obstore.list(server.seaweed.store(BUCKET)).collect()]

    intake = {"type": "snowflake", "table": name, "externalStage": "LAKE", "cloudStorageType": "s3"}
    return Warehouse(
        intake, {"credentialId": server.credential, "cloudStorageCredentialId": server.seaweed.credential}, {"jdbcUrl": server.url}, left
    )


def _synapse(request: pytest.FixtureRequest) -> Warehouse:
    server = request.getfixturevalue("synapse")
    name = f"unloaded-{next(NUMBERS)}"
    server.external_source(name, name)
    columns, row = table('"', "float")
    server.run(f"CREATE TABLE [{name}] ({columns})", f"INSERT INTO [{name}] VALUES ({row})")

    def left() -> list[str]:
        return server.files(name) + [str(row[0]) for row in server.run("SELECT name FROM sys.external_tables")]

    intake = {"type": "synapse", "table": name, "externalDataSource": name}
    return Warehouse(intake, {"credentialId": server.credential, "cloudStorageCredentialId": server.azurite.credential}, server.data_store, left)


def _bigquery(request: pytest.FixtureRequest) -> Warehouse:
    server = request.getfixturevalue("bigquery")
    keys = request.getfixturevalue("google_keys")
    for name, value in server.variables.items():
        request.getfixturevalue("monkeypatch").setenv(name, value)
    name = f"unloaded_{next(NUMBERS)}"
    bucket, client = server.gcs.bucket(name), server.client()
    client.create_dataset(name)
    columns, row = table("`", "FLOAT64")
    client.query_and_wait(f"CREATE TABLE {name}.wide ({columns})")
    client.query_and_wait(f"INSERT INTO {name}.wide VALUES ({row})")
    intake = {"type": "bigquery", "dataset": name, "table": "wide", "bucket": name}
    credential = {"credentialType": "gcp", "gcpKey": keys.account()}
    return Warehouse(intake, {"credentialId": credential}, None, lambda: [blob.name for blob in bucket.list_blobs()])


@pytest.fixture
def google_keys():
    with running_keys() as keys:
        yield keys


@pytest.fixture(params=[_snowflake, _synapse, _bigquery], ids=["snowflake", "synapse", "bigquery"])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    made: Warehouse = request.param(request)
    assert made.left() == []
    return made


class Bench:
    def __init__(self, folder, warehouse, client_of):
        self.storage = folder / "storage"
        self.client_of = client_of
        self.registry = Registry([LocalDeployment(short_id("diabetes"), "diabetes", MODEL)])
        self.output = folder / "out.csv"
        intake = dict(warehouse.intake)
        with self.service(workers=0) as client:
            for field, body in warehouse.credentials.items():
                made = client.request("POST", "credentials/", json={"name": field, **body})
                intake[field] = made.json()["credentialId"]
            if warehouse.store:
                body = {"type": "jdbc", "canonicalName": "warehouse", "params": warehouse.store}
                intake["dataStoreId"] = client.request("POST", "externalDataStores/", json=body).json()["id"]
        self.spec = {
            "deploymentId": short_id("diabetes"),
            "intakeSettings": intake,
            "outputSettings": {"type": "fileSystem", "path": str(self.output)},
        }

    @contextmanager
    def service(self, **options):
        with Service(self.storage, self.registry, **options) as service:
            yield self.client_of(service)


@pytest.fixture
def bench(tmp_path, warehouse, client_of):
    return Bench(tmp_path, warehouse, client_of)


@pytest.fixture
def killed(bench, warehouse):
    """A job whose service was killed while its files were there."""
    arguments = [sys.executable, "-c", CHILD, str(bench.storage), short_id("diabetes"), str(MODEL), json.dumps(bench.spec)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            job_id = child.stdout.readline().strip()
        finally:
            child.kill()
    assert [name for name in warehouse.left() if f"reconciler_{job_id}/" in name]
    return job_id


def test_a_job_that_is_deleted_after_its_service_was_killed_leaves_no_file(bench, warehouse, killed):
    with bench.service(workers=0) as client:
        assert client.request("DELETE", f"batchPredictions/{killed}/").status_code == 202
    with bench.service() as client:
        assert client.until(killed, "COMPLETED", "ABORTED")["status"] == "ABORTED"
    assert warehouse.left() == []


def test_a_job_whose_model_is_gone_after_its_service_was_killed_leaves_no_file(bench, warehouse, killed):
    """It fails before it asks for its rows again."""
    bench.registry = Registry([])
    with bench.service() as client:
        assert client.until(killed, "COMPLETED", "ABORTED")["status"] == "ABORTED"
    assert warehouse.left() == []


def test_a_job_whose_service_was_killed_is_scored_and_leaves_no_file(bench, warehouse, killed):
    with bench.service() as client:
        ended = client.until(killed, "COMPLETED", "ABORTED")
    assert (ended["status"], ended["scoredRows"]) == ("COMPLETED", 1), ended["statusDetails"]
    assert warehouse.left() == []
