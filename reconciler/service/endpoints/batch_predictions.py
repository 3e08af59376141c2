"""`batchPredictions/`: submit, look, list, hide, abort. The rule here: HTTP in, one call of the service, HTTP out.

Plain functions run in Starlette's thread pool, so that a write to disk never holds up the event loop.
"""

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from reconciler.service.answer import Json
from reconciler.service.body import json_object
from reconciler.service.job import Job
from reconciler.service.listing import selection
from reconciler.service.paging import page
from reconciler.service.refusal import invalid
from reconciler.service.resource import job_resource
from reconciler.service.service import Service


async def create(request: Request) -> Response:
    body = await json_object(request)
    job = await run_in_threadpool(_service(request).submit, body, _ip(request), request.headers.get("Idempotency-Key") or None)
    return _accepted(request, job)


async def create_from_existing(request: Request) -> Response:
    job_id = _only_id(await json_object(request), "predictionJobId")
    return _accepted(request, await run_in_threadpool(_service(request).resubmit, job_id, _ip(request)))


async def create_from_definition(request: Request) -> Response:
    definition_id = _only_id(await json_object(request), "jobDefinitionId")
    return _accepted(request, await run_in_threadpool(_service(request).run_definition, definition_id, _ip(request)))


def list_all(request: Request) -> Response:
    service = _service(request)
    wanted = selection(request.query_params, service.clock())
    total, found = service.jobs(wanted)
    return Json(page(request, [_shown(request, job) for job in found], total, wanted.offset, wanted.limit))


def show(request: Request) -> Response:
    return Json(_shown(request, _service(request).job(request.path_params["id"])))


async def update(request: Request) -> Response:
    body = await json_object(request)
    problems = [((name,), "only `hidden` can be changed here") for name in body if name != "hidden"]
    if not isinstance(body.get("hidden", False), bool):
        problems.append((("hidden",), "true or false is needed"))
    if problems:
        raise invalid(problems)
    job = await run_in_threadpool(_updated, request, body)
    return Json(_shown(request, job))


def delete(request: Request) -> Response:
    _service(request).delete(request.path_params["id"])
    return Response(status_code=202)


def _only_id(body: dict[str, Any], name: str) -> str:
    """The one field of a body. Raises Refusal."""
    problems = [((key,), f"this field is unknown; known is: {name}") for key in body if key != name]
    if not isinstance(body.get(name), str):
        problems.append(((name,), "an id is needed"))
    if problems:
        raise invalid(problems)
    return str(body[name])


def _accepted(request: Request, job: Job) -> Response:
    return Json(_shown(request, job), 202, headers={"Location": _link(request, job)})


def _ip(request: Request) -> str:
    return request.client.host if request.client else "127.0.0.1"


def _updated(request: Request, body: dict[str, Any]) -> Job:
    service, job_id = _service(request), request.path_params["id"]
    return service.hide(job_id, body["hidden"]) if "hidden" in body else service.job(job_id)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _shown(request: Request, job: Job) -> dict[str, Any]:
    return job_resource(job, _link(request, job))


def _link(request: Request, job: Job) -> str:
    return f"{request.base_url}api/v2/batchPredictions/{job.id}/"
