"""An apply as it goes on: a live table on a terminal, plain lines elsewhere. The rule here: both say the same, and outputs are never cut."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from reconciler.apply.event import Ended, Event, Listener, Progressed, Started, Submitted
from reconciler.cli.session import Session, give, say
from reconciler.view.diagnostics import diagnostics_text
from reconciler.view.progress import Row, Tracker, line_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

# How often a job that is still running says so where there is no live table.
_STILL_S = 10.0


@contextmanager
def progress(session: Session, total: int) -> Iterator[Listener]:
    """A listener that shows the events of an apply of `total` changes."""
    if sys.stderr.isatty() and sys.stdout.isatty():
        with _live(session, total) as listen:
            yield listen
    else:
        yield _plain(session)


def _plain(session: Session) -> Listener:
    said: dict[str, float] = {}

    def listen(event: Event) -> None:
        if isinstance(event, Progressed):
            if event.elapsed_s - said.get(event.address, 0.0) < _STILL_S:
                return
            said[event.address] = event.elapsed_s
        if text := line_text(event, session.out):
            give(text)
        _tell_failure(event, session)

    return listen


def _tell_failure(event: Event, session: Session) -> None:
    if isinstance(event, Ended) and event.diagnostic is not None:
        say(diagnostics_text([event.diagnostic], session.err), nl=False)


@contextmanager
def _live(session: Session, total: int) -> Iterator[Listener]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True, highlight=False, no_color=session.no_color)
    tracker = Tracker(total)

    with Live(console=console, get_renderable=lambda: _table(tracker, console), refresh_per_second=8, transient=True):

        def listen(event: Event) -> None:
            tracker.take(event, time.monotonic())
            if isinstance(event, Started | Progressed | Submitted):
                return
            if text := line_text(event, session.err):
                console.print(Text.from_ansi(text), soft_wrap=True)
            if isinstance(event, Ended) and event.diagnostic is not None:
                console.print(Text.from_ansi(diagnostics_text([event.diagnostic], session.err)), soft_wrap=True)

        yield listen


def _table(tracker: Tracker, console: "Console") -> "RenderableType":
    """Running jobs, as many as fit, and one line that counts all."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    now = time.monotonic()
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=20, overflow="fold")
    wide = console.width >= 75
    for row in tracker.running()[: max(1, console.height - 4)]:
        bar: Any = ProgressBar(total=100, completed=row.percent or 0, width=24, pulse=row.percent is None)
        cells: list[Any] = [Text(row.address), Text(row.status), *([bar] if wide else []), *map(Text, _numbers(row, now))]
        table.add_row(*cells)
    return Group(table, Text(tracker.caption(), style="bold"))


def _numbers(row: Row, now: float) -> tuple[str, ...]:
    percent = "?" if row.percent is None else f"{row.percent:.0f}%"
    return percent, f"{row.rows:,} rows", row.eta(now)
