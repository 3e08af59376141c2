"""The official client's example for a database over JDBC, against `reconciler serve` and PostgreSQL."""

import datarobot as dr
import pytest
from served import ended, table
from servers.postgres import PASSWORD, USER, Postgres

Job = dr.BatchPredictionJob
KEPT = ("cultivar_barbera_PREDICTION", "cultivar_barolo_PREDICTION", "cultivar_grignolino_PREDICTION", "cultivar_PREDICTION")


@pytest.fixture(scope="module")
def crm(served, postgres: Postgres):
    """A table of the wines, and another schema for the scores."""
    rows = table(served.data("wine"))
    with postgres.connect() as connection:
        columns = ", ".join(f'"{name}" {"text" if name == "bottle_id" else "double precision"}' for name in rows)
        connection.execute(f"CREATE TABLE wines ({columns})")
        connection.execute("CREATE SCHEMA scoring")
        with connection.cursor() as cursor, cursor.copy("COPY wines FROM STDIN") as copy:
            for row in zip(*rows.values(), strict=True):
                copy.write_row(row)
        yield connection


@pytest.fixture(scope="module")
def store(served, postgres: Postgres):
    dr.Client(endpoint=served.endpoint, token=served.token)
    driver = dr.DataDriver.create("org.postgresql.Driver", "PostgreSQL")
    return dr.DataStore.create("jdbc", "crm", driver_id=driver.id, jdbc_url=postgres.url())


@pytest.fixture(scope="module")
def user(store):
    return dr.Credential.create_basic("crm", USER, PASSWORD)


def scored(crm, name, bottles):
    """The columns of a table of scores, in the order of the intake."""
    listed = ", ".join(f'"{column}"' for column in KEPT)
    found = {row[0]: row[1:] for row in crm.execute(f"SELECT bottle_id, {listed} FROM {name}").fetchall()}
    order = table(bottles.decode())["bottle_id"]
    assert len(found) == len(order)
    return {column: [str(found[bottle][place]) for bottle in order] for place, column in enumerate(KEPT)}


def test_score_jdbc(wine, bottles, is_wine, crm, store, user):
    place = {"type": "jdbc", "data_store_id": store.id, "credential_id": user.credential_id}
    job = Job.score(
        wine,
        intake_settings=place | {"schema": "public", "table": "wines"},
        output_settings=place | {"schema": "scoring", "table": "scores", "statement_type": "insert", "create_table_if_not_exists": True},
        passthrough_columns=["bottle_id"],
    )
    assert ended(job)["intake_dataset_display_name"] == "wines"
    is_wine(scored(crm, "scoring.scores", bottles))


def test_a_definition_writes_each_run_to_a_table_of_its_own(wine, bottles, is_wine, crm, store, user):
    place = {"type": "jdbc", "data_store_id": store.id, "credential_id": user.credential_id}
    definition = dr.BatchPredictionJobDefinition.create(
        enabled=False,
        batch_prediction_job={
            "num_concurrent": 1,
            "deployment_id": wine,
            "intake_settings": place | {"query": "SELECT * FROM wines WHERE {{ last_completed_run_time }} < {{ current_run_time }}"},
            "output_settings": place
            | {"table": "scores_{{ current_run_timestamp }}", "statement_type": "insert", "create_table_if_not_exists": True},
            "passthrough_columns": ["bottle_id"],
        },
    )
    ended(definition.run_once())
    (name,) = crm.execute("SELECT tablename FROM pg_tables WHERE tablename ~ '^scores_[0-9]+$'").fetchone()
    is_wine(scored(crm, name, bottles))


def test_a_data_store_is_asked_what_is_in_it(crm, store, postgres: Postgres):
    assert store.test(USER, PASSWORD) == {"message": "Connection successful"}
    assert {"public", "scoring"} <= set(store.schemas(USER, PASSWORD)["schemas"])
    found = store.tables(USER, PASSWORD, schema="public")
    assert found["catalog"] == postgres.database
    assert {"type": "TABLE", "name": "wines", "schema": "public", "catalog": postgres.database} in found["tables"]
    with pytest.raises(dr.errors.ClientError, match="422"):
        store.test(USER, "not it")


def test_a_data_store_is_tried_with_a_credential(crm, store, user):
    assert store.test(credential_id=user.credential_id) == {"message": "Connection successful"}
    given = {"credentialType": "basic", "user": USER, "password": PASSWORD}
    assert store.test(credential_data=given) == {"message": "Connection successful"}


def test_a_data_store_with_its_password_is_renamed_and_scored_and_shows_it_to_nobody(served, wine, bottles, is_wine, crm, postgres: Postgres):
    store = dr.DataStore.create("jdbc", "whole", driver_id="6" * 24, jdbc_url=f"{postgres.url()}?user={USER}&password={PASSWORD}")
    store = dr.DataStore.get(store.id)
    assert store.params.jdbc_url == f"{postgres.url()}?user={USER}&password=[redacted]"
    store.update(canonical_name="renamed")
    job = Job.score(
        wine,
        intake_settings={"type": "jdbc", "data_store_id": store.id, "schema": "public", "table": "wines"},
        output_settings={"type": "jdbc", "data_store_id": store.id, "table": "whole", "statement_type": "insert", "create_table_if_not_exists": True},
        passthrough_columns=["bottle_id"],
    )
    ended(job)
    is_wine(scored(crm, "whole", bottles))
    password = PASSWORD.encode()
    assert not [path for path in (served.root / "storage").rglob("*") if path.is_file() and password in path.read_bytes()]
