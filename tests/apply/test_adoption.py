"""Finding the job of a submission that nobody answered: exactly one is taken, none is none, and what is unclear is said to be."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.api.access import Access
from reconciler.api.client import Client
from reconciler.api.schema import echoed_spec
from reconciler.apply.adoption import Adoption
from reconciler.errors import InDoubt
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.store import Store

LOCAL = {"type": "localFile"}
S3 = {"type": "s3", "url": "s3://lake/rows.csv"}
BODY: dict[str, Any] = {"deploymentId": "d1", "intakeSettings": LOCAL, "outputSettings": LOCAL, "passthroughColumns": ["id"]}
AT, LATER, EARLIER = "2026-11-22T10:00:00.000000Z", "2026-11-22T10:00:01.000000Z", "2026-11-22T09:59:00.000000Z"


def run_of(name: str, **facts: Any) -> Run:
    run = Run(
        id=name,
        workspace="prod",
        address=f"job.{name}",
        status=Status.INTENDED,
        spec={},
        spec_digest="blake3:1",
        intake={},
        intake_digest=None,
        model={},
        model_digest=None,
        deployment="d",
        deployment_id="d1",
        request=BODY,
        reasons=("never run",),
        intended_at=AT,
        user="u",
        host="h",
        git_commit=None,
        tool_version="0",
        server_time=AT,
        creator="me",
    )
    return replace(run, **facts)


def job(name: str, **facts: Any) -> dict[str, Any]:
    """One that the service made of BODY, a second after the intent."""
    shown = {"id": name, "status": "INITIALIZING", "created": LATER, "createdBy": {"userId": "me"}, "jobSpec": echoed_spec(BODY, 4)}
    return {**shown, "links": {"self": f"https://x/api/v2/batchPredictions/{name}/"}, **facts}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "state.db") as store, store.locked("test"):
        yield store


Found = Callable[..., str | None]


@pytest.fixture
def found(store: Store) -> Found:
    """The id of the job that is adopted for a run, when the service lists these."""

    def find(run: Run, *listed: dict[str, Any], left: tuple[Run, ...] = ()) -> str | None:
        def service(request: httpx.Request) -> httpx.Response:
            assert request.url.params["deploymentId"] == "d1"
            return httpx.Response(200, json={"count": len(listed), "next": None, "data": list(listed)})

        async def ask() -> str | None:
            async with Client(Access("https://x/api/v2"), httpx.MockTransport(service)) as client:
                adoption = Adoption(store, client, left)
                async with adoption.turn(run):
                    adopted = await adoption.job_of(run)
            return None if adopted is None else adopted.id

        for each in {run.id: run, **{other.id: other for other in left}}.values():
            if store.snapshot.run(each.id) is None:
                store.intend(each, {})
        return asyncio.run(ask())

    return find


def test_exactly_one_job_is_adopted(found: Found) -> None:
    assert found(run_of("a"), job("j1")) == "j1"


def test_no_job_is_none(found: Found) -> None:
    assert found(run_of("a")) is None


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"created": EARLIER}, id="made before the intent"),
        pytest.param({"createdBy": {"userId": "somebody"}}, id="of another creator"),
        pytest.param({"jobSpec": echoed_spec({**BODY, "maxExplanations": 3}, 4)}, id="of another spec"),
        pytest.param({"jobIntakeSize": 10, "status": "RUNNING"}, id="already given rows"),
        pytest.param({"status": "ABORTED"}, id="already ended"),
    ],
)
def test_another_job_is_not_adopted(found: Found, other: dict[str, Any]) -> None:
    assert found(run_of("a"), job("j1", **other)) is None


@pytest.mark.parametrize("unknown", [{"creator": None}, {"server_time": None}], ids=["creator", "server-time"])
def test_what_is_not_known_of_a_run_excludes_no_job(found: Found, unknown: dict[str, None]) -> None:
    assert found(run_of("a", **unknown), job("j1")) == "j1"


@pytest.mark.parametrize("created", [None, "soon", "2026-11-22T10:00:01"], ids=["untold", "unreadable", "without a zone"])
def test_service_may_tell_the_time_as_it_likes(found: Found, created: str | None) -> None:
    assert found(run_of("a"), job("j1", created=created)) == "j1"


def test_job_of_another_run_is_not_adopted(store: Store, found: Found) -> None:
    other = run_of("b")
    store.intend(other, {})
    store.move(other, Status.SUBMITTED, job_id="j1")
    assert found(run_of("a"), job("j1")) is None


def test_several_jobs_stop_with_the_way_to_settle_it(found: Found) -> None:
    with pytest.raises(InDoubt) as caught:
        found(run_of("a"), job("j1"), job("j2"))
    assert "j1, j2" in caught.value.detail
    assert "reconciler state adopt job.a JOB_ID -workspace=prod" in caught.value.detail
    assert "reconciler state resubmit job.a -workspace=prod" in caught.value.detail


def test_several_runs_of_one_spec_share_as_many_jobs_oldest_first(store: Store, found: Found) -> None:
    a, b = run_of("a"), run_of("b")
    listed = job("j2"), job("j1", created=AT)
    assert found(a, *listed, left=(a, b)) == "j1"
    store.move(a, Status.SUBMITTED, job_id="j1")
    assert found(b, *listed, left=(a, b)) == "j2"


def test_more_jobs_than_runs_in_doubt_are_unclear(found: Found) -> None:
    a, b = run_of("a"), run_of("b")
    with pytest.raises(InDoubt, match="Several jobs"):
        found(a, job("j1"), job("j2"), job("j3"), left=(a, b))


def test_job_that_reads_elsewhere_may_have_begun(found: Found) -> None:
    body = {**BODY, "intakeSettings": S3, "outputSettings": S3}
    assert found(run_of("a", request=body), job("j1", status="COMPLETED", jobIntakeSize=9, jobSpec=echoed_spec(body, 4))) == "j1"


@pytest.mark.parametrize("status", [401, 500])
def test_list_that_fails_leaves_it_in_doubt(store: Store, status: int) -> None:
    run = run_of("a")
    store.intend(run, {})

    async def ask() -> None:
        transport = httpx.MockTransport(lambda request: httpx.Response(status, json={"message": "no"}))
        async with Client(Access("https://x/api/v2"), transport) as client:
            await Adoption(store, client, ()).job_of(run)

    with pytest.raises(InDoubt, match="Nobody knows"):
        asyncio.run(ask())
