"""`deployments/`: which models can be scored with. The rule here: read-only; a deployment is a folder that the service was started with."""

from starlette.requests import Request
from starlette.responses import Response

from reconciler.service import parameters
from reconciler.service.answer import Json
from reconciler.service.paging import page
from reconciler.service.refusal import Refusal
from reconciler.service.registry import Registry

_PARSERS = {
    "offset": parameters.whole(0),
    "limit": parameters.whole(1, 100),
    "search": parameters.text,
    "orderBy": parameters.one_of(("label", "-label")),
}


def list_all(request: Request) -> Response:
    registry, given = _registry(request), parameters.read(request.query_params, _PARSERS)
    found = registry.labelled(given.get("search", [""])[-1])
    if given.get("orderBy") == ["-label"]:
        found.reverse()
    offset, limit = given.get("offset", [0])[-1], given.get("limit", [20])[-1]
    shown = [registry.resource(deployment) for deployment in found[offset : offset + limit]]
    return Json(page(request, shown, len(found), offset, limit))


def show(request: Request) -> Response:
    registry, deployment_id = _registry(request), request.path_params["id"]
    deployment = registry.get(deployment_id)
    if deployment is None:
        raise Refusal(404, f"there is no deployment {deployment_id}")
    return Json(registry.resource(deployment))


def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.service.registry
    return registry
