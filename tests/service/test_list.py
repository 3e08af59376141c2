"""`GET batchPredictions/`: every filter, the order, and pages."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Hours:
    """A clock that a test sets."""

    def __init__(self):
        self.time = NOON

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Hours()


@pytest.fixture
def service(house, clock):
    with house.service(clock=clock) as running:
        yield running


@pytest.fixture
def ids(house, client, submit, clock):
    """Four jobs, an hour apart: done, aborted, held, and waiting behind it."""
    found = {}
    for name, does, deployment in (("done", "copy", "fraud"), ("bad", "bad", "fraud"), ("held", "hold", "churn"), ("waiting", "copy", "churn")):
        found[name] = submit(house.spec(name, does, deployment))
        client.until(found[name], *(("INITIALIZING",) if name == "waiting" else ("COMPLETED", "ABORTED") if does != "hold" else ("RUNNING",)))
        clock.time += timedelta(hours=1)
    yield found
    house.scorer.gate.set()


CASES = {
    "newest first": ("", ["waiting", "held", "bad", "done"]),
    "oldest first": ("?orderBy=created", ["done", "bad", "held", "waiting"]),
    "by status": ("?orderBy=status", ["bad", "done", "waiting", "held"]),
    "by status, backwards": ("?orderBy=-status", ["held", "waiting", "done", "bad"]),
    "one status": ("?status=RUNNING", ["held"]),
    "two statuses": ("?status=RUNNING&status=ABORTED", ["held", "bad"]),
    "source": ("?source=Ad hoc API", ["waiting", "held", "bad", "done"]),
    "another source": ("?source=Insights", []),
    "not this source": ("?source=-Ad hoc API", []),
    "not another source": ("?source=-Insights", ["waiting", "held", "bad", "done"]),
    "definition": ("?batchPredictionJobDefinitionId=507f1f77bcf86cd799439011", []),
    "hostname": ("?hostname=example.org", []),
    "younger than two hours and a half": ("?cutoffHours=2", ["waiting", "held"]),
    "start": ("?startDateTime=2026-11-21T13:00:00Z", ["waiting", "held", "bad"]),
    "end": ("?endDateTime=2026-11-21T14:00:00%2B01:00", ["bad", "done"]),
    "between": ("?startDateTime=2026-11-21T13:00:00&endDateTime=2026-11-21T14:00:00.000000Z", ["held", "bad"]),
    "intake type": ("?intakeType=fileSystem&intakeType=s3", ["waiting", "held", "bad", "done"]),
    "another intake type": ("?intakeType=local_file", []),
    "output type": ("?outputType=fileSystem", ["waiting", "held", "bad", "done"]),
    "another output type": ("?outputType=jdbc", []),
    "all jobs has no effect": ("?allJobs=true", ["waiting", "held", "bad", "done"]),
    "page": ("?offset=1&limit=2", ["held", "bad"]),
    "past the end": ("?offset=9", []),
}


def test_filters_order_and_pages(house, client, ids):
    names = {job_id: name for name, job_id in ids.items()}
    shown = {case: [names[job_id] for job_id in client.ids(query)] for case, (query, _) in CASES.items()}
    assert shown == {case: expected for case, (_, expected) in CASES.items()}


def test_by_id_deployment_and_model(house, client, ids):
    churn = house.deployments["churn"]
    model = client.get(f"deployments/{churn.id}/").json()["model"]["id"]
    assert client.ids(f"?jobId={ids['bad']}") == [ids["bad"]]
    assert client.ids(f"?deploymentId={churn.id}&status=RUNNING") == [ids["held"]]
    assert client.ids(f"?modelId={model}") == [ids["waiting"], ids["held"]]


def test_links_lead_through_all_pages_with_every_parameter(house, client, ids):
    page = client.get("batchPredictions/?status=COMPLETED&status=ABORTED&status=INITIALIZING&limit=2").json()
    assert (page["count"], page["totalCount"], page["previous"]) == (2, 3, None)
    assert page["next"].startswith("http://reconciler.local/api/v2/batchPredictions/?")
    after = client.get(f"batchPredictions/?{urlsplit(page['next']).query}").json()
    assert ([job["id"] for job in after["data"]], after["next"]) == ([ids["done"]], None)
    assert client.get(f"batchPredictions/?{urlsplit(after['previous']).query}").json()["data"] == page["data"]


@pytest.mark.parametrize(
    "query",
    [
        "status=DONE",
        "source=me",
        "orderBy=id",
        "limit=0",
        "limit=1001",
        "limit=x",
        "offset=-1",
        "cutoffHours=1.5",
        "startDateTime=yesterday",
        "endDateTime=",
        "endDateTime=9999-12-31T23:59:59-10:00",
        "intakeType=pigeon",
        "outputType=dataset",
        "deploymentID=1",
    ],
)
def test_a_bad_parameter_is_refused(client, query):
    answer = client.get(f"batchPredictions/?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/json")
    assert list(answer.json()["errors"]) == [query.split("=")[0]]
