"""The events of an apply as lines, and as what a live table shows. The rule here: it returns text and values, prints nothing."""

from dataclasses import dataclass, field

from reconciler.apply.event import BAD, Ended, Event, Noted, Progressed, Retried, Started, Submitted
from reconciler.plan.action import SCORES, Action
from reconciler.view.paint import Paint, shown

_STARTS = {
    Action.SUBMIT: "Submitting...",
    Action.RERUN: "Submitting...",
    Action.RESUME: "Resuming...",
    Action.UPDATE: "Updating...",
    Action.FORGET: "Forgetting...",
}
_ENDS = {
    "scored": "Scoring complete",
    "updated": "Update complete",
    "forgotten": "Forgotten",
    "failed": "Failed",
    "skipped": "Skipped",
    "detached": "Not awaited any longer",
}


def line_text(event: Event, paint: Paint) -> str:
    """One line, address first; the output's location is on it in full."""
    if isinstance(event, Noted):
        return f"Note: {event.text}"
    address = paint(f"{shown(event.address)}:", "bold")
    match event:
        case Started():
            return f"{address} {_STARTS[event.action]}" if event.action in SCORES else ""
        case Submitted():
            return f"{address} {'Found the job of the interrupted run' if event.is_adopted else 'Submitted'} [id={event.job_id}]"
        case Retried():
            return f"{address} Trying again: {shown(event.why)}"
        case Progressed(status="UPLOADING"):
            return f"{address} Uploading... [id={event.job_id}, {seconds(event.elapsed_s)} elapsed, {event.percent or 0:.0f}% sent]"
        case Progressed():
            percent = "" if event.percent is None else f", {event.percent:.0f}% scored"
            so_far = f"{seconds(event.elapsed_s)} elapsed{percent}, {event.scored_rows:,} rows"
            return f"{address} Still {event.status.lower()}... [id={event.job_id}, {so_far}]"
        case Ended(outcome="unchanged"):
            return f"{address} Up to date after all: the upstream job wrote the same intake"
        case Ended():
            tone = "bold red" if event.outcome in BAD else "bold"
            job = f" [id={event.job_id}]" if event.job_id else ""
            rows = f", {event.rows:,} rows" if event.rows is not None else ""
            return f"{address} {paint(_ENDS[event.outcome], tone)} after {seconds(event.elapsed_s)}{rows}{job}"


def seconds(elapsed: float) -> str:
    whole = int(elapsed)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


@dataclass
class Row:
    """One running job. The remaining time is not guessed before there are two samples."""

    address: str
    began: float
    status: str = "submitting"
    percent: float | None = None
    rows: int = 0
    samples: int = 0

    def eta(self, now: float) -> str:
        if not self.percent or self.samples < 2 or self.percent >= 100:
            return ""
        return f"eta {seconds((now - self.began) * (100 - self.percent) / self.percent)}"


@dataclass
class Tracker:
    """Which jobs run and how many ended, fed with the events in order."""

    total: int
    rows: dict[str, Row] = field(default_factory=dict)
    done: int = 0
    failed: int = 0

    def take(self, event: Event, now: float) -> None:
        match event:
            case Started():
                self.rows[event.address] = Row(event.address, now)
            case Progressed() if event.address in self.rows:
                row = self.rows[event.address]
                row.status, row.percent, row.rows = event.status.lower(), event.percent, event.scored_rows
                row.samples += 1
            case Ended():
                self.rows.pop(event.address, None)
                self.failed += event.outcome in BAD
                self.done += event.outcome not in BAD

    def running(self) -> list[Row]:
        return sorted(self.rows.values(), key=lambda row: (row.status != "running", row.address))

    def caption(self) -> str:
        waiting = self.total - self.done - self.failed - len(self.rows)
        return f"{self.done}/{self.total} done · {len(self.rows)} running · {waiting} waiting · {self.failed} failed"
