"""Files between us and Snowflake: on a stage of the user's, or on the staging table's own. The rule here: ours are in a folder named after the job.

A stage of the user's is in a bucket, which we read and write with the job's cloudStorageCredentialId, and Snowflake with what the stage itself has.
"""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, Protocol

from reconciler.engine.connectors.rooms import ROOMS
from reconciler.engine.connectors.snowflake_names import one_of, whole
from reconciler.engine.connectors.snowflake_session import Session
from reconciler.engine.connectors.snowflake_types import FLAVOR
from reconciler.engine.connectors.statements import Name
from reconciler.engine.dialect import Dialect
from reconciler.engine.intake import Intake
from reconciler.engine.packages import engine_packages
from reconciler.engine.place import Place
from reconciler.engine.sink import FileSink, Sink
from reconciler.engine.spill import remove_spills, spill
from reconciler.errors import ScoringError
from reconciler.settings import INTAKES, SnowflakeIntake

# How a stage's URL begins, by cloudStorageType, and how the rooms of object stores have it.
_SCHEMES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"s3": {"s3://": "s3://", "s3gov://": "s3://", "s3compat://": "s3://"}, "azure": {"azure://": "https://"}, "gcp": {"gcs://": "gs://"}}
)
_FORMAT = "FILE_FORMAT = (TYPE = PARQUET{more})"


class Stage(Protocol):
    """A folder of our own on a stage. Every method raises ScoringError."""

    @property
    def reference(self) -> str:
        """As SQL says it."""

    def sink(self, name: str) -> Sink: ...

    def clear(self) -> None:
        """Remove all that is in it."""


class BucketStage:
    """On a stage of the user's."""

    def __init__(self, session: Session, place: Place) -> None:
        """The intake and the output of one job may be on one stage: each has a folder of its own."""
        settings = place.settings
        name, url, endpoint = _external(session, settings.external_stage)
        kind = settings.cloud_storage_type
        begins = next((scheme for scheme in _SCHEMES[kind] if url.startswith(scheme)), None)
        if begins is None:
            detail = (
                f"The stage {name} is at {url}, which is not of cloudStorageType {kind}. Correct cloudStorageType, or name another externalStage."
            )
            raise ScoringError("The stage is on another cloud", detail)
        if not place.storage_credential:
            detail = f"The stage {name} is at {url}, which has to be read and written. Set cloudStorageCredentialId to a credential for it."
            raise ScoringError("The stage needs a credential of its cloud", detail)
        self._folder = f"{url.rstrip('/')}/{_folder(place)}".replace(begins, _SCHEMES[kind][begins], 1)
        self._kind, self._place, self._endpoint = kind, place, endpoint
        self.reference = _reference(name, _folder(place))
        with engine_packages(ROOMS[kind].extra):
            self._room: Any = import_module(f"reconciler.engine.connectors.{ROOMS[kind].module}")

    def sink(self, name: str) -> Sink:
        sink: Sink = self._room.open_sink(self.at(name))
        return sink

    def files(self) -> list[str]:
        """Their names, sorted."""
        store, prefix = self._room.locate(self.at(""))
        return sorted(found.key.removeprefix(prefix) for found in store.list(prefix) if found.size)

    def open(self, name: str, is_halted: Callable[[], bool]) -> Intake:
        opened: Intake = self._room.open_intake(self.at(name), Dialect(), is_halted)
        return opened

    def clear(self) -> None:
        store, prefix = self._room.locate(self.at(""))
        store.remove([f"{prefix}nothing"])  # says at the beginning, when there is nothing yet, whether we may
        store.remove([found.key for found in store.list(prefix)])

    def at(self, name: str) -> Place:
        """A Parquet file of this folder, as the rooms of object stores know it."""
        settings = {"type": self._kind, "url": f"{self._folder}{name}", "format": "parquet"}
        if self._endpoint:
            settings["endpointUrl"] = self._endpoint
        return Place(INTAKES[self._kind].model_validate(settings), self._place.storage_credential, job=self._place.job)


class TableStage:
    """In the stage that the staging table brings along, and takes along when it is dropped: files go there by way of this machine's disk."""

    def __init__(self, session: Session, staging: Name) -> None:
        self._session = session
        self._job = staging.table.removeprefix("reconciler_")
        self.reference = _reference(Name(f"%{staging.table}", staging.schema, staging.catalog), "")

    def sink(self, name: str) -> Sink:
        return _PutSink(self._session, self.reference, name, self._job)

    def clear(self) -> None:
        remove_spills(self._job)


class _PutSink:
    def __init__(self, session: Session, reference: str, name: str, job: str) -> None:
        self._session = session
        self._reference = reference
        self._folder = spill(job)
        self._path = self._folder / name
        self._file = FileSink(self._path)
        self.name = f"{reference} {name}"

    def write(self, content: bytes) -> None:
        self._file.write(content)

    def finish(self) -> None:
        self._file.close()
        # The path as it stands: Snowflake takes no %20 for a space.
        self._session.run(f"PUT {_literal(f'file://{self._path}')} {self._reference} AUTO_COMPRESS = FALSE OVERWRITE = TRUE")

    def close(self) -> None:
        self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def unloading(stage: Stage, query: str) -> str:
    return f"COPY INTO {stage.reference} FROM (\n{query}\n) {_FORMAT.format(more='')} HEADER = TRUE"


def loading(stage: Stage, table: Name) -> str:
    """By the names of the columns; the whole of every file, or none of any."""
    said = _FORMAT.format(more=" USE_LOGICAL_TYPE = TRUE")
    return f"COPY INTO {FLAVOR.qualified(table)} FROM {stage.reference} {said} MATCH_BY_COLUMN_NAME = CASE_SENSITIVE ON_ERROR = ABORT_STATEMENT"


def _reference(stage: Name, path: str) -> str:
    """As SQL says it: in single quotes when there is more in it than letters."""
    said = f"@{FLAVOR.qualified(stage)}" + (f"/{path}" if path else "")
    return said if re.fullmatch(r'[\w@%./"]+', said) else _literal(said)


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _folder(place: Place) -> str:
    return f"reconciler_{place.job}/{'in' if isinstance(place.settings, SnowflakeIntake) else 'out'}/"


def _external(session: Session, said: str) -> tuple[Name, str, str | None]:
    """Its name, its URL, and where that is if not where its cloud is. Raises ScoringError."""
    parts = said.split(".")
    wanted = whole(session, Name(parts[-1], *([*reversed(parts[:-1]), None, None][:2])))
    rows = _shown(session, wanted)
    names = [Name(row["NAME"], row["SCHEMA_NAME"], row["DATABASE_NAME"]) for row in rows]
    meant = one_of(wanted, names)
    if meant is None:
        detail = f"{session.address.name} has no stage {wanted}, or its role may not use it. Correct externalStage (database.schema.stage)."
        raise ScoringError("The stage does not exist", detail)
    row = rows[names.index(meant)]
    if not row["URL"]:
        raise ScoringError(
            "The stage is not external", f"{meant} is a stage inside of Snowflake. Name one that has a URL, or leave externalStage out."
        )
    endpoint = row.get("ENDPOINT") or None
    return meant, str(row["URL"]), endpoint if not endpoint or "://" in endpoint else f"https://{endpoint}"


def _shown(session: Session, wanted: Name) -> Sequence[Mapping[str, Any]]:
    """Those of this name, whatever its case."""
    refusal = None
    for spelled in dict.fromkeys(((wanted.catalog or "", wanted.schema or ""), ((wanted.catalog or "").upper(), (wanted.schema or "").upper()))):
        try:
            rows: Sequence[Mapping[str, Any]] = session.rows(f"SHOW STAGES IN SCHEMA {'.'.join(map(FLAVOR.quoted, spelled))}")
        except ScoringError as error:
            refusal = error
            continue
        if found := [row for row in rows if str(row["NAME"]).upper() == wanted.table.upper()]:
            return found
    if refusal:
        raise refusal
    return []
