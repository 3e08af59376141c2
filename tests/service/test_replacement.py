"""`deployments/{id}/model/`: another folder's model from now on, durably, with the same target or not at all."""

import dataclasses
import os
import shutil

import pytest

from reconciler.service.registry import Registry

REASONS = ("ACCURACY", "DATA_DRIFT", "ERRORS", "SCHEDULED_REFRESH", "SCORING_SPEED", "DEPRECATION", "OTHER")


def shown(client, deployment):
    return client.get(f"deployments/{deployment.id}/").json()


def patch(client, deployment, **body):
    return client.request("PATCH", f"deployments/{deployment.id}/model/", json={"reason": "ACCURACY"} | body)


def replace(client, deployment, source):
    answer = patch(client, deployment, modelId=source["model"]["id"])
    assert answer.status_code == 202, answer.text
    return answer


def post(client, spec):
    return client.request("POST", "batchPredictions/", json=spec)


@pytest.fixture
def churn(house):
    return house.deployments["churn"]


@pytest.fixture
def fraud(house):
    return house.deployments["fraud"]


@pytest.fixture
def folders(house):
    """The folders that were scored with, in order; the stand-in scorer knows its job's."""
    seen, scorer = [], house.scorer

    def watched(job, **options):
        seen.append(job.folder.name)
        return scorer(job, **options)

    house.scorer = watched
    watched.gate = scorer.gate
    return seen


def test_a_deployment_serves_another_folder(client, churn, fraud):
    for deployment in (churn, fraud):
        for path in deployment.folder.iterdir():
            os.utime(path, (1_700_000_000, 1_700_000_000))
    before, source = shown(client, churn), shown(client, fraud)
    answer = replace(client, churn, source)
    after = shown(client, churn)
    assert (after["id"], after["label"], after["status"]) == (churn.id, "churn", "active")
    assert (after["model"]["id"], after["modelPackage"]["id"]) == (source["model"]["id"], source["modelPackage"]["id"])
    assert after["model"]["deployedAt"] > before["model"]["deployedAt"] == source["model"]["deployedAt"]
    assert client.get(f"deployments/{churn.id}/championModelPackage/").json()["modelId"] == source["model"]["id"]
    assert [one["model"]["id"] for one in client.get("deployments/").json()["data"]] == [source["model"]["id"]] * 2
    assert shown(client, fraud) == source
    status = client.get(answer.headers["Location"])
    assert (status.status_code, status.json()["status"]) == (303, "COMPLETED")
    assert status.headers["Location"].endswith(f"/api/v2/deployments/{churn.id}/")


def test_by_its_package_and_back_again(client, churn, fraud):
    before = shown(client, churn)
    assert patch(client, churn, modelPackageId=shown(client, fraud)["modelPackage"]["id"]).status_code == 202
    replace(client, churn, before)
    assert shown(client, churn)["model"]["id"] == before["model"]["id"]


def test_what_begins_later_is_scored_with_the_new_model(house, folders, client_of, churn, fraud):
    with house.service() as service:
        client = client_of(service)
        first = post(client, house.spec("a", "hold")).json()["id"]
        client.until(first, "RUNNING")
        replace(client, churn, shown(client, fraud))
        second = post(client, house.spec("b")).json()["id"]
        assert client.ids(f"?modelId={shown(client, fraud)['model']['id']}") == [second]
        house.scorer.gate.set()
        for job_id in (first, second):
            client.until(job_id, "COMPLETED")
    assert folders == ["churn", "fraud"]


def test_the_trust_is_that_of_the_folder_not_of_the_deployment(house, client_of, churn, fraud):
    house.registry = Registry([dataclasses.replace(churn, is_trusted=True), fraud])
    with house.service() as service:
        replace(client_of(service), churn, shown(client_of(service), fraud))
        assert not service.registry.get(churn.id).is_trusted
        replace(client_of(service), fraud, {"model": {"id": service.registry.artifact(churn).model_id}})
        assert service.registry.get(fraud.id).is_trusted


def test_it_survives_a_restart_and_follows_the_folder(house, folders, client_of, churn, fraud):
    with house.service() as service:
        source = shown(client_of(service), fraud)
        replace(client_of(service), churn, source)
    moved = fraud.folder.with_name("moved")
    shutil.move(fraud.folder, moved)
    house.registry = Registry([churn, type(fraud)(fraud.id, "fraud", moved)])
    with house.service() as service:
        client = client_of(service)
        assert shown(client, churn)["model"]["id"] == source["model"]["id"]
        client.until(post(client, house.spec("a")).json()["id"], "COMPLETED")
    assert folders == ["moved"]


def test_a_folder_that_is_served_no_more_is_said(house, client_of, churn, fraud):
    with house.service() as service:
        client = client_of(service)
        own = shown(client, churn)
        replace(client, churn, shown(client, fraud))
        held = post(client, house.spec("held", "hold")).json()["id"]
        client.until(held, "RUNNING")
    house.registry = Registry([churn])
    with house.service() as service:
        client = client_of(service)
        reason = f"it was replaced with that of {fraud.folder}, which is served here no more"
        assert reason in client.until(held, "ABORTED")["statusDetails"]
        after = shown(client, churn)
        assert (after["status"], after["model"], after["modelPackage"]) == ("errored", None, None)
        refused = post(client, house.spec("a"))
        assert (refused.status_code, list(refused.json()["errors"])) == (422, ["deploymentId"])
        assert reason in refused.json()["message"]
        champion = client.get(f"deployments/{churn.id}/championModelPackage/")
        assert (champion.status_code, reason in champion.json()["message"]) == (404, True)
        replace(client, churn, own)
        assert shown(client, churn)["model"]["id"] == own["model"]["id"]
    house.registry = Registry([churn, fraud])
    with house.service() as service:
        assert shown(client_of(service), churn)["model"]["id"] == own["model"]["id"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("targetName: churned", "targetName: left", "target name is left"),
        ("targetType: binary", "targetType: regression", "target type is Regression"),
    ],
)
def test_another_target_is_refused(client, churn, fraud, old, new, reason):
    metadata = fraud.folder / "model-metadata.yaml"
    metadata.write_text(metadata.read_text().replace(old, new))
    answer = patch(client, churn, modelId=shown(client, fraud)["model"]["id"])
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["modelId"])
    assert reason in answer.json()["message"]


def test_what_cannot_be_scored_with_replaces_nothing_and_is_not_replaced(house, client, churn, fraud):
    model_id = shown(client, fraud)["model"]["id"]
    (churn.folder / "model.lgb").unlink()
    answer = patch(client, churn, modelId=model_id)
    assert (answer.status_code, "its model cannot be read" in answer.json()["message"]) == (422, True)
    answer = patch(client, fraud, modelId=house.registry.artifact(churn).model_id)
    assert (answer.status_code, "The model folder has no artifact" in answer.json()["message"]) == (422, True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"modelId": "6" * 24}, "modelId"),
        ({"modelPackageId": "6" * 24}, "modelPackageId"),
        ({"modelId": "6" * 24, "modelPackageId": "6" * 24}, "body"),
        ({}, "body"),
        ({"modelId": "6" * 24, "reason": "BOREDOM"}, "reason"),
        ({"modelId": "6" * 24, "colour": "red"}, "colour"),
    ],
    ids=repr,
)
def test_what_is_no_replacement(client, churn, body, field):
    answer = patch(client, churn, **body)
    assert (answer.status_code, list(answer.json()["errors"])) == (422, [field])


def test_the_model_that_is_served_already(client, churn):
    answer = patch(client, churn, modelId=shown(client, churn)["model"]["id"])
    assert (answer.status_code, "serves this model already" in answer.json()["message"]) == (422, True)


def test_every_reason_of_the_api(client, churn, fraud):
    models = [shown(client, deployment)["model"]["id"] for deployment in (fraud, churn)]
    for number, reason in enumerate(REASONS):
        assert patch(client, churn, modelId=models[number % 2], reason=reason).status_code == 202


def test_a_deployment_that_is_not_there(client, fraud):
    assert client.request("PATCH", "deployments/nope/model/", json={"reason": "OTHER", "modelId": "x"}).status_code == 404
    assert client.get("deployments/nope/settings/").status_code == 404
    assert client.get(f"deployments/{fraud.id}/settings/").json() == {"predictionIntervals": {"enabled": False, "percentiles": []}}
