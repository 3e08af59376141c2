"""The statuses of a run and the lawful moves between them. The rule here: everything that decides a status change is in this table.

    intended ──► submitted ──► running ──► scored ──► delivered
        │            │  └─────────┼──────────▲  │
        └────────────┴────────────┴─────────────┴──► failed, aborted

Each move is durable in the state before the next step begins, so a crash leaves a run at the last step that is known to have been taken:
`intended` may or may not have reached the service, `submitted` has a job id, `scored` has its whole output beside the final place.
"""

from enum import StrEnum


class Status(StrEnum):
    INTENDED = "intended"
    SUBMITTED = "submitted"
    RUNNING = "running"
    SCORED = "scored"
    DELIVERED = "delivered"
    FAILED = "failed"
    ABORTED = "aborted"


_ENDS = {Status.FAILED, Status.ABORTED}

MOVES: dict[Status, frozenset[Status]] = {
    Status.INTENDED: frozenset({Status.SUBMITTED} | _ENDS),
    Status.SUBMITTED: frozenset({Status.RUNNING, Status.SCORED} | _ENDS),
    Status.RUNNING: frozenset({Status.SCORED} | _ENDS),
    Status.SCORED: frozenset({Status.DELIVERED} | _ENDS),
    Status.DELIVERED: frozenset(),
    Status.FAILED: frozenset(),
    Status.ABORTED: frozenset(),
}

OPEN = frozenset(status for status, moves in MOVES.items() if moves)

# What a status of the Batch Prediction API means for a run.
FROM_WIRE: dict[str, Status] = {
    "INITIALIZING": Status.SUBMITTED,
    "RUNNING": Status.RUNNING,
    "COMPLETED": Status.SCORED,
    "ABORTED": Status.ABORTED,
    "FAILED": Status.FAILED,
}


def is_lawful(before: Status, after: Status) -> bool:
    return after in MOVES[before]
