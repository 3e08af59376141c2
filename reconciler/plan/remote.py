"""What of one instance is not on this disk, and whom to ask about it. The rule here: what the specs tell by themselves is never asked for.

An endpoint is asked about its deployments and datasets; the systems that rows come from are looked at, whoever scores.
"""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from reconciler.diagnostic import Diagnostic

# Types of intake that can be looked at with what opens them.
LOOKED_AT = frozenset({"s3", "azure", "gcp", "http", "jdbc", "snowflake", "synapse", "bigquery"})
# Those that anybody may ask, where no credential is named: the API takes an object without one for public.
_PUBLIC = frozenset({"s3", "azure", "gcp", "http"})
# Those that a query can be put to.
PROBED = frozenset({"jdbc", "snowflake", "synapse", "bigquery"})
# Types of output that are looked at again. To a table others write too, and a web server shows nothing of what it was sent.
KEPT = frozenset({"s3", "azure", "gcp"})
# Fields of an intake that name what opens it, with the section that says what that is.
_OPENED_WITH = {"credentialId": "credentials", "cloudStorageCredentialId": "credentials", "dataStoreId": "data_stores"}
_TABLE = ("dataStoreId", "dataset", "catalog", "schema", "table")

OnUnknown = Literal["keep", "rerun"]


class Question(NamedTuple):
    """What an endpoint is asked for: which model a deployment has, which version of a dataset is the latest."""

    kind: Literal["deployment", "dataset"]
    id: str


Answers = Mapping[Question, str | None]  # a digest; None: there is no such thing


class Look(NamedTuple):
    """What was found at a place: a problem, or the digest of its content and the facts behind it, as far as they are few.

    All None: whether its rows have changed cannot be told. `is_absent`: the problem is that there is nothing; `is_unreachable`: that
    the system does not answer.
    """

    digest: str | None = None
    facts: Mapping[str, Any] | None = None
    problem: Diagnostic | None = None
    is_absent: bool = False
    is_unreachable: bool = False


Looks = Mapping[str, Look]  # by place


class Remote(NamedTuple):
    """The model and the rows of one instance, where these are no files here. A tuple of texts, so that it can be kept as JSON.

    A model is that of a deployment, to be asked for, or pinned by an id; an intake that is no local file is a dataset, to be asked for its latest
    version, or has a digest of what the specs say of it, or is a place to be looked at. Where that tells nothing, `on_unknown` says what is done.
    """

    deployment: str | None = None
    model_digest: str | None = None
    dataset: str | None = None
    intake_digest: str | None = None
    on_unknown: OnUnknown | None = None
    reads: str | None = None  # the place of its rows and of its output, where these are no local files
    writes: str | None = None
    place: str | None = None  # what is looked at, as `place_of` makes it
    output: str | None = None  # the same of its output, which is looked at once something was delivered there
    way: str | None = None  # how it is known what the rows are, where that is for the specs to say: digests of two ways cannot be compared

    def is_filled_by(self, place: str | None) -> bool:
        """Whether what is written there is among its rows: it is their place, or in their folder."""
        return place is not None and self.reads is not None and (place == self.reads or (self.reads.endswith("/") and place.startswith(self.reads)))

    def questions(self) -> Iterator[Question]:
        if self.deployment is not None:
            yield Question("deployment", self.deployment)
        if self.dataset is not None:
            yield Question("dataset", self.dataset)

    def model(self, answers: Answers) -> str | None:
        return self.model_digest if self.deployment is None else answers[Question("deployment", self.deployment)]

    def intake(self, answers: Answers) -> str | None:
        return self.intake_digest if self.dataset is None else answers[Question("dataset", self.dataset)]


_NOTHING: Mapping[str, Mapping[str, Any]] = MappingProxyType({"credentials": {}, "data_stores": {}})


def remote_of(
    spec: Mapping[str, Any],
    intake_version: str | None,
    on_unknown: OnUnknown,
    probe: str | None = None,
    openers: Mapping[str, Mapping[str, Any]] = _NOTHING,
) -> Remote:
    """`spec` is an instance's, in a workspace with an endpoint; `openers` is what there is to look with, by section and id."""
    deployment, model_digest = _model(spec)
    intake, output = spec["intake"], spec["output"]
    place = place_of(intake, probe) if intake_version is None and _can_look(intake, openers) else None
    written = written_to(output) if _can_look(output, openers) else None
    return Remote(
        deployment,
        model_digest,
        *_intake(intake, intake_version, on_unknown),
        _place(intake),
        _place(output),
        place,
        written,
        _way(intake, intake_version, probe, place),
    )


def remote_of_local(spec: Mapping[str, Any], intake_version: str | None, on_unknown: OnUnknown, probe: str | None = None) -> Remote | None:
    """The same where the embedded service scores: it has its models here. None if intake and output are files."""
    intake, output = spec["intake"], spec["output"]
    if intake["type"] == output["type"] == "localFile":
        return None
    place = place_of(intake, probe) if intake_version is None else None
    known = _intake(intake, intake_version, on_unknown)
    return Remote(None, None, *known, _place(intake), _place(output), place, written_to(output), _way(intake, intake_version, probe, place))


def _can_look(settings: Mapping[str, Any], openers: Mapping[str, Mapping[str, Any]]) -> bool:
    """At an endpoint: without anything of ours it is the endpoint that may open a system, not we."""
    named = [(section, settings[field]) for field, section in _OPENED_WITH.items() if field in settings]
    return all(id in openers[section] for section, id in named) and (bool(named) or settings["type"] in _PUBLIC)


def place_of(intake: Mapping[str, Any], probe: str | None) -> str | None:
    """One text for what is looked at, read by `reconciler/looking.py`; it names credentials and holds none."""
    if intake["type"] not in LOOKED_AT:
        return None
    return json.dumps({"settings": intake, "probe": probe}, sort_keys=True, ensure_ascii=False)


def written_to(output: Mapping[str, Any]) -> str | None:
    """The same of an output."""
    return json.dumps({"output": output}, sort_keys=True, ensure_ascii=False) if output["type"] in KEPT else None


def _model(spec: Mapping[str, Any]) -> tuple[str | None, str | None]:
    if pinned := spec["options"].get("pinnedModelId") or spec.get("modelId"):
        return None, _digest({"modelId": pinned})
    if package := spec.get("modelPackageId"):
        return None, _digest({"modelPackageId": package})
    return spec["deployment"], None


def _intake(intake: Mapping[str, Any], version: str | None, on_unknown: OnUnknown) -> tuple[str | None, str | None, OnUnknown | None]:
    if intake["type"] == "localFile":
        return None, None, None
    if intake["type"] == "dataset":
        known = intake.get("datasetVersionId")
        return (None, version_digest(known), None) if known else (intake["datasetId"], None, None)
    return (None, None, on_unknown) if version is None else (None, _digest({"intakeVersion": version}), None)


def _way(intake: Mapping[str, Any], version: str | None, probe: str | None, place: str | None) -> str | None:
    if intake["type"] in ("localFile", "dataset"):
        return None
    if version is not None:
        return "intake_version"
    return None if place is None else f"probe {probe}" if probe else "look"


def _place(settings: Mapping[str, Any]) -> str | None:
    """One text for one object or table; None for a local file, and for what cannot be told from the settings."""
    if "url" in settings:
        return str(settings["url"])
    return repr([settings.get(key) for key in _TABLE]) if "table" in settings else None


def version_digest(version_id: str) -> str:
    """Of a dataset: versions never change, so the id tells the content."""
    return _digest({"datasetVersionId": version_id})


def _digest(value: Mapping[str, str]) -> str:
    from reconciler.fingerprint import value_digest  # a hash is not needed to name a plan's parts

    return value_digest(value)
