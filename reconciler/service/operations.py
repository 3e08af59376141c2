"""What each route asks for and may answer. The rule here: one row for each route of the app, with every status that it can have.

A test compares the rows with the routes, and a fuzz of the running server the statuses with what it answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.service import listing
from reconciler.service.endpoints import connections, credentials, datasets, definitions, deployments
from reconciler.service.parameters import Parsers
from reconciler.service.schemas import ANYTHING, CREDENTIAL, FILE_FORM, HIDDEN, ROWS, Schema, any_of_its_fields, field_of, page, ref

JSON, CSV, FORM, YAML = "application/json", "text/csv", "multipart/form-data", "application/yaml"


@dataclass(frozen=True)
class Answer:
    status: int
    schema: Schema | None = None
    media: str = JSON


@dataclass(frozen=True)
class Operation:
    summary: str
    answers: tuple[Answer, ...]
    refusals: tuple[int, ...] = ()
    body: Schema | None = None
    media: str = JSON  # of the body
    query: Parsers = field(default_factory=dict)


_BODY = (400, 413, 422)  # what every JSON body can be refused with
_UPLOAD = (400, 404, 406, 408, 409, 413, 422, 507)
_DEFINITION, _JOB, _DATASET = ref("DefinitionShown"), ref("Job"), ref("Dataset")
_CHANGED_DEFINITION = Operation("Changes a job definition", (Answer(200, _DEFINITION),), (*_BODY, 404, 409), any_of_its_fields("Definition"))

_OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "version/"): Operation("The version of the API", (Answer(200, ref("Version")),)),
    ("GET", "openapi.yaml"): Operation("This description", (Answer(200, {"type": "object"}, YAML),)),
    ("GET", "account/info/"): Operation("Whom the token belongs to", (Answer(200, ref("Account")),)),
    ("POST", "batchPredictions/"): Operation("Submits a job", (Answer(202, _JOB),), (*_BODY, 404), body=ref("JobSpec")),
    ("GET", "batchPredictions/"): Operation("Lists the jobs", (Answer(200, page("Job")),), (422,), query=listing.QUERY),
    ("GET", "batchPredictions/{id}/"): Operation("Shows a job", (Answer(200, _JOB),), (404,)),
    ("PATCH", "batchPredictions/{id}/"): Operation("Hides a job, or shows it again", (Answer(200, _JOB),), (*_BODY, 404, 409), body=HIDDEN),
    ("DELETE", "batchPredictions/{id}/"): Operation("Aborts a job", (Answer(202),), (404, 409)),
    ("PUT", "batchPredictions/{id}/csvUpload/"): Operation("Uploads a job's rows", (Answer(202),), _UPLOAD, body=ROWS, media=CSV),
    ("PUT", "batchPredictions/{id}/csvUpload/part/{number}/"): Operation(
        "Uploads a part of a job's rows", (Answer(202),), _UPLOAD, body=ROWS, media=CSV
    ),
    ("POST", "batchPredictions/{id}/csvUpload/finalizeMultipart/"): Operation("Ends an upload in parts", (Answer(202),), (404, 409, 422, 507)),
    ("GET", "batchPredictions/{id}/download/"): Operation("Downloads a job's result, while it grows", (Answer(200, ROWS, CSV),), (404, 422)),
    ("POST", "batchPredictions/fromExisting/"): Operation(
        "Submits a job again", (Answer(202, _JOB),), (*_BODY, 404), body=field_of("predictionJobId")
    ),
    ("POST", "batchPredictions/fromJobDefinition/"): Operation(
        "Runs a job definition now", (Answer(202, _JOB),), (*_BODY, 404), body=field_of("jobDefinitionId")
    ),
    ("POST", "batchPredictionJobDefinitions/"): Operation(
        "Makes a job definition", (Answer(202, _DEFINITION),), (*_BODY, 404, 409), body=ref("Definition")
    ),
    ("GET", "batchPredictionJobDefinitions/"): Operation(
        "Lists the job definitions", (Answer(200, page("DefinitionShown")),), (422,), query=definitions.QUERY
    ),
    ("GET", "batchPredictionJobDefinitions/{id}/"): Operation("Shows a job definition", (Answer(200, _DEFINITION),), (404,)),
    ("PATCH", "batchPredictionJobDefinitions/{id}/"): _CHANGED_DEFINITION,
    ("PATCH", "batchPredictionJobDefinitions/{id}"): _CHANGED_DEFINITION,  # as the official client spells it
    ("DELETE", "batchPredictionJobDefinitions/{id}/"): Operation("Deletes a job definition", (Answer(204),), (404, 409)),
    ("GET", "batchPredictionJobDefinitions/{id}/portable/"): Operation(
        "Shows a definition's job for Portable Batch Predictions", (Answer(200, ANYTHING),), (404,)
    ),
    ("GET", "deployments/"): Operation("Lists the deployments", (Answer(200, page("Deployment")),), (422,), query=deployments.QUERY),
    ("GET", "deployments/{id}/"): Operation("Shows a deployment", (Answer(200, ref("Deployment")),), (404,)),
    ("GET", "deployments/{id}/championModelPackage/"): Operation(
        "Shows the model that a deployment scores with", (Answer(200, ref("ChampionModelPackage")),), (404,)
    ),
    ("PATCH", "deployments/{id}/model/"): Operation(
        "Replaces a deployment's model with that of another one's folder", (Answer(202),), (*_BODY, 404), body=ref("ModelReplacement")
    ),
    ("GET", "deployments/{id}/settings/"): Operation("Shows a deployment's settings", (Answer(200, ANYTHING),), (404,)),
    ("GET", "credentials/"): Operation(
        "Lists the credentials, without their secrets", (Answer(200, page("Credential")),), (422,), query=credentials.QUERY
    ),
    ("POST", "credentials/"): Operation("Keeps a credential", (Answer(201, ref("Credential")),), (*_BODY, 409), body=CREDENTIAL),
    ("GET", "credentials/{id}/"): Operation("Shows a credential, without its secrets", (Answer(200, ref("Credential")),), (404,)),
    ("PATCH", "credentials/{id}/"): Operation("Changes a credential", (Answer(200, ref("Credential")),), (*_BODY, 404, 409), body=ANYTHING),
    ("DELETE", "credentials/{id}/"): Operation("Deletes a credential", (Answer(204),), (404, 409)),
    ("GET", "datasets/"): Operation("Lists the datasets", (Answer(200, page("Dataset")),), (422,), query=datasets.QUERY),
    ("POST", "datasets/fromFile/"): Operation(
        "Makes a dataset of a file", (Answer(202, ref("DatasetAccepted")),), (400, 422, 507), body=FILE_FORM, media=FORM
    ),
    ("GET", "datasets/{id}/"): Operation("Shows a dataset's latest version", (Answer(200, _DATASET),), (404, 410)),
    ("PATCH", "datasets/{id}/"): Operation(
        "Changes a dataset's name or categories", (Answer(200, _DATASET),), (*_BODY, 404, 410), body=ref("Change")
    ),
    ("DELETE", "datasets/{id}/"): Operation("Deletes a dataset, for as long as it is not wanted back", (Answer(204),), (404, 410)),
    ("PATCH", "datasets/{id}/deleted/"): Operation("Brings a deleted dataset back", (Answer(204),), (404,)),
    ("GET", "datasets/{id}/file/"): Operation("Downloads a dataset's latest version", (Answer(200, ROWS, CSV),), (404, 410)),
    ("POST", "datasets/{id}/versions/fromFile/"): Operation(
        "Adds a version to a dataset", (Answer(202, ref("DatasetAccepted")),), (400, 404, 410, 422, 507), body=FILE_FORM, media=FORM
    ),
    ("GET", "datasets/{id}/versions/"): Operation(
        "Lists a dataset's versions", (Answer(200, page("Dataset")),), (404, 410, 422), query=datasets.PAGING
    ),
    ("GET", "datasets/{id}/versions/{version_id}/"): Operation("Shows a version of a dataset", (Answer(200, _DATASET),), (404, 410)),
    ("GET", "datasets/{id}/versions/{version_id}/file/"): Operation("Downloads a version of a dataset", (Answer(200, ROWS, CSV),), (404, 410)),
    ("GET", "status/{id}/"): Operation(
        "Shows how far something is that takes its time",
        (
            Answer(200, ref("Status")),
            Answer(303, ref("Status")),
        ),
        (404,),
    ),
    ("GET", "externalDataStores/"): Operation("Lists the data stores", (Answer(200, page("Connection")),), (422,), query=connections.STORE_QUERY),
    ("POST", "externalDataStores/"): Operation("Keeps a data store", (Answer(201, ref("Connection")),), (*_BODY, 409), body=ref("DataStore")),
    ("GET", "externalDataStores/{id}/"): Operation(
        "Shows a data store", (Answer(200, ref("Connection")),), (404, 422), query=connections.ONE_STORE_QUERY
    ),
    ("PATCH", "externalDataStores/{id}/"): Operation(
        "Changes a data store", (Answer(200, ref("Connection")),), (*_BODY, 404, 409), body=any_of_its_fields("DataStore")
    ),
    ("DELETE", "externalDataStores/{id}/"): Operation("Deletes a data store", (Answer(204),), (404,)),
    ("POST", "externalDataStores/{id}/test/"): Operation(
        "Connects to a data store's database", (Answer(200, ref("Reached")),), (*_BODY, 404), body=ref("Access")
    ),
    ("POST", "externalDataStores/{id}/schemas/"): Operation(
        "Lists the schemas of a data store's database", (Answer(200, ref("Schemas")),), (*_BODY, 404), body=ref("Access")
    ),
    ("POST", "externalDataStores/{id}/tables/"): Operation(
        "Lists the tables of a data store's database", (Answer(200, ref("Tables")),), (*_BODY, 404), body=ref("Access")
    ),
    ("GET", "externalDataStores/{id}/credentials/"): Operation(
        "Lists the credentials that a data store can be opened with",
        (Answer(200, page("Credential")),),
        (404, 422),
        query=connections.CREDENTIALS_QUERY,
    ),
    ("GET", "externalDataDrivers/"): Operation("Lists the data drivers", (Answer(200, page("Connection")),), (422,), query=connections.DRIVER_QUERY),
    ("POST", "externalDataDrivers/"): Operation("Keeps a data driver", (Answer(201, ref("Connection")),), (*_BODY, 409), body=ref("DataDriver")),
    ("GET", "externalDataDrivers/{id}/"): Operation("Shows a data driver", (Answer(200, ref("Connection")),), (404,)),
    ("PATCH", "externalDataDrivers/{id}/"): Operation(
        "Changes a data driver", (Answer(200, ref("Connection")),), (*_BODY, 404, 409), body=any_of_its_fields("DataDriver")
    ),
    ("DELETE", "externalDataDrivers/{id}/"): Operation("Deletes a data driver", (Answer(204),), (404,)),
}

# The jobs' other address, with the same answers.
_BATCH_JOBS = (
    ("GET", ""),
    ("POST", "fromJobDefinition/"),
    ("GET", "{id}/"),
    ("DELETE", "{id}/"),
    ("PUT", "{id}/csvUpload/"),
    ("GET", "{id}/download/"),
)
OPERATIONS: Mapping[tuple[str, str], Operation] = {
    **_OPERATIONS,
    **{(method, f"batchJobs/{path}"): _OPERATIONS[method, f"batchPredictions/{path}"] for method, path in _BATCH_JOBS},
}
