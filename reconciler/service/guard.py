"""The gate of a served API. The rule here: no request without the token goes further, and a wrong one tells nothing, not even by its time."""

import asyncio
import hmac

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.service.answer import Beginning, Json
from reconciler.service.refusal import Refusal

# A request's line and headers; the official client's are under 2 KB.
HEAD_BYTES = 32 * 1024
_RETRY_AFTER = "1"
_LAST = {"Connection": "close"}
# The official client says `Token`, scripts and other clients `Bearer`; its uploads say `Token` whatever it was told.
_SCHEMES = ("Token ", "Bearer ")


class Guard:
    """ASGI middleware that asks every HTTP request for the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_known(scope):
            await _unauthorized()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        text = given[0].decode("latin-1") if len(given) == 1 else ""
        scheme = next((scheme for scheme in _SCHEMES if text.lower().startswith(scheme.lower())), None)
        # Compared as bytes and in constant time, also when there is nothing to compare.
        offered = text[len(scheme) :].strip().encode("latin-1") if scheme else b""
        return hmac.compare_digest(offered, self._token) and scheme is not None


def _unauthorized() -> Json:
    message = "The token is missing or wrong. Send the header: Authorization: Bearer <token>."
    return Json({"message": message}, 401, headers={"WWW-Authenticate": "Bearer"})


class Gate:
    """ASGI middleware that answers what is too much: requests beyond `most` at once, and heads that came in one piece but are too long."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._inside >= self._most:
            headers = {"Retry-After": _RETRY_AFTER} | _LAST
            await Json({"message": f"{self._most} requests are being answered; try again"}, 503, headers=headers)(scope, receive, send)
        elif _head_size(scope) > HEAD_BYTES:
            await Json({"message": f"the request's line and headers are larger than {HEAD_BYTES} bytes"}, 431, headers=_LAST)(scope, receive, send)
        else:
            self._inside += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._inside -= 1


class Farewell:
    """ASGI middleware for the requests that an ending server waits for no longer: they are told so, or cut off where they are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        beginning = Beginning(send)
        try:
            await self._app(scope, receive, beginning)
        except asyncio.CancelledError:
            if not beginning.is_past:
                await Json({"message": "the service is ending"}, 503, headers={"Retry-After": _RETRY_AFTER} | _LAST)(scope, receive, send)


class Patience:
    """ASGI middleware that gives up a body of which nothing comes for `seconds`, whichever endpoint reads it. It refuses with 408."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_whole = False
        beginning = Beginning(send)

        async def patient() -> Message:
            nonlocal is_whole
            if is_whole:  # what may still come is the caller's leaving, and that has time
                return await receive()
            try:
                with anyio.fail_after(self._seconds):
                    message = await receive()
            except TimeoutError:
                if beginning.is_past:
                    return {"type": "http.disconnect"}
                raise Refusal(408, f"the body was cut off: nothing came for {self._seconds:g} seconds") from None
            is_whole = not message.get("more_body", False)
            return message

        await self._app(scope, patient, beginning)


def _head_size(scope: Scope) -> int:
    head: int = len(scope["method"]) + len(scope["raw_path"]) + len(scope["query_string"])
    return head + sum(len(name) + len(value) for name, value in scope["headers"])
