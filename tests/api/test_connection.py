"""Requests over real sockets, to servers that answer badly."""

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from api.peer import TOKEN, Asked, Peer, Script, answering, asking, nothing, peer, run, silence

from reconciler.api.access import Access
from reconciler.api.client import Client
from reconciler.errors import InDoubt, ServiceError

BODY = json.dumps({"id": "j1", "status": "RUNNING", "links": {"self": "http://inner:8080/api/v2/batchPredictions/j1/"}}).encode()
FOUND = answering(200, BODY)
Question = Callable[[Client], Awaitable[Any]]


async def the_job(client: Client) -> Any:
    return await client.job("j1")


async def submission(client: Client) -> Any:
    return await client.submit({"deploymentId": "d1"}, "run-1")


async def cut(asked: Asked) -> None:
    await asked.body()
    await asked.raw(200, {"Content-Type": "application/json", "Content-Length": "1000"}, BODY[:20])


async def chopped(asked: Asked) -> None:
    """JSON that ends too early, in an answer that is whole."""
    await asked.body()
    await asked.answer(202, BODY[:20])


def test_get_is_asked_again_until_it_is_answered() -> None:
    waits: list[float] = []
    troubles = [nothing, cut, silence, *(answering(status) for status in (408, 413, 429, 502, 503, 504))]
    job, there = asking(the_job, *troubles, FOUND, waits=waits, read_s=0.3)
    assert job.id == "j1"
    assert there.lines == ["GET /api/v2/batchPredictions/j1/"] * 10
    assert len(waits) == 9
    assert all(0 <= wait <= min(30, 0.5 * 2**number) for number, wait in enumerate(waits))


def test_service_says_how_long_to_wait() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    dates = {"Date": format_datetime(now - timedelta(hours=5), usegmt=True)}
    until = format_datetime(now - timedelta(hours=5) + timedelta(seconds=40), usegmt=True)
    waits: list[float] = []
    asking(
        the_job,
        answering(429, Retry_After="7"),
        answering(503, Retry_After=until, **dates),
        answering(503, Retry_After="100000"),
        FOUND,
        waits=waits,
    )
    assert [7 <= waits[0] <= 8, 40 <= waits[1] <= 41, 120 <= waits[2] <= 121] == [True] * 3


def test_patience_ends_and_says_so() -> None:
    waits: list[float] = []
    error, there = asking(the_job, answering(503, b'{"message": "Maintenance"}', Retry_After="90"), waits=waits)
    assert (error.status, len(there.asked), len(waits)) == (503, 4, 3)
    assert error.detail.startswith("Maintenance Asked 4 times in 27")


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [
        (401, b'{"message": "Invalid token"}', "The token was not accepted"),
        (403, b'{"message": "No"}', "may not do this"),
        (404, b'{"message": "No such job"}', "No such job"),
        (422, b'{"message": "Invalid", "errors": {"maxExplanations": "too big"}}', "Invalid (maxExplanations: too big)"),
        (422, b'{"message": "Invalid", "errors": {"intakeSettings": {"url": "no url"}}}', "Invalid (intakeSettings.url: no url)"),
        (422, b'{"message": "intakeSettings.url: no url", "errors": {"intakeSettings": {"url": "no url"}}}', "intakeSettings.url: no url Request id"),
        (500, b"", "The answer has no message"),
    ],
)
def test_clear_answer_is_not_asked_for_again(status: int, content: bytes, said: str) -> None:
    error, there = asking(the_job, answering(status, content, X_Request_ID="r-17"))
    assert (error.status, len(there.asked)) == (status, 1)
    assert said in error.detail
    assert error.detail.endswith("Request id: r-17.")


def test_web_page_is_not_the_api() -> None:
    error, there = asking(the_job, answering(200, b"<html>Sign in</html>", Content_Type="text/html"))
    assert (error.summary, error.status, len(there.asked)) == ("The answer is a web page", None, 1)
    assert "https://app.datarobot.com/api/v2" in error.detail


@pytest.mark.parametrize(
    ("script", "status"),
    [
        pytest.param(nothing, None, id="lost"),
        pytest.param(silence, None, id="stalled"),
        pytest.param(cut, None, id="cut"),
        pytest.param(chopped, None, id="truncated-json"),
        pytest.param(answering(200, b"<html>", Content_Type="text/html"), None, id="html"),
        pytest.param(answering(302, Location="https://login.example.com/?next=x"), 302, id="redirect"),
        *(pytest.param(answering(status), status, id=str(status)) for status in (408, 429, 500, 502, 503, 504)),
    ],
)
def test_submission_without_a_readable_answer_is_in_doubt_and_never_sent_again(script: Script, status: int | None) -> None:
    error, there = asking(submission, script, read_s=0.3)
    assert (type(error), error.status, error.retry_after) == (InDoubt, status, None)
    assert there.lines == ["POST /api/v2/batchPredictions/"]


def test_doubt_says_how_long_the_service_wants_to_be_left_alone() -> None:
    assert asking(submission, answering(429, Retry_After="33"))[0].retry_after == 33


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
def test_refused_submission_made_no_job(status: int) -> None:
    error, there = asking(submission, answering(status, b'{"message": "No"}'))
    assert (type(error), error.status, len(there.asked)) == (ServiceError, status, 1)


def test_submission_waits_for_a_server_that_is_not_up_yet() -> None:
    """Nothing was sent to a port where nobody listens, so connecting again submits nothing twice."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    waits: list[float] = []

    async def question() -> list[str]:
        started: list[Any] = []
        there: list[Peer] = []

        async def pause(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                started.append(peer(answering(202, BODY), port=port))
                there.append(await started[0].__aenter__())

        async with Client(Access(f"http://127.0.0.1:{port}/api/v2"), pause=pause) as client:
            assert (await client.submit({}, "run-1")).id == "j1"
        await started[0].__aexit__(None, None, None)
        return there[0].lines

    assert run(question()) == ["POST /api/v2/batchPredictions/"]
    assert len(waits) == 3


def test_submission_to_nobody_surely_made_no_job() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def pause(seconds: float) -> None:
        pass

    async def question() -> None:
        async with Client(Access(f"http://127.0.0.1:{port}/api/v2"), pause=pause) as client:
            await client.submit({}, "run-1")

    with pytest.raises(ServiceError) as caught:
        run(question())
    assert type(caught.value) is ServiceError
    assert caught.value.summary == "No answer to POST batchPredictions/"


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        pytest.param({"status": "INITIALIZING", "links": {"self": "http://inner/api/v2/batchPredictions/j7/"}}, {}, id="own-link"),
        pytest.param({"status": "INITIALIZING"}, {"Location": "http://inner/api/v2/batchPredictions/j7/"}, id="location"),
        pytest.param({"id": "j7", "status": "INITIALIZING", "scoredRows": None, "links": None, "jobSpec": None}, {}, id="nulls"),
    ],
)
def test_job_without_an_id_has_that_of_its_links(content: dict[str, Any], headers: dict[str, str]) -> None:
    job, _ = asking(submission, answering(202, json.dumps(content).encode(), **headers))
    assert (job.id, job.status, job.scored_rows) == ("j7", "INITIALIZING", 0)


def test_links_are_followed_on_the_endpoints_own_origin() -> None:
    """Behind a proxy the server knows another host, another scheme, even another root; whoever is there never sees the token."""

    async def question() -> tuple[list[str], list[str]]:
        async with peer(FOUND) as stranger:

            async def page(asked: Asked) -> None:
                following = f"http://127.0.0.1:{stranger.port}/inner/api/v2/batchPredictions/?offset={len(here.asked)}"
                found = {"data": [{"id": f"j{len(here.asked)}", "status": "RUNNING"}], "next": following if len(here.asked) < 3 else None}
                await asked.answer(200, json.dumps(found).encode())

            async with peer(page) as here, Client(Access(f"http://127.0.0.1:{here.port}/dr/api/v2", TOKEN)) as client:
                assert [job.id async for job in client.jobs(status=["RUNNING", "INITIALIZING"])] == ["j1", "j2", "j3"]
            return here.lines, stranger.lines

    asked, strange = run(question())
    assert strange == []
    assert asked == [
        "GET /dr/api/v2/batchPredictions/?orderBy=-created&status=RUNNING&status=INITIALIZING",
        "GET /dr/api/v2/batchPredictions/?offset=1",
        "GET /dr/api/v2/batchPredictions/?offset=2",
    ]


@pytest.mark.parametrize("question", [the_job, submission])
def test_token_does_not_follow_a_redirect(question: Question) -> None:
    async def both() -> tuple[ServiceError, list[str]]:
        async with peer(FOUND) as stranger:
            elsewhere = answering(307, Location=f"http://127.0.0.1:{stranger.port}/api/v2/batchPredictions/j1/")
            async with peer(elsewhere) as here, Client(Access(here.endpoint, TOKEN)) as client:
                with pytest.raises(ServiceError) as caught:
                    await question(client)
            return caught.value, stranger.lines

    error, strange = run(both())
    assert (error.status, strange) == (307, [])


def test_token_is_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Not even when the server says it."""
    caplog.set_level(logging.DEBUG)
    echo = f'{{"message": "Bad header: Token {TOKEN}"}}'.encode()
    scripts = [nothing, cut, answering(401, echo), answering(503, echo), answering(200, f"<p>{TOKEN}".encode()), answering(200, echo)]
    said = []
    for script in scripts:
        for question in (the_job, submission):
            error, there = asking(question, script)
            assert there.asked[0].header("Authorization") == f"Token {TOKEN}"
            said += [str(error), error.detail, repr(error), repr(error.__cause__)]
    said.append(repr(Access("https://x/api/v2", TOKEN)))
    assert not [text for text in said if TOKEN in text]
    assert caplog.text and TOKEN not in caplog.text


def test_bearer_is_sent_where_it_is_asked_for() -> None:
    async def question() -> str | None:
        async with peer(FOUND) as there, Client(Access(there.endpoint, TOKEN, "Bearer")) as client:
            await client.job("j1")
        return there.asked[0].header("authorization")

    assert run(question()) == f"Bearer {TOKEN}"


def test_requests_in_flight_are_bounded() -> None:
    async def question() -> tuple[int, int]:
        in_flight = most = 0
        full, release = asyncio.Event(), asyncio.Event()

        async def held(asked: Asked) -> None:
            nonlocal in_flight, most
            in_flight += 1
            most = max(most, in_flight)
            if in_flight == 3:
                full.set()
            await release.wait()
            in_flight -= 1
            await asked.answer(200, BODY)

        async with peer(held) as there, Client(Access(there.endpoint), requests=3) as client:
            asked = [asyncio.ensure_future(client.job(f"j{number}")) for number in range(12)]
            await full.wait()
            release.set()
            await asyncio.gather(*asked)
        return most, len(there.asked)

    assert run(question()) == (3, 12)


def test_services_clock_is_known_from_its_answers() -> None:
    async def question() -> tuple[Any, Any]:
        ahead = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
        async with peer(FOUND, answering(200, BODY, Date=ahead)) as there, Client(Access(there.endpoint)) as client:
            await client.job("j1")
            before = client.server_now()
            await client.job("j1")
            return before, client.server_now()

    before, there = run(question())
    assert before is None
    assert timedelta(hours=1, minutes=59) < there - datetime.now(UTC) < timedelta(hours=2, minutes=1)


def test_service_that_does_not_say_who_we_are_is_no_error() -> None:
    async def who(client: Client) -> Any:
        return await client.creator()

    assert asking(who, answering(404, b'{"message": "Not found"}'))[0] is None
    assert asking(who, answering(200, b'{"uid": "u1", "email": null, "orgId": "o1"}'))[0] == "u1"
    assert asking(who, answering(403, b"{}"))[0] is None
    assert asking(who, answering(401, b"{}"))[0].status == 401


def test_dataset_and_version_are_read() -> None:
    async def dataset(client: Client) -> Any:
        return await client.dataset("d1")

    async def version(client: Client) -> Any:
        return await client.version()

    found, there = asking(dataset, answering(200, b'{"datasetId": "d1", "versionId": "v1", "name": "x", "rowCount": 3}'))
    assert (found.dataset_id, found.version_id, there.lines) == ("d1", "v1", ["GET /api/v2/datasets/d1/"])
    assert asking(version, answering(200, b'{"major": 2, "minor": 49, "versionString": "2.49.0"}'))[0].version_string == "2.49.0"
