"""The threads of the libraries under an estimator. The rule here: one for all who are inside, whoever leaves first, and afterwards as before."""

import threading
from collections.abc import Iterator

import pytest
import sklearn.ensemble  # noqa: F401 - loads the libraries
import threadpoolctl

from reconciler.engine.models.one_thread import OneThread


def limits() -> dict[str, int]:
    """Of this thread, for each library."""
    return {each.filepath: each.num_threads for each in threadpoolctl.ThreadpoolController().lib_controllers}


def limit_blas(threads: int) -> None:
    """By a thread that then ends: as long as it lives, nobody else may."""
    setting = threading.Thread(target=threadpoolctl.threadpool_limits, args=(threads, "blas"))
    setting.start()
    setting.join()


@pytest.fixture
def before() -> Iterator[dict[str, int]]:
    """The limits that a thread has from the start; of BLAS two, whatever machine this is."""
    (usual,) = {each.num_threads for each in threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers}
    limit_blas(2)
    yield limits()
    limit_blas(usual)


class Guest(threading.Thread):
    """Goes in, and stays until it is told to go. Remembers its limits at the one and at the other."""

    def __init__(self, one_thread: OneThread) -> None:
        super().__init__()
        self.one_thread = one_thread
        self.is_in, self.may_go = threading.Event(), threading.Event()
        self.seen: list[set[int]] = []
        self.start()
        self.is_in.wait()

    def run(self) -> None:
        with self.one_thread.held():
            self.seen.append(set(limits().values()))
            self.is_in.set()
            self.may_go.wait()
            self.seen.append(set(limits().values()))

    def go(self) -> None:
        self.may_go.set()
        self.join()


@pytest.mark.parametrize("leaves_first", [0, 1], ids=["the first leaves first", "the last leaves first"])
def test_whoever_is_inside_has_one_thread_and_afterwards_all_is_as_before(before: dict[str, int], leaves_first: int) -> None:
    one_thread = OneThread()
    guests = [Guest(one_thread), Guest(OneThread())]
    guests[leaves_first].go()
    guests[1 - leaves_first].go()
    assert [guest.seen for guest in guests] == [[{1}, {1}]] * 2
    assert limits() == before
    again = Guest(one_thread)
    again.go()
    assert again.seen == [{1}, {1}]
    assert limits() == before


def test_an_error_inside_leaves_all_as_before(before: dict[str, int]) -> None:
    with pytest.raises(ZeroDivisionError), OneThread().held():
        _ = 1 / 0
    assert limits() == before
