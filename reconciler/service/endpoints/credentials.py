"""`credentials/`: what intakes and outputs are opened with. The rule here: no answer holds a secret."""

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from reconciler.credential import TYPES
from reconciler.service import parameters
from reconciler.service.answer import Json
from reconciler.service.body import json_object
from reconciler.service.credentials import Credential, Credentials
from reconciler.service.paging import page

QUERY: parameters.Parsers = {"offset": parameters.whole(0), "limit": parameters.whole(1, 1000), "types": parameters.one_of(TYPES)}


def list_all(request: Request) -> Response:
    given = parameters.read(request.query_params, QUERY)
    return paged(request, given, given.get("types", []))


def paged(request: Request, given: dict[str, list[Any]], types: list[str]) -> Response:
    """Those of some types, or of all."""
    offset, limit = given.get("offset", [0])[-1], given.get("limit", [100])[-1]
    total, found = _credentials(request).page(offset, limit, types)
    return Json(page(request, [_shown(credential) for credential in found], total, offset, limit))


async def create(request: Request) -> Response:
    body = await json_object(request)
    return Json(_shown(await run_in_threadpool(_credentials(request).create, body)), 201)


def show(request: Request) -> Response:
    return Json(_shown(_credentials(request).get(request.path_params["id"])))


async def update(request: Request) -> Response:
    body = await json_object(request)
    return Json(_shown(await run_in_threadpool(_credentials(request).update, request.path_params["id"], body)))


def delete(request: Request) -> Response:
    _credentials(request).delete(request.path_params["id"])
    return Response(status_code=204)


def _credentials(request: Request) -> Credentials:
    credentials: Credentials = request.app.state.service.stores.credentials
    return credentials


def _shown(credential: Credential) -> dict[str, Any]:
    return {
        "credentialId": credential.id,
        "name": credential.name,
        "credentialType": credential.type,
        "description": credential.description,
        "creationDate": credential.created,
    }
