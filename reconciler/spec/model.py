"""A job as it is written. The rule here: the API's own models (`options`, `settings`), and beside them only what the API has no word for."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic.alias_generators import to_camel

from reconciler import settings
from reconciler.duration import seconds
from reconciler.options import Id, Options, Strict

PATH = r"^[^\x00]*[^\x00/]$"
FilePath = Annotated[str, Field(pattern=PATH)]


def _duration(value: Any) -> Any:
    """As it was written; raises ValueError with a sentence."""
    if seconds(value if isinstance(value, str) else str(value)) <= 0:
        raise ValueError(f"{value!r} is no time at all. Write a duration above 0, such as 30m, or leave the key out.")
    return value


Duration = Annotated[str, BeforeValidator(_duration)]

TARGETS = ("deployment", "deployment_id", "model_id", "model_package_id")


class LocalFileIntake(settings.LocalFileIntake):
    file: FilePath = Field(description="The file to score; a relative path starts at the folder that holds specs/.")


class LocalFileOutput(settings.LocalFileOutput):
    type: Literal["localFile"]
    path: FilePath = Field(description="Where the scored file goes; a relative path starts at the folder that holds specs/.")


INTAKES: dict[str, type[Strict]] = {**settings.INTAKES, "localFile": LocalFileIntake}
OUTPUTS: dict[str, type[Strict]] = {**settings.OUTPUTS, "localFile": LocalFileOutput}

# A name, where the API wants an id: the key, the key it stands for, and the section that declares the names.
NAMES = {
    "credential": ("credential_id", "credentials"),
    "data_store": ("data_store_id", "data_stores"),
    "dataset": ("dataset_id", "datasets"),
    "cloud_storage_credential": ("cloud_storage_credential_id", "credentials"),
}


class Timeouts(Strict):
    """How long an apply waits for a job; it then goes away and leaves the job running."""

    queue: Duration | None = Field(None, description="Until scoring begins, such as 30m.")
    run: Duration | None = Field(None, description="From the beginning of scoring to its end.")
    total: Duration | None = Field(None, description="From submission to delivery.")


class Job(Options):
    """Everything a job may say."""

    deployment: str | None = Field(None, description="A name declared in deployments.")
    deployment_id: Id | None = Field(None, description="A deployment's id, as in a script.")
    model_id: Id | None = Field(None, description="A leaderboard model's id, instead of a deployment.")
    model_package_id: Id | None = Field(None, description="A registered model package's id, instead of a deployment.")
    for_each: Any = Field(None, description="One instance for each text of a list, or for each key of a mapping; ${each.key}, ${each.value}.")
    depends_on: list[str] | None = Field(None, description="Jobs to wait for; ${job.name.output} waits by itself.")
    description: str | None = Field(None, description="For people; never a reason to rerun.")
    tags: dict[str, str] | list[str] | None = Field(None, description="For people; never a reason to rerun.")
    timeouts: Timeouts | None = Field(None, description="How long an apply waits; never a reason to rerun.")
    retries: Annotated[int, Field(ge=0, le=10)] | None = Field(
        None, description="How often a failed run is tried again in one apply; never a reason to rerun."
    )
    on_unknown: Literal["keep", "rerun"] | None = Field(
        None, description="Where the intake cannot be looked at: keep the delivered run (the default), or rerun with every apply."
    )
    intake_version: Id | None = Field(
        None, description="Your own word for the version of an intake; it is then not looked at, and a new word reruns."
    )
    probe: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="A query whose rows tell whether a table has changed (jdbc, snowflake, synapse, bigquery).",
    )
    intake_settings: dict[str, Any] = Field(description="Where the rows come from.")
    output_settings: dict[str, Any] = Field(description="Where the scores go.")

    def option_settings(self) -> dict[str, Any]:
        """The API's options alone, as it spells them, without nulls and defaults."""
        return self.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True, exclude=_OWN)

    def metadata(self) -> dict[str, Any]:
        """What is for people and for an apply, as far as it is given; the scorer never sees it."""
        found = {name: value for name in METADATA if (value := getattr(self, name)) is not None}
        return found if self.timeouts is None else {**found, "timeouts": self.timeouts.wire()}


METADATA = ("description", "tags", "timeouts", "retries")

_OWN = set(Job.model_fields) - set(Options.model_fields)

# Every spelling of a key to its name here.
JOB_KEYS = {spelling: name for name in Job.model_fields for spelling in (name, to_camel(name))}


def names_of(kind: type[Strict]) -> dict[str, tuple[str, str]]:
    """The keys, in both spellings, by which this intake or output takes a name for an id."""
    taken = {key: meaning for key, meaning in NAMES.items() if meaning[0] in kind.model_fields and key not in kind.model_fields}
    return {spelling: meaning for key, meaning in taken.items() for spelling in (key, to_camel(key))}
