"""What happens during an apply, as values. The rule here: an event says what is already durable in the state."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from reconciler.diagnostic import Diagnostic
from reconciler.plan.action import Action

Outcome = Literal["scored", "updated", "forgotten", "failed", "skipped", "unchanged", "detached"]

# Outcomes that leave an address without its output.
BAD: frozenset[Outcome] = frozenset({"failed", "skipped", "detached"})


@dataclass(frozen=True)
class Started:
    address: str
    action: Action


@dataclass(frozen=True)
class Submitted:
    address: str
    job_id: str
    is_adopted: bool


@dataclass(frozen=True)
class Progressed:
    """`percent` is None while the service does not know how much there is."""

    address: str
    job_id: str
    status: str
    percent: float | None
    scored_rows: int
    elapsed_s: float


@dataclass(frozen=True)
class Retried:
    """An attempt ended, and another one with the same fingerprint begins. `why` is what ended it."""

    address: str
    why: str


@dataclass(frozen=True)
class Noted:
    """Something that is no address's own, such as a lock that was taken over."""

    text: str


@dataclass(frozen=True)
class Ended:
    """The last event of an address. `diagnostic` says why it failed or was skipped, or what is to be known although it was scored."""

    address: str
    action: Action
    outcome: Outcome
    elapsed_s: float
    job_id: str | None = None
    output: str | None = None
    rows: int | None = None
    diagnostic: Diagnostic | None = None


Event = Started | Submitted | Progressed | Retried | Noted | Ended
Listener = Callable[[Event], None]
