"""Doing the changes of a plan side by side. The rule here: a change begins when those that it depends on have ended well, and not before."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from reconciler.apply.event import BAD, Ended, Listener
from reconciler.diagnostic import Diagnostic
from reconciler.errors import Detached, ReconcilerError, StateError
from reconciler.plan.plan import Change

Do = Callable[[Change], Awaitable[Ended]]


async def do_all(changes: Sequence[Change], do: Do, listen: Listener) -> list[Ended]:
    """Every change ends in one Ended, in the order given. One that fails stops only those that depend on it.

    A StateError, or a bug, stops everything at once and is raised in an ExceptionGroup: without the state nothing more may be done.
    """
    tasks: dict[str, asyncio.Task[Ended]] = {}

    async def run(change: Change) -> Ended:
        ended = await _after_upstream(change, [tasks[name] for name in change.depends_on if name in tasks])
        if ended is None:
            ended = await _caught(change, do)
        listen(ended)
        return ended

    async with asyncio.TaskGroup() as group:
        # All tasks exist before the first one runs, so each finds those that it waits for.
        tasks.update({change.address: group.create_task(run(change)) for change in changes})
    return [tasks[change.address].result() for change in changes]


async def _after_upstream(change: Change, upstream: Iterable[asyncio.Task[Ended]]) -> Ended | None:
    for task in upstream:
        ended = await task
        if ended.outcome in BAD:
            why = Diagnostic("A job was skipped", f"{ended.address}, which it depends on, was not scored.", address=change.address)
            return Ended(change.address, change.action, "skipped", 0.0, diagnostic=why)
    return None


async def _caught(change: Change, do: Do) -> Ended:
    began = time.monotonic()
    try:
        return await do(change)
    except StateError:
        raise
    except Detached as error:
        why = Diagnostic(error.summary, error.detail, address=change.address)
        return Ended(change.address, change.action, "detached", time.monotonic() - began, diagnostic=why)
    except ReconcilerError as error:
        why = Diagnostic(error.summary, error.detail, address=change.address)
        return Ended(change.address, change.action, "failed", time.monotonic() - began, diagnostic=why)
