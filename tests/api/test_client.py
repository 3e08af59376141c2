"""The client of the API, against services that are one function each."""

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from reconciler.api.access import Access
from reconciler.api.client import Client
from reconciler.api.schema import Job
from reconciler.errors import ServiceError

ENDPOINT = "https://app.example.com/api/v2"
JOB = {"id": "j1", "status": "RUNNING", "links": {"self": f"{ENDPOINT}/batchPredictions/j1/"}}

Service = Callable[[httpx.Request], httpx.Response]


def ask(
    service: Service,
    question: Callable[[Client], Awaitable[Any]],
    endpoint: str = ENDPOINT,
    waits: list[float] | None = None,
    token: str = "",
    **options: Any,
) -> Any:
    """The pauses between requests take no time; `waits` is told how long they would have been."""

    async def pause(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)

    async def run() -> Any:
        async with Client(Access(endpoint, token), httpx.MockTransport(service), pause=pause, **options) as client:
            return await question(client)

    return asyncio.run(run())


def answering(status: int, **answer: Any) -> Service:
    return lambda request: httpx.Response(status, **answer)


async def every_job(client: Client) -> list[Job]:
    return [job async for job in client.jobs(deploymentId="d1")]


def refused(service: Service, question: Callable[[Client], Awaitable[Any]] = lambda client: client.job("j1")) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        ask(service, question)
    return caught.value


@pytest.mark.parametrize("endpoint", [ENDPOINT, ENDPOINT + "/"])
def test_submission_is_one_post_with_its_key(endpoint: str) -> None:
    seen: list[httpx.Request] = []

    def service(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202, json=JOB)

    assert ask(service, lambda client: client.submit({"deploymentId": "d1"}, "run-1"), endpoint).id == "j1"
    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", f"{ENDPOINT}/batchPredictions/")
    assert request.headers["Idempotency-Key"] == "run-1"
    assert json.loads(request.content) == {"deploymentId": "d1"}


@pytest.mark.parametrize("status", [None, 429, 500, 503])
def test_submission_that_was_not_answered_well_is_not_sent_again(status: int | None) -> None:
    seen = []

    def service(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if status is None:
            raise httpx.ReadTimeout("The answer did not come", request=request)
        return httpx.Response(status, headers={"Retry-After": "0"})

    assert refused(service, lambda client: client.submit({}, "run-1")).status == status
    assert len(seen) == 1


def test_jobs_are_listed_page_after_page() -> None:
    seen = []

    def service(request: httpx.Request) -> httpx.Response:
        seen.append(dict(request.url.params))
        offset = int(request.url.params.get("offset", 0))
        following = f"{ENDPOINT}/batchPredictions/?offset={offset + 2}" if offset < 4 else None
        return httpx.Response(200, json={"count": 6, "next": following, "data": [{**JOB, "id": f"j{offset + n}"} for n in (0, 1)]})

    assert [job.id for job in ask(service, every_job)] == ["j0", "j1", "j2", "j3", "j4", "j5"]
    assert seen == [{"orderBy": "-created", "deploymentId": "d1"}, {"offset": "2"}, {"offset": "4"}]


def test_job_that_moved_to_the_next_page_is_listed_once() -> None:
    def service(request: httpx.Request) -> httpx.Response:
        numbers, following = ((1, 2), None) if "offset" in request.url.params else ((0, 1), f"{ENDPOINT}/batchPredictions/?offset=2")
        return httpx.Response(200, json={"next": following, "data": [{**JOB, "id": f"j{number}"} for number in numbers]})

    assert [job.id for job in ask(service, every_job)] == ["j0", "j1", "j2"]


def test_pages_that_lead_in_a_circle_are_an_error() -> None:
    error = refused(answering(200, json={"next": f"{ENDPOINT}/batchPredictions/?offset=2", "data": []}), every_job)
    assert error.summary == "The service's list of jobs does not end"


@pytest.mark.parametrize("link", ["https://evil.example.com/elsewhere/", "http://host:port/api/v2/batchPredictions/", "/batchPredictions/"])
def test_link_that_leads_out_of_the_api_is_not_followed(link: str) -> None:
    assert refused(answering(200, json={"next": link, "data": []}), every_job).status is None


def test_id_cannot_lead_to_another_address() -> None:
    seen = []

    def service(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.raw_path)
        return httpx.Response(404)

    assert refused(service, lambda client: client.job("../deployments/d1?x=#")).status == 404
    assert seen == [b"/api/v2/batchPredictions/..%2Fdeployments%2Fd1%3Fx%3D%23/"]


def test_list_without_jobs_is_empty() -> None:
    assert ask(answering(200, json={"count": 0, "next": None, "previous": None, "data": []}), every_job) == []


@pytest.mark.parametrize(
    ("answer", "missing"),
    [
        pytest.param({"json": {"data": [{**JOB, "status": None}]}}, "wrong or missing: data.0.status.", id="job-without-a-status"),
        pytest.param({"json": {"data": {}}}, "wrong or missing: data.", id="data-that-is-no-list"),
        pytest.param({"text": '{"data": [{"id"'}, """not JSON; it begins with '{"data": [{"id"'.""", id="cut-short"),
    ],
)
def test_list_that_cannot_be_read_is_an_error_of_the_service(answer: dict[str, Any], missing: str) -> None:
    error = refused(answering(200, **answer), every_job)
    assert error.summary == "The service's answer cannot be read"
    assert error.detail == f"GET {ENDPOINT}/batchPredictions/?orderBy=-created&deploymentId=d1: {missing}"
    assert error.status is None


def test_keys_that_we_do_not_know_and_nulls_are_taken_in_stride() -> None:
    job = ask(answering(200, json={**JOB, "jobIntakeSize": None, "created": None, "aNewKey": {"x": 1}}), lambda client: client.job("j1"))
    assert (job.status, job.job_intake_size, job.scored_rows, job.is_terminal) == ("RUNNING", None, 0, False)


def test_deployment_says_what_model_it_has() -> None:
    body = {"id": "d1", "label": "churn", "model": {"id": "m1", "deployedAt": "2026-01-01"}, "modelPackage": {"id": "p1"}, "owners": {}}
    deployment = ask(answering(200, json=body), lambda client: client.deployment("d1"))
    assert (deployment.model.id, deployment.model.deployed_at, deployment.model_package.id) == ("m1", "2026-01-01", "p1")


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        pytest.param({"json": {"message": "Not your job"}}, "Not your job", id="message"),
        pytest.param({"json": {"message": "Invalid", "errors": {"maxExplanations": "too big"}}}, "Invalid", id="message-and-errors"),
        pytest.param({"html": "<h1>Bad gateway</h1>"}, "The answer has no message; it begins with '<h1>Bad gateway</h1>'.", id="html"),
        pytest.param({"text": ""}, "The answer has no message; it begins with ''.", id="nothing"),
        pytest.param({"json": ["x"]}, """The answer has no message; it begins with '["x"]'.""", id="list"),
        pytest.param({"json": {"message": None}}, """The answer has no message; it begins with '{"message":null}'.""", id="null-message"),
        pytest.param({"json": {"message": {"a": 1}}}, "{'a': 1}", id="message-that-is-no-text"),
        pytest.param({"content": b"\xff\xfe\x00{"}, "The answer has no message; it begins with ", id="bytes"),
    ],
)
def test_refusal_carries_what_the_service_said(answer: dict[str, Any], detail: str) -> None:
    error = refused(answering(403, **answer))
    assert error.summary == "The service refused GET batchPredictions/j1/ with status 403"
    assert error.detail.startswith(detail)
    assert error.status == 403


def test_long_error_page_is_shown_by_its_beginning() -> None:
    assert len(refused(answering(500, html="x" * 100_000)).detail) < 400


def test_redirect_is_not_followed_but_refused() -> None:
    assert refused(answering(302, headers={"Location": "https://login.example.com/"})).status == 302


@pytest.mark.parametrize(
    ("kind", "tries"),
    [
        (httpx.ConnectError, " Asked 10 times in "),
        (httpx.ReadTimeout, " Asked 10 times in "),
        (httpx.RemoteProtocolError, " Asked 10 times in "),
        (httpx.InvalidURL, ""),
    ],
)
def test_no_answer_is_an_error_without_a_status(kind: type[Exception], tries: str) -> None:
    def service(request: httpx.Request) -> httpx.Response:
        raise kind("Connection refused")

    error = refused(service)
    assert error.summary == "No answer to GET batchPredictions/j1/"
    assert error.detail.startswith(f"{ENDPOINT}/: {kind.__name__}: Connection refused.{tries}")
    assert error.status is None


@pytest.mark.parametrize(
    ("cause", "tries"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), 1),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), 10),
        (ssl.SSLCertVerificationError("self-signed certificate"), 1),
        (ConnectionRefusedError("Connection refused"), 10),
    ],
)
def test_what_will_not_pass_is_tried_once(cause: OSError, tries: int) -> None:
    seen = []

    def service(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        raise httpx.ConnectError(str(cause)) from cause

    for question in (lambda client: client.job("j1"), lambda client: client.submit({}, "run-1")):
        assert type(refused(service, question)) is ServiceError
    assert len(seen) == 2 * tries


@pytest.mark.parametrize("status", [204, 202, 404, 409])
def test_job_that_is_gone_or_has_ended_is_as_good_as_aborted(status: int) -> None:
    seen = []

    def service(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.url.path))
        return httpx.Response(status, json={"message": "The job has ended"})

    ask(service, lambda client: client.abort("j1"))
    assert seen == [("DELETE", "/api/v2/batchPredictions/j1/")]


@pytest.mark.parametrize("status", [401, 403, 500])
def test_job_that_cannot_be_aborted_is_an_error(status: int) -> None:
    assert refused(answering(status), lambda client: client.abort("j1")).status == status


def test_app_in_this_process_is_asked_the_same_way() -> None:
    asked = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append((scope["method"], scope["path"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(JOB).encode()})

    async def run() -> Job:
        async with Client.for_app(app) as client:
            return await client.job("j1")

    assert asyncio.run(run()).id == "j1"
    assert asked == [("GET", "/api/v2/batchPredictions/j1/")]


def test_app_that_fails_is_a_refusal_and_no_crash() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    async def run() -> Job:
        async with Client.for_app(app) as client:
            return await client.job("j1")

    with pytest.raises(ServiceError) as caught:
        asyncio.run(run())
    assert caught.value.status == 500
