"""`deployments/`: ids from content, broken folders, search and order."""

import dataclasses
import os

from reconciler.service.registry import Registry


def model(client, deployment):
    return client.get(f"deployments/{deployment.id}/").json()


def test_a_deployment_shows_its_model(house, client):
    churn = house.deployments["churn"]
    newest = max(path.stat().st_mtime for path in churn.folder.iterdir())
    os.utime(churn.folder / "model.lgb", (1_700_000_000, 1_700_000_000))
    os.utime(churn.folder / "model-metadata.yaml", (1_600_000_000, 1_600_000_000))
    shown = model(client, churn)
    assert newest > 1_700_000_000
    assert (shown["id"], shown["label"], shown["status"]) == (churn.id, "churn", "active")
    assert (shown["model"]["targetName"], shown["model"]["targetType"]) == ("churned", "Binary")
    assert shown["model"]["deployedAt"] == "2023-11-14T22:13:20.000000Z"
    assert len(shown["model"]["id"]) == len(shown["modelPackage"]["id"]) == 24
    assert shown["model"]["id"] != shown["modelPackage"]["id"]


def test_a_replaced_model_has_other_ids_and_the_old_content_the_old_ones(house, client):
    churn = house.deployments["churn"]
    before = model(client, churn)
    (churn.folder / "model.lgb").write_text("TREE\n")
    after = model(client, churn)
    (churn.folder / "model.lgb").write_text("tree\n")
    again = model(client, churn)
    assert after["model"]["id"] != before["model"]["id"] == again["model"]["id"]
    assert after["modelPackage"]["id"] != before["modelPackage"]["id"] == again["modelPackage"]["id"]


def test_an_old_file_is_read_once_and_a_change_is_still_seen(house, client):
    churn = house.deployments["churn"]
    artifact = churn.folder / "model.lgb"
    os.utime(artifact, (1_700_000_000, 1_700_000_000))
    before = model(client, churn)["model"]["id"]
    assert model(client, churn)["model"]["id"] == before
    artifact.write_text("TREE\n")
    os.utime(artifact, (1_700_000_001, 1_700_000_001))
    assert model(client, churn)["model"]["id"] != before


def test_a_broken_folder_is_still_a_deployment(house, client):
    churn = house.deployments["churn"]
    (churn.folder / "model.lgb").unlink()
    shown = model(client, churn)
    assert (shown["status"], shown["model"], shown["modelPackage"]) == ("errored", None, None)
    (churn.folder / "model-metadata.yaml").unlink()
    churn.folder.rmdir()
    assert model(client, churn)["status"] == "errored"


def test_search_order_and_pages(client):
    def labels(query):
        return [deployment["label"] for deployment in client.get(f"deployments/{query}").json()["data"]]

    assert labels("") == ["churn", "fraud"]
    assert labels("?orderBy=-label") == ["fraud", "churn"]
    assert labels("?search=CHU") == ["churn"]
    page = client.get("deployments/?limit=1").json()
    assert (page["count"], page["totalCount"]) == (1, 2)
    assert page["next"].endswith("/api/v2/deployments/?offset=1&limit=1")


def test_the_champion_is_what_the_folder_holds(house, client):
    churn = house.deployments["churn"]
    package = client.get(f"deployments/{churn.id}/championModelPackage/").json()
    shown = model(client, churn)
    assert (package["id"], package["modelId"]) == (shown["modelPackage"]["id"], shown["model"]["id"])
    assert package["target"] == {"name": "churned", "type": "Binary", "classNames": ["yes", "no"], "predictionThreshold": 0.5}
    assert (package["registeredModelVersion"], package["isArchived"], package["isDeprecated"]) == (1, False, False)
    (churn.folder / "model.lgb").write_text("TREE\n")
    replaced = client.get(f"deployments/{churn.id}/championModelPackage/").json()
    assert replaced["registeredModelId"] == package["registeredModelId"]
    assert replaced["id"] != package["id"]
    (churn.folder / "model.lgb").unlink()
    assert client.get(f"deployments/{churn.id}/championModelPackage/").status_code == 404
    assert client.get("deployments/nope/championModelPackage/").status_code == 404


def test_filters_keep_all_or_none_for_all_are_alike(client):
    def count(query):
        answer = client.get(f"deployments/?{query}")
        assert answer.status_code == 200, answer.text
        return answer.json()["totalCount"]

    assert [count(query) for query in ("role=OWNER", "serviceHealth=failing,unknown", "isA2AAgent=false", "executionEnvironmentType=datarobot")] == [
        2
    ] * 4
    assert [count(query) for query in ("role=USER", "serviceHealth=failing", "importance=HIGH", "tagKeys=team", "isA2AAgent=true")] == [0] * 5
    assert count("orderBy=-serviceHealth") == 2
    assert client.get("deployments/?serviceHealth=fine").status_code == 422


def test_a_champion_says_that_it_finds_anomalies(house, client_of):
    churn = house.deployments["churn"]
    (churn.folder / "model.lgb").rename(churn.folder / "custom.py")
    (churn.folder / "model-metadata.yaml").write_text("targetType: anomaly\n")
    with house.service() as service:
        client = client_of(service)
        assert client.get(f"deployments/{churn.id}/").json()["status"] == "errored"  # nobody vouches for the code
    house.registry = Registry([dataclasses.replace(churn, is_trusted=True)])
    with house.service() as service:
        package = client_of(service).get(f"deployments/{churn.id}/championModelPackage/").json()
    assert package["modelKind"]["isAnomalyDetectionModel"]
    assert package["modelKind"]["isUnsupervisedLearning"]
    assert package["target"]["type"] == "Anomaly"
