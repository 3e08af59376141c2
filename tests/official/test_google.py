"""The official client's examples for Google Cloud Storage and BigQuery, against `reconciler serve`, whose environment names the emulators."""

from collections.abc import Iterator
from typing import Any

import datarobot as dr
import pytest
from served import Served, ended, serving, table
from servers.bigquery import BigQuery
from servers.google_keys import Keys, running_keys

Job = dr.BatchPredictionJob


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, bigquery: BigQuery) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bigquery.variables.items():
            patch.setenv(name, value)
        with serving(tmp_path_factory.mktemp("served")) as server:
            yield server


@pytest.fixture(scope="session")
def keys() -> Iterator[Keys]:
    with running_keys() as running:
        yield running


@pytest.fixture
def credential(client: Any, keys: Keys) -> Iterator[Any]:
    made = dr.Credential.create_gcp("google", keys.account())
    yield made
    made.delete()


def test_score_gcp(wine, bottles, is_wine, credential, keys, bigquery: BigQuery):
    lake = bigquery.gcs.bucket("official")
    lake.blob("to_predict.csv").upload_from_string(bottles)
    given = keys.given
    job = Job.score_gcp(
        wine,
        source_url="gs://official/to_predict.csv",
        destination_url="gs://official/predicted.csv",
        credential=credential,
        passthrough_columns=["bottle_id"],
    )
    ended(job)
    assert keys.given > given
    is_wine(table(lake.blob("predicted.csv").download_as_text()), "bottle_id")


def test_score_bigquery(wine, bottles, is_wine, credential, bigquery: BigQuery):
    google = bigquery.client()
    bigquery.gcs.bucket("official-transfer")
    google.create_dataset("official")
    rows = table(bottles.decode())
    load(google, "project.official.wines", rows)
    job = Job.score(
        wine,
        intake_settings={
            "type": "bigquery",
            "dataset": "official",
            "table": "wines",
            "bucket": "official-transfer",
            "credential_id": credential.credential_id,
        },
        output_settings={
            "type": "bigquery",
            "dataset": "official",
            "table": "scores",
            "bucket": "official-transfer",
            "credential_id": credential.credential_id,
        },
        passthrough_columns=["bottle_id"],
    )
    ended(job)
    scored = {row["bottle_id"]: row for row in google.list_rows("project.official.scores")}
    assert len(scored) == len(rows["bottle_id"])
    names = [name for name in next(iter(scored.values())).keys() if name != "bottle_id"]  # noqa: SIM118 - of a row
    is_wine({name: [str(scored[bottle][name]) for bottle in rows["bottle_id"]] for name in names})


def load(google: Any, name: str, rows: dict[str, list[str]]) -> None:
    """A table of texts and numbers."""
    from google.cloud.bigquery import LoadJobConfig, SchemaField

    kinds = {column: "STRING" if column == "bottle_id" else "FLOAT64" for column in rows}
    config = LoadJobConfig(schema=[SchemaField(column, kind) for column, kind in kinds.items()])
    values = [dict(zip(rows, each, strict=True)) for each in zip(*rows.values(), strict=True)]
    typed = [{column: value if kinds[column] == "STRING" else float(value) for column, value in row.items()} for row in values]
    google.load_table_from_json(typed, name, job_config=config).result()
