"""A job's statuses and the moves between them, as one table. The rule here: a status changes by a move of this table or not at all."""

from typing import Literal, get_args

Status = Literal["INITIALIZING", "RUNNING", "COMPLETED", "ABORTED", "FAILED"]

STATUSES: tuple[Status, ...] = get_args(Status)
OPEN: frozenset[Status] = frozenset({"INITIALIZING", "RUNNING"})

# FAILED is a word of the wire that no move leads to: the official client never stops waiting on it, so a hard failure ends in ABORTED.
MOVES: dict[tuple[Status, Status], str] = {
    ("INITIALIZING", "RUNNING"): "a worker takes the job",
    ("INITIALIZING", "ABORTED"): "it is deleted while it waits, or its upload fails",
    ("RUNNING", "COMPLETED"): "every row is scored and on disk",
    ("RUNNING", "ABORTED"): "it is deleted while it runs, or cannot be uploaded or scored",
    ("RUNNING", "INITIALIZING"): "the service stopped or died while it ran, so it is scored again",
}


def is_lawful(before: Status, after: Status) -> bool:
    return (before, after) in MOVES


def has_ended(status: Status) -> bool:
    return status not in OPEN
