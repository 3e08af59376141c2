"""The official client's example for Snowflake, against `reconciler serve`: once through a stage, once without one."""

import datarobot as dr
import pytest
from served import ended, table
from servers.seaweed import Seaweed
from servers.snowflake import Snowflake

Job = dr.BatchPredictionJob
KEPT = ("cultivar_barbera_PREDICTION", "cultivar_barolo_PREDICTION", "cultivar_grignolino_PREDICTION", "cultivar_PREDICTION")


@pytest.mark.parametrize("is_staged", [True, False], ids=["through a stage", "without a stage"])
def test_score_snowflake(wine, bottles, is_wine, snowflake: Snowflake, seaweed: Seaweed, is_staged):
    rows = table(bottles.decode())
    name = "STAGED" if is_staged else "DIRECT"
    columns = ", ".join(f'"{column}" {"VARCHAR" if column == "bottle_id" else "DOUBLE"}' for column in rows)
    values = [
        ", ".join(f"'{text}'" if column == "bottle_id" else text for column, text in zip(rows, row, strict=True))
        for row in zip(*rows.values(), strict=True)
    ]
    snowflake.run(
        f"CREATE TABLE WINES_{name} ({columns})",
        f"INSERT INTO WINES_{name} VALUES {', '.join(f'({row})' for row in values)}",
    )
    store = dr.DataStore.create("jdbc", f"snowflake {name}", driver_id="6" * 24, jdbc_url=snowflake.url)
    user = dr.Credential.create_basic(f"snowflake {name}", snowflake.user, snowflake.password)
    place = {"type": "snowflake", "data_store_id": store.id, "credential_id": user.credential_id, "schema": "PUBLIC"}
    if is_staged:
        cloud = dr.Credential.create_s3("stage", seaweed.access_key_id, seaweed.secret_access_key)
        place |= {"external_stage": "LAKE", "cloud_storage_type": "s3", "cloud_storage_credential_id": cloud.credential_id}
    job = Job.score(
        wine,
        intake_settings=place | {"table": f"WINES_{name}"},
        output_settings=place | {"table": f"SCORES_{name}", "statement_type": "insert", "create_table_if_not_exists": True},
        passthrough_columns=["bottle_id"],
    )
    assert ended(job)["scored_rows"] == len(rows["bottle_id"])
    listed = ", ".join(f'"{column}"' for column in ("bottle_id", *KEPT))
    scored = {row[0]: row[1:] for row in snowflake.run(f"SELECT {listed} FROM SCORES_{name}")}
    assert len(scored) == len(rows["bottle_id"])
    is_wine({column: [str(scored[bottle][place]) for bottle in rows["bottle_id"]] for place, column in enumerate(KEPT)})
