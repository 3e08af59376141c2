"""What is said of other systems before there is a job: every credential, data store, object and template that can never work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.credential import FITTING
from reconciler.engine.connectors.rooms import ROOMS
from reconciler.errors import ScoringError
from reconciler.service.systems import database, problems

SECRETS = {
    "basic": {"user": "me", "password": "p-a-s-s"},
    "s3": {"awsAccessKeyId": "AKIA", "awsSecretAccessKey": "secret"},
    "azure": {"azureConnectionString": "AccountName=a;AccountKey=k"},
    "azure_service_principal": {"clientId": "c", "clientSecret": "s", "azureTenantId": "t"},
    "gcp": {"gcpKey": {"type": "service_account"}},
    "snowflake_key_pair_user_account": {"user": "me", "privateKeyStr": "k"},
}
STORES = {
    "jdbc": "jdbc:postgresql://localhost:5432/crm",
    "snowflake": "jdbc:snowflake://acme.snowflakecomputing.com/?db=CRM",
    "synapse": "jdbc:sqlserver://acme.sql.azuresynapse.net;database=crm",
}
OBJECTS = {"s3": "s3://bucket/{}", "azure": "https://acme.blob.core.windows.net/container/{}", "gcp": "gs://bucket/{}"}


class Shelf:
    """Keys under the names of their types."""

    def credential(self, id):
        if id not in SECRETS:
            raise ScoringError("No such credential", f"{id} stands for nothing.")
        return {"credentialType": id} | SECRETS[id]

    def opened(self, settings):
        return settings

    def data_store(self, id):
        if id not in STORES:
            raise ScoringError("No such data store", f"{id} stands for nothing.")
        return {"jdbcUrl": STORES[id]}


@pytest.fixture
def ids(client):
    """Everything of the above, made through the API."""
    made = {}
    for kind, fields in SECRETS.items():
        answer = client.request("POST", "credentials/", json={"name": kind, "credentialType": kind} | fields)
        assert answer.status_code == 201, answer.text
        made[kind] = answer.json()["credentialId"]
    for kind, url in STORES.items():
        answer = client.request("POST", "externalDataStores/", json={"type": "jdbc", "canonicalName": kind, "params": {"jdbcUrl": url}})
        assert answer.status_code == 201, answer.text
        made[f"{kind} store"] = answer.json()["id"]
    return made


@pytest.fixture
def errors(house, client, ids):
    """What is said of a spec with this intake and this output, by side and field."""

    def said(intake=None, output=None):
        spec = house.spec("a")
        body = spec | {"intakeSettings": intake or spec["intakeSettings"], "outputSettings": output or spec["outputSettings"]}
        answer = client.request("POST", "batchPredictions/", json=body)
        definition = client.request("POST", "batchPredictionJobDefinitions/", json=body)
        assert definition.status_code == answer.status_code
        return answer.json().get("errors", {}) if answer.status_code == 422 else {}

    return said


@pytest.mark.parametrize("given", SECRETS)
@pytest.mark.parametrize("kind", ["s3", "azure", "gcp", "jdbc", "snowflake", "synapse", "bigquery"])
def test_a_credential_opens_the_systems_of_its_type_and_no_other(kind, given):
    side = {"type": kind, "credentialId": given} | ({"dataStoreId": kind} if kind in STORES else {})
    found = [where for where, _ in problems({"intakeSettings": side, "outputSettings": {"type": "localFile"}}, Shelf()) if where[1] == "credentialId"]
    assert found == ([] if given in FITTING[kind] else [("intakeSettings", "credentialId")])


@pytest.mark.parametrize(("cloud", "given"), [("s3", "s3"), ("azure", "azure"), ("gcp", "gcp"), (None, "s3")])
def test_a_stage_is_opened_with_a_credential_of_its_cloud(cloud, given):
    side = {"type": "snowflake", "dataStoreId": "snowflake", "externalStage": "st"} | ({"cloudStorageType": cloud} if cloud else {})
    for other in ("s3", "azure", "gcp", "basic"):
        spec = {"intakeSettings": {"type": "localFile"}, "outputSettings": side | {"cloudStorageCredentialId": other}}
        fields = [where[1] for where, _ in problems(spec, Shelf()) if where[1] != "type"]
        assert fields == ([] if other == given else ["cloudStorageCredentialId"])


def test_the_files_of_synapse_are_in_azure():
    side = {"type": "synapse", "dataStoreId": "synapse", "cloudStorageCredentialId": "azure"}
    assert "cloudStorageCredentialId" not in [where[1] for where, _ in problems({"intakeSettings": side, "outputSettings": side}, Shelf())]


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("store", STORES)
def test_a_data_store_is_of_its_database(kind, store):
    assert database({"jdbcUrl": STORES[store]}) == store
    found = [
        where[1] for where, _ in problems({"intakeSettings": {"type": kind, "dataStoreId": store}, "outputSettings": {"type": "localFile"}}, Shelf())
    ]
    assert ("dataStoreId" in found) == (kind != store)


def test_everything_that_is_wrong_is_said_at_once(errors, ids):
    said = errors(
        {"type": "s3", "url": "s3://b/i.csv", "credentialId": ids["gcp"]},
        {"type": "jdbc", "dataStoreId": "6" * 24, "credentialId": "7" * 24, "table": "t", "statementType": "insert"},
    )
    assert "is gcp; s3 needs s3" in said["intakeSettings"]["credentialId"]
    assert said["outputSettings"]["credentialId"] == f"there is no credential {'7' * 24}"
    assert said["outputSettings"]["dataStoreId"] == f"there is no data store {'6' * 24}"


def test_a_shared_configuration_is_kept_elsewhere(client, errors):
    made = client.request("POST", "credentials/", json={"name": "shared", "credentialType": "s3", "configId": "6" * 24}).json()
    said = errors({"type": "s3", "url": "s3://b/i.csv", "credentialId": made["credentialId"]})
    assert "configId" in said["intakeSettings"]["credentialId"]


def test_a_data_store_without_an_address_is_none(client, errors):
    body = {"type": "dr-connector-v1", "canonicalName": "connector", "params": {"connectorId": "6" * 24}}
    made = client.request("POST", "externalDataStores/", json=body).json()
    said = errors({"type": "jdbc", "dataStoreId": made["id"], "table": "t"})
    assert "nobody knows where" in said["intakeSettings"]["dataStoreId"]


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_object_is_not_both_intake_and_output(errors, kind):
    intake, output = ({"type": kind, "url": OBJECTS[kind].format(name)} for name in ("i.csv", "o.csv"))
    assert "outputSettings" not in errors(intake, output)
    assert errors(intake, intake)["outputSettings"]["url"] == "the output is the intake"


@pytest.mark.parametrize("url", ["https://storage.googleapis.com/b/o.csv", "https://b.storage.googleapis.com/o.csv"])
def test_one_object_of_google_has_several_addresses(errors, url):
    said = errors({"type": "gcp", "url": "gs://b/o.csv"}, {"type": "gcp", "url": url})
    assert said["outputSettings"]["url"] == "the output is the intake"


def test_rules_across_fields_hold(errors, ids):
    output = {"type": "jdbc", "dataStoreId": ids["jdbc store"], "table": "t", "statementType": "update"}
    assert "where_columns" in errors(output=output)["outputSettings"]["statementType"]
    assert "exactly one" in errors({"type": "jdbc", "dataStoreId": ids["jdbc store"]})["intakeSettings"]["type"]


@pytest.mark.parametrize(
    ("side", "settings", "reason"),
    [
        ("intakeSettings", {"type": "dss", "projectId": "6" * 24}, "in DataRobot only"),
        ("intakeSettings", {"type": "dataStage", "dataStageId": "6" * 24}, "in DataRobot only"),
        ("intakeSettings", {"type": "datasphere", "dataStoreId": "6" * 24, "table": "t", "schema": "s"}, "SAP"),
        ("outputSettings", {"type": "datasphere", "dataStoreId": "6" * 24, "table": "t", "schema": "s"}, "SAP"),
        ("outputSettings", {"type": "tableau", "dataSourceId": "6" * 24}, "Tableau"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_what_is_not_served_says_why(errors, side, settings, reason):
    said = errors(settings if side == "intakeSettings" else None, settings if side == "outputSettings" else None)
    assert reason in said[side]["type"]


def test_an_unknown_template_variable_is_refused(errors, ids):
    store = ids["jdbc store"]
    said = errors(
        {"type": "jdbc", "dataStoreId": store, "query": "SELECT {{ now }}"},
        {"type": "jdbc", "dataStoreId": store, "table": "t_{{ today }}", "statementType": "insert"},
    )
    assert "no template variable 'now'" in said["intakeSettings"]["query"]
    assert "no template variable 'today'" in said["outputSettings"]["table"]


def test_a_next_run_is_one_of_a_schedule(house, client, ids):
    intake = {"type": "jdbc", "dataStoreId": ids["jdbc store"], "query": "SELECT {{ next_scheduled_run_time }}"}
    body = house.spec("a") | {"intakeSettings": intake}
    answer = client.request("POST", "batchPredictions/", json=body)
    assert (answer.status_code, "no next_scheduled_run_time" in answer.json()["errors"]["intakeSettings"]["query"]) == (422, True)
    every = {name: ["*"] for name in ("minute", "hour", "dayOfMonth", "month", "dayOfWeek")}
    assert client.request("POST", "batchPredictionJobDefinitions/", json=body).status_code == 202
    made = client.request("POST", "batchPredictionJobDefinitions/", json=body | {"schedule": every, "enabled": True}).json()
    run = client.request("POST", "batchPredictions/fromJobDefinition/", json={"jobDefinitionId": made["id"]})
    assert run.status_code == 202, run.text


def test_a_missing_library_is_said_with_the_command_that_installs_it(tmp_path: Path):
    """In a process that finds none of them."""
    code = """
import sys
for name in ("obstore", "google", "adbc_driver_postgresql", "snowflake", "mssql_python", "httpx"):
    sys.modules[name] = None
from reconciler.engine.connectors.rooms import ROOMS
from reconciler.service.systems import problems
for kind in ROOMS:
    print(*(said for where, said in problems({"intakeSettings": {"type": kind}, "outputSettings": {"type": "localFile"}}, None)), sep="|")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(ROOMS)
    for line, room in zip(lines, ROOMS.values(), strict=True):
        assert line.endswith(f"is not installed; run: pip install '.[{room.extra}]' in a clone of reconciler"), line
