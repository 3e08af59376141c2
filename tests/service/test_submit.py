"""`POST batchPredictions/`: what becomes a job, what is refused and how, and that a key makes one job."""

import json
from collections.abc import Callable

import pytest

from reconciler.api import schema


def post(client, body, **options):
    return client.request("POST", "batchPredictions/", json=body, **options)


def test_a_job_is_accepted_scored_and_shown_in_full(house, client):
    answer = post(client, house.spec("a", maxExplanations=0, csvSettings={"delimiter": ";"}))
    created = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"http://reconciler.local/api/v2/batchPredictions/{created['id']}/"
    assert created["links"] == {"self": answer.headers["location"], "csvUpload": None, "download": None}
    assert created["jobSpec"]["csvSettings"] == {"delimiter": ";", "quotechar": '"', "encoding": "utf-8"}
    assert created["jobSpec"]["abortOnError"] is True
    assert isinstance(created["jobSpec"]["numConcurrent"], int)
    assert created["jobSpec"]["redactedFields"] == []

    job = client.until(created["id"], "COMPLETED")
    size = (house.folder / "a.csv").stat().st_size
    assert [line.split(" at ")[0] for line in job["logs"]] == [
        f"Job created by {created['createdBy']['username']} from 127.0.0.1",
        "Job submitted",
        "Job started processing",
        "Job done processing",
    ]
    assert job["statusDetails"] == job["logs"][-1]
    counts = {name: job[name] for name in ("scoredRows", "failedRows", "skippedRows", "percentageCompleted", "jobIntakeSize", "elapsedTimeSec")}
    expected = {"scoredRows": 2, "failedRows": 1, "skippedRows": 0, "percentageCompleted": 100.0, "jobIntakeSize": size, "elapsedTimeSec": 0}
    assert counts == expected
    assert (job["queued"], job["queuePosition"], job["intakeDatasetDisplayName"]) == (False, None, "a.csv")
    assert house.output("a").read_text() == "copy\n1\n2"
    schema.Job.model_validate(job)


def own_file(spec):
    """The service's database, in a roundabout way."""
    return spec["outputSettings"]["path"].replace("a.out", "models/../storage/service.db")


REFUSED: dict[str, tuple[Callable, int, str | None]] = {
    "unknown option": (lambda spec: spec | {"maxExplanation": 3}, 422, "maxExplanation"),
    "wrong type": (lambda spec: spec | {"maxExplanations": "3"}, 422, "maxExplanations"),
    "nested": (lambda spec: spec | {"csvSettings": {"delimiter": "::"}}, 422, "csvSettings"),
    "no target": (lambda spec: {key: value for key, value in spec.items() if key != "deploymentId"}, 422, "deploymentId"),
    "model id": (lambda spec: {key: value for key, value in spec.items() if key != "deploymentId"} | {"modelId": "6" * 24}, 422, "deploymentId"),
    "unknown deployment": (lambda spec: spec | {"deploymentId": "f" * 24}, 404, None),
    "intake of DataRobot's own": (lambda spec: spec | {"intakeSettings": {"type": "dss", "projectId": "6" * 24}}, 422, "intakeSettings"),
    "output of DataRobot's own": (lambda spec: spec | {"outputSettings": {"type": "tableau", "dataSourceId": "6" * 24}}, 422, "outputSettings"),
    "unknown intake": (lambda spec: spec | {"intakeSettings": {"type": "pigeon"}}, 422, "intakeSettings"),
    "intake is no object": (lambda spec: spec | {"intakeSettings": 3}, 422, "intakeSettings"),
    "relative path": (lambda spec: spec | {"outputSettings": {"type": "fileSystem", "path": "out.csv"}}, 422, "outputSettings"),
    "null byte": (lambda spec: spec | {"outputSettings": {"type": "fileSystem", "path": "/a\0b"}}, 422, "outputSettings"),
    "output is intake": (lambda spec: spec | {"outputSettings": spec["intakeSettings"]}, 422, "outputSettings"),
    "own folder": (lambda spec: spec | {"outputSettings": {"type": "fileSystem", "path": own_file(spec)}}, 422, "outputSettings"),
    "not served": (lambda spec: spec | {"maxNgramExplanations": 3}, 422, "maxNgramExplanations"),
    "snake case intake": (lambda spec: {**spec, "intake_settings": spec["intakeSettings"]}, 422, "intake_settings"),
    "list": (lambda spec: [spec], 422, None),
}


@pytest.mark.parametrize(("change", "status", "field"), list(REFUSED.values()), ids=list(REFUSED))
def test_a_bad_spec_is_refused_with_its_field_and_nothing_is_stored(house, client, change, status, field):
    answer = post(client, change(house.spec("a")))
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    assert answer.json()["message"]
    assert list(answer.json().get("errors", {})) == ([field] if field else [])
    assert client.ids() == []


def test_the_fields_of_a_block_are_an_object_of_their_own(house, client):
    answer = post(client, house.spec("a", csvSettings={"delimiter": "::", "quote": "x"}))
    errors = answer.json()["errors"]["csvSettings"]
    assert set(errors) == {"delimiter", "quote"}
    assert "tab" in errors["delimiter"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"a": NaN}', b'{"a": 1e999}', b'{"a": "\\ud800"}', b"[" * 100_000, b"1" * 5000], ids=lambda body: repr(body[:12])
)
def test_a_body_that_is_not_json_is_refused(client, body):
    answer = client.request("POST", "batchPredictions/", content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert answer.json()["message"].startswith("the body is not JSON")


def test_a_model_that_cannot_be_read_is_refused_with_its_sentence(house, client):
    (house.deployments["churn"].folder / "model.lgb").unlink()
    answer = post(client, house.spec("a"))
    assert answer.status_code == 422
    assert "no artifact" in answer.json()["errors"]["deploymentId"]


def test_explanations_are_of_what_the_model_has(house, client):
    explained = house.spec("a", maxExplanations=3, thresholdHigh=0.8, explanationAlgorithm="xemp")
    assert post(client, explained).status_code == 202
    answer = post(client, house.spec("b", maxExplanations=3, explanationNumTopClasses=2))
    assert answer.status_code == 422
    assert "Only a model of several classes" in answer.json()["errors"]["explanationNumTopClasses"]
    metadata = house.deployments["fraud"].folder / "model-metadata.yaml"
    metadata.write_text("targetType: multiclass\ninferenceModel: {targetName: t, classLabels: [x, y, z]}\n")
    answer = post(client, house.spec("c", deployment="fraud", maxExplanations=3, explanationClassNames=["y", "w"]))
    assert answer.status_code == 422
    assert "no class w; its classes are x, y, z" in answer.json()["errors"]["explanationClassNames"]
    assert post(client, house.spec("d", deployment="fraud", maxExplanations=3, explanationClassNames=["y", "x"])).status_code == 202


def test_messages_are_ascii_whatever_they_quote(house, client):
    answer = post(client, house.spec("a", größe=1))
    assert answer.status_code == 422
    assert answer.content.isascii()
    assert "größe" in answer.json()["errors"]


def test_a_key_makes_one_job(house, client):
    spec = house.spec("a")
    first = post(client, spec, headers={"Idempotency-Key": "run-1"})
    client.until(first.json()["id"], "COMPLETED")
    again = post(client, spec | {"numConcurrent": 7, "abortOnError": True}, headers={"Idempotency-Key": "run-1"})
    assert (again.status_code, again.headers["location"]) == (202, first.headers["location"])
    assert again.json()["status"] == "COMPLETED"
    assert post(client, spec, headers={"Idempotency-Key": "run-2"}).json()["id"] != first.json()["id"]
    assert len(client.ids()) == 2


def test_a_key_with_another_spec_is_refused(house, client):
    post(client, house.spec("a"), headers={"Idempotency-Key": "run-1"})
    answer = post(client, house.spec("b"), headers={"Idempotency-Key": "run-1"})
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["message"]
    assert len(client.ids()) == 1


def test_a_key_still_finds_its_job_when_the_model_is_gone(house, client):
    spec = house.spec("a")
    first = post(client, spec, headers={"Idempotency-Key": "run-1"})
    client.until(first.json()["id"], "COMPLETED")
    (house.deployments["churn"].folder / "model.lgb").unlink()
    assert post(client, spec, headers={"Idempotency-Key": "run-1"}).json()["id"] == first.json()["id"]


def test_two_open_jobs_never_write_to_one_place(house, client, submit):
    held = submit(house.spec("a", "hold"))
    (house.folder / "link.out").symlink_to(house.output("a"))
    other = house.spec("b", outputSettings={"type": "fileSystem", "path": str(house.folder / "link.out")})
    answer = post(client, other)
    assert answer.status_code == 422
    assert held in answer.json()["errors"]["outputSettings"]["path"]
    house.scorer.gate.set()
    client.until(held, "COMPLETED")
    assert post(client, other).status_code == 202


def test_the_caller_is_shown_with_its_address(house, client):
    created = post(client, house.spec("a")).json()
    assert set(created["createdBy"]) == {"userId", "username", "fullName"}
    assert json.dumps(created).isascii()
