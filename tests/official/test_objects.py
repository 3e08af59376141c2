"""The official client's own examples for object stores and the AI Catalog, against `reconciler serve` and real servers."""

import io
from typing import Any

import datarobot as dr
from served import ended, table
from servers.azurite import Azurite
from servers.seaweed import Seaweed

Job = dr.BatchPredictionJob


def content(store: Any, key: str) -> dict[str, list[str]]:
    return table(bytes(store.get(key).bytes()).decode())


def test_score_s3(wine, bottles, is_wine, seaweed: Seaweed):
    lake = seaweed.bucket("official")
    lake.put("to_predict.csv", bottles)
    credential = dr.Credential.create_s3("lake", seaweed.access_key_id, seaweed.secret_access_key)
    job = Job.score_s3(
        wine,
        source_url="s3://official/to_predict.csv",
        destination_url="s3://official/predicted.csv",
        credential=credential,
        endpoint_url=seaweed.url,
        passthrough_columns=["bottle_id"],
    )
    assert ended(job)["job_intake_size"] == len(bottles)
    is_wine(content(lake, "predicted.csv"), "bottle_id")


def test_score_azure(wine, bottles, is_wine, azurite: Azurite):
    lake = azurite.bucket("official")
    lake.put("to_predict.csv", bottles)
    credential = dr.Credential.create_azure("lake of azure", azure_connection_string=azurite.connection_string)
    job = Job.score_azure(
        wine,
        source_url=f"{azurite.url}/official/to_predict.csv",
        destination_url=f"{azurite.url}/official/predicted.csv",
        credential=credential,
        passthrough_columns_set="all",
    )
    ended(job)
    is_wine(content(lake, "predicted.csv"), "bottle_id", "hue")


def test_score_a_dataset_of_the_ai_catalog_into_s3(wine, bottles, is_wine, seaweed: Seaweed):
    lake = seaweed.bucket("catalog")
    credential = dr.Credential.create_s3("lake for the catalog", seaweed.access_key_id, seaweed.secret_access_key)
    dataset = dr.Dataset.create_from_file(filelike=io.BytesIO(bottles))
    job = Job.score(
        wine,
        intake_settings={"type": "dataset", "dataset": dataset},
        output_settings={
            "type": "s3",
            "url": "s3://catalog/predicted.csv",
            "endpoint_url": seaweed.url,
            "credential_id": credential.credential_id,
        },
    )
    ended(job)
    is_wine(content(lake, "predicted.csv"))
