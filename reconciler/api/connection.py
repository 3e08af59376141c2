"""Requests to one endpoint. The rule here: the token goes to the endpoint's own origin alone, and into no text.

What is safe to repeat is asked until it is answered or the patience ends. What is not is sent once: only connecting is tried again, since
nothing was sent then.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx

from reconciler.api.access import Access
from reconciler.api.answer import NO_API, is_clear_refusal, is_html, parsed, refusal_detail
from reconciler.api.retry import RETRIED, Retry, http_date, retry_after
from reconciler.api.schema import Tolerant
from reconciler.errors import InDoubt, Refused, ServiceError, UploadCut
from reconciler.version import VERSION

_Answer = TypeVar("_Answer", bound=Tolerant)
Pause = Callable[[float], Awaitable[None]]

_UNCONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
_UNSENT = (*_UNCONNECTED, httpx.UnsupportedProtocol, httpx.InvalidURL)
# A server forgets idle connections too, often after five seconds: one that we forget first is never closed under a POST.
_IDLE_SECONDS = 3.0
_ROOT = "/api/v2/"


class Connection:
    """`requests` bounds the control requests in flight; streams are not counted. Raises Refused for an endpoint or a `verify` that is none."""

    def __init__(self, access: Access, transport: httpx.AsyncBaseTransport | None, requests: int, pause: Pause, retry: Retry) -> None:
        self._token = access.token
        self.endpoint = access.endpoint.rstrip("/")
        self.read_s = access.read_s
        self._is_api = False  # as its answers have shown
        self._timeout = httpx.Timeout(access.read_s, connect=access.connect_s, pool=None)
        try:
            root = httpx.URL(access.endpoint.rstrip("/") + "/")
        except httpx.InvalidURL as error:
            raise Refused("The endpoint is not an address", f"{error}") from None
        self._http = httpx.AsyncClient(
            base_url=root,
            transport=transport,
            timeout=self._timeout,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=requests, keepalive_expiry=_IDLE_SECONDS),
            verify=_verification(access.verify),
            headers={"User-Agent": f"reconciler/{VERSION}"} | ({"Authorization": f"{access.scheme} {access.token}"} if access.token else {}),
        )
        self._slots = asyncio.Semaphore(requests)
        self._pause = pause
        self._retry = retry
        self._told: tuple[datetime, float] | None = None

    async def close(self) -> None:
        await self._http.aclose()

    def path(self, link: str) -> str:
        """A link of an answer, as a path below the endpoint: behind a proxy, a server may not know how it is called. Raises ServiceError."""
        try:
            url = httpx.URL(link)
        except httpx.InvalidURL:
            raise ServiceError("A link of the service is no address", f"It is {self._masked(link[:200])!r}.") from None
        path, root = url.raw_path.decode("ascii"), self._http.base_url.path
        if url.is_relative_url and not link.startswith("/"):
            return link
        for beginning in (root, _ROOT):
            _, found, rest = path.partition(beginning)
            if found:
                return rest
        raise ServiceError("A link of the service leads out of the API", f"{self._masked(path[:200])} is not below {root}.")

    async def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Only for what is safe to repeat. Raises ServiceError for every answer that is no success."""

        async def send() -> httpx.Response:
            async with self._slots:
                return await self._http.request(method, path, **request)

        return await self._persistently(f"{method} {path}", send)

    async def open(self, path: str, read_s: float) -> httpx.Response:
        """A GET whose body is still to come; the caller closes it. Raises ServiceError."""

        async def send() -> httpx.Response:
            wanted = self._http.build_request("GET", path, headers={"Accept-Encoding": "gzip"}, timeout=self._patient(read_s))
            answer = await self._http.send(wanted, stream=True)
            if not answer.is_success:
                await answer.aread()
            return answer

        return await self._persistently(f"GET {path}", send)

    def parsed(self, kind: type[_Answer], answer: httpx.Response) -> _Answer:
        """Raises ServiceError."""
        try:
            return parsed(kind, answer)
        except ServiceError as error:
            raise ServiceError(error.summary, self._masked(error.detail)) from None

    async def submit(self, path: str, **request: Any) -> httpx.Response:
        """One POST. Raises InDoubt, or ServiceError when surely nothing was done."""
        return await self._once("POST", path, InDoubt, lambda: request, self._slots)

    async def upload(self, method: str, path: str, request: Callable[[], dict[str, Any]], read_s: float) -> httpx.Response:
        """Once. Raises UploadCut, or ServiceError when the service refused it. `request` makes what to send, anew for each connection."""
        return await self._once(method, path, UploadCut, lambda: {"timeout": self._patient(read_s), **request()}, nullcontext())

    async def pause(self, failures: int) -> bool:
        """Waits before something is sent again; False when it has failed often enough."""
        wait = self._retry.wait(failures, 0.0)
        if wait is not None:
            await self._pause(wait)
        return wait is not None

    async def _once(
        self,
        method: str,
        path: str,
        doubt: type[InDoubt] | type[UploadCut],
        request: Callable[[], dict[str, Any]],
        slot: AbstractAsyncContextManager[None],
    ) -> httpx.Response:
        what = f"{method} {path}"

        async def send() -> httpx.Response:
            try:
                async with slot:
                    return await self._http.request(method, path, **request())
            except _UNSENT:
                raise
            except httpx.HTTPError as error:
                raise doubt(f"No answer to {what}", self._masked(_said(error))) from error

        answer = await self._persistently(what, send, is_sent_once=True)
        if answer.is_success and is_html(answer):
            raise doubt(f"The answer to {what} is a web page", NO_API)
        if answer.is_success:
            return answer
        error = self._refusal(what, answer)
        if is_clear_refusal(answer.status_code):
            raise error
        in_doubt = doubt(error.summary, error.detail, error.status)
        if isinstance(in_doubt, InDoubt):
            in_doubt.retry_after = retry_after(answer.headers)
        raise in_doubt

    async def _persistently(self, what: str, send: Callable[[], Awaitable[httpx.Response]], is_sent_once: bool = False) -> httpx.Response:
        failures, spent = 0, 0.0
        while True:
            began, asked, cause = time.monotonic(), None, None
            try:
                answer = await send()
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                cause, failure, is_passing = error, self._silence(what, error), _is_passing(error)
            else:
                self._look_at_clock(answer)
                # A web page from what was an API before is a proxy's, and passes like a 502.
                is_page = answer.is_success and is_html(answer) and self._is_api
                self._is_api = self._is_api or (answer.is_success and not is_html(answer))
                if is_sent_once or (answer.is_success and not is_page):
                    return answer
                failure = ServiceError(f"The answer to {what} is a web page", NO_API) if is_page else self._refusal(what, answer)
                is_passing, asked = is_page or answer.status_code in RETRIED, retry_after(answer.headers)
                await answer.aclose()
            failures, spent = failures + 1, spent + time.monotonic() - began
            wait = self._retry.wait(failures, spent, asked) if is_passing else None
            if wait is None:
                if failures > 1:
                    failure.detail += f" Asked {failures} times in {spent:.0f} seconds."
                raise failure from cause
            await self._pause(wait)
            spent += wait

    def _patient(self, read_s: float) -> httpx.Timeout:
        return httpx.Timeout(read_s, connect=self._timeout.connect, pool=None)

    def _look_at_clock(self, answer: httpx.Response) -> None:
        if there := http_date(answer.headers.get("Date", "")):
            self._told = there, time.monotonic()

    def server_now(self) -> datetime | None:
        """By the steady clock since its last answer: ours may be set back meanwhile."""
        if self._told is None:
            return None
        there, at = self._told
        return there + timedelta(seconds=time.monotonic() - at)

    def _silence(self, what: str, error: httpx.HTTPError | httpx.InvalidURL) -> ServiceError:
        if _is_untrusted(error):
            advice = "If the authority that signed the certificate is your own, name its file with ca_file."
            return ServiceError("The server's certificate is not trusted", self._masked(f"{what}: {error} {advice}"))
        return ServiceError(f"No answer to {what}", self._masked(f"{self._http.base_url}: {_said(error)}"))

    def _refusal(self, what: str, answer: httpx.Response) -> ServiceError:
        return ServiceError(f"The service refused {what} with status {answer.status_code}", self._masked(refusal_detail(answer)), answer.status_code)

    def _masked(self, text: str) -> str:
        """A server may repeat what it was sent."""
        return text.replace(self._token, "[token]") if self._token else text


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}." if str(error) else f"{type(error).__name__}."


def _is_passing(error: Exception) -> bool:
    if isinstance(error, httpx.UnsupportedProtocol) or _is_untrusted(error) or _is_nobodys_name(error):
        return False
    return isinstance(error, httpx.TransportError)


def _is_untrusted(error: BaseException) -> bool:
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))


def _is_nobodys_name(error: BaseException) -> bool:
    """The host's name is known not to be; one that could not be looked up may be there in a moment."""
    return any(isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _verification(verify: bool | str) -> bool | ssl.SSLContext:
    """Raises Refused."""
    if isinstance(verify, bool):
        return verify
    try:
        if Path(verify).is_dir():
            return ssl.create_default_context(capath=verify)
        return ssl.create_default_context(cafile=verify)
    except ssl.SSLError:
        said = "it holds no certificate in PEM form"
    except OSError as error:
        said = error.strerror or str(error)
    raise Refused("The file of certificate authorities cannot be used", f"ca_file {verify}: {said}.")
