"""`batchPredictions/fromExisting/`: the same job again, over the same rows."""

import pytest

CSV = {"content-type": "text/csv"}


def again(client, job_id):
    return client.request("POST", "batchPredictions/fromExisting/", json={"predictionJobId": job_id})


@pytest.fixture
def uploaded(client, submit, house):
    """A job that was scored from an upload."""
    job = client.job(submit(house.spec("a", intakeSettings={"type": "localFile"})))
    assert client.request("PUT", job["links"]["csvUpload"], content=b"copy\n1\n", headers=CSV).status_code == 202
    return client.until(job["id"], "COMPLETED")


def test_a_job_is_scored_again(house, client, submit):
    first = client.until(submit(house.spec("a", csvSettings={"delimiter": ";"})), "COMPLETED")
    house.output("a").unlink()
    answer = again(client, first["id"])
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"].endswith(f"/batchPredictions/{answer.json()['id']}/")
    assert answer.json()["jobSpec"] == first["jobSpec"]
    assert answer.json()["id"] != first["id"]
    client.until(answer.json()["id"], "COMPLETED")
    assert house.output("a").exists()


def test_the_rows_of_an_upload_are_used_again(house, client, uploaded):
    house.output("a").unlink()
    answer = again(client, uploaded["id"])
    assert (answer.status_code, answer.json()["queued"] or answer.json()["status"] != "INITIALIZING") == (202, True)
    assert client.until(answer.json()["id"], "COMPLETED")["scoredRows"] == uploaded["scoredRows"]
    assert house.output("a").read_text() == "copy\n1"
    # The new job has its rows, so it takes no others.
    refused = client.request("PUT", f"batchPredictions/{answer.json()['id']}/csvUpload/", content=b"x\n", headers=CSV)
    assert refused.status_code == 409


def test_rows_that_are_kept_no_longer_are_refused(house, client, uploaded):
    (house.storage / "uploads" / f"{uploaded['id']}.csv").unlink()
    answer = again(client, uploaded["id"])
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["predictionJobId"])
    assert client.ids() == [uploaded["id"]]


def test_an_upload_that_never_came_is_refused(house, client, submit):
    waiting = submit(house.spec("a", intakeSettings={"type": "localFile"}))
    assert again(client, waiting).status_code == 422


def test_a_refused_repetition_leaves_no_rows_behind(house, client, uploaded, submit):
    held = submit(house.spec("a", "hold"))
    before = sorted((house.storage / "uploads").iterdir())
    assert again(client, uploaded["id"]).status_code == 422
    assert sorted((house.storage / "uploads").iterdir()) == before
    house.scorer.gate.set()
    client.until(held, "COMPLETED")


@pytest.mark.parametrize(
    ("body", "status"), [({"predictionJobId": "f" * 24}, 404), ({}, 422), ({"predictionJobId": None}, 422), ({"jobId": "f"}, 422)], ids=repr
)
def test_what_is_no_job(client, body, status):
    assert client.request("POST", "batchPredictions/fromExisting/", json=body).status_code == status
