"""`batchJobs/`: the jobs' other address, with the same answers."""

from reconciler.service.app import ROUTES

LOCAL = {"type": "localFile"}


def test_the_same_handlers():
    handlers = {(method, path): handler for method, path, handler in ROUTES}
    again = {(method, path): handler for (method, path), handler in handlers.items() if path.startswith("batchJobs/")}
    assert len(again) == 6
    assert all(handlers[method, path.replace("batchJobs/", "batchPredictions/")] is handler for (method, path), handler in again.items())


def test_a_job_is_uploaded_seen_and_downloaded(house, client, submit):
    spec = house.spec("a") | {"intakeSettings": LOCAL, "outputSettings": LOCAL}
    job_id = submit(spec)
    assert client.get("batchJobs/").json()["data"][0]["id"] == job_id
    answer = client.request("PUT", f"batchJobs/{job_id}/csvUpload/", content=b"copy\n1\n", headers={"Content-Type": "text/csv"})
    assert answer.status_code == 202, answer.text
    client.until(job_id, "COMPLETED")
    assert client.get(f"batchJobs/{job_id}/").json() == client.job(job_id)
    assert client.get(f"batchJobs/{job_id}/download/").content == b"copy\n1"
    assert client.request("DELETE", f"batchJobs/{job_id}/").status_code == 409


def test_a_definition_is_run(house, client):
    made = client.request("POST", "batchPredictionJobDefinitions/", json={"name": "nightly", "enabled": False} | house.spec("a")).json()
    run = client.request("POST", "batchJobs/fromJobDefinition/", json={"jobDefinitionId": made["id"]})
    assert (run.status_code, run.json()["source"]) == (202, "Manual Run")
    client.until(run.json()["id"], "COMPLETED")
    assert client.get("batchJobs/nope/").status_code == 404
