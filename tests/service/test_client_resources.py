"""The official `datarobot` client, unmodified and over a real socket, on the supporting resources."""

import io

import datarobot as dr
import pandas as pd
import pytest
from service.live import serving

# The client's own use of urllib3.
pytestmark = pytest.mark.filterwarnings("ignore:Using an empty collection for 'allowed_methods' option:FutureWarning")

CSV = "copy,b\n1,2\n3,4\n"
SCHEDULE = {"minute": [30, 59], "hour": ["*"], "day_of_month": [1, 2, 6], "month": ["*"], "day_of_week": [1]}


@pytest.fixture
def api(service):
    with serving(service) as served:
        dr.Client(endpoint=f"http://127.0.0.1:{served.port}/api/v2", token="anything")
        yield served


@pytest.fixture
def dataset(api):
    return dr.Dataset.create_from_file(filelike=io.BytesIO(CSV.encode()), categories=["PREDICTION"])


@pytest.fixture
def spec(house, dataset):
    return {
        "deployment_id": house.deployments["churn"].id,
        "num_concurrent": 4,
        "intake_settings": {"type": "dataset", "dataset_id": dataset.id},
        "output_settings": {"type": "localFile"},
        "passthrough_columns": ["b"],
    }


def test_credentials(api):
    made = dr.Credential.create_s3("lake", "the-id", "the-secret", description="in Frankfurt")
    assert (made.name, made.credential_type, made.description) == ("lake", "s3", "in Frankfurt")
    dr.Credential.create_gcp("bucket", {"private_key": "k", "snake_case": "kept"})
    assert [one.name for one in dr.Credential.list()] == ["lake", "bucket"]
    made.update(name="sea", aws_secret_access_key="other")
    assert (dr.Credential.get(made.credential_id).name, dr.Credential.get(made.credential_id).description) == ("sea", "")
    with pytest.raises(dr.errors.ClientError, match="another credential has this name"):
        dr.Credential.create_basic("sea", "me", "mine")
    made.delete()
    with pytest.raises(dr.errors.ClientError) as gone:
        dr.Credential.get(made.credential_id)
    assert gone.value.status_code == 404


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("create_basic", {"user": "u", "password": "p"}),
        ("create_oauth", {"token": "t", "refresh_token": "r"}),
        ("create_azure", {"azure_connection_string": "c"}),
        ("create_snowflake_key_pair", {"user": "u", "private_key": "k", "passphrase": "p"}),
        ("create_databricks_access_token", {"databricks_access_token": "t"}),
        ("create_databricks_service_principal", {"client_id": "c", "client_secret": "s"}),
        ("create_azure_service_principal", {"client_id": "c", "client_secret": "s", "azure_tenant_id": "t"}),
        ("create_adls_oauth", {"client_id": "c", "client_secret": "s", "oauth_scopes": ["o"]}),
        ("create_external_oauth_provider", {"authentication_id": "a"}),
        (
            "create_box_jwt",
            {
                "client_id": "c",
                "client_secret": "s",
                "enterprise_id": "e",
                "public_key_id": "k",
                "private_key_str": "p",
                "passphrase": "w",
            },
        ),
    ],
)
def test_every_kind_of_credential_that_the_client_makes(api, method, fields):
    made = getattr(dr.Credential, method)("name", **fields)
    assert (dr.Credential.get(made.credential_id).name, made.credential_type) == ("name", dr.Credential.get(made.credential_id).credential_type)


# The client leaves the file of `file_path` to the garbage collector; its docstring says so.
@pytest.mark.filterwarnings("ignore:unclosed file .*more.csv:ResourceWarning")
def test_a_dataset_is_made_found_read_and_versioned(api, dataset, tmp_path):
    assert (dataset.categories, dataset.row_count, dataset.size, dataset.processing_state) == (["PREDICTION"], 2, len(CSV), "COMPLETED")
    assert dr.Dataset.get(dataset.id) == dataset
    assert dataset.get_details().error == ""
    path = tmp_path / "more.csv"
    path.write_text(CSV + "5,6\n")
    newer = dr.Dataset.create_version_from_file(dataset.id, file_path=str(path))
    assert (newer.id, newer.row_count, newer.is_latest_version) == (dataset.id, 3, True)
    other = dr.Dataset.create_from_file(file_path=str(path))
    assert other.name == "more.csv"
    assert [one.id for one in dr.Dataset.list(order_by="created")] == [dataset.id, other.id]
    assert [one.id for one in dr.Dataset.list(category="PREDICTION", filter_failed=True)] == [dataset.id]
    assert len(list(dr.Dataset.iterate(limit=1))) == 2
    pd.testing.assert_frame_equal(dataset.get_as_dataframe(), pd.read_csv(path))
    dataset.modify(name="renamed")
    assert dr.Dataset.get(dataset.id).name == "renamed"
    dr.Dataset.delete(dataset.id)
    with pytest.raises(dr.errors.ClientError) as gone:
        dr.Dataset.get(dataset.id)
    assert gone.value.status_code == 410
    dr.Dataset.un_delete(dataset.id)
    assert dr.Dataset.get(dataset.id).name == "renamed"


def test_data_from_memory_becomes_a_dataset(api):
    made = dr.Dataset.create_from_in_memory_data(data_frame=pd.DataFrame({"a": [1, 2]}), fname="memory.csv")
    assert (made.name, made.row_count) == ("memory.csv", 2)


def test_a_dataset_is_scored(house, api, dataset):
    job = dr.BatchPredictionJob.score(
        house.deployments["churn"].id,
        intake_settings={"type": "dataset", "dataset": dataset},
        output_settings={"type": "localFile"},
    )
    job.wait_for_completion()
    assert job.get_result_when_complete() == CSV.encode().strip()


def test_a_definition_is_made_run_changed_scheduled_and_deleted(house, api, spec):
    made = dr.BatchPredictionJobDefinition.create(enabled=False, batch_prediction_job=spec, name="nightly")
    assert (made.name, made.enabled, made.batch_prediction_job["num_concurrent"]) == ("nightly", False, 4)
    assert dr.BatchPredictionJobDefinition.get(made.id).batch_prediction_job == made.batch_prediction_job
    job = made.run_once()
    api.until(job.id, "COMPLETED")
    assert job.get_status()["status"] == "COMPLETED"
    assert job.get_result_when_complete() == CSV.encode().strip()
    updated = made.update(enabled=True, name="hourly", schedule=SCHEDULE, batch_prediction_job=spec | {"num_concurrent": 5})
    assert (updated.name, updated.enabled, updated.schedule["day_of_month"]) == ("hourly", True, [1, 2, 6])
    assert updated.batch_prediction_job["num_concurrent"] == 5
    assert updated.last_successful_run_time
    scheduled = made.run_on_schedule(SCHEDULE | {"month": ["Jan", "october"]})
    assert (scheduled.enabled, scheduled.schedule["month"]) == (True, [1, 10])
    made.delete()
    with pytest.raises(dr.errors.ClientError) as gone:
        dr.BatchPredictionJobDefinition.get(made.id)
    assert gone.value.status_code == 404


def test_definitions_are_listed(house, api, spec):
    made = [dr.BatchPredictionJobDefinition.create(enabled=False, batch_prediction_job=spec) for _ in range(3)]
    named = dr.BatchPredictionJobDefinition.create(enabled=False, batch_prediction_job=spec, name="nightly")
    assert [one.id for one in dr.BatchPredictionJobDefinition.list(limit=0)] == [*(one.id for one in made), named.id]
    assert [one.id for one in dr.BatchPredictionJobDefinition.list(limit=2, offset=1)] == [one.id for one in made[1:]]
    assert dr.BatchPredictionJobDefinition.list(search_name="night", limit=0) == [named]
    assert dr.BatchPredictionJobDefinition.list(deployment_id=house.deployments["fraud"].id, limit=0) == []


def test_a_job_is_scored_again_from_an_existing_one(house, api, dataset):
    first = dr.BatchPredictionJob.score(
        house.deployments["churn"].id, intake_settings={"type": "dataset", "dataset": dataset}, output_settings={"type": "localFile"}
    )
    again = dr.BatchPredictionJob.score_from_existing(first.id)
    again.wait_for_completion()
    assert again.id != first.id


def test_deployments(house, api):
    churn = dr.Deployment.get(house.deployments["churn"].id)
    assert (churn.label, churn.status, churn.model["target_name"]) == ("churn", "active", "churned")
    assert [one.label for one in dr.Deployment.list()] == ["churn", "fraud"]
    assert [one.label for one in dr.Deployment.list(search="fra")] == ["fraud"]
    assert [one.label for one in dr.Deployment.list(order_by="-label", limit=1)] == ["fraud"]
    filters = dr.models.deployment.DeploymentListFilters(role="OWNER", service_health=["unknown", "failing"], is_a2a_agent=False)
    assert len(dr.Deployment.list(filters=filters)) == 2
    champion = churn.get_champion_model_package()
    assert (champion.id, champion.model_id) == (churn.model_package["id"], churn.model["id"])


def test_a_model_is_replaced(house, api):
    churn, fraud = (dr.Deployment.get(house.deployments[name].id) for name in ("churn", "fraud"))
    own = churn.model["id"]
    churn.perform_model_replace(fraud.model_package["id"], dr.enums.MODEL_REPLACEMENT_REASON.ACCURACY)
    assert (churn.model["id"], churn.model_package["id"]) == (fraud.model["id"], fraud.model_package["id"])
    assert churn.get_champion_model_package().model_id == fraud.model["id"]
    with pytest.warns(dr.errors.DataRobotDeprecationWarning, match="perform_model_replace"):
        churn.replace_model(own, dr.enums.MODEL_REPLACEMENT_REASON.ERRORS)
    assert churn.model["id"] == dr.Deployment.get(churn.id).model["id"] == own


def test_a_model_replacement_is_refused_with_its_reason(house, api):
    with pytest.raises(dr.errors.ClientError, match="no deployment here has this model"):
        dr.Deployment.get(house.deployments["churn"].id).perform_model_replace("6" * 24, "ACCURACY")


def test_drivers_and_stores(api):
    driver = dr.DataDriver.create("org.postgresql.Driver", "PostgreSQL")
    assert (dr.DataDriver.get(driver.id).class_name, [one.id for one in dr.DataDriver.list()]) == ("org.postgresql.Driver", [driver.id])
    driver.update(canonical_name="Postgres 17")
    store = dr.DataStore.create("jdbc", "crm", driver_id=driver.id, jdbc_url="jdbc:postgresql://localhost:5432/crm")
    assert dr.DataStore.get(store.id).params.jdbc_url == "jdbc:postgresql://localhost:5432/crm"
    assert [one.id for one in dr.DataStore.list()] == [one.id for one in dr.DataStore.list(name="CR")] == [store.id]
    store.update(canonical_name="crm 2", jdbc_url="jdbc:postgresql://127.0.0.1:1/other")
    assert (dr.DataStore.get(store.id).canonical_name, store.params.driver_id) == ("crm 2", driver.id)
    with pytest.raises(dr.errors.ClientError, match="422"):
        store.test("me", "mine")
    with pytest.raises(dr.errors.ClientError, match="422"):
        store.tables("me", "mine")
    store.delete()
    driver.delete()
    assert (dr.DataStore.list(), dr.DataDriver.list()) == ([], [])
