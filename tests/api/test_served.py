"""The client and `reconciler serve`, each a process: the whole way of a job over a socket."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from program import BOTTLES, Program, bottles, project, rows, serving

from reconciler.api.access import Access
from reconciler.api.client import Client
from reconciler.api.schema import Job
from reconciler.errors import ServiceError

LOCAL = {"type": "localFile"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with serving(project(tmp_path_factory.mktemp("served"))) as running:
        yield running


def asking(program: Program, question: Callable[[Client], Awaitable[Any]]) -> Any:
    async def asked() -> Any:
        access = Access(program.document["endpoint"], program.token)
        async with Client(access) as client:
            return await question(client)

    return asyncio.run(asked())


def body(program: Program, **intake: Any) -> dict[str, Any]:
    deployment = program.deployments["wine"]
    return {"deploymentId": deployment, "passthroughColumns": ["bottle_id"], "intakeSettings": LOCAL | intake, "outputSettings": LOCAL}


async def result(client: Client, job: Job) -> bytes:
    while not job.links.download:
        await asyncio.sleep(0.02)
        job = await client.job(job.id)
    async with aclosing(client.download(job)) as chunks:
        return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("intake", [{}, {"async": False}, {"multipart": True}, {"multipart": True, "async": False}])
def test_rows_go_up_and_scores_come_down(program: Program, tmp_path: Path, intake: dict[str, Any]) -> None:
    (path := tmp_path / "wine.csv").write_bytes(rows(40))
    sent: list[int] = []

    async def question(client: Client) -> tuple[str, Job]:
        job = await client.submit(body(program, **intake), "run-1" + str(intake))
        found, _ = await asyncio.gather(result(client, job), client.upload(job, path, sent.append, part_size=20_000))
        return found.decode(), await client.job(job.id)

    found, job = asking(program, question)
    assert bottles(found) == [line.split(",")[0] for line in BOTTLES] * 40
    assert (job.status, job.scored_rows, job.job_intake_size) == ("COMPLETED", len(BOTTLES) * 40, path.stat().st_size)
    assert sent[-1] == path.stat().st_size


def test_same_key_is_the_same_job(program: Program) -> None:
    async def question(client: Client) -> tuple[Job, Job]:
        return await client.submit(body(program), "run-2"), await client.submit(body(program), "run-2")

    first, second = asking(program, question)
    assert first.id == second.id


def test_service_says_who_we_are_what_time_it_is_and_what_it_scores_with(program: Program) -> None:
    async def question(client: Client) -> None:
        job = await client.submit(body(program), "run-3")
        assert await client.creator() == job.created_by.user_id is not None
        assert (now := client.server_now()) is not None and abs((now - datetime.now(UTC)).total_seconds()) < 5
        assert (await client.deployment(program.deployments["wine"])).id == program.deployments["wine"]
        assert (await client.version()).major == 2
        listed = [one.id async for one in client.jobs(status=["INITIALIZING", "RUNNING"], deploymentId=program.deployments["wine"])]
        assert job.id in listed

    asking(program, question)


def test_job_is_aborted_once_and_again(program: Program) -> None:
    async def question(client: Client) -> str:
        job = await client.submit(body(program), "run-4")
        await client.abort(job.id)
        await client.abort(job.id)
        await client.abort("nobody's")
        try:
            return (await client.job(job.id)).status
        except ServiceError as error:
            return str(error.status)

    assert asking(program, question) in ("ABORTED", "404")


def test_second_upload_is_refused_and_rows_that_are_no_text_too(program: Program, tmp_path: Path) -> None:
    (path := tmp_path / "wine.csv").write_bytes(rows(1))
    (broken := tmp_path / "broken.csv").write_bytes(rows(1) + b"\xff\xfe")

    async def question(client: Client) -> list[ServiceError]:
        found = []
        first, second = [await client.submit(body(program), key) for key in ("run-5", "run-6")]
        await client.upload(first, path, lambda _: None)
        for job, file in ((first, path), (second, broken)):
            try:
                await client.upload(job, file, lambda _: None)
            except ServiceError as error:
                found.append(error)
        return found

    again, unusable = asking(program, question)
    assert (again.status, unusable.status) == (409, 422)
    assert "not utf-8" in unusable.detail


def test_wrong_token_is_explained(program: Program) -> None:
    async def question() -> None:
        async with Client(Access(program.document["endpoint"], "wr0ng")) as client:
            await client.version()

    with pytest.raises(ServiceError) as caught:
        asyncio.run(question())
    assert caught.value.status == 401
    assert "The token was not accepted" in caught.value.detail and "wr0ng" not in caught.value.detail
