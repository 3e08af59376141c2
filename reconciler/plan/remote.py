"""What an endpoint must be asked about one instance. The rule here: what the specs tell by themselves is never asked for."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

_TABLE = ("dataStoreId", "dataset", "catalog", "schema", "table")

OnUnknown = Literal["keep", "rerun"]


class Question(NamedTuple):
    """What an endpoint is asked for: which model a deployment has, which version of a dataset is the latest."""

    kind: Literal["deployment", "dataset"]
    id: str


Answers = Mapping[Question, str | None]  # a digest; None: there is no such thing


class Remote(NamedTuple):
    """The model and the rows of one instance, as an endpoint knows them. A tuple of texts, so that it can be kept as JSON.

    A model is that of a deployment, to be asked for, or pinned by an id; an intake that is no local file is a dataset, to be asked for its latest
    version, or has a digest of what the specs say of it, or cannot be looked at: then `on_unknown` says what is done.
    """

    deployment: str | None = None
    model_digest: str | None = None
    dataset: str | None = None
    intake_digest: str | None = None
    on_unknown: OnUnknown | None = None
    reads: str | None = None  # the place of its rows and of its output, where these are no local files
    writes: str | None = None

    def questions(self) -> Iterator[Question]:
        if self.deployment is not None:
            yield Question("deployment", self.deployment)
        if self.dataset is not None:
            yield Question("dataset", self.dataset)

    def model(self, answers: Answers) -> str | None:
        return self.model_digest if self.deployment is None else answers[Question("deployment", self.deployment)]

    def intake(self, answers: Answers) -> str | None:
        return self.intake_digest if self.dataset is None else answers[Question("dataset", self.dataset)]


def remote_of(spec: Mapping[str, Any], intake_version: str | None, on_unknown: OnUnknown) -> Remote:
    """`spec` is an instance's, in a workspace with an endpoint."""
    deployment, model_digest = _model(spec)
    intake, output = spec["intake"], spec["output"]
    return Remote(deployment, model_digest, *_intake(intake, intake_version, on_unknown), _place(intake), _place(output))


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
