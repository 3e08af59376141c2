"""The queue: one job for each deployment at a time, oldest first, and at most as many as there are workers."""

import time

import pytest


def test_a_deployment_scores_one_job_at_a_time_oldest_first(house, client, submit):
    held = submit(house.spec("first", "hold"))
    client.until(held, "RUNNING")
    waiting = [submit(house.spec(f"next{number}")) for number in range(3)]
    shown = [client.job(job_id) for job_id in waiting]
    assert [(job["status"], job["queued"], job["queuePosition"]) for job in shown] == [("INITIALIZING", True, place) for place in range(3)]
    running = client.job(held)
    assert (running["queued"], running["queuePosition"]) == (False, None)
    house.scorer.gate.set()
    for job_id in [held, *waiting]:
        client.until(job_id, "COMPLETED")
    assert house.scorer.began == ["first.csv", "next0.csv", "next1.csv", "next2.csv"]
    assert house.scorer.most_in_a_folder == 1


def test_another_deployment_does_not_wait(house, client, submit):
    held = submit(house.spec("a", "hold"))
    client.until(held, "RUNNING")
    submit(house.spec("b"))
    client.until(submit(house.spec("c", deployment="fraud")), "COMPLETED")
    assert house.scorer.began == ["a.csv", "c.csv"]
    house.scorer.gate.set()


@pytest.mark.parametrize("workers", [1, 2])
def test_never_more_jobs_at_once_than_workers(house, client_of, workers):
    with house.service(workers) as service:
        client = client_of(service)
        specs = [house.spec(f"{deployment}{number}", deployment=deployment) for number in range(5) for deployment in house.deployments]
        for spec in specs:
            assert client.request("POST", "batchPredictions/", json=spec).status_code == 202
        for job_id in client.ids():
            client.until(job_id, "COMPLETED")
    assert len(house.scorer.began) == 10
    assert house.scorer.most_at_once <= workers
    assert house.scorer.most_in_a_folder == 1


def test_a_deployment_scores_as_many_jobs_at_once_as_it_may(house, client_of):
    with house.service(workers=4, jobs_per_deployment=2) as service:
        client = client_of(service)
        held = [client.request("POST", "batchPredictions/", json=house.spec(name, "hold")).json()["id"] for name in ("a", "b", "c")]
        for job_id in held[:2]:
            client.until(job_id, "RUNNING")
        assert client.job(held[2])["queuePosition"] == 0
        house.scorer.gate.set()
        for job_id in held:
            client.until(job_id, "COMPLETED")
    assert house.scorer.most_in_a_folder == 2


def test_progress_is_shown_while_a_job_runs(house, client, submit):
    held = submit(house.spec("a", "hold"))
    limit = 2000
    while not (job := client.job(held))["percentageCompleted"] and limit:
        limit -= 1
    assert (job["status"], job["scoredRows"], job["jobIntakeSize"], job["jobOutputSize"]) == ("RUNNING", 1, 4, 4)
    assert job["percentageCompleted"] == pytest.approx(44.44)
    house.scorer.gate.set()


FAILURES = {
    "bad": "Zeile 3 ist für das Modell unlesbar: größer als ∞",
    "bug": "internal error: KeyError: 'nobody expected this'",
    "exit": "internal error: SystemExit: 3",
}


@pytest.mark.parametrize(("does", "reason"), list(FAILURES.items()), ids=list(FAILURES))
def test_a_failure_ends_in_aborted_with_its_reason_and_without_output(house, client, submit, does, reason):
    job = client.until(submit(house.spec("a", does)), "ABORTED", "FAILED")
    assert (job["status"], job["statusDetails"], job["logs"][-1]) == ("ABORTED", reason, reason)
    assert not house.output("a").exists()
    client.until(submit(house.spec("b")), "COMPLETED")


def test_an_output_that_a_failed_job_never_touched_stays(house, client, submit):
    house.output("a").write_text("an earlier result")
    client.until(submit(house.spec("a", "early")), "ABORTED")
    assert house.output("a").read_text() == "an earlier result"


def test_a_database_that_cannot_be_written_loses_no_end(house, service, client, submit, caplog):
    held = submit(house.spec("a", "hold"))
    client.until(held, "RUNNING")
    store = service._running[1]
    with store._lock:
        store._connection.execute("PRAGMA query_only = 1")
    house.scorer.gate.set()
    limit = time.monotonic() + 20
    while "cannot be written" not in caplog.text and time.monotonic() < limit:
        time.sleep(0.005)
    assert client.job(held)["status"] == "RUNNING"
    assert client.request("POST", "batchPredictions/", json=house.spec("b")).status_code == 500
    with store._lock:
        store._connection.execute("PRAGMA query_only = 0")
    assert client.until(held, "COMPLETED")["scoredRows"] == 2
