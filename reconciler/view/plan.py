"""A plan as terminal text, in Terraform's form. The rule here: it returns text, prints nothing and decides nothing."""

import json
import re
from collections.abc import Iterable
from typing import Any

from reconciler.plan.action import ACTIONS, Action, Reason
from reconciler.plan.diff import MISSING, FieldChange, field_changes, leaves
from reconciler.plan.plan import Change, Plan, Side
from reconciler.view.diagnostics import diagnostics_text
from reconciler.view.paint import Paint, shown

_TONES = {Action.SUBMIT: "green", Action.RERUN: "red", Action.RESUME: "cyan", Action.UPDATE: "yellow", Action.FORGET: "red"}

# The spec's names of the two blocks.
_BLOCKS = {"intake": "intake_settings", "output": "output_settings"}
# Mappings whose keys are the user's own, not names of ours to respell.
_USERS_KEYS = frozenset({"columnNamesRemapping", "headers"})
# As much is told of what has changed at a place, and of each value.
_FACTS = 3
_FACT_LENGTH = 60


def no_changes_text(plan: Plan, paint: Paint) -> str:
    jobs = "The specs name no jobs." if plan.unchanged == 0 else f"All {plan.unchanged} {'job is' if plan.unchanged == 1 else 'jobs are'} up to date."
    return f"{paint('No changes.', 'bold green')} {paint(jobs, 'bold')}\n{diagnostics_text(plan.notes, paint)}"


def plan_text(plan: Plan, paint: Paint, *, limit: int | None = 100) -> str:
    """Legend, every change with its reasons and fields, summary. At most `limit` changes are drawn; the summary counts all."""
    if not plan.is_applyable:
        return no_changes_text(plan, paint)
    ordered = sorted(plan.changes, key=lambda change: change.address)
    drawn = ordered if limit is None else ordered[:limit]
    parts = [_legend(plan, paint), "reconciler will perform the following actions:\n"]
    parts += [_change(change, paint) for change in drawn]
    if len(drawn) < len(ordered):
        rest = len(ordered) - len(drawn)
        parts.append(f"  … and {rest} more {'change' if rest == 1 else 'changes'}. Show them all with -verbose.\n")
    parts.append(summary_text(plan, paint))
    if plan.is_partial:
        parts.append(f"{paint('Warning:', 'bold yellow')} -target limits this plan, so other jobs may still need an apply.\n")
    return "\n".join(parts) + diagnostics_text(plan.notes, paint)


def _legend(plan: Plan, paint: Paint) -> str:
    counts = plan.counts()
    lines = [f"{_sign(action, paint)} {known.legend}" for action, known in ACTIONS.items() if counts.get(action)]
    return "The plan uses these signs:\n" + "".join(f"{line}\n" for line in lines)


def _sign(action: Action, paint: Paint) -> str:
    sign = ACTIONS[action].sign
    return " " * (3 - len(sign)) + paint(sign, _TONES[action])


def summary_text(plan: Plan, paint: Paint) -> str:
    counts = plan.counts()
    # The first two are always there, as readers and scripts look for them.
    always = (Action.SUBMIT, Action.RERUN)
    shown_counts = [f"{counts.get(a, 0)} to {k.summary}" for a, k in ACTIONS.items() if counts.get(a) or a in always]
    return f"{paint('Plan:', 'bold')} {', '.join(shown_counts)}, {plan.unchanged} unchanged.\n"


def _change(change: Change, paint: Paint) -> str:
    happens = ACTIONS[change.action].happens
    lines = [f"  {paint('# ' + shown(change.address), 'bold')} {happens}"]
    lines += [f"  # ({reason_text(reason, change)})" for reason in change.reasons]
    lines.append(f"{_sign(change.action, paint)} job {_labels(change.address)} {{")
    lines += _fields(change, paint)
    lines.append("    }")
    return "\n".join(lines) + "\n"


def _labels(address: str) -> str:
    """`job.diabetes["2026-10"]` as the labels of a block: `"diabetes" "2026-10"`."""
    name, bracket, key = address.removeprefix("job.").partition("[")
    return f'"{shown(name)}"' + (f" {shown(key.removesuffix(']'))}" if bracket else "")


def reason_text(reason: Reason, change: Change) -> str:
    """The reason, with the thing that it is about."""
    about: dict[Reason, str | None] = {
        Reason.SPEC_CHANGED: _changed_names(change) if reason is Reason.SPEC_CHANGED else None,
        Reason.INTAKE_CHANGED: intake_name(change),
        Reason.INTAKE_SEEN_OTHERWISE: intake_name(change),
        Reason.INTAKE_UNKNOWN: intake_name(change),
        Reason.MODEL_REPLACED: change.deployment,
        Reason.OUTPUT_MISSING: output_name(change),
        Reason.OUTPUT_ALTERED: output_name(change),
        Reason.UPSTREAM_RERUNS: change.intake_file,
        Reason.INTERRUPTED: change.open_run and f"run {change.open_run}",
        Reason.IN_DOUBT: change.open_run and f"run {change.open_run}",
    }
    thing = about.get(reason)
    how = _changed_facts(change) if reason is Reason.INTAKE_CHANGED else ""
    return (f"{reason}: {shown(thing)}" if thing else str(reason)) + (f" ({shown(how)})" if how else "")


def intake_name(change: Change) -> str | None:
    """The file, or what else names the rows."""
    if change.intake_file is not None or change.after is None:
        return change.intake_file
    intake = change.after.spec["intake"]
    named = next((str(intake[key]) for key in ("datasetId", "url", "path") if key in intake), "")
    named = named or ".".join(str(intake[part]) for part in ("catalog", "schema", "dataset", "table") if intake.get(part))
    named = named or " ".join(intake.get("query", "").split())[:_FACT_LENGTH]
    return f"{intake['type']} {named}".rstrip()


def output_name(change: Change) -> str | None:
    """The file, or the url of an object."""
    if change.output_file is not None or change.after is None:
        return change.output_file
    url: str | None = change.after.spec["output"].get("url")
    return url


def _changed_facts(change: Change) -> str:
    """What of an intake that is no file has changed, as far as both sides are known: the first few facts, old and new."""
    old, new = (side and side.facts for side in (change.before, change.after))
    if not old or not new:
        return ""
    before, after = dict(leaves(old)), dict(leaves(new))
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path, MISSING) != after.get(path, MISSING))
    told = [path for path in changed if path != ("digest",)] or changed
    facts = [f"{'.'.join(path)} {_fact(before.get(path, MISSING))} → {_fact(after.get(path, MISSING))}" for path in told[:_FACTS]]
    return ", ".join(facts) + (f", and {len(told) - _FACTS} more" if len(told) > _FACTS else "")


def _fact(value: Any) -> str:
    if value is MISSING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _FACT_LENGTH else f"{text[:_FACT_LENGTH]}…"


def _changed_names(change: Change) -> str:
    """Which fields of the spec differ; what has its own reason is not among them."""
    if change.before is None or change.after is None:
        return ""
    changed = field_changes(side_fields(change.before, change), side_fields(change.after, change))
    own = {"intake_content", "model", *change.before.metadata, *change.after.metadata}
    return ", ".join(".".join(item.path) for item in changed if item.path[0] not in own and item.path != ("intake_settings", "file"))


def side_fields(side: Side, change: Change) -> dict[str, Any]:
    """One side of a change as nested fields under the spec's own names."""
    spec = {_BLOCKS.get(key) or _snake_name(key): _snake(value) for key, value in side.spec.items() if key != "options"}
    intake = side.fingerprint.intake if side is change.before or change.is_intake_known else "(known after the upstream job)"
    if intake is None and side.spec["intake"]["type"] != "localFile":
        intake = "(not looked at)"
    digests = {"intake_content": intake, "model": side.fingerprint.model}
    return {**spec, **_snake(side.spec.get("options", {})), **side.metadata, **digests}


def _snake(value: Any) -> Any:
    if isinstance(value, dict):
        return {_snake_name(key): inner if key in _USERS_KEYS else _snake(inner) for key, inner in value.items()}
    return value


def _snake_name(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)


def _fields(change: Change, paint: Paint) -> list[str]:
    before = side_fields(change.before, change) if change.before else {}
    after = side_fields(change.after, change) if change.after else {}
    if change.action is Action.SUBMIT:
        return field_lines([FieldChange(path, MISSING, value) for path, value in leaves(after)], paint)
    if change.action is Action.FORGET:
        return field_lines([FieldChange(path, value, MISSING) for path, value in leaves(before)], paint)
    if not before or not after:
        return []
    changed = field_changes(before, after)
    hidden = len(list(leaves(after))) - sum(change.after is not MISSING for change in changed)
    note = f"        {paint(f'# ({hidden} unchanged {_attributes(hidden)} hidden)', 'grey')}"
    return [*field_lines(changed, paint), *([note] if hidden else [])]


def _attributes(count: int) -> str:
    return "attribute" if count == 1 else "attributes"


def field_lines(changes: Iterable[FieldChange], paint: Paint) -> list[str]:
    rows = [(".".join(change.path), change) for change in changes]
    width = max((len(name) for name, _ in rows), default=0)
    return [_line(name.ljust(width), change, paint) for name, change in rows]


def _line(name: str, change: FieldChange, paint: Paint) -> str:
    if change.before is MISSING:
        return f"      {paint('+', 'green')} {shown(name)} = {_value(change.after)}"
    if change.after is MISSING:
        return f"      {paint('-', 'red')} {shown(name)} = {_value(change.before)}"
    return f"      {paint('~', 'yellow')} {shown(name)} = {_value(change.before)} {paint('->', 'yellow')} {_value(change.after)}"


def _value(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"blake3:[0-9a-f]{64}", value):
        return f'"{value[:19]}…"'  # enough to tell two apart; `state show` and -json give it whole
    if isinstance(value, str) and value.startswith("(known after"):
        return value
    return shown(json.dumps(value, ensure_ascii=False))
