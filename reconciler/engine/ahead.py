"""A stage of its own: an iterator that runs in a thread, a little ahead of its caller. The rule here: it never outlives the caller's loop."""

import threading
from collections.abc import Callable, Generator, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

from reconciler.engine.flow import TICK
from reconciler.errors import Cancelled

A = TypeVar("A")

_MOST = 4


def ahead(items: Iterator[A], is_halted: Callable[[], bool]) -> Generator[A, None, None]:
    """The items in order. What the iterator raises is raised here, behind the items before it; after a halt Cancelled is, for these were not all."""
    queue: Queue[tuple[A | None, BaseException | None]] = Queue(_MOST)
    left = threading.Event()

    def is_over() -> bool:
        return left.is_set() or is_halted()

    def put(item: A | None, error: BaseException | None) -> None:
        while not is_over():
            try:
                queue.put((item, error), timeout=TICK)
                return
            except Full:
                continue

    def run() -> None:
        try:
            for item in items:
                put(item, None)
                if is_over():
                    return
            put(None, StopIteration())
        except BaseException as error:
            put(None, error)

    thread = threading.Thread(target=run, name="decode", daemon=True)
    thread.start()
    try:
        while not is_halted():
            try:
                item, error = queue.get(timeout=TICK)
            except Empty:
                continue
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
        raise Cancelled("The job was aborted")
    finally:
        left.set()
        thread.join()
