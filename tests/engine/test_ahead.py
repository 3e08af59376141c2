"""A stage in a thread. The rule here: order is kept, and no thread stays whoever leaves first."""

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from reconciler.engine.ahead import ahead
from reconciler.errors import Cancelled


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def never() -> bool:
    return False


def test_items_come_in_order() -> None:
    assert list(ahead(iter(range(100)), never)) == list(range(100))


def test_an_error_comes_behind_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("disk")

    items = ahead(broken(), never)
    assert next(items) == 1
    with pytest.raises(OSError, match="disk"):
        next(items)


def test_who_leaves_early_leaves_no_thread() -> None:
    numbers = count()
    items = ahead(numbers, never)
    assert next(items) == 0
    items.close()
    assert next(numbers) < 20


def test_a_halt_ends_both_sides_and_is_not_taken_for_the_end() -> None:
    halt = threading.Event()
    numbers = count()
    items = ahead(numbers, halt.is_set)
    next(items)
    halt.set()
    with pytest.raises(Cancelled):
        list(items)
    assert next(numbers) < 20
