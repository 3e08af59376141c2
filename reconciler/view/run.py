"""Runs and their history, as text and as JSON. The rule here: the same facts in both, and the names of the state's columns."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from reconciler.state.record import Event, Run
from reconciler.view.paint import Paint, shown

_TONES = {"delivered": "green", "failed": "red", "aborted": "red"}


def run_document(run: Run) -> dict[str, Any]:
    return {**vars(run), "status": str(run.status)}


def run_text(run: Run, paint: Paint, metadata: dict[str, Any] | None = None) -> str:
    """One run in a config-like form: every fact that is known."""
    facts = {**run_document(run), **(metadata or {})}
    rows = [(name, value) for name, value in facts.items() if value is not None and name not in ("address", "request")]
    width = max(len(name) for name, _ in rows)
    lines = [f"    {name.ljust(width)} = {shown(json.dumps(value, ensure_ascii=False))}" for name, value in rows]
    return "\n".join([f"{paint('# ' + shown(run.address), 'bold')}:", f'job "{shown(run.address.removeprefix("job."))}" {{', *lines, "}"]) + "\n"


def runs_text(runs: Sequence[Run], paint: Paint) -> str:
    """The current run of every address: what was scored, when, how much, to where."""
    if not runs:
        return "The state records no delivered runs.\n"
    return "\n".join(_summary(run, paint) for run in runs)


def _summary(run: Run, paint: Paint) -> str:
    lines = [
        f"{paint('# ' + shown(run.address), 'bold')}:",
        f"    run        {run.id} {paint(str(run.status), _TONES.get(run.status, 'bold'))} {run.ended_at} by {shown(run.user)}@{shown(run.host)}",
        f"    deployment {shown(run.deployment)}",
        f"    rows       {run.scored_rows} scored, {run.failed_rows} failed, {run.skipped_rows} skipped",
        f"    output     {shown(run.output or '')}" + ("" if run.output_bytes is None else f" ({run.output_bytes} bytes, {run.output_digest})"),
    ]
    return "\n".join(lines) + "\n"


def event_document(event: Event) -> dict[str, Any]:
    return {**vars(event), "detail": dict(event.detail)}


def history_text(events: Iterable[Event], paint: Paint) -> str:
    lines = [_event(event, paint) for event in events]
    return "".join(lines) or "The history is empty.\n"


def _event(event: Event, paint: Paint) -> str:
    kind = paint(event.kind.ljust(9), _TONES.get(event.kind, "bold"))
    told = "; ".join(_told(event.detail))
    run = f" run {event.run_id}" if event.run_id else ""
    return f"{event.serial:>6}  {event.at}  {kind}  {shown(event.address)}{run}{'  ' + shown(told) if told else ''}\n"


def _told(detail: dict[str, Any]) -> list[str]:
    """What a reader wants of an event: why, how much, what went wrong."""
    told = [", ".join(detail["reasons"])] if detail.get("reasons") else []
    if detail.get("scored_rows") is not None:
        told.append(f"{detail['scored_rows']} rows")
    if detail.get("status_details") and "scored_rows" not in detail:
        told.append(str(detail["status_details"]).splitlines()[0])
    return told
