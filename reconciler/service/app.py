"""The API's address book. The rule here: one row for each route, one module in `endpoints` for each resource."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from reconciler.service.answer import UnexpectedErrors, refused, unroutable
from reconciler.service.endpoints import (
    accounts,
    batch_predictions,
    connections,
    credentials,
    datasets,
    definitions,
    deployments,
    openapi,
    statuses,
    transfers,
    versions,
)
from reconciler.service.guard import Guard
from reconciler.service.refusal import Refusal
from reconciler.service.service import Service

ROUTES = (
    ("GET", "version/", versions.show),
    ("GET", "openapi.yaml", openapi.show),
    ("GET", "account/info/", accounts.show),
    ("POST", "batchPredictions/", batch_predictions.create),
    ("GET", "batchPredictions/", batch_predictions.list_all),
    ("GET", "batchPredictions/{id}/", batch_predictions.show),
    ("PATCH", "batchPredictions/{id}/", batch_predictions.update),
    ("DELETE", "batchPredictions/{id}/", batch_predictions.delete),
    ("PUT", "batchPredictions/{id}/csvUpload/", transfers.upload),
    ("PUT", "batchPredictions/{id}/csvUpload/part/{number}/", transfers.upload_part),
    ("POST", "batchPredictions/{id}/csvUpload/finalizeMultipart/", transfers.finalize),
    ("GET", "batchPredictions/{id}/download/", transfers.download),
    ("POST", "batchPredictions/fromExisting/", batch_predictions.create_from_existing),
    ("POST", "batchPredictions/fromJobDefinition/", batch_predictions.create_from_definition),
    ("GET", "batchJobs/", batch_predictions.list_all),
    ("POST", "batchJobs/fromJobDefinition/", batch_predictions.create_from_definition),
    ("GET", "batchJobs/{id}/", batch_predictions.show),
    ("DELETE", "batchJobs/{id}/", batch_predictions.delete),
    ("PUT", "batchJobs/{id}/csvUpload/", transfers.upload),
    ("GET", "batchJobs/{id}/download/", transfers.download),
    ("POST", "batchPredictionJobDefinitions/", definitions.create),
    ("GET", "batchPredictionJobDefinitions/", definitions.list_all),
    ("GET", "batchPredictionJobDefinitions/{id}/", definitions.show),
    ("PATCH", "batchPredictionJobDefinitions/{id}/", definitions.update),
    ("PATCH", "batchPredictionJobDefinitions/{id}", definitions.update),  # the official client's spelling, and only here
    ("DELETE", "batchPredictionJobDefinitions/{id}/", definitions.delete),
    ("GET", "batchPredictionJobDefinitions/{id}/portable/", definitions.show_portable),
    ("GET", "deployments/", deployments.list_all),
    ("GET", "deployments/{id}/", deployments.show),
    ("GET", "deployments/{id}/championModelPackage/", deployments.show_champion),
    ("PATCH", "deployments/{id}/model/", deployments.replace_model),
    ("GET", "deployments/{id}/settings/", deployments.show_settings),
    ("GET", "credentials/", credentials.list_all),
    ("POST", "credentials/", credentials.create),
    ("GET", "credentials/{id}/", credentials.show),
    ("PATCH", "credentials/{id}/", credentials.update),
    ("DELETE", "credentials/{id}/", credentials.delete),
    ("GET", "datasets/", datasets.list_all),
    ("POST", "datasets/fromFile/", datasets.create),
    ("GET", "datasets/{id}/", datasets.show),
    ("PATCH", "datasets/{id}/", datasets.update),
    ("DELETE", "datasets/{id}/", datasets.delete),
    ("PATCH", "datasets/{id}/deleted/", datasets.undelete),
    ("GET", "datasets/{id}/file/", datasets.download),
    ("POST", "datasets/{id}/versions/fromFile/", datasets.create_version),
    ("GET", "datasets/{id}/versions/", datasets.list_versions),
    ("GET", "datasets/{id}/versions/{version_id}/", datasets.show_version),
    ("GET", "datasets/{id}/versions/{version_id}/file/", datasets.download_version),
    ("GET", "status/{id}/", statuses.show),
    ("GET", "externalDataStores/", connections.list_stores),
    ("POST", "externalDataStores/", connections.create_store),
    ("GET", "externalDataStores/{id}/", connections.show_store),
    ("PATCH", "externalDataStores/{id}/", connections.update_store),
    ("DELETE", "externalDataStores/{id}/", connections.delete_store),
    ("POST", "externalDataStores/{id}/test/", connections.try_store),
    ("POST", "externalDataStores/{id}/schemas/", connections.list_schemas),
    ("POST", "externalDataStores/{id}/tables/", connections.list_tables),
    ("GET", "externalDataStores/{id}/credentials/", connections.list_store_credentials),
    ("GET", "externalDataDrivers/", connections.list_drivers),
    ("POST", "externalDataDrivers/", connections.create_driver),
    ("GET", "externalDataDrivers/{id}/", connections.show_driver),
    ("PATCH", "externalDataDrivers/{id}/", connections.update_driver),
    ("DELETE", "externalDataDrivers/{id}/", connections.delete_driver),
)


def create_app(service: Service, token: str | None = None) -> Starlette:
    """The app over a service that its caller starts and stops: httpx's ASGITransport sends no lifespan events.

    With a `token`, every request must carry it; without one, whoever can call the app is trusted.
    """
    guard = [Middleware(Guard, token=token)] if token is not None else []
    app = Starlette(
        routes=[Route(f"/api/v2/{path}", handler, methods=[method]) for method, path, handler in ROUTES],
        middleware=[Middleware(UnexpectedErrors), *guard],
        exception_handlers={Refusal: refused, HTTPException: unroutable},
    )
    app.router.redirect_slashes = False  # slashes are significant in this API
    app.state.service = service
    return app
