"""`version/`: the first thing the official client asks. The rule here: the version of the API we implement, not ours."""

from starlette.requests import Request
from starlette.responses import Response

from reconciler.service.answer import Json


def show(request: Request) -> Response:
    return Json({"major": 2, "minor": 49, "versionString": "2.49.0", "releasedVersion": "11.0.0"})
