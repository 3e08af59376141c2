"""What is served, as an OpenAPI 3.1 description. The rule here: made from the operations and their schemas, and written down nowhere else."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from reconciler.service.operations import CSV, OPERATIONS, Operation
from reconciler.service.schemas import SCHEMAS, ref
from reconciler.version import VERSION

STATUSES = {
    200: "As asked.",
    201: "Made.",
    202: "Accepted.",
    204: "Done; there is nothing to say.",
    303: "Finished; `Location` says where.",
    400: "The body is not JSON, or was cut off.",
    401: "The token is missing or wrong.",
    404: "There is no such thing.",
    406: "The media type is not text/csv.",
    408: "The request came too slowly.",
    409: "Not as things are: it has ended, it is in use, or the name is taken.",
    410: "It was deleted.",
    413: "The body is too large.",
    422: "Something is wrong; `errors` says in which field.",
    431: "The request's head is too large.",
    503: "The service is not running, or has too much to do; `Retry-After` says when to ask again.",
    507: "The disk is full, or cannot be written.",
}
_EVERYWHERE = (401, 408, 431, 503)
_PARAMETER = re.compile(r"{(\w+)}")
_INFO = {
    "title": "Batch Prediction API, embedded service",
    "version": VERSION,
    "description": "DataRobot's Batch Prediction API, as far as the embedded service of `reconciler` serves it.",
}
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "token": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`Token <token>`"},
}


@cache
def text() -> str:
    return yaml.dump(document(), Dumper=_Plain, sort_keys=False, allow_unicode=False, width=120)


def document() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(f"/{path}", {})[method.lower()] = _described(method, path, operation)
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": "/api/v2"}],
        "security": [{name: []} for name in _SECURITY],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": _SECURITY},
    }


def _described(method: str, path: str, operation: Operation) -> dict[str, Any]:
    described = {
        "summary": operation.summary,
        "operationId": re.sub(r"\W+", "_", f"{method.lower()}_{path}" + ("" if path.endswith("/") else "without_slash")).rstrip("_"),
        "parameters": list(_parameters(path, operation)),
        "responses": _responses(operation),
    }
    if operation.body is not None:
        described["requestBody"] = {"required": operation.media != CSV, "content": {operation.media: {"schema": operation.body}}}
    return described


def _parameters(path: str, operation: Operation) -> Iterator[dict[str, Any]]:
    for name in _PARAMETER.findall(path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "integer" if name == "number" else "string"}}
    for name, parser in operation.query.items():
        yield {"name": name, "in": "query", "schema": dict(parser.schema)}


def _responses(operation: Operation) -> dict[str, Any]:
    answers = {
        str(answer.status): {"description": STATUSES[answer.status]}
        | ({"content": {answer.media: {"schema": answer.schema}}} if answer.schema else {})
        for answer in operation.answers
    }
    refusals = {str(status): {"description": STATUSES[status], "content": _ERROR} for status in sorted({*operation.refusals, *_EVERYWHERE})}
    return answers | refusals


_ERROR = {"application/json": {"schema": ref("Error")}}


class _Plain(yaml.SafeDumper):
    """Writes out what occurs twice, instead of pointing to it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
