"""Waiting for what cannot be waited for with a limit. The rule here: a job that is aborted is let go within a second, whatever it waits for.

What a client library does blocks until the server answers: a query, a lock, a line that is dead. It is done in a thread, while the caller looks
whether the job was aborted; then the server is asked to stop, and a thread that does not come back is left to end by itself.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from reconciler.engine.flow import TICK
from reconciler.errors import Cancelled

A = TypeVar("A")

_GRACE_S = 0.5  # for what was asked to stop


def waited(work: Callable[[], A], is_halted: Callable[[], bool], cancel: Callable[[], None] | None = None) -> A:
    """What `work` gives or raises. Raises Cancelled once the job is aborted; `work` may then be going on, and cleans up after itself."""
    future = started(work)
    while not is_over(future):
        if is_halted():
            if cancel:
                started(cancel)
                is_over(future, _GRACE_S)
            raise Cancelled("The job was aborted")
    return future.result()


def either(one: Callable[[], bool], other: Callable[[], bool]) -> Callable[[], bool]:
    return lambda: one() or other()


def started(work: Callable[[], A]) -> "Future[A]":
    future: Future[A] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="connector", daemon=True).start()
    return future


def is_over(future: "Future[A]", seconds: float = TICK) -> bool:
    """Whether it has ended, well or not, within these seconds."""
    try:
        future.exception(seconds)
    except TimeoutError:
        return future.done()
    return True
