"""The gate of a served API. The rule here: no request without the token goes further, and a wrong one tells nothing, not even by its time."""

import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.service.answer import Json

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
