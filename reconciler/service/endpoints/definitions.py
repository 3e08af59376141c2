"""`batchPredictionJobDefinitions/`: jobs to run by hand or by the clock. The rule here: what is stored was checked as a job would be."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from reconciler.identity import user
from reconciler.service import parameters
from reconciler.service.answer import Json
from reconciler.service.body import json_object
from reconciler.service.definition import portable, resource
from reconciler.service.definitions import Definitions
from reconciler.service.paging import page
from reconciler.service.service import Service

QUERY: parameters.Parsers = {
    "offset": parameters.whole(0),
    "limit": parameters.whole(1, 1000),
    "searchName": parameters.text,
    "deploymentId": parameters.text,
}


def list_all(request: Request) -> Response:
    given = parameters.read(request.query_params, QUERY)
    offset, limit = given.get("offset", [0])[-1], given.get("limit", [100])[-1]
    total, found = _definitions(request).page(offset, limit, given.get("searchName", [""])[-1], given.get("deploymentId", [None])[-1])
    return Json(page(request, [resource(definition) for definition in found], total, offset, limit))


async def create(request: Request) -> Response:
    body = await json_object(request)
    made = await run_in_threadpool(_definitions(request).create, body, _service(request).accepted, user())
    return Json(resource(made), 202)


def show(request: Request) -> Response:
    return Json(resource(_definitions(request).get(request.path_params["id"])))


async def update(request: Request) -> Response:
    body = await json_object(request)
    changed = await run_in_threadpool(_definitions(request).update, request.path_params["id"], body, _service(request).accepted, user())
    return Json(resource(changed))


def delete(request: Request) -> Response:
    _definitions(request).delete(request.path_params["id"])
    return Response(status_code=204)


def show_portable(request: Request) -> Response:
    return Json(portable(_definitions(request).get(request.path_params["id"])))


def _definitions(request: Request) -> Definitions:
    return _service(request).stores.definitions


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
