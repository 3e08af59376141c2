"""`datasets/`: the AI Catalog. The rule here: a file is kept before its 202 goes out, so its status is final from the first look."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from reconciler.api.schema import validation_problems
from reconciler.identity import user
from reconciler.options import Strict
from reconciler.service import parameters
from reconciler.service.answer import Json
from reconciler.service.body import json_object
from reconciler.service.dataset_file import Arrival
from reconciler.service.datasets import CATEGORIES, ORDERS, Datasets, Version, checked_categories
from reconciler.service.form import Form, receive
from reconciler.service.paging import page
from reconciler.service.refusal import Refusal, invalid
from reconciler.service.upload import unstorable

_TRUTH = ("true", "false", "True", "False")
PAGING: parameters.Parsers = {"offset": parameters.whole(0), "limit": parameters.whole(1, 1000), "orderBy": parameters.one_of(ORDERS)}
QUERY: parameters.Parsers = {**PAGING, "category": parameters.one_of(CATEGORIES), "filterFailed": parameters.one_of(_TRUTH)}


class Change(Strict):
    """`PATCH datasets/{id}/`."""

    name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    categories: list[str] | None = None


async def create(request: Request) -> Response:
    return await _received(request, None)


async def create_version(request: Request) -> Response:
    dataset_id = request.path_params["id"]
    await run_in_threadpool(_datasets(request).latest, dataset_id)
    return await _received(request, dataset_id)


def list_all(request: Request) -> Response:
    given = parameters.read(request.query_params, QUERY)
    offset, limit, order = _paging(given)
    without_failed = given.get("filterFailed", ["false"])[-1].lower() == "true"
    total, found = _datasets(request).page(offset, limit, order, given.get("category", []), without_failed)
    return Json(page(request, [_shown(version) for version in found], total, offset, limit))


def list_versions(request: Request) -> Response:
    given = parameters.read(request.query_params, PAGING)
    offset, limit, order = _paging(given)
    total, found = _datasets(request).versions(request.path_params["id"], offset, limit, order)
    return Json(page(request, [_shown(version) for version in found], total, offset, limit))


def show(request: Request) -> Response:
    return Json(_details(_datasets(request).latest(request.path_params["id"])))


def show_version(request: Request) -> Response:
    return Json(_details(_version(request)))


def download(request: Request) -> Response:
    return _file(_datasets(request), _datasets(request).latest(request.path_params["id"]))


def download_version(request: Request) -> Response:
    return _file(_datasets(request), _version(request))


async def update(request: Request) -> Response:
    body = await json_object(request)
    try:
        change = Change.model_validate(body)
    except ValidationError as error:
        raise invalid(validation_problems(error)) from None
    categories = None if change.categories is None else checked_categories(change.categories)
    modified = await run_in_threadpool(_datasets(request).modify, request.path_params["id"], change.name, categories)
    return Json(_details(modified))


def delete(request: Request) -> Response:
    _datasets(request).set_deleted(request.path_params["id"], True)
    return Response(status_code=204)


def undelete(request: Request) -> Response:
    _datasets(request).set_deleted(request.path_params["id"], False)
    return Response(status_code=204)


def show_status(request: Request) -> Response:
    """303 to the dataset when it is there to be used; 200 with the reason when it never will be."""
    version = _datasets(request).with_status(request.path_params["id"])
    status = {
        "statusId": version.status_id,
        "status": "ERROR" if version.error else "COMPLETED",
        "statusType": "Dataset",
        "message": version.error,
        "description": f"Dataset from the file {version.file_name}",
        "code": 1 if version.error else 0,
        "created": version.created,
    }
    return Json(status) if version.error else Json(status, 303, headers={"Location": _location(request, version)})


async def _received(request: Request, dataset_id: str | None) -> Response:
    """Of a new dataset when there is no id."""
    datasets = _datasets(request)
    version_id, arrival = await run_in_threadpool(datasets.arrival)
    with _discarded_unless_whole(arrival):
        form = await receive(request, arrival.write)
    version = await run_in_threadpool(_kept, datasets, version_id, arrival, form, dataset_id)
    body = {"catalogId": version.dataset_id, "catalogVersionId": version.id, "statusId": version.status_id}
    return Json(body, 202, headers={"Location": f"{request.base_url}api/v2/status/{version.status_id}/"})


def _kept(datasets: Datasets, version_id: str, arrival: Arrival, form: Form, dataset_id: str | None) -> Version:
    """In one thread to its end, so that a request that is cancelled never takes back the file of a version that is stored."""
    with _discarded_unless_whole(arrival):
        if unknown := [name for name, _ in form.fields if name != "categories"]:
            raise Refusal(422, f"the form's field {unknown[0]!r} is unknown", {unknown[0]: "known are: file, categories"})
        categories, name = [value for _, value in form.fields], form.file_name or ""
        if dataset_id is None:
            return datasets.add(version_id, arrival, name, categories, user())
        return datasets.add_version(version_id, dataset_id, arrival, name, categories, user())


@contextmanager
def _discarded_unless_whole(arrival: Arrival) -> Iterator[None]:
    """Raises Refusal 507 for what the disk refuses."""
    try:
        yield
    except OSError as error:
        arrival.discard()
        raise unstorable(error) from None
    except BaseException:
        arrival.discard()
        raise


def _file(datasets: Datasets, version: Version) -> Response:
    return FileResponse(datasets.path(version), media_type="text/csv", filename=f"{version.id}.csv")


def _paging(given: dict[str, list[Any]]) -> tuple[int, int, str]:
    return given.get("offset", [0])[-1], given.get("limit", [100])[-1], given.get("orderBy", ["-created"])[-1]


def _version(request: Request) -> Version:
    return _datasets(request).version(request.path_params["id"], request.path_params["version_id"])


def _location(request: Request, version: Version) -> str:
    place = f"{request.base_url}api/v2/datasets/{version.dataset_id}/"
    return place if version.is_latest else f"{place}versions/{version.id}/"


def _datasets(request: Request) -> Datasets:
    datasets: Datasets = request.app.state.service.stores.datasets
    return datasets


def _shown(version: Version) -> dict[str, Any]:
    return {
        "datasetId": version.dataset_id,
        "versionId": version.id,
        "name": version.name,
        "categories": list(version.categories),
        "creationDate": version.created,
        "createdBy": version.created_by,
        "dataPersisted": True,
        "isDataEngineEligible": False,
        "isLatestVersion": version.is_latest,
        "isSnapshot": True,
        "datasetSize": version.size,
        "rowCount": version.row_count,
        "sampleSize": None,
        "processingState": "ERROR" if version.error else "COMPLETED",
    }


def _details(version: Version) -> dict[str, Any]:
    return _shown(version) | {
        "dataSourceType": "",
        "description": "",
        "error": version.error,
        "lastModificationDate": version.created,
        "lastModifierFullName": version.created_by,
        "tags": [],
        "uri": version.file_name or version.name,
    }
