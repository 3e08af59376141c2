"""A plan: the changes that an apply would make, each with its reasons and its old and new fields. The rule here: a value, nothing else."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from reconciler.diagnostic import Diagnostic
from reconciler.plan.action import SCORES, Action, Reason
from reconciler.plan.remote import Remote


class Fingerprint(NamedTuple):
    """What decides whether a job was scored: digests of its spec, of its intake's content, of the deployed model."""

    spec: str
    intake: str | None
    model: str | None


@dataclass(frozen=True)
class Side:
    """One side of a change: as recorded, or as wanted and observed. `output_digest` is what was delivered, or what is there now."""

    fingerprint: Fingerprint
    spec: dict[str, Any]
    metadata: dict[str, Any]
    output_digest: str | None
    facts: Mapping[str, Any] | None = None  # behind the digest of an intake that is no file


@dataclass(frozen=True)
class Change:
    """What will happen to one address. `before` is None for what was never scored, `after` for what is forgotten."""

    address: str
    action: Action
    reasons: tuple[Reason, ...]
    before: Side | None = None
    after: Side | None = None
    deployment: str = ""
    depends_on: tuple[str, ...] = ()
    intake_file: str | None = None
    output_file: str | None = None
    file: str | None = None
    line: int | None = None
    open_run: str | None = None  # the interrupted run that is resumed, or that is aborted first
    remote: Remote | None = None  # what is not on this disk, and is asked about or looked at

    @property
    def is_intake_known(self) -> bool:
        """False where the intake is what an upstream job will write."""
        return Reason.UPSTREAM_RERUNS not in self.reasons


@dataclass(frozen=True)
class Plan:
    """`lineage` and `serial` say on which state it was made."""

    workspace: str
    lineage: str
    serial: int
    changes: tuple[Change, ...]
    unchanged: int
    deployments: tuple[str, ...] = ()  # what the workspace's deployments are bound to
    is_partial: bool = False  # limited with -target
    endpoint: Mapping[str, Any] | None = None  # the workspace's raw settings; None: the embedded service
    notes: tuple[Diagnostic, ...] = ()  # warnings: what could not be looked at
    trusted: tuple[str, ...] = ()  # those of the deployments whose code may run
    openers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what opens systems, by section and id; secrets are references

    @property
    def is_applyable(self) -> bool:
        """Whether an apply would do anything: the one definition behind exit code 2."""
        return bool(self.changes)

    def counts(self) -> dict[Action, int]:
        return Counter(change.action for change in self.changes)

    @property
    def to_score(self) -> int:
        return sum(change.action in SCORES for change in self.changes)
