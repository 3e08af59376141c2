"""The API's address book. The rule here: one row for each route, one module in `endpoints` for each resource."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from reconciler.service.answer import UnexpectedErrors, refused, unroutable
from reconciler.service.endpoints import batch_predictions, deployments, versions
from reconciler.service.refusal import Refusal
from reconciler.service.service import Service

ROUTES = (
    ("GET", "version/", versions.show),
    ("POST", "batchPredictions/", batch_predictions.create),
    ("GET", "batchPredictions/", batch_predictions.list_all),
    ("GET", "batchPredictions/{id}/", batch_predictions.show),
    ("PATCH", "batchPredictions/{id}/", batch_predictions.update),
    ("DELETE", "batchPredictions/{id}/", batch_predictions.delete),
    ("GET", "deployments/", deployments.list_all),
    ("GET", "deployments/{id}/", deployments.show),
)


def create_app(service: Service) -> Starlette:
    """The app over a service that its caller starts and stops: httpx's ASGITransport sends no lifespan events."""
    app = Starlette(
        routes=[Route(f"/api/v2/{path}", handler, methods=[method]) for method, path, handler in ROUTES],
        middleware=[Middleware(UnexpectedErrors)],
        exception_handlers={Refusal: refused, HTTPException: unroutable},
    )
    app.router.redirect_slashes = False  # slashes are significant in this API
    app.state.service = service
    return app
