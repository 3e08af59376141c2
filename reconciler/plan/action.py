"""What a plan may decide, and why. The rule here: actions and reasons are closed lists, each with its sign and its sentence in a table."""

from enum import StrEnum
from typing import NamedTuple


class Action(StrEnum):
    NO_OP = "no-op"
    SUBMIT = "submit"
    RERUN = "rerun"
    RESUME = "resume"
    UPDATE = "update"
    FORGET = "forget"


class Shown(NamedTuple):
    """How an action reads: its sign, its line in the legend, what will happen to the address, its word in the summary."""

    sign: str
    legend: str
    happens: str
    summary: str


# In the order of the legend and of the summary.
ACTIONS: dict[Action, Shown] = {
    Action.SUBMIT: Shown("+", "submit", "will be submitted", "submit"),
    Action.RERUN: Shown("-/+", "rerun (the new run supersedes the old one, which stays in the history)", "must be rerun", "rerun"),
    Action.RESUME: Shown(">", "resume (an interrupted run goes on; nothing is submitted twice)", "will be resumed", "resume"),
    Action.UPDATE: Shown("~", "update in place (never reaches the scorer)", "will be updated in place", "update"),
    Action.FORGET: Shown(".", "forget (its runs stay in the history, its outputs stay where they are)", "will be forgotten", "forget"),
}

# Actions after which the scorer has work.
SCORES = frozenset({Action.SUBMIT, Action.RERUN, Action.RESUME})


class Reason(StrEnum):
    NEVER_RUN = "never run"
    SPEC_CHANGED = "spec changed"
    INTAKE_CHANGED = "intake changed"
    INTAKE_SEEN_OTHERWISE = "intake looked at otherwise"
    INTAKE_UNKNOWN = "intake unknown"
    MODEL_REPLACED = "model replaced"
    OUTPUT_MISSING = "output missing"
    OUTPUT_ALTERED = "output altered"
    LAST_RUN_FAILED = "last run failed"
    LAST_RUN_ABORTED = "last run aborted"
    REQUESTED = "requested"
    UPSTREAM_RERUNS = "upstream reruns"
    INTERRUPTED = "interrupted"
    IN_DOUBT = "in doubt"
    METADATA_CHANGED = "metadata changed"
    NOT_DECLARED = "not declared"


SENTENCES: dict[Reason, str] = {
    Reason.NEVER_RUN: "it was never scored",
    Reason.SPEC_CHANGED: "its spec changed",
    Reason.INTAKE_CHANGED: "the content of its intake changed",
    Reason.INTAKE_SEEN_OTHERWISE: "its intake is looked at in another way, so nobody can tell whether it changed",
    Reason.INTAKE_UNKNOWN: "its intake cannot be looked at, and on_unknown says rerun",
    Reason.MODEL_REPLACED: "the deployment's model was replaced",
    Reason.OUTPUT_MISSING: "its output is no longer there",
    Reason.OUTPUT_ALTERED: "its output was altered since it was delivered",
    Reason.LAST_RUN_FAILED: "its last run failed",
    Reason.LAST_RUN_ABORTED: "its last run was aborted",
    Reason.REQUESTED: "-replace names it",
    Reason.UPSTREAM_RERUNS: "the job that writes its intake will run",
    Reason.INTERRUPTED: "an apply was interrupted while it ran",
    Reason.IN_DOUBT: "nobody knows whether its last job has left rows in the table",
    Reason.METADATA_CHANGED: "its description, tags, timeouts or retries changed",
    Reason.NOT_DECLARED: "it is no longer in the specs",
}
