"""What every route shares: JSON errors, the bare content type, whole paths, no traceback."""

import subprocess
import sys

import pytest

from reconciler.service.app import ROUTES


def test_version_is_what_the_official_client_asks_for(client):
    assert client.get("version/").json() == {"major": 2, "minor": 49, "versionString": "2.49.0", "releasedVersion": "11.0.0"}


def test_account_is_that_of_whoever_made_a_job(house, client, submit):
    job = client.get(f"batchPredictions/{submit(house.spec('a'))}/").json()
    assert client.get("account/info/").json()["uid"] == job["createdBy"]["userId"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nothing/", 404),
        ("GET", "batchPredictions", 404),
        ("GET", "/", 404),
        ("PUT", "batchPredictions/", 405),
        ("POST", "version/", 405),
        ("GET", "batchPredictions/nope/", 404),
        ("GET", "deployments/nope/", 404),
        ("GET", "deployments/?limit=101", 422),
    ],
)
def test_errors_are_json(client, method, path, status):
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json()["message"]


def test_the_unexpected_is_500_without_a_traceback(house, client_of, caplog):
    def broken_clock():
        raise RuntimeError("the größte surprise")

    with house.service(clock=broken_clock) as service:
        answer = client_of(service).get("batchPredictions/")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/json")
    assert answer.json() == {"message": "internal error; the service's log says more"}
    assert "the größte surprise" in caplog.text


def test_a_service_that_was_not_started_shows_its_deployments_and_takes_no_jobs(house, client_of):
    client = client_of(house.service())
    assert client.get("deployments/").json()["count"] == 2
    answers = [client.get("batchPredictions/"), client.request("POST", "batchPredictions/", json=house.spec("a"))]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(503, {"message": "the service is not running"})] * 2
    assert not house.storage.exists()


def test_a_wrong_method_is_told_the_right_ones(client):
    assert client.request("PUT", "batchPredictions/").headers["allow"] == "GET, HEAD, POST"
    assert client.request("POST", "batchPredictions/x/").headers["allow"] == "DELETE, GET, HEAD, PATCH"


def test_links_follow_the_host_of_the_request(house, client, submit):
    done = submit(house.spec("a"))
    shown = client.get(f"batchPredictions/{done}/", headers={"Host": "scoring.example:8080"}).json()
    assert shown["links"]["self"] == f"http://scoring.example:8080/api/v2/batchPredictions/{done}/"


def test_every_path_ends_in_a_slash_but_the_one_that_the_official_client_writes_without():
    assert [(method, path) for method, path, _ in ROUTES if not path.endswith("/")] == [
        ("GET", "openapi.yaml"),
        ("PATCH", "batchPredictionJobDefinitions/{id}"),
    ]


def test_an_apply_in_this_process_needs_nothing_of_the_extra_serve():
    missing = ("cryptography", "python_multipart", "uvicorn")
    code = f"import sys; sys.modules.update(dict.fromkeys({missing})); import reconciler.service.app"
    subprocess.run([sys.executable, "-c", code], check=True)
