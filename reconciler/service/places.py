"""Where the rows of a job are and where its scores go. The rule here: a file of ours or of the user's is a path, everything else a place."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from reconciler import templates
from reconciler.confidential import redacted
from reconciler.engine.connectors.rooms import takes_rows
from reconciler.engine.job import ScoringJob
from reconciler.engine.packages import engine_packages
from reconciler.engine.place import Keys, Place, intake_place, output_place
from reconciler.fingerprint import value_digest
from reconciler.service.files import Files
from reconciler.service.job import Job
from reconciler.service.keyring import without_secrets

if TYPE_CHECKING:
    from reconciler.engine.connectors.connector import Connector

_TABLE = ("catalog", "schema", "dataset", "table")
_GCP = re.compile(r"^https?://(?:storage\.(?:googleapis|cloud\.google)\.com/([^/]+)|([^/]+)\.storage\.googleapis\.com)/")


def connected(place: Place) -> "Connector":
    """The room of the place's system. Raises ScoringError when its packages are not here."""
    with engine_packages():
        from reconciler.engine.connectors.connector import connector  # heavy: Arrow
    return connector(place)


class Places:
    """Raises ScoringError for a credential or a data store that is there no longer."""

    def __init__(self, files: Files, keys: Keys) -> None:
        self._files = files
        self._keys = keys

    def intake(self, job: Job) -> Path | Place:
        return self._files.intake(job) or intake_place(_filled(job, "intakeSettings"), self._keys, job.id)

    def output(self, job: Job) -> Path | Place:
        return self._files.output(job) or output_place(_filled(job, "outputSettings"), self._keys, job.id)

    def discard(self, job: Job) -> None:
        """What the job has left in the systems of its intake and its output."""
        output = self.output(job)
        if not isinstance(output, Path) and takes_rows(output):
            connected(output).discard(output)
        if job.is_unloaded and not isinstance(intake := self.intake(job), Path):
            connected(intake).discard(intake)


def secretless(text: str, scoring: ScoringJob | None) -> str:
    """A sentence about the job without what its places are opened with."""
    for place in (scoring.intake, scoring.output) if scoring else ():
        text = without_secrets(text, place) if isinstance(place, Place) else text
    return text


def placed(job: Job, keys: Keys) -> Job:
    """The job with where its output really is: two spellings of one place are one. What will be downloaded is nowhere of the user's.

    Raises ScoringError for a data store that is not there.
    """
    return job if job.output_type == "localFile" else replace(job, output_place=_address(job, keys))


def is_one_object(spec: Mapping[str, Any]) -> bool:
    """Whether the intake is an object that the output would overwrite while it is read."""
    intake, output = spec["intakeSettings"], spec["outputSettings"]
    return "url" in intake and intake["type"] == output["type"] and _object(intake) == _object(output)


def shown_place(settings: Mapping[str, Any]) -> tuple[str, str]:
    """The field that says where rows go, and what it says: without what may sign a URL."""
    settings = redacted(settings)
    field = next((name for name in ("path", "url", "table") if name in settings), "type")
    return field, str(settings[field]).partition("?")[0] if field == "url" else str(settings[field])


def shown_name(settings: Mapping[str, Any]) -> str | None:
    """What an intake or output is called in one word: its file, its object, its table; None for a query, and for an upload."""
    if settings.get("table"):
        return str(settings["table"])
    url = urlsplit(settings.get("url", ""))
    return PurePosixPath(settings.get("path") or url.path).name or url.netloc.rpartition("@")[2] or None


def _filled(job: Job, side: str) -> dict[str, Any]:
    return templates.filled(side, job.spec[side], job.times)


def _address(job: Job, keys: Keys) -> str:
    settings = _filled(job, "outputSettings")
    if job.output_type == "fileSystem":
        return os.path.realpath(str(settings["path"]))
    if "url" in settings:
        return json.dumps(_object(settings))
    store = value_digest(dict(keys.data_store(settings["dataStoreId"]))) if "dataStoreId" in settings else ""
    return json.dumps([job.output_type, store, *(settings.get(name) for name in _TABLE)])


def _object(settings: Mapping[str, Any]) -> list[str]:
    url = redacted(settings)["url"]
    if settings["type"] == "gcp":
        url = _GCP.sub(lambda found: f"gs://{found[1] or found[2]}/", url)
    return [settings["type"], settings.get("endpointUrl") or "", url]
