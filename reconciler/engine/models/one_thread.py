"""One thread for the arithmetic of an estimator's libraries. The rule here: all who are inside have one, and the last one out leaves it as it was.

The pipeline calls from as many threads as there are cores, and sums of floats cannot depend on the machine. OpenMP's limit is the calling thread's
own. BLAS has one for the process, and only the thread that set it may set it back: so a thread of its own holds it while anyone is inside.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import threadpoolctl


class OneThread:
    """Of the libraries that are loaded when it is made."""

    def __init__(self) -> None:
        pools = threadpoolctl.ThreadpoolController()
        self._openmp = pools.select(user_api="openmp")
        self._blas = pools.select(user_api="blas")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Entered by several threads at once."""
        _enter(self._blas)
        try:
            with self._openmp.limit(limits=1):
                yield
        finally:
            _leave()


_turn = threading.Lock()
_inside = 0
_over = threading.Event()
_holder = threading.Thread()


def _enter(blas: threadpoolctl.ThreadpoolController) -> None:
    global _inside, _over, _holder
    with _turn:
        if _inside == 0:
            begun, _over = threading.Event(), threading.Event()
            _holder = threading.Thread(target=_hold, args=(blas, begun, _over), name="one thread", daemon=True)
            _holder.start()
            begun.wait()
        _inside += 1


def _leave() -> None:
    global _inside
    with _turn:
        _inside -= 1
        if _inside == 0:
            _over.set()
            _holder.join()


def _hold(blas: threadpoolctl.ThreadpoolController, begun: threading.Event, over: threading.Event) -> None:
    with blas.limit(limits=1):
        begun.set()
        over.wait()
