"""What each system is opened with. The rule here: what can never work is said before there is a job, and no connection is made for it."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from reconciler.api.schema import Problem
from reconciler.credential import FITTING, URLS
from reconciler.engine.connectors.rooms import ROOMS, is_installed
from reconciler.engine.packages import install
from reconciler.engine.place import Keys
from reconciler.errors import ScoringError

SIDES = ("intakeSettings", "outputSettings")

# Why a type of the API is not served here.
UNSERVED: Mapping[str, str] = MappingProxyType(
    {
        "dss": "the datasets of a project's own training are in DataRobot only",
        "datasphere": "SAP Datasphere has no client library that could be tested here; read it through an export to files",
        "dataStage": "staged uploads are in DataRobot only; upload the file with the job (localFile)",
        "tableau": "Tableau takes its own extract format only; write a file or a table that it reads",
    }
)


def problems(spec: Mapping[str, Any], keys: Keys) -> Iterator[Problem]:
    """Of everything that the spec names of another system: packages, credentials, data stores."""
    for side in SIDES:
        settings = spec[side]
        if settings["type"] in ROOMS:
            yield from _of_one(side, settings, keys)


def database(params: Mapping[str, Any]) -> str | None:
    """The type of intake whose databases a data store is one of; None when none is served here."""
    url = params.get("jdbcUrl") or ""
    return next((kind for kind, beginning in URLS.items() if url.startswith(beginning)), None)


def _of_one(side: str, settings: Mapping[str, Any], keys: Keys) -> Iterator[Problem]:
    kind = settings["type"]
    if not is_installed(kind):
        yield (side, "type"), f"the client library for {kind} is not installed; run: {install(ROOMS[kind].extra)}"
    storage = settings.get("cloudStorageType", "azure" if kind == "synapse" else "s3")
    for field, types in (("credentialId", FITTING.get(kind, ())), ("cloudStorageCredentialId", FITTING[storage])):
        if id := settings.get(field):
            yield from (((side, field), sentence) for sentence in _of_credential(id, kind, types, keys))
    if id := settings.get("dataStoreId"):
        yield from (((side, "dataStoreId"), sentence) for sentence in _of_data_store(id, kind, keys))


def _of_credential(id: str, kind: str, types: tuple[str, ...], keys: Keys) -> Iterator[str]:
    try:
        credential = keys.credential(id)
    except ScoringError as error:
        yield _said(error)
        return
    if credential.get("credentialType") not in types:
        yield f"credential {id} is {credential.get('credentialType')}; {kind} needs {' or '.join(types)}"
    elif credential.get("configId"):
        yield f"credential {id} is a shared configuration (configId), which is kept in DataRobot only; make one with the secrets themselves"


def _of_data_store(id: str, kind: str, keys: Keys) -> Iterator[str]:
    try:
        params = keys.data_store(id)
    except ScoringError as error:
        yield _said(error)
        return
    if params.get("jdbcUrl"):
        if database(params) != kind:
            yield f"data store {id} is of another database: for {kind}, its jdbcUrl begins with {URLS[kind]}"
    elif not params.get("fields"):
        yield f"data store {id} says neither jdbcUrl nor fields, so nobody knows where its database is"


def _said(error: ScoringError) -> str:
    return (error.detail or error.summary).removesuffix(".")
