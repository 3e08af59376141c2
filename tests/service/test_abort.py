"""DELETE and PATCH: a job is aborted once, stays readable, and leaves the list."""

import pytest


def delete(client, job_id):
    return client.request("DELETE", f"batchPredictions/{job_id}/")


def test_a_running_job_is_aborted(house, client, submit):
    held = submit(house.spec("a", "hold"))
    client.until(held, "RUNNING")
    assert delete(client, held).status_code == 202
    assert delete(client, held).status_code in (202, 409)  # it is ending, or has ended
    job = client.until(held, "ABORTED")
    assert [line.split(" at ")[0] for line in job["logs"]][-2:] == [f"Job abort requested by {job['createdBy']['username']}", "Job aborted"]
    assert client.ids() == []
    assert not house.output("a").exists()
    client.until(submit(house.spec("b")), "COMPLETED")


def test_a_job_deleted_at_its_very_end_is_aborted_too(house, client, submit):
    held = submit(house.spec("a", "finish"))
    client.until(held, "RUNNING")
    assert delete(client, held).status_code == 202
    house.scorer.gate.set()
    client.until(held, "ABORTED")
    assert not house.output("a").exists()


def test_a_waiting_job_never_starts(house, client, submit):
    held, waiting = submit(house.spec("a", "hold")), submit(house.spec("b"))
    assert delete(client, waiting).status_code == 202
    assert client.job(waiting)["status"] == "ABORTED"
    house.scorer.gate.set()
    client.until(held, "COMPLETED")
    assert house.scorer.began == ["a.csv"]


def test_an_ended_or_unknown_job_cannot_be_aborted(house, client, submit):
    done = submit(house.spec("a"))
    client.until(done, "COMPLETED")
    assert (delete(client, done).status_code, delete(client, "f" * 24).status_code) == (409, 404)
    assert house.output("a").exists()


def test_an_ended_job_is_hidden_and_shown_again(house, client, submit):
    done = submit(house.spec("a"))
    client.until(done, "COMPLETED")
    hidden = client.request("PATCH", f"batchPredictions/{done}/", json={"hidden": True})
    assert (hidden.status_code, client.ids()) == (200, [])
    assert hidden.json()["hidden"].endswith("Z")
    shown = client.request("PATCH", f"batchPredictions/{done}/", json={"hidden": False}).json()
    assert (shown["hidden"], client.ids()) == (None, [done])


@pytest.mark.parametrize(("body", "status"), [({"status": "COMPLETED"}, 422), ({"hidden": "yes"}, 422), ({"hidden": True}, 409), ({}, 200)])
def test_nothing_but_hidden_changes_and_not_while_the_job_is_open(house, client, submit, body, status):
    held = submit(house.spec("a", "hold"))
    assert client.request("PATCH", f"batchPredictions/{held}/", json=body).status_code == status
    assert client.request("PATCH", f"batchPredictions/{'f' * 24}/", json={"hidden": True}).status_code == 404
