"""`externalDataStores/` and `externalDataDrivers/`. The rule here: what was stored is shown without its secrets.

What is in a database the database says.
"""

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from reconciler.credential import FITTING
from reconciler.fingerprint import short_id
from reconciler.identity import user
from reconciler.service import parameters
from reconciler.service.access import reached
from reconciler.service.answer import Json
from reconciler.service.body import json_object
from reconciler.service.connections import Connections
from reconciler.service.endpoints import credentials
from reconciler.service.paging import page
from reconciler.service.service import Service
from reconciler.service.systems import database

_TYPES = ("jdbc", "dr-connector-v1", "dr-database-v1")
_PAGING: parameters.Parsers = {"offset": parameters.whole(0), "limit": parameters.whole(1, 1000)}
STORE_QUERY: parameters.Parsers = {
    **_PAGING,
    "type": parameters.one_of(("all", "databases", *_TYPES)),
    "name": parameters.text,
    "substituteUrlParameters": parameters.one_of(("true", "false", "True", "False")),  # no URL here has parameters to substitute
    "dataType": parameters.one_of(("all", "structured", "unstructured")),
}
DRIVER_QUERY: parameters.Parsers = {**_PAGING, "type": parameters.one_of(("all", *_TYPES))}
ONE_STORE_QUERY: parameters.Parsers = {"substituteUrlParameters": STORE_QUERY["substituteUrlParameters"]}
CREDENTIALS_QUERY: parameters.Parsers = _PAGING
_EVERY_TYPE = ("all", "databases")


def list_stores(request: Request) -> Response:
    return _list(request, _stores(request), STORE_QUERY, _store)


async def create_store(request: Request) -> Response:
    body = await json_object(request)
    return Json(_store((await run_in_threadpool(_stores(request).create, body, _creator())).shown), 201)


def show_store(request: Request) -> Response:
    parameters.read(request.query_params, ONE_STORE_QUERY)
    return Json(_store(_stores(request).get(request.path_params["id"]).shown))


async def update_store(request: Request) -> Response:
    body = await json_object(request)
    return Json(_store((await run_in_threadpool(_stores(request).update, request.path_params["id"], body)).shown))


def delete_store(request: Request) -> Response:
    _stores(request).delete(request.path_params["id"])
    return Response(status_code=204)


async def try_store(request: Request) -> Response:
    return Json(await _reached(request, "ping"))


async def list_schemas(request: Request) -> Response:
    return Json(await _reached(request, "schemas"))


async def list_tables(request: Request) -> Response:
    return Json(await _reached(request, "tables"))


def list_store_credentials(request: Request) -> Response:
    """Those of the types that its database can be opened with."""
    given = parameters.read(request.query_params, CREDENTIALS_QUERY)
    store = _stores(request).get(request.path_params["id"])
    return credentials.paged(request, given, list(FITTING[database(store.body["params"]) or "jdbc"]))


def list_drivers(request: Request) -> Response:
    return _list(request, _drivers(request), DRIVER_QUERY, dict)


async def create_driver(request: Request) -> Response:
    body = await json_object(request)
    return Json((await run_in_threadpool(_drivers(request).create, body, _creator())).shown, 201)


def show_driver(request: Request) -> Response:
    return Json(_drivers(request).get(request.path_params["id"]).shown)


async def update_driver(request: Request) -> Response:
    body = await json_object(request)
    return Json((await run_in_threadpool(_drivers(request).update, request.path_params["id"], body)).shown)


def delete_driver(request: Request) -> Response:
    _drivers(request).delete(request.path_params["id"])
    return Response(status_code=204)


async def _reached(request: Request, question: str) -> dict[str, Any]:
    store = _stores(request).get(request.path_params["id"])
    service: Service = request.app.state.service
    return await run_in_threadpool(reached, store.id, await json_object(request), service.keyring, question)


def _list(request: Request, connections: Connections, parsers: Any, shown: Any) -> Response:
    given = parameters.read(request.query_params, parsers)
    offset, limit, kind = given.get("offset", [0])[-1], given.get("limit", [100])[-1], given.get("type", ["all"])[-1]
    total, found = connections.page(offset, limit, None if kind in _EVERY_TYPE else kind, given.get("name", [""])[-1])
    return Json(page(request, [shown(one.shown) for one in found], total, offset, limit))


def _store(body: dict[str, Any]) -> dict[str, Any]:
    return body | {"role": "OWNER"}


def _creator() -> str:
    return short_id(f"user:{user()}")


def _stores(request: Request) -> Connections:
    stores: Connections = request.app.state.service.stores.data_stores
    return stores


def _drivers(request: Request) -> Connections:
    drivers: Connections = request.app.state.service.stores.data_drivers
    return drivers
