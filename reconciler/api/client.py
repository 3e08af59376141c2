"""The one client of the Batch Prediction API, for the embedded service and for an endpoint alike. The rule here: httpx is imported nowhere else.

A GET is safe to repeat; a POST is sent once, because the API has no idempotency key (our own service honours the header `Idempotency-Key`).
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Self, TypeVar

import httpx
from pydantic import ValidationError

from reconciler.api.access import Access
from reconciler.api.schema import Dataset, Deployment, Job, Page, Tolerant
from reconciler.errors import ServiceError

_Answer = TypeVar("_Answer", bound=Tolerant)
_TIMEOUT = httpx.Timeout(60.0, connect=6.05)  # the official client's


class Client:
    """Use as an async context manager. Raises ServiceError for every answer that is not the one asked for."""

    def __init__(self, access: Access, transport: httpx.AsyncBaseTransport | None = None, *, requests: int = 10) -> None:
        self._http = httpx.AsyncClient(
            base_url=access.endpoint.rstrip("/") + "/",
            transport=transport,
            timeout=_TIMEOUT,
            verify=access.verify,
            headers={"Authorization": f"{access.scheme} {access.token}"} if access.token else None,
        )

    @classmethod
    def for_app(cls, app: Any) -> Self:
        """A client of an ASGI app in this process: no socket, the same requests."""
        return cls(Access("http://embedded/api/v2"), httpx.ASGITransport(app=app, raise_app_exceptions=False))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def submit(self, body: dict[str, Any], key: str) -> Job:
        """`POST batchPredictions/`, once."""
        answer = await self._send("POST", "batchPredictions/", json=body, headers={"Idempotency-Key": key})
        return _parsed(Job, answer)

    async def job(self, job_id: str) -> Job:
        return _parsed(Job, await self._send("GET", f"batchPredictions/{job_id}/"))

    async def jobs(self, **filters: Any) -> AsyncIterator[Job]:
        """Every job that matches, newest first, page after page."""
        answer = await self._send("GET", "batchPredictions/", params={"orderBy": "-created", **filters})
        while True:
            page = _parsed(Page, answer)
            for job in page.data:
                yield job
            if page.next is None:
                return
            answer = await self._send("GET", page.next)

    def server_now(self) -> datetime | None:
        return None

    async def abort(self, job_id: str) -> None:
        """`DELETE batchPredictions/{id}/`; a job that is gone or has ended is as good as aborted."""
        try:
            await self._send("DELETE", f"batchPredictions/{job_id}/")
        except ServiceError as error:
            if error.status not in (404, 409):
                raise

    async def deployment(self, deployment_id: str) -> Deployment:
        return _parsed(Deployment, await self._send("GET", f"deployments/{deployment_id}/"))

    async def dataset(self, dataset_id: str) -> Dataset:
        """A dataset of the AI Catalog, as of its latest version."""
        return _parsed(Dataset, await self._send("GET", f"datasets/{dataset_id}/"))

    async def _send(self, method: str, url: str, **request: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, url, **request)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ServiceError(f"No answer to {method} {url}", f"{type(error).__name__}: {error}.") from error
        if not answer.is_success:
            raise _refusal(method, url, answer)
        return answer


def _parsed(kind: type[_Answer], answer: httpx.Response) -> _Answer:
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as error:
        where = ", ".join(".".join(str(part) for part in item["loc"]) for item in error.errors())
        raise ServiceError(
            "The service's answer cannot be read", f"{answer.request.method} {answer.request.url}: wrong or missing: {where}."
        ) from None


def _refusal(method: str, url: str, answer: httpx.Response) -> ServiceError:
    """The API's error body is `{"message": …}`; with 422 also `errors` by field, which the platform repeats in the message."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    message = body.get("message") if isinstance(body, dict) else None
    detail = str(message or f"The answer has no message; it begins with {answer.text[:200]!r}.")
    return ServiceError(f"The service refused {method} {url} with status {answer.status_code}", detail, answer.status_code)
