"""What goes back over the wire. The rule here: always JSON, always ASCII, always the bare type `application/json`, and never a traceback.

The official client decodes a body with a charset in its type as ASCII, and dies when an error has no content type.
"""

import json
import logging
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.service.refusal import Refusal

_LOG = logging.getLogger(__name__)


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return Json(error.body, error.status)


def unroutable(request: Request, error: Exception) -> Response:
    """404 for an unknown path, 405 for a method that a path does not have."""
    assert isinstance(error, HTTPException)
    headers = {"Allow": ", ".join(_allowed(request))} if error.status_code == 405 else None
    return Json({"message": f"{error.detail}: {request.method} {request.url.path}"}, error.status_code, headers=headers)


def _allowed(request: Request) -> list[str]:
    """Starlette names the methods of one route only, and a path here has a route for each method."""
    routes = [route for route in request.app.routes if route.path_regex.match(request.scope["path"])]
    return sorted({method for route in routes for method in route.methods})


class Beginning:
    """Passes an answer on, and knows whether it has begun: from then on it is too late for another one."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_past = False

    async def __call__(self, message: Message) -> None:
        self.is_past = True
        await self._send(message)


class UnexpectedErrors:
    """Answers 500 to what nobody expected. Not a handler of Starlette's, for that one raises again after its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        beginning = Beginning(send)
        try:
            await self._app(scope, receive, beginning)
        except Exception:
            if beginning.is_past:
                raise  # the server cuts the connection
            _LOG.exception("%s %s", scope.get("method"), scope.get("path"))
            await Json({"message": "internal error; the service's log says more"}, 500)(scope, receive, send)
