"""`batchPredictionJobDefinitions/` and `batchPredictions/fromJobDefinition/`: every field, every refusal, and what runs show."""

import pytest

from reconciler.identity import user
from reconciler.service.identity import shown_user

PATH = "batchPredictionJobDefinitions/"
EVERY = {"minute": ["*"], "hour": ["*"], "dayOfMonth": ["*"], "month": ["*"], "dayOfWeek": ["*"]}


def create(client, body):
    return client.request("POST", PATH, json=body)


@pytest.fixture
def made(house, client):
    answer = create(client, house.spec("a") | {"name": "nightly", "numConcurrent": 3})
    assert answer.status_code == 202, answer.text
    return answer.json()


def change(client, made, body, slash="/"):
    return client.request("PATCH", f"{PATH}{made['id']}{slash}", json=body)


def run(client, made):
    answer = client.request("POST", "batchPredictions/fromJobDefinition/", json={"jobDefinitionId": made["id"]})
    assert answer.status_code == 202, answer.text
    return answer.json()


def shown(client, made):
    return client.get(f"{PATH}{made['id']}/").json()


def test_a_definition_has_every_field(house, made):
    assert (made["name"], made["enabled"], made["schedule"]) == ("nightly", False, None)
    assert made["batchPredictionJob"]["numConcurrent"] == 3
    assert made["batchPredictionJob"]["deploymentId"] == house.deployments["churn"].id
    assert made["batchPredictionJob"]["outputSettings"]["type"] == "fileSystem"
    assert made["createdBy"] == made["updatedBy"] == shown_user(user())
    assert made["created"] == made["updated"]
    times = (
        "nextScheduledRunTime",
        "lastScheduledRunTime",
        "lastStartedJobStatus",
        "lastStartedJobTime",
        "lastSuccessfulRunTime",
        "lastFailedRunTime",
    )
    assert [made[name] for name in times] == [None] * 6


def test_a_definition_without_a_name_gets_one(house, client):
    names = {create(client, house.spec("a")).json()["name"] for _ in range(2)}
    assert len(names) == 2
    assert all(names)


BAD = {
    "enabled without schedule": ({"enabled": True}, "schedule"),
    "bad schedule": ({"schedule": EVERY | {"minute": [60]}}, "schedule"),
    "schedule of four lists": ({"schedule": {name: EVERY[name] for name in list(EVERY)[:4]}}, "schedule"),
    "schedule is no object": ({"schedule": "daily"}, "schedule"),
    "enabled is no boolean": ({"enabled": "yes"}, "enabled"),
    "name is no text": ({"name": 3}, "name"),
    "empty name": ({"name": ""}, "name"),
    "unknown option": ({"maxExplanation": 3}, "maxExplanation"),
    "bad option": ({"maxExplanations": "3"}, "maxExplanations"),
    "what the engine cannot do": ({"maxNgramExplanations": 3}, "maxNgramExplanations"),
    "not served": ({"outputSettings": {"type": "tableau", "dataSourceId": "6" * 24}}, "outputSettings"),
    "no target": ({"deploymentId": None}, "deploymentId"),
    "no dataset": ({"intakeSettings": {"type": "dataset", "datasetId": "f" * 24}}, "intakeSettings"),
    "scheduled upload": ({"intakeSettings": {"type": "localFile"}, "enabled": True, "schedule": EVERY}, "intakeSettings"),
}


@pytest.mark.parametrize(("body", "field"), BAD.values(), ids=list(BAD))
def test_a_bad_definition_is_refused_with_its_field(house, client, made, body, field):
    answers = [create(client, house.spec("b") | body), change(client, made, body)]
    assert [(answer.status_code, list(answer.json()["errors"])) for answer in answers] == [(422, [field])] * 2
    assert client.get(PATH).json()["data"] == [made]


def test_an_unknown_deployment_is_404_as_for_a_job(house, client):
    assert create(client, house.spec("b") | {"deploymentId": "f" * 24}).status_code == 404


def test_a_name_is_taken_once(house, client, made):
    assert create(client, house.spec("b") | {"name": "nightly"}).status_code == 409
    other = create(client, house.spec("b") | {"name": "other"}).json()
    assert change(client, other, {"name": "nightly"}).status_code == 409
    assert change(client, other, {"name": "other"}).status_code == 200


@pytest.mark.parametrize("slash", ["/", ""])
def test_a_patch_takes_any_subset_with_and_without_a_slash(client, made, slash):
    renamed = change(client, made, {"name": "hourly"}, slash)
    assert renamed.status_code == 200
    assert renamed.json() == made | {"name": "hourly", "updated": renamed.json()["updated"]}
    scheduled = change(client, made, {"enabled": True, "schedule": EVERY | {"dayOfWeek": ["Sun"]}}, slash).json()
    assert (scheduled["enabled"], scheduled["schedule"]["dayOfWeek"]) == (True, [0])
    assert scheduled["nextScheduledRunTime"].endswith(":00.000000Z")
    assert scheduled["batchPredictionJob"] == made["batchPredictionJob"]
    passed = change(client, made, {"passthroughColumns": ["a"]}, slash).json()
    assert passed["batchPredictionJob"] == made["batchPredictionJob"] | {"passthroughColumns": ["a"]}
    reset = change(client, made, {"passthroughColumns": None, "enabled": False, "schedule": None}, slash).json()
    assert (reset["batchPredictionJob"], reset["schedule"], reset["nextScheduledRunTime"]) == (made["batchPredictionJob"], None, None)


def test_a_disabled_definition_keeps_its_schedule(client, made):
    change(client, made, {"enabled": True, "schedule": EVERY})
    disabled = change(client, made, {"enabled": False}).json()
    assert (disabled["schedule"], disabled["nextScheduledRunTime"]) == (EVERY, None)
    assert change(client, made, {"enabled": True}).json()["nextScheduledRunTime"]


def test_lists_have_pages_and_filters(house, client, made):
    other = create(client, house.spec("b", deployment="fraud") | {"name": "Weekly 100%"}).json()

    def names(query):
        return [one["name"] for one in client.get(f"{PATH}{query}").json()["data"]]

    assert names("") == ["nightly", "Weekly 100%"]
    assert names("?searchName=WEEK") == names("?searchName=%25") == ["Weekly 100%"]
    assert names(f"?deploymentId={house.deployments['churn'].id}") == ["nightly"]
    assert names("?limit=1&offset=1") == ["Weekly 100%"]
    assert client.get(client.get(f"{PATH}?limit=1").json()["next"]).json()["data"] == [other]
    assert client.get(f"{PATH}?limit=0").status_code == 422


def test_a_run_by_hand_names_its_definition_and_shows_in_it(house, client, made):
    job = run(client, made)
    assert job["source"] == "Manual Run"
    assert job["batchPredictionJobDefinition"] == {"id": made["id"], "name": "nightly", "createdBy": made["createdBy"]}
    client.until(job["id"], "COMPLETED")
    after = shown(client, made)
    assert (after["lastStartedJobStatus"], after["lastStartedJobTime"]) == ("COMPLETED", job["created"])
    assert after["lastSuccessfulRunTime"] >= job["created"]
    assert (after["lastFailedRunTime"], after["lastScheduledRunTime"]) == (None, None)
    (house.folder / "a.csv").write_text("bad\n")
    failed = run(client, made)
    client.until(failed["id"], "ABORTED")
    assert shown(client, made)["lastStartedJobStatus"] == "ABORTED"
    assert shown(client, made)["lastFailedRunTime"] >= failed["created"]
    assert client.ids(f"?batchPredictionJobDefinitionId={made['id']}") == [failed["id"], job["id"]]
    assert client.ids("?source=Manual Run") == [failed["id"], job["id"]]


def test_a_definition_is_kept_while_its_job_runs_and_its_jobs_outlive_it(house, client, made):
    (house.folder / "a.csv").write_text("hold\n1\n")
    job = run(client, made)
    assert client.request("DELETE", f"{PATH}{made['id']}/").status_code == 409
    change(client, made, {"name": "renamed", "enabled": False})
    house.scorer.gate.set()
    assert client.until(job["id"], "COMPLETED")["batchPredictionJobDefinition"]["name"] == "nightly"
    assert client.request("DELETE", f"{PATH}{made['id']}/").status_code == 204
    assert client.job(job["id"])["batchPredictionJobDefinition"]["id"] == made["id"]
    answers = [client.request(method, f"{PATH}{made['id']}/", json={}) for method in ("GET", "PATCH", "DELETE")]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert client.get(f"{PATH}{made['id']}/portable/").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [({"jobDefinitionId": "f" * 24}, 404), ({}, 422), ({"jobDefinitionId": 3}, 422), ({"jobDefinitionId": "f", "name": "x"}, 422), ([], 422)],
    ids=repr,
)
def test_what_runs_no_definition(client, body, status):
    assert client.request("POST", "batchPredictions/fromJobDefinition/", json=body).status_code == status


def test_an_upload_definition_is_run_by_hand_and_waits_for_its_rows(house, client):
    made = create(client, house.spec("a") | {"intakeSettings": {"type": "localFile"}}).json()
    job = run(client, made)
    assert (job["status"], job["queued"]) == ("INITIALIZING", False)
    assert client.request("PUT", job["links"]["csvUpload"], content=b"copy\n1\n", headers={"content-type": "text/csv"}).status_code == 202
    client.until(job["id"], "COMPLETED")


def test_the_portable_form_is_the_job_in_snake_case(house, client, made):
    portable = client.get(f"{PATH}{made['id']}/portable/").json()
    assert portable["intake_settings"] == {"type": "fileSystem", "path": str(house.folder / "a.csv")}
    assert (portable["num_concurrent"], portable["deployment_id"]) == (3, house.deployments["churn"].id)


def test_definitions_survive_a_restart(house, client_of):
    with house.service() as service:
        made = create(client_of(service), house.spec("a") | {"name": "nightly"}).json()
    with house.service() as service:
        assert shown(client_of(service), made) == made
