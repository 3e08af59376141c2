"""What the state records, as values. The rule here: a record says what was true when it was written and is never changed after its run ended."""

import shlex
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from reconciler.state.lifecycle import OPEN, Status


def settling(verb: str, workspace: str, address: str, job_id: str | None = None) -> str:
    """The command by which the user settles a run, to be pasted into a shell."""
    where = None if workspace == "local" else f"-workspace={workspace}"
    return shlex.join(["reconciler", "state", verb, address, *filter(None, (job_id, where))])


class Facts(NamedTuple):
    """As much of a run as a plan compares. A tuple, because a plan may hold 100,000."""

    id: str
    status: str
    spec_digest: str
    intake_digest: str | None
    model_digest: str | None
    output_file: str | None
    output_digest: str | None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN


class Recorded(NamedTuple):
    """One address in the state: its current (latest good) run, its latest run, and what was last applied in place."""

    address: str
    current: Facts | None
    latest: Facts | None
    metadata_digest: str | None


@dataclass(frozen=True)
class Run:
    """One submission of one instance: where it came from, how it went, where its output is. Times are RFC 3339, UTC."""

    id: str
    workspace: str
    address: str
    status: Status
    spec: dict[str, Any]
    spec_digest: str
    intake: dict[str, Any]
    intake_digest: str | None
    model: dict[str, Any]
    model_digest: str | None
    deployment: str
    deployment_id: str
    request: dict[str, Any]  # the body of the POST, as sent
    reasons: tuple[str, ...]
    intended_at: str
    user: str
    host: str
    git_commit: str | None
    tool_version: str
    staging: str | None = None  # where the scorer writes before delivery
    job_id: str | None = None
    submitted_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    output: str | None = None  # where the output is: a path relative to the project root, or a URL
    output_digest: str | None = None  # of its bytes; of an object elsewhere, of what its store says of it
    output_bytes: int | None = None
    scored_rows: int | None = None
    failed_rows: int | None = None
    skipped_rows: int | None = None
    status_details: str | None = None
    superseded_by: str | None = None
    endpoint: str | None = None  # whose job it is; None: the embedded service's
    server_time: str | None = None  # the service's own clock when the run was intended: its jobs are listed by it
    creator: str | None = None  # whom the service says the job was created by
    uploaded_at: str | None = None  # when the service acknowledged the whole intake
    attempt: int = 1  # of one approved plan; a retry has the same fingerprint

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def is_in_doubt(self) -> bool:
        """Whether rows of its job, which did not end well, may be in a table; `status_details` is what the user is asked."""
        return self.status in (Status.SUBMITTED, Status.RUNNING) and self.status_details is not None


@dataclass(frozen=True)
class Event:
    """One line of the history. `serial` rises by one with every write."""

    serial: int
    at: str
    workspace: str
    address: str
    run_id: str | None
    kind: str  # a status, or: uploaded, doubted, updated, forgotten, stray
    detail: dict[str, Any] = field(default_factory=dict)
    fence: int | None = None  # which holder of the lock wrote it; None where an early release did
