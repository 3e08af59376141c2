"""`deployments/`: which models can be scored with. The rule here: a deployment is a folder that the service was started with, or serves another's."""

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from reconciler.identity import user
from reconciler.service import parameters, replacement
from reconciler.service.admission import sentence
from reconciler.service.answer import Json
from reconciler.service.body import json_object
from reconciler.service.paging import page
from reconciler.service.refusal import Refusal
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.replacements import Replacement

_HEALTH = ("passing", "warning", "failing", "unavailable", "unknown")
# What every deployment here is, by the list's filters: each takes values separated by commas, and keeps what has one of them.
_FACTS: dict[str, tuple[tuple[str, ...] | None, str | None]] = {
    "role": (("OWNER", "USER"), "OWNER"),
    "serviceHealth": (_HEALTH, "unknown"),
    "modelHealth": (_HEALTH, "unknown"),
    "accuracyHealth": (_HEALTH, "unavailable"),
    "executionEnvironmentType": (("datarobot", "external"), "datarobot"),
    "importance": (("CRITICAL", "HIGH", "MODERATE", "LOW"), None),
    "tagKeys": (None, None),
    "tagValues": (None, None),
    "isA2AAgent": (("true", "false"), "false"),
}
# Nothing but labels tells deployments here apart: by anything else they are equal, and stay in the order of their labels.
_ORDERS = ("label", "serviceHealth", "modelHealth", "accuracyHealth", "recentPredictions", "lastPredictionTimestamp")


def _listed(choices: tuple[str, ...] | None) -> parameters.Parser[list[str]]:
    one = parameters.one_of(choices) if choices else parameters.text
    return parameters.Parser(lambda value: [one(part) for part in value.split(",")], {"type": "string"})


QUERY: parameters.Parsers = {
    "offset": parameters.whole(0),
    "limit": parameters.whole(1, 100),
    "search": parameters.text,
    "orderBy": parameters.one_of([*_ORDERS, *(f"-{order}" for order in _ORDERS)]),
    **{name: _listed(choices) for name, (choices, _) in _FACTS.items()},
}


def list_all(request: Request) -> Response:
    registry, given = _registry(request), parameters.read(request.query_params, QUERY)
    found = registry.labelled(given.get("search", [""])[-1]) if _is_wanted(given) else []
    if given.get("orderBy", [""])[-1] == "-label":
        found.reverse()
    offset, limit = given.get("offset", [0])[-1], given.get("limit", [20])[-1]
    shown = [registry.resource(deployment) for deployment in found[offset : offset + limit]]
    return Json(page(request, shown, len(found), offset, limit))


def show(request: Request) -> Response:
    return Json(_registry(request).resource(_present(request)))


def show_champion(request: Request) -> Response:
    """The model package that the deployment scores with now."""
    deployment = _present(request)
    package = _registry(request).champion(deployment)
    if package is None:
        raise Refusal(404, sentence(deployment.loss) if deployment.is_lost else f"deployment {deployment.id} has no model: its folder cannot be read")
    return Json(package)


def show_settings(request: Request) -> Response:
    """What no model here has; the official client asks for it after a replacement."""
    _present(request)
    return Json({"predictionIntervals": {"enabled": False, "percentiles": []}})


async def replace_model(request: Request) -> Response:
    """From its 202 on, what begins is scored with the new model, and its status is final."""
    _present(request)
    wanted = replacement.read(await json_object(request))
    made = await run_in_threadpool(_replaced, request, wanted)
    return Response(status_code=202, headers={"Location": f"{request.base_url}api/v2/status/{made.status_id}/"})


def _replaced(request: Request, wanted: replacement.ModelReplacement) -> Replacement:
    deployment = _present(request)
    owner = replacement.new_owner(wanted, deployment, _registry(request))
    made: Replacement = request.app.state.service.stores.replacements.add(deployment.id, owner.id, owner.folder, wanted.reason, user())
    return made


def _is_wanted(given: dict[str, list[Any]]) -> bool:
    """Every deployment here is alike by these filters: all of them are wanted, or none."""
    return all(fact in values for name, (_, fact) in _FACTS.items() for values in given.get(name, []))


def _present(request: Request) -> LocalDeployment:
    deployment_id = request.path_params["id"]
    deployment = _registry(request).get(deployment_id)
    if deployment is None:
        raise Refusal(404, f"there is no deployment {deployment_id}")
    return deployment


def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.service.registry
    return registry
