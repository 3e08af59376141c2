"""Crashes and restarts: nothing accepted is lost, nothing stays running, nothing completed is scored again."""

import json
import subprocess
import sys
import textwrap
import threading

import pytest

from reconciler.errors import ServiceError
from reconciler.service.registry import Registry
from reconciler.service.store import DEATHS

# A process that completes one job, dies in the middle of the next, and leaves a third in the queue.
CHILD = """
import json, os, signal, sys, threading
from pathlib import Path
from reconciler.engine.job import Tally
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.service import Service

storage, folder, deployment, death, specs = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4], json.loads(sys.argv[5])
queued = threading.Event()

def score(job, *, report, is_cancelled):
    job.output.write_text("half")
    if job.intake.name == "b.csv":
        queued.wait(20)
        os._exit(9) if death == "exit" else os.kill(os.getpid(), signal.SIGKILL)
    job.output.write_text("whole")
    return Tally(2, 0, 0, 9, 5)

service = Service(storage, Registry([LocalDeployment(deployment, "churn", folder)]), workers=2, score=score)
service.start()
done = service.submit(specs[0], "127.0.0.1", "a").id
while service.job(done).status != "COMPLETED":
    pass
dying = service.submit(specs[1], "127.0.0.1", "b").id
while service.job(dying).status != "RUNNING":
    pass
waiting = service.submit(specs[2], "127.0.0.1", "c").id
deleted = service.submit(specs[3], "127.0.0.1", "d").id
if specs[4]:
    service.delete(dying)
print(json.dumps([done, dying, waiting]), flush=True)
queued.set()
threading.Event().wait(20)
"""


@pytest.fixture
def die(house):
    def run(death, is_deleted=False):
        specs = [house.spec("a"), house.spec("b"), house.spec("c"), house.spec("d"), is_deleted]
        churn = house.deployments["churn"]
        child = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(CHILD), str(house.storage), str(churn.folder), churn.id, death, json.dumps(specs)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert child.returncode == (9 if death == "exit" else -9), child.stderr
        return json.loads(child.stdout)

    return run


@pytest.mark.parametrize("death", ["exit", "kill"])
def test_after_a_hard_kill_every_accepted_job_is_scored(house, client_of, die, death):
    done, dying, waiting = die(death)
    assert house.output("b").read_text() == "half"
    with house.service() as service:
        client = client_of(service)
        jobs = [client.until(job_id, "COMPLETED") for job_id in (done, dying, waiting)]
        again = client.request("POST", "batchPredictions/", json=house.spec("b"), headers={"Idempotency-Key": "b"})
        assert again.json()["id"] == dying
        for job_id in client.ids():
            client.until(job_id, "COMPLETED")
    assert house.scorer.began == ["b.csv", "c.csv", "d.csv"]
    assert house.output("a").read_text() == "whole"
    assert house.output("b").read_text() == "copy\n1\n2"
    assert "queued again" in jobs[1]["logs"][3]
    assert len(jobs[2]["logs"]) == 4


def test_a_job_deleted_while_it_ran_does_not_come_back(house, client_of, die):
    _, dying, waiting = die("kill", is_deleted=True)
    with house.service() as service:
        client = client_of(service)
        assert client.job(dying)["status"] == "ABORTED"
        assert not house.output("b").exists()
        client.until(waiting, "COMPLETED")
    assert "b.csv" not in house.scorer.began


def test_stop_puts_what_runs_back_into_the_queue(house, client_of):
    with house.service() as service:
        client = client_of(service)
        held = client.request("POST", "batchPredictions/", json=house.spec("a", "hold")).json()["id"]
        client.until(held, "RUNNING")
    assert not house.output("a").exists()
    house.scorer.gate.set()
    with house.service() as service:
        assert "queued again" in client_of(service).until(held, "COMPLETED")["logs"][3]
    assert house.output("a").exists()


def test_a_job_deleted_as_the_service_stops_is_aborted(house, client_of):
    service = house.service()
    service.start()
    client = client_of(service)
    held = client.request("POST", "batchPredictions/", json=house.spec("a", "finish")).json()["id"]
    client.until(held, "RUNNING")
    client.request("DELETE", f"batchPredictions/{held}/")
    threading.Timer(0.05, house.scorer.gate.set).start()
    service.stop()
    with house.service() as again:
        assert client_of(again).job(held)["status"] == "ABORTED"


def test_a_deployment_that_is_gone_ends_its_job(house, client_of):
    with house.service() as service:
        client = client_of(service)
        held = client.request("POST", "batchPredictions/", json=house.spec("a", "hold")).json()["id"]
    house.registry = Registry([house.deployments["fraud"]])
    with house.service() as service:
        assert "no longer served" in client_of(service).until(held, "ABORTED")["statusDetails"]


def test_a_second_process_is_told_who_is_first(house):
    with house.service(), pytest.raises(ServiceError, match="already running"):
        house.service().start()
    with house.service():
        pass


def test_a_service_is_started_once(house, service):
    with pytest.raises(ServiceError, match="already running"):
        service.start()


def test_a_folder_that_cannot_hold_the_database_is_an_error_with_its_path(house):
    house.storage.mkdir()
    (house.storage / "service.db").write_text("this is no database, and long enough to be looked at")
    with pytest.raises(ServiceError) as error:
        house.service().start()
    assert str(house.storage) in error.value.detail
    (house.storage / "service.db").unlink()
    with house.service():
        pass


# A process whose scorer brings it down, as a damaged model or too large a block of rows may.
DEADLY = """
import json, os, sys, threading
from pathlib import Path
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.service import Service

storage, folder, deployment, spec = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
service = Service(storage, Registry([LocalDeployment(deployment, "churn", folder)]), score=lambda job, **_: os._exit(9))
service.start()
service.submit(spec, "127.0.0.1", "a")
threading.Event().wait(1)
"""


def test_a_job_that_brings_the_service_down_again_and_again_is_aborted(house, client_of):
    churn = house.deployments["churn"]
    arguments = [sys.executable, "-c", DEADLY, str(house.storage), str(churn.folder), churn.id, json.dumps(house.spec("a"))]
    for _ in range(DEATHS):
        assert subprocess.run(arguments, check=False, timeout=60).returncode == 9
    with house.service() as service:
        (job,) = client_of(service).get("batchPredictions/").json()["data"]
    assert job["status"] == "ABORTED"
    assert job["statusDetails"].startswith(f"The service died {DEATHS} times while it scored this job")
