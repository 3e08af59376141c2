"""The official client's own examples for other systems, against `reconciler serve` and real servers.

Credentials and data stores are made through the API, and the scored rows are compared with what the model's own library says.
"""

import io
from collections.abc import Iterator
from typing import Any

import datarobot as dr
import pytest
from served import Served, check_scored, predictions, serving, table
from servers.azurite import Azurite, azurite  # noqa: F401
from servers.seaweed import Seaweed, seaweed  # noqa: F401

Job = dr.BatchPredictionJob
RETRIES = "Using an empty collection for 'allowed_methods' option"
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{RETRIES}:FutureWarning"),  # the client's own use of urllib3
    pytest.mark.xdist_group("official systems"),
]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture(autouse=True)
def client(served: Served) -> Any:
    return dr.Client(endpoint=served.endpoint, token=served.token)


@pytest.fixture
def wine(served: Served) -> str:
    return served.deployments["wine"]


@pytest.fixture
def bottles(served: Served) -> bytes:
    return served.data("wine").encode()


@pytest.fixture
def is_wine(served: Served, bottles: bytes):
    """Compares a whole result, by column, with what onnxruntime says of the wines."""
    given = table(bottles.decode())

    def check(scored: dict[str, list[str]], *kept: str) -> None:
        check_scored(scored, predictions(served.root, "wine", given), {name: given[name] for name in kept})

    return check


def ended(job: Job) -> dict[str, Any]:
    """Waits as the client does, but looks sooner than after its five seconds."""
    job.wait_for_completion()
    status = job.get_status()
    assert status["status"] == "COMPLETED", status
    return status


def content(store: Any, key: str) -> dict[str, list[str]]:
    return table(bytes(store.get(key).bytes()).decode())


def test_score_s3(wine, bottles, is_wine, seaweed: Seaweed):  # noqa: F811
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


def test_score_azure(wine, bottles, is_wine, azurite: Azurite):  # noqa: F811
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


def test_score_a_dataset_of_the_ai_catalog_into_s3(wine, bottles, is_wine, seaweed: Seaweed):  # noqa: F811
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
