"""The one client of the Batch Prediction API, for the embedded service and for an endpoint alike. The rule here: a job is submitted once.

A GET is safe to repeat; a POST is sent once, because the API has no idempotency key (our own service honours the header `Idempotency-Key`).
"""

import asyncio
import codecs
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from reconciler.api import rows
from reconciler.api.access import Access
from reconciler.api.answer import NO_API, content, has_end, is_html
from reconciler.api.connection import Connection, Pause
from reconciler.api.retry import Retry
from reconciler.api.schema import Account, Dataset, Deployment, Job, Page, Tolerant, Version, id_in
from reconciler.errors import InDoubt, ServiceError, UploadCut

_Answer = TypeVar("_Answer", bound=Tolerant)
PATIENT = Retry()
_UPLOAD_SECONDS = 600.0  # the official client's, as the next one
_DOWNLOAD_SECONDS = 660.0
# The answers of a service that does not tell whose a token is, or not to everybody.
_UNTOLD = frozenset({403, 404, 405, 501})


class Client:
    """Use as an async context manager. Raises ServiceError for every answer that is not the one asked for, and Refused for a bad `ca_file`.

    `requests` bounds the control requests in flight. What is safe to repeat is repeated as `retry` has it, with a `pause` in between.
    """

    def __init__(
        self,
        access: Access,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        requests: int = 10,
        pause: Pause = asyncio.sleep,
        retry: Retry = PATIENT,
    ) -> None:
        self._connection = Connection(access, transport, requests, pause, retry)

    @classmethod
    def for_app(cls, app: Any) -> Self:
        """A client of an ASGI app in this process: no socket, the same requests; what fails here is not passing."""
        return cls(Access("http://embedded/api/v2"), httpx.ASGITransport(app=app, raise_app_exceptions=False), retry=Retry(tries=1))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    @property
    def endpoint(self) -> str:
        return self._connection.endpoint

    @property
    def read_s(self) -> float:
        """How long a service may take for an answer, in seconds."""
        return self._connection.read_s

    def server_now(self) -> datetime | None:
        """The time by the service's own clock, to a second or two; None while no answer had a date."""
        return self._connection.server_now()

    async def submit(self, body: dict[str, Any], key: str) -> Job:
        """`POST batchPredictions/`, once. Raises InDoubt when nobody knows whether it made a job; any other ServiceError: surely none was made."""
        answer = await self._connection.submit("batchPredictions/", json=body, headers={"Idempotency-Key": key})
        try:
            return self._connection.parsed(Job, answer)
        except ServiceError as error:
            if job_id := id_in(answer.headers.get("Location")):
                return Job(id=job_id, status="INITIALIZING")
            raise InDoubt(error.summary, error.detail) from None

    async def job(self, job_id: str) -> Job:
        return await self._read(Job, _job(job_id))

    async def jobs(self, **filters: str | Sequence[str]) -> AsyncIterator[Job]:
        """Every job that matches, newest first, page after page. A filter with several values (`status`) takes a job that has one of them.

        While pages are read the list may move: a job is given once; one that another's deletion moved to a page already read is missed.
        """
        answer = await self._connection.ask("GET", "batchPredictions/", params={"orderBy": "-created", **filters})
        given: set[str] = set()
        followed: set[str] = set()
        while True:
            page = self._connection.parsed(Page, answer)
            for job in page.data:
                if job.id not in given:
                    given.add(job.id)
                    yield job
            if page.next is None:
                return
            following = self._connection.path(page.next)
            if following in followed:
                raise ServiceError("The service's list of jobs does not end", "Its pages lead in a circle.")
            followed.add(following)
            answer = await self._connection.ask("GET", following)

    async def abort(self, job_id: str) -> None:
        """`DELETE batchPredictions/{id}/`; a job that is gone or has ended is as good as aborted."""
        try:
            await self._connection.ask("DELETE", _job(job_id))
        except ServiceError as error:
            if error.status not in (404, 409):
                raise

    async def deployment(self, deployment_id: str) -> Deployment:
        return await self._read(Deployment, f"deployments/{quote(deployment_id, safe='')}/")

    async def dataset(self, dataset_id: str) -> Dataset:
        return await self._read(Dataset, f"datasets/{quote(dataset_id, safe='')}/")

    async def version(self) -> Version:
        return await self._read(Version, "version/")

    async def creator(self) -> str | None:
        """The user id of whose token this is, as in a job's `created_by`; None where the service does not say."""
        try:
            return (await self._read(Account, "account/info/")).uid
        except ServiceError as error:
            if error.status not in _UNTOLD:
                raise
            return None

    async def upload(self, job: Job, path: Path, on_sent: Callable[[int], None], part_size: int = rows.PART) -> None:
        """The rows of a job, as the file has them; `on_sent` is told how many of its bytes went out so far.

        A job of `multipart` intake gets them in parts of some `part_size` bytes.

        Raises UploadCut when nobody knows how much arrived; ServiceError with the status when the service refused it (409: an upload has begun
        before; 422: unusable data), and without one when the file cannot be read, or changed meanwhile.
        """
        link = job.links.csv_upload
        place = self._connection.path(link) if link else _job(job.id, "csvUpload/")
        intake = job.job_spec.get("intakeSettings") or {}
        with rows.opened(path) as file:
            if not intake.get("multipart"):
                await self._send(place, _media_type(job), file, rows.Part(0, file.size), on_sent)
                return
            dialect = job.job_spec.get("csvSettings") or {}
            parts = file.parts(dialect.get("quotechar") or '"', _codec(_encoding(job)), part_size)
            number = 0
            while part := await asyncio.to_thread(next, parts, None):
                await self._send_part(f"{place}part/{number}/", _media_type(job), file, part, on_sent, intake.get("async") is False)
                number += 1
            await self._connection.upload(
                "POST", f"{place}finalizeMultipart/", lambda: {"headers": {"Idempotency-Key": f"{job.id}-parts"}}, _UPLOAD_SECONDS
            )

    async def download(self, job: Job) -> AsyncGenerator[bytes]:
        """The result of a job as it grows; use with `aclosing`. Raises ServiceError, without a status when the body was cut short.

        It ends in order when the job is aborted in its midst: ask the job whether this was the whole.
        """
        link = job.links.download
        path = self._connection.path(link) if link else _job(job.id, "download/")
        answer = await self._connection.open(path, _DOWNLOAD_SECONDS)
        try:
            if not has_end(answer):
                raise ServiceError("The download cannot be known to be whole", f"GET {path}: it says neither how long it is nor where it ends.")
            if is_html(answer):
                raise ServiceError("The download is a web page", f"GET {path}: {NO_API}")
            async with aclosing(content(answer)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except httpx.HTTPError as error:
            raise ServiceError("The download was cut short", f"GET {path}: {type(error).__name__}: {error}.") from error
        finally:
            await answer.aclose()

    async def _read(self, kind: type[_Answer], path: str) -> _Answer:
        return self._connection.parsed(kind, await self._connection.ask("GET", path))

    async def _send_part(
        self, place: str, media_type: str, file: rows.Rows, part: rows.Part, on_sent: Callable[[int], None], is_repeatable: bool
    ) -> None:
        """Again after a cut, where the service waits for all parts before it begins."""
        failures = 0
        while True:
            try:
                return await self._send(place, media_type, file, part, on_sent)
            except UploadCut:
                failures += 1
                if not is_repeatable or not await self._connection.pause(failures):
                    raise

    async def _send(self, place: str, media_type: str, file: rows.Rows, part: rows.Part, on_sent: Callable[[int], None]) -> None:
        sent = part.start

        def note(position: int) -> None:
            nonlocal sent
            sent = position
            on_sent(position)

        def request() -> dict[str, Any]:
            headers = {"Content-Type": media_type, "Content-Length": str(part.size)}
            return {"content": file.content(part, note), "headers": headers}

        await self._connection.upload("PUT", place, request, _UPLOAD_SECONDS)
        if sent != part.end:
            raise UploadCut("The upload was cut short", f"PUT {place} was accepted when {sent - part.start} of {part.size} bytes had been sent.")


def _job(job_id: str, rest: str = "") -> str:
    return f"batchPredictions/{quote(job_id, safe='')}/{rest}"


def _encoding(job: Job) -> str:
    return str((job.job_spec.get("csvSettings") or {}).get("encoding") or "utf-8")


def _codec(encoding: str) -> str:
    """Python's own name of it; the name itself when Python does not know it."""
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        return encoding


def _media_type(job: Job) -> str:
    return f"text/csv; encoding={_encoding(job)}"
