"""One job's fingerprint, component by component, as text. The rule here: every component is named, changed or not."""

from reconciler.plan.action import ACTIONS, SENTENCES, Action
from reconciler.plan.diff import field_changes
from reconciler.plan.plan import Change
from reconciler.view.paint import Paint, shown
from reconciler.view.plan import field_lines, intake_name, output_name, reason_text, side_fields

Component = tuple[str, str | None, str | None, str]  # its name, recorded, now, what it is about


def why_text(change: Change, paint: Paint) -> str:
    happens = "is up to date" if change.action is Action.NO_OP else ACTIONS[change.action].happens
    lines = [f"{paint('# ' + shown(change.address), 'bold')} {happens}"]
    lines += [f"  # ({reason_text(reason, change)}: {SENTENCES[reason]})" for reason in change.reasons]
    elsewhere = _elsewhere(change)
    lines += [_component(component, paint, component[0] in elsewhere) for component in _components(change)]
    if change.before and change.after and (changed := field_changes(side_fields(change.before, change), side_fields(change.after, change))):
        lines += ["", "  what differs:", *field_lines(changed, paint)]
    return "\n".join(lines) + "\n"


def _components(change: Change) -> list[Component]:
    before, after = change.before, change.after
    old = before.fingerprint if before else None
    new = after.fingerprint if after else None
    return [
        ("spec", old and old.spec, new and new.spec, f"{change.file}:{change.line}" if change.file else ""),
        ("intake", old and old.intake, new and new.intake, intake_name(change) or ""),
        ("model", old and old.model, new and new.model, change.deployment),
        ("output", before.output_digest if before else None, after.output_digest if after else None, output_name(change) or ""),
    ]


def _elsewhere(change: Change) -> set[str]:
    """The sides that are no local file, so that they may be there without a digest."""
    spec = change.after.spec if change.after else change.before.spec if change.before else {}
    return {side for side in ("intake", "output") if side in spec and spec[side]["type"] != "localFile"}


def _component(component: Component, paint: Paint, is_elsewhere: bool) -> str:
    name, old, new, about = component
    if old == new:
        state = ("not looked at" if is_elsewhere else "absent") if old is None else f"unchanged  {old}"
    elif old is None:
        state = f"{paint('new', 'green')}        {new}"
    elif new is None:
        state = f"{paint('gone', 'red')}       {old}"
    else:
        state = f"{paint('changed', 'yellow')}    {old} {paint('->', 'yellow')} {new}"
    return f"    {name.ljust(6)} {state}" + (f"  ({shown(about)})" if about else "")
