"""Python's cyclic garbage collector. The rule here: it is off only where all that is made is kept, or is let go without a cycle."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """For work that makes 100,000 tuples and no cycle: looking for cycles among them would take a third of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
