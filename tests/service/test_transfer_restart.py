"""SIGKILL of a served service: what was answered 202 is scored, what was cut off ends with the reason. `RECONCILER_KILL_ROUNDS` runs it long."""

import os
import random
import threading
import time

import httpx
import pytest
from service.live import child, serving, wait_for

ROUNDS = int(os.environ.get("RECONCILER_KILL_ROUNDS", "3"))
ROWS = b"copy\n1\n2\n"


@pytest.fixture
def folders(house):
    return {deployment.id: str(deployment.folder) for deployment in house.deployments.values()}


@pytest.fixture
def churn(house):
    return house.deployments["churn"].id


def test_a_kept_upload_is_scored_again_and_one_that_was_cut_off_is_not(house, folders, churn):
    with child(house.storage, folders, pause=30) as server:
        api = server.api
        running, queued, never, cut, late = (api.create(churn, {"async": number != 4})["id"] for number in range(5))
        parts = api.create(house.deployments["fraud"].id, {"multipart": True})["id"]
        assert [api.upload(job, ROWS).status_code for job in (running, queued)] == [202, 202]
        api.until(running, "RUNNING")
        assert api.part(parts, 0, b"copy\n1\n").status_code == 202
        connections = [api.half_open(job) for job in (cut, late)]
        wait_for(lambda: all((house.storage / "uploads" / f"{job}.new").exists() for job in (cut, late)))
        assert (house.storage / "results" / f"{running}.csv").exists()
        server.kill()
        for connection in connections:
            connection.close()
    with house.service() as service, serving(service) as api:
        for job in (cut, late):
            assert (api.job(job)["status"], api.job(job)["statusDetails"]) == ("ABORTED", "the upload was cut off")
        assert "queued again" in api.until(running, "COMPLETED")["logs"][3]
        api.until(queued, "COMPLETED")
        assert [api.download(job).content for job in (running, queued)] == [b"copy\n1\n2"] * 2
        assert api.upload(never, ROWS).status_code == 202
        assert api.part(parts, 1, b"copy\n2\n").status_code == 202
        assert api.finalize(parts).status_code == 202
        api.until(parts, "COMPLETED")
        assert api.download(parts).content == b"copy\n1\n2"
    assert len(house.scorer.began) == 4


def test_a_result_outlives_the_process(house, folders, churn):
    with child(house.storage, folders) as server:
        job = server.api.create(churn)["id"]
        server.api.upload(job, ROWS)
        server.api.until(job, "COMPLETED")
        server.kill()
    with house.service() as service, serving(service) as api:
        assert api.download(job).content == ROWS
    assert house.scorer.began == []


def submit_until_it_dies(api, deployments, answered):
    """Uploads one small job after the other, each with rows of its own, and notes what was answered."""
    try:
        for number in range(10_000):
            job = api.create(deployments[number % 2], {"async": bool(number % 3)})["id"]
            rows = f"copy\n{job}\n".encode()
            status = api.upload(job, rows).status_code
            answered[job] = rows if status == 202 else status
    except (httpx.HTTPError, AssertionError):
        return


def test_whatever_was_answered_202_is_scored_after_any_number_of_kills(house, folders):
    answered = {}
    for number in range(ROUNDS):
        with child(house.storage, folders, pause=0.01) as server:
            thread = threading.Thread(target=submit_until_it_dies, args=(server.api, list(folders), answered))
            thread.start()
            time.sleep(random.Random(number).uniform(0.1, 0.6))
            server.kill()
            thread.join()
    assert answered
    with house.service() as service, serving(service) as api:
        ids = [job["id"] for job in api.http.get("batchPredictions/?limit=1000").json()["data"]]
        assert set(answered) <= set(ids)
        for job in ids:
            if job in answered:
                api.until(job, "COMPLETED")
                assert api.download(job).content.strip() == answered[job].strip()
            else:
                # The one whose answer was lost: scored when its rows were whole, and open or over when they were not.
                api.until(job, "COMPLETED", "ABORTED", "INITIALIZING")
