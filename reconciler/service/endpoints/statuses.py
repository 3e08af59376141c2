"""`status/`: how far something is that takes its time. The rule here: one address for every kind, and each kind knows its own."""

from starlette.requests import Request
from starlette.responses import Response

from reconciler.service.answer import Json
from reconciler.service.endpoints import datasets
from reconciler.service.replacements import Replacement


def show(request: Request) -> Response:
    """A replacement is done when it is accepted: 303 to its deployment."""
    found: Replacement | None = request.app.state.service.stores.replacements.with_status(request.path_params["id"])
    if found is None:
        return datasets.show_status(request)
    status = {
        "statusId": found.status_id,
        "status": "COMPLETED",
        "statusType": "ModelReplacement",
        "message": "",
        "description": f"Model of deployment {found.deployment_id}, replaced by {found.created_by}: {found.reason}",
        "code": 0,
        "created": found.created,
    }
    return Json(status, 303, headers={"Location": f"{request.base_url}api/v2/deployments/{found.deployment_id}/"})
