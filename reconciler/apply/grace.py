"""Steps that an interrupt must not leave half done. The rule here: whoever is cancelled waits until such a step has ended, or its time is over."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def ended(step: Awaitable[_T], grace_s: float | None = None) -> _T:
    """The step's result. When we are cancelled, it goes on for at most `grace_s` seconds (None: to its end) before the cancellation does."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait({task}, timeout=grace_s)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # heard; the cancellation is what counts now
        raise


async def in_thread(work: Callable[..., _T], *what: Any) -> _T:
    """Blocking work on files: a thread cannot be stopped, so it is never left alone with them."""
    return await ended(asyncio.to_thread(work, *what))
