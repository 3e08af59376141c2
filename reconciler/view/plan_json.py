"""A plan as one JSON document, in the shape of `terraform show -json`. The rule here: the same facts as the text, and no secret."""

from typing import Any

from reconciler.plan.action import Action
from reconciler.plan.diff import MISSING, field_changes
from reconciler.plan.plan import Change, Plan, Side
from reconciler.version import VERSION
from reconciler.view.plan import side_fields

# Minor versions add, a major one breaks.
FORMAT_VERSION = "1.0"

# Terraform's words, so that policies written for `resource_changes[].change.actions` read ours.
_ACTIONS = {
    Action.NO_OP: ["no-op"],
    Action.SUBMIT: ["create"],
    Action.RERUN: ["create", "delete"],
    Action.RESUME: ["create"],
    Action.UPDATE: ["update"],
    Action.FORGET: ["forget"],
}


def plan_document(plan: Plan) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "reconciler_version": VERSION,
        "workspace": plan.workspace,
        "endpoint": plan.endpoint and plan.endpoint["endpoint"],
        "lineage": plan.lineage,
        "serial": plan.serial,
        "applyable": plan.is_applyable,
        "summary": {**{str(action): count for action, count in sorted(plan.counts().items())}, "unchanged": plan.unchanged},
        "notes": [note.as_json() for note in plan.notes],
        "resource_changes": [change_document(change) for change in sorted(plan.changes, key=lambda change: change.address)],
    }


def change_document(change: Change) -> dict[str, Any]:
    before = side_fields(change.before, change) if change.before else None
    after = side_fields(change.after, change) if change.after else None
    differing = field_changes(before, after) if before and after else []
    return {
        "address": change.address,
        "type": "job",
        "action": str(change.action),
        "reasons": [str(reason) for reason in change.reasons],
        "file": change.file,
        "line": change.line,
        "fingerprint": {"before": _fingerprint(change.before), "after": _fingerprint(change.after)},
        **_facts(change),
        "change": {
            "actions": _ACTIONS[change.action],
            "before": before,
            "after": after,
            "diff": [{"path": list(item.path), **_side("before", item.before), **_side("after", item.after)} for item in differing],
        },
    }


def _side(name: str, value: Any) -> dict[str, Any]:
    return {} if value is MISSING else {name: value}


def _facts(change: Change) -> dict[str, Any]:
    """Behind the digests of an intake that is no file; `before` are those that the current run has recorded."""
    before, after = (side and side.facts for side in (change.before, change.after))
    return {"intake_facts": {"before": before, "after": after}} if before or after else {}


def _fingerprint(side: Side | None) -> dict[str, str | None] | None:
    return None if side is None else side.fingerprint._asdict()
