"""Every body of the API as JSON Schema, by name. The rule here: requests are the models that read them; only answers are written down here."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from reconciler import settings
from reconciler.api.schema import Deployment, Job, JobSpec
from reconciler.credential import Secrets
from reconciler.service.access import Access
from reconciler.service.admission import SERVED
from reconciler.service.connection import DataDriver, DataStore
from reconciler.service.credential import Label
from reconciler.service.datasets import CATEGORIES
from reconciler.service.endpoints.datasets import Change
from reconciler.service.replacement import ModelReplacement
from reconciler.service.schedule import Schedule

Schema = Mapping[str, Any]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer", "minimum": 0}
_TRUTH: Schema = {"type": "boolean"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_MAYBE_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_ID: Schema = {"type": "string", "minLength": 1}
_ANY: Schema = {"type": "object"}
ROWS: Schema = {"type": "string", "contentMediaType": "text/csv"}
FILE_FORM = _object(
    {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
    categories={"type": "array", "items": {"type": "string", "enum": list(CATEGORIES)}},
)

_ANSWERS: dict[str, Schema] = {
    "Error": _object({"message": _TEXT}, errors=_ANY),
    "Version": _object({"major": _WHOLE, "minor": _WHOLE, "versionString": _TEXT, "releasedVersion": _TEXT}),
    "Account": _object(
        {"uid": _ID},
        email=_MAYBE_TEXT,
        firstName=_MAYBE_TEXT,
        lastName=_MAYBE_TEXT,
        orgId=_MAYBE_TEXT,
        tenantId=_MAYBE_TEXT,
    ),
    "User": _object({"userId": _ID, "username": _ID, "fullName": _MAYBE_TEXT}),
    "Credential": _object({"credentialId": _ID, "name": _ID, "credentialType": _ID, "description": _TEXT, "creationDate": _TIME}),
    "Status": _object({"statusId": _ID, "status": {"enum": ["COMPLETED", "ERROR"]}, "statusType": _TEXT, "message": _TEXT, "created": _TIME}),
    "DatasetAccepted": _object({"catalogId": _ID, "catalogVersionId": _ID, "statusId": _ID}),
    "Dataset": _object(
        {
            "datasetId": _ID,
            "versionId": _ID,
            "name": _ID,
            "categories": {"type": "array", "items": _TEXT},
            "creationDate": _TIME,
            "isDataEngineEligible": _TRUTH,
            "isLatestVersion": _TRUTH,
            "isSnapshot": _TRUTH,
            "datasetSize": _WHOLE,
            "rowCount": _WHOLE,
            "processingState": {"enum": ["COMPLETED", "ERROR"]},
        }
    ),
    "DefinitionShown": _object(
        {
            "id": _ID,
            "name": _ID,
            "enabled": _TRUTH,
            "schedule": {"oneOf": [ref("Schedule"), {"type": "null"}]},
            "batchPredictionJob": _ANY,
            "created": _TIME,
            "createdBy": ref("User"),
            "updated": _TIME,
            "updatedBy": ref("User"),
            "nextScheduledRunTime": _MAYBE_TIME,
            "lastScheduledRunTime": _MAYBE_TIME,
            "lastStartedJobStatus": _MAYBE_TEXT,
            "lastStartedJobTime": _MAYBE_TIME,
            "lastSuccessfulRunTime": _MAYBE_TIME,
            "lastFailedRunTime": _MAYBE_TIME,
        }
    ),
    "Connection": _object({"id": _ID, "type": _ID, "canonicalName": _ID, "creator": _ID, "updated": _TIME}),
    "Reached": _object({"message": _TEXT}),
    "Schemas": _object({"catalog": _MAYBE_TEXT, "schemas": _TEXTS}, catalogs={"type": ["array", "null"], "items": _TEXT}),
    "Tables": _object({"catalog": _MAYBE_TEXT, "tables": {"type": "array", "items": ref("Table")}}),
    "Table": _object({"name": _ID, "type": {"enum": ["TABLE", "VIEW"]}}, schema=_MAYBE_TEXT, catalog=_MAYBE_TEXT),
    "ChampionModelPackage": _object({"id": _ID, "modelId": _ID, "registeredModelId": _ID, "registeredModelVersion": _WHOLE, "name": _ID}),
}


def page(item: str) -> Schema:
    return _object(
        {"count": _WHOLE, "totalCount": _WHOLE, "next": _MAYBE_TEXT, "previous": _MAYBE_TEXT, "data": {"type": "array", "items": ref(item)}},
    )


def any_of_its_fields(name: str) -> Schema:
    """A change: any subset of what makes the thing, and null; what they make together is checked."""
    return {"type": "object", "properties": {key: {} for key in SCHEMAS[name]["properties"]}, "additionalProperties": False}


def field_of(name: str, schema: Schema = _TEXT) -> Schema:
    """A body of one field."""
    return {**_object({name: schema}), "additionalProperties": False}


HIDDEN: Schema = {"type": "object", "properties": {"hidden": _TRUTH}, "additionalProperties": False}
ANYTHING = _ANY
CREDENTIAL: Schema = {"oneOf": [ref(f"{kind.__name__}Credential") for kind in Secrets.__args__]}


def _read() -> dict[str, Any]:
    """What pydantic reads: the requests here, and the answers that the API's client reads."""
    intakes = [settings.INTAKES[name] for name in SERVED["intakeSettings"]]
    outputs = [settings.OUTPUTS[name] for name in SERVED["outputSettings"]]
    models: list[type[BaseModel]] = [
        *(JobSpec, Job, Deployment, DataStore, DataDriver, Access, Schedule, Change, ModelReplacement),
        *intakes,
        *outputs,
    ]
    _, schemas = models_json_schema([(model, "validation") for model in models], by_alias=True, ref_template="#/components/schemas/{model}")
    found: dict[str, Any] = schemas["$defs"]
    for side, kinds in (("intakeSettings", intakes), ("outputSettings", outputs)):
        found["JobSpec"]["properties"][side] = {"oneOf": [ref(kind.__name__) for kind in kinds]}
    return found


def _credentials() -> dict[str, Any]:
    """One schema for each type: the label beside the secrets."""
    label, kinds = Label.model_json_schema(by_alias=True), {}
    for kind in Secrets.__args__:
        schema = kind.model_json_schema(by_alias=True)
        kinds[f"{kind.__name__}Credential"] = schema | {
            "properties": label["properties"] | schema["properties"],
            "required": ["name", *schema["required"]],
        }
    return kinds


def _definition(job: Schema) -> Schema:
    own = {"name": {"type": "string", "minLength": 1, "maxLength": 255}, "enabled": _TRUTH, "schedule": ref("Schedule")}
    return {**job, "title": "Definition", "properties": {**own, **job["properties"]}}


_READ = _read()
SCHEMAS: dict[str, Any] = {**_READ, **_credentials(), "Definition": _definition(_READ["JobSpec"]), **_ANSWERS}
