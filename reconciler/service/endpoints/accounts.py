"""`account/info/`: whom a token belongs to. The rule here: the same user as in `createdBy`, so that a caller knows its own jobs."""

from starlette.requests import Request
from starlette.responses import Response

from reconciler.identity import user
from reconciler.service.answer import Json
from reconciler.service.identity import shown_user


def show(request: Request) -> Response:
    """There are no names, addresses and organisations here."""
    return Json({"uid": shown_user(user())["userId"], "email": None, "firstName": None, "lastName": None, "orgId": None, "tenantId": None})
