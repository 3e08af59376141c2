"""The bodies of the Batch Prediction API: the contract client and service share. The rule here: requests are strict, answers are tolerant."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from reconciler import options, settings
from reconciler.options import Id, Options, Strict

TARGETS = ("deployment_id", "model_id", "model_package_id")
TERMINAL = frozenset({"COMPLETED", "ABORTED", "FAILED"})


class JobSpec(Options):
    """`POST batchPredictions/`: what to score, from where, to where, how. Intake and output are typed by `parse_spec`."""

    deployment_id: Id | None = None
    model_id: Id | None = None
    model_package_id: Id | None = None
    intake_settings: dict[str, Any] = Field(default_factory=lambda: {"type": "localFile"})
    output_settings: dict[str, Any] = Field(default_factory=lambda: {"type": "localFile"})


class Tolerant(BaseModel):
    """An answer: unknown keys are ignored, nulls and missing keys are the same."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class Links(Tolerant):
    self_: str = Field("", alias="self")
    csv_upload: str | None = None
    download: str | None = None


class User(Tolerant):
    user_id: str | None = None
    username: str | None = None


class Job(Tolerant):
    """A job resource (`GET batchPredictions/{id}/`)."""

    id: str
    status: str
    status_details: str = ""
    percentage_completed: float = 0.0
    elapsed_time_sec: int = 0
    scored_rows: int = 0
    failed_rows: int = 0
    skipped_rows: int = 0
    job_intake_size: int | None = None
    job_output_size: int | None = None
    queued: bool = False
    queue_position: int | None = None
    created: str | None = None
    created_by: User = Field(default_factory=User)
    results_deleted: bool = False
    logs: list[str] = Field(default_factory=list)
    links: Links = Field(default_factory=Links)
    job_spec: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _named_by_its_link(cls, data: Any) -> Any:
        """The platform's own examples have no `id`."""
        if not isinstance(data, dict) or data.get("id") or not isinstance(links := data.get("links"), dict):
            return data
        return {**data, "id": id_in(links.get("self"))}

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def created_at(self) -> datetime | None:
        """None where the service does not say, or not so that we can read it."""
        try:
            moment = datetime.fromisoformat(self.created or "")
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    @property
    def creator(self) -> str | None:
        return self.created_by.user_id


def id_in(link: Any) -> str | None:
    """The id of the job that a link (`…/batchPredictions/{id}/`) leads to."""
    *_, kind, name = ["", "", *urlsplit(link).path.rstrip("/").split("/")] if isinstance(link, str) else ["", ""]
    return name if kind in ("batchPredictions", "batchJobs") else None


class Page(Tolerant):
    """A page of a list; `next` is an absolute URL, null on the last page."""

    count: int = 0
    next: str | None = None
    previous: str | None = None
    data: list[Job] = Field(default_factory=list)


class Model(Tolerant):
    id: str | None = None
    type: str | None = None
    target_name: str | None = None
    target_type: str | None = None
    deployed_at: str | None = None


class ModelPackage(Tolerant):
    id: str | None = None
    name: str | None = None


class Deployment(Tolerant):
    """`GET deployments/{id}/`, as far as scoring needs it."""

    id: str
    label: str | None = None
    status: str | None = None
    model: Model | None = None
    model_package: ModelPackage | None = None


class Dataset(Tolerant):
    """`GET datasets/{id}/`: the latest version of a dataset of the AI Catalog."""

    dataset_id: str
    version_id: str | None = None
    name: str | None = None


class Version(Tolerant):
    """`GET version/`: the version of the API."""

    major: int
    minor: int
    version_string: str | None = None


class Account(Tolerant):
    """`GET account/info/`: whom the token belongs to."""

    uid: str | None = None


_SIDES = (("intake_settings", settings.INTAKES), ("output_settings", settings.OUTPUTS))

Problem = tuple[tuple[str | int, ...], str]  # where in the body (as the sender spelled it, or camelCase), and the sentence


def spec_problems(body: dict[str, Any]) -> Iterator[Problem]:
    """Every reason for which a job spec is refused with 422; none means that it is lawful."""
    spec = None
    try:
        spec = JobSpec.model_validate(body)
    except ValidationError as error:
        yield from validation_problems(error)
    if spec:
        yield from (((to_camel(name),), sentence) for name, sentence in options.broken_rules(spec))
        if sum(getattr(spec, name) is not None for name in TARGETS) != 1:
            yield ("deploymentId",), "exactly one of deploymentId, modelId and modelPackageId is needed"
    for name, kinds in _SIDES:
        side = to_camel(name)
        given = body.get(side, body.get(name, {"type": "localFile"}))
        if not isinstance(given, dict):
            continue  # the first check has said so
        block = _canonical(given)
        if block["type"] not in kinds:
            yield (side, "type"), f"{given.get('type')!r} is not one of: {', '.join(kinds)}"
            continue
        try:
            parsed = kinds[block["type"]].model_validate(block)
        except ValidationError as error:
            yield from (((side, *where), sentence) for where, sentence in validation_problems(error))
        else:
            yield from (((side, to_camel(field)), sentence) for field, sentence in settings.broken_rules(parsed))


def validation_problems(error: ValidationError) -> Iterator[Problem]:
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        yield item["loc"], item["msg"].removeprefix("Value error, ")


def echoed_spec(body: dict[str, Any], num_concurrent: int) -> dict[str, Any]:
    """The accepted spec with the API's defaults, as a job resource shows it."""
    spec = JobSpec.model_validate(body)
    shown = spec.model_dump(by_alias=True)
    shown["numConcurrent"] = spec.num_concurrent or num_concurrent
    for name, kinds in _SIDES:
        block = _canonical(getattr(spec, name))
        shown[to_camel(name)] = kinds[block["type"]].model_validate(block).model_dump(by_alias=True)
    return {key: value for key, value in shown.items() if value is not None}


def request_core(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec, sent or echoed, without nulls, defaults and pace: two specs with the same core score the same.

    Raises ValueError when the echo holds what this release cannot read.
    """
    shown = {key: value for key, value in spec.items() if value is not None and (key in _FIELDS or key.startswith("monitoring"))}
    parsed = JobSpec.model_validate(shown)
    core = parsed.wire()
    for name, kinds in _SIDES:
        block = _canonical(getattr(parsed, name))
        if block["type"] not in kinds:
            raise ValueError(f"{name} are of an unknown type: {block['type']}")
        core[to_camel(name)] = _validated(kinds[block["type"]], block).wire()
    return {key: value for key, value in core.items() if key not in options.PACE}


def _validated(kind: type[Strict], block: dict[str, Any]) -> Strict:
    known = {field.alias or name for name, field in kind.model_fields.items()} | set(kind.model_fields)
    return kind.model_validate({key: value for key, value in block.items() if key in known and value is not None})


def _canonical(block: dict[str, Any]) -> dict[str, Any]:
    """The block, its type as the wire calls it."""
    name = str(block.get("type"))
    return {**block, "type": settings.SYNONYMS.get(name, name)}


_FIELDS = frozenset(to_camel(name) for name in JobSpec.model_fields)
