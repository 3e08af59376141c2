"""The official client's example for Synapse, against `reconciler serve`: once through an external data source, once without one."""

import datarobot as dr
import pytest
from served import ended, table
from servers.azurite import Azurite
from servers.synapse import Synapse

Job = dr.BatchPredictionJob
KEPT = ("cultivar_barbera_PREDICTION", "cultivar_barolo_PREDICTION", "cultivar_grignolino_PREDICTION", "cultivar_PREDICTION")


@pytest.mark.parametrize("is_external", [True, False], ids=["through an external data source", "without one"])
def test_score_synapse(wine, bottles, is_wine, synapse: Synapse, azurite: Azurite, is_external):
    rows = table(bottles.decode())
    name = "external" if is_external else "direct"
    columns = ", ".join(f"[{column}] {'VARCHAR(50)' if column == 'bottle_id' else 'FLOAT'}" for column in rows)
    values = [
        ", ".join(f"'{text}'" if column == "bottle_id" else text for column, text in zip(rows, row, strict=True))
        for row in zip(*rows.values(), strict=True)
    ]
    synapse.run(
        f"CREATE TABLE wines_{name} ({columns})",
        *(f"INSERT INTO wines_{name} VALUES ({row})" for row in values),  # Synapse takes one at a time
    )
    store = dr.DataStore.create("jdbc", f"synapse {name}", driver_id="6" * 24, jdbc_url=synapse.data_store["jdbcUrl"])
    user = dr.Credential.create_basic(f"synapse {name}", synapse.user, synapse.password)
    place = {"type": "synapse", "data_store_id": store.id, "credential_id": user.credential_id, "schema": "dbo"}
    if is_external:
        synapse.external_source("official", "official-synapse")
        cloud = dr.Credential.create_azure("source of synapse", azure_connection_string=azurite.connection_string)
        place |= {"external_data_source": "official", "cloud_storage_credential_id": cloud.credential_id}
    job = Job.score(
        wine,
        intake_settings=place | {"table": f"wines_{name}"},
        output_settings=place | {"table": f"scores_{name}", "statement_type": "insert", "create_table_if_not_exists": True},
        passthrough_columns=["bottle_id"],
    )
    assert ended(job)["scored_rows"] == len(rows["bottle_id"])
    listed = ", ".join(f"[{column}]" for column in ("bottle_id", *KEPT))
    scored = {row[0]: row[1:] for row in synapse.run(f"SELECT {listed} FROM scores_{name}")}
    assert len(scored) == len(rows["bottle_id"])
    is_wine({column: [str(scored[bottle][place]) for bottle in rows["bottle_id"]] for place, column in enumerate(KEPT)})
