"""One job as the service keeps it. The rule here: a value; what it says was durable before anyone could read it."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from reconciler.service import moment
from reconciler.service.status import Status
from reconciler.settings import JdbcOutput
from reconciler.templates import Times

# The API's own forms of a log line, and ours for what it does not document.
LINES = {
    "created": "Job created by {user} from {ip} at {time}",
    "submitted": "Job submitted at {time}",
    "started": "Job started processing at {time}",
    "done": "Job done processing at {time}",
    "deleted": "Job abort requested by {user} at {time}",
    "aborted": "Job aborted at {time}",
    "requeued": "Job queued again at {time}: the service stopped while the job ran",
    "failed": "Row not scored: {row}",
    "rejects": "{failed} of {rows} rows were not scored; each is named, with its reason, in {place}",
    "died": "Job queued again at {time}: the service died while the job was scored",
}

# How far an intake has come that the caller uploads. A job of another intake has none of these.
Upload = Literal["awaited", "begun", "whole"]


@dataclass(frozen=True)
class Caller:
    """Who asks, and from where."""

    user: str
    ip: str


@dataclass(frozen=True)
class Origin:
    """What a job was started from; `definition` is the API's {id, name, createdBy} of that time, `times` are those of its history."""

    source: str = "Ad hoc API"
    definition: dict[str, Any] | None = None
    times: Times | None = None


AD_HOC = Origin()


@dataclass(frozen=True)
class Counts:
    """How far a job is. The columns of the table `jobs` have these names."""

    scored_rows: int = 0
    failed_rows: int = 0
    skipped_rows: int = 0
    intake_size: int | None = None
    output_size: int | None = None
    percentage: float = 0.0
    elapsed: int = 0


@dataclass(frozen=True)
class Job:
    id: str
    status: Status
    created: str
    username: str
    source: str
    deployment_id: str
    model_id: str | None
    spec: dict[str, Any]
    logs: tuple[str, ...]
    counts: Counts = field(default_factory=Counts)
    hidden: str | None = None
    is_deleted: bool = False
    queue_position: int | None = None
    definition: dict[str, Any] | None = None
    ended: str | None = None
    upload: Upload | None = None
    is_queued: bool = True
    is_scoring: bool = False
    results_deleted: bool = False
    dataset_version_id: str | None = None
    dataset_name: str | None = None
    output_place: str = ""  # where the output really is: two paths to one file are one place
    run_times: Times | None = None

    @property
    def times(self) -> Times:
        """What the templates in the spec stand for."""
        return self.run_times or Times(moment.parsed(self.created))

    @property
    def intake_type(self) -> str:
        return str(self.spec["intakeSettings"]["type"])

    @property
    def output_type(self) -> str:
        return str(self.spec["outputSettings"]["type"])

    @property
    def is_unloaded(self) -> bool:
        """Whether its rows come by files, which the intake's system makes for it."""
        return any(self.spec["intakeSettings"].get(name) for name in ("externalStage", "externalDataSource", "bucket"))

    @property
    def has_remains(self) -> bool:
        """Whether a run that was cut off may have left something behind in the systems of intake and output."""
        return starts(self) > 0 and (self.is_unloaded or self.output_type not in ("localFile", "fileSystem"))

    @property
    def is_cut(self) -> bool:
        """Whether a run that was cut off may have added rows for good, beside which the next one would add its own."""
        output = self.spec["outputSettings"]
        at_the_end = (0, JdbcOutput.model_fields["commit_interval"].default)
        commits_as_it_goes = output.get("commitInterval", 0) not in at_the_end and output["statementType"] not in ("update", "insertUpdate")
        return commits_as_it_goes and starts(self) > 1

    @property
    def is_multipart(self) -> bool:
        return bool(self.spec["intakeSettings"].get("multipart"))

    @property
    def has_download(self) -> bool:
        return self.output_type == "localFile" and self.status in ("RUNNING", "COMPLETED") and not self.results_deleted

    def at(self, counts: Counts) -> "Job":
        return replace(self, counts=counts)


def deaths(job: Job) -> int:
    """How often the service died while it scored the job."""
    told = LINES["died"].partition("{time}")[2]
    return sum(entry.endswith(told) for entry in job.logs)


def starts(job: Job) -> int:
    """How often a worker has taken the job."""
    told = LINES["started"].partition("{time}")[0]
    return sum(entry.startswith(told) for entry in job.logs)


def failures(counts: Counts, named: Sequence[str], place: str) -> tuple[str, ...]:
    """What the log says about rows that failed, of which the first are `named`: none, when they failed in a former process."""
    if not named and not counts.failed_rows:
        return ()
    rows = counts.scored_rows + counts.failed_rows + counts.skipped_rows
    return (*(LINES["failed"].format(row=row) for row in named), LINES["rejects"].format(failed=counts.failed_rows, rows=rows, place=place))


def line(event: str, time: datetime, **names: str) -> str:
    return LINES[event].format(time=moment.in_log(time), **names)


def new_job(deployment_id: str, model_id: str | None, spec: dict[str, Any], caller: Caller, time: datetime, origin: Origin = AD_HOC) -> Job:
    """A job as it is accepted: submitted to the queue at once, unless its rows are yet to be uploaded."""
    is_awaited = spec["intakeSettings"]["type"] == "localFile"
    created = (line("created", time, user=caller.user, ip=caller.ip),)
    job_id = secrets.token_hex(12)
    return Job(
        id=job_id,
        status="INITIALIZING",
        created=moment.rfc3339(time),
        username=caller.user,
        source=origin.source,
        deployment_id=deployment_id,
        model_id=model_id,
        spec=spec,
        logs=created if is_awaited else (*created, line("submitted", time)),
        definition=origin.definition,
        upload="awaited" if is_awaited else None,
        is_queued=not is_awaited,
        output_place=f"download of {job_id}",
        run_times=replace(origin.times, current=time) if origin.times else Times(time),
    )


def uploaded(job: Job, time: datetime) -> Job:
    """A new job whose rows lie ready from the start."""
    return replace(job, upload="whole", is_queued=True, logs=(*job.logs, line("submitted", time)))


def as_row(job: Job) -> dict[str, Any]:
    """The columns a new job begins with; counts have their defaults in the table."""
    return {
        "id": job.id,
        "status": job.status,
        "created": job.created,
        "username": job.username,
        "source": job.source,
        "deployment_id": job.deployment_id,
        "model_id": job.model_id,
        "intake_type": job.intake_type,
        "output_type": job.output_type,
        "output_place": job.output_place,
        "times": json.dumps(job.times.stored()),
        "spec": json.dumps(job.spec),
        "logs": json.dumps(job.logs),
        "upload": job.upload,
        "is_queued": job.is_queued,
        "dataset_version_id": job.dataset_version_id,
        "dataset_name": job.dataset_name,
        "definition_id": job.definition["id"] if job.definition else None,
        "definition": json.dumps(job.definition) if job.definition else None,
    }


def from_row(row: Mapping[str, Any]) -> Job:
    return Job(
        id=row["id"],
        status=row["status"],
        created=row["created"],
        username=row["username"],
        source=row["source"],
        deployment_id=row["deployment_id"],
        model_id=row["model_id"],
        spec=json.loads(row["spec"]),
        logs=tuple(json.loads(row["logs"])),
        counts=Counts(**{name: row[name] for name in Counts.__dataclass_fields__}),
        hidden=row["hidden"],
        is_deleted=bool(row["is_deleted"]),
        queue_position=row["queue_position"],
        definition=json.loads(row["definition"]) if row["definition"] else None,
        ended=row["ended"],
        upload=row["upload"],
        is_queued=bool(row["is_queued"]),
        is_scoring=bool(row["is_scoring"]),
        results_deleted=bool(row["results_deleted"]),
        dataset_version_id=row["dataset_version_id"],
        dataset_name=row["dataset_name"],
        output_place=row["output_place"],
        run_times=Times.restored(json.loads(row["times"])) if row["times"] else None,
    )
