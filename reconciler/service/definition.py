"""A job definition as a value, and what a request may make of it. The rule here: a definition that is stored can become a job as it stands."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from reconciler import settings
from reconciler.api.schema import JobSpec, Problem, validation_problems
from reconciler.confidential import redacted, redacted_fields, restored
from reconciler.service import moment
from reconciler.service.identity import shown_user
from reconciler.service.refusal import invalid
from reconciler.service.schedule import Schedule, next_run
from reconciler.templates import Times

Accept = Callable[[dict[str, Any]], dict[str, Any]]  # a job's body in, the spec with its defaults out; raises Refusal
OWN = ("name", "enabled", "schedule")


@dataclass(frozen=True)
class Content:
    """What the user decides about a definition."""

    name: str | None
    enabled: bool
    schedule: Schedule | None
    spec: dict[str, Any]


@dataclass(frozen=True)
class Definition:
    id: str
    name: str
    content: Content
    created: str
    created_by: str
    updated: str
    updated_by: str
    next_run: str | None
    last_scheduled_run: str | None
    last_refused_run: str | None
    last_started_status: str | None
    last_started: str | None
    last_success: str | None
    last_failure: str | None
    last_completed: str | None  # when the latest job that is COMPLETED was made

    def times(self, now: datetime) -> Times:
        """What the templates of a job that is made now stand for."""
        schedule = self.content.schedule if self.content.enabled else None
        return Times(
            current=now,
            last_completed=moment.parsed(self.last_completed) if self.last_completed else None,
            last_scheduled=moment.parsed(self.last_scheduled_run) if self.last_scheduled_run else None,
            next_scheduled=next_run(schedule, now) if schedule else None,
        )

    @property
    def origin(self) -> dict[str, Any]:
        """As a job shows it."""
        return {"id": self.id, "name": self.name, "createdBy": shown_user(self.created_by)}


def accepted(body: dict[str, Any], accept: Accept, old: Content | None = None) -> Content:
    """The content that `body` makes, alone or over an old one; null takes a field back to its default. Raises Refusal."""
    merged = (before := _as_body(old) if old else {}) | restored(body, before)
    given = {name: value for name, value in merged.items() if value is not None}
    problems = list(_own_problems(given))
    schedule = _schedule(given, problems)
    spec_given = {name: value for name, value in given.items() if name not in OWN}
    if given.get("enabled") and not problems:
        problems += _enabled_problems(schedule, spec_given)
    if problems:
        raise invalid(problems)
    return Content(given.get("name"), given.get("enabled", False), schedule, accept(spec_given))


def _as_body(content: Content) -> dict[str, Any]:
    schedule = content.schedule.model_dump(by_alias=True) if content.schedule else None
    return content.spec | {"name": content.name, "enabled": content.enabled, "schedule": schedule}


def _own_problems(given: dict[str, Any]) -> list[Problem]:
    problems: list[Problem] = []
    if not isinstance(given.get("name", "-"), str) or not 0 < len(given.get("name", "-")) <= 255:
        problems.append((("name",), "a text of 1 to 255 characters is needed"))
    if not isinstance(given.get("enabled", False), bool):
        problems.append((("enabled",), "true or false is needed"))
    return problems


def _schedule(given: dict[str, Any], problems: list[Problem]) -> Schedule | None:
    try:
        return Schedule.model_validate(given["schedule"]) if "schedule" in given else None
    except ValidationError as error:
        problems += [(("schedule", *where[:1]), sentence) for where, sentence in validation_problems(error)]
        return None


def _enabled_problems(schedule: Schedule | None, spec: dict[str, Any]) -> list[Problem]:
    if schedule is None:
        return [(("schedule",), "an enabled definition needs a schedule")]
    intake = spec.get("intakeSettings", {"type": "localFile"})
    if isinstance(intake, dict) and intake.get("type") == "localFile":
        return [(("intakeSettings", "type"), "a scheduled job cannot wait for an upload; a localFile definition can only be run by hand")]
    return []


def from_row(row: Mapping[str, Any]) -> Definition:
    schedule = Schedule.model_validate_json(row["schedule"]) if row["schedule"] else None
    return Definition(
        id=row["id"],
        name=row["name"],
        content=Content(row["name"], bool(row["enabled"]), schedule, json.loads(row["spec"])),
        **{name: row[name] for name in Definition.__dataclass_fields__ if name not in ("id", "name", "content")},
    )


def resource(definition: Definition) -> dict[str, Any]:
    """As the API shows it."""
    content = definition.content
    refused = [time for time in (definition.last_failure, definition.last_refused_run) if time]
    return {
        "id": definition.id,
        "name": definition.name,
        "enabled": content.enabled,
        "schedule": content.schedule.model_dump(by_alias=True) if content.schedule else None,
        "batchPredictionJob": redacted(content.spec) | {"redactedFields": redacted_fields(content.spec)},
        "created": definition.created,
        "createdBy": shown_user(definition.created_by),
        "updated": definition.updated,
        "updatedBy": shown_user(definition.updated_by),
        "nextScheduledRunTime": definition.next_run,
        "lastScheduledRunTime": definition.last_scheduled_run,
        "lastStartedJobStatus": definition.last_started_status,
        "lastStartedJobTime": definition.last_started,
        "lastSuccessfulRunTime": definition.last_success,
        "lastFailedRunTime": max(refused, default=None),
    }


def portable(definition: Definition) -> dict[str, Any]:
    """The job in the snake_case form that Portable Batch Predictions read from a file; nothing but the job."""
    spec = redacted(definition.content.spec)
    shown = JobSpec.model_validate(spec).model_dump(exclude_none=True)
    for side, kinds in (("intake_settings", settings.INTAKES), ("output_settings", settings.OUTPUTS)):
        block = spec[to_camel(side)]
        shown[side] = kinds[block["type"]].model_validate(block).model_dump(exclude_none=True)
    return shown
