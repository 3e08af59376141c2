"""The threads of a job: one reads, several score, the caller writes. The rule here: the order of the intake is kept, for results and for errors.

    reader thread ──submits──► pool of scorers
          └──the futures, in order──► bounded queue ──► the caller

Results are taken in order, so the error that comes out is the one nearest to the beginning of the intake, whichever thread met one first.
The queue is what bounds the memory: a reader that is ahead waits. When the job ends early, a call of a model that takes long is not waited for: a
thread cannot be stopped, and slow code of the user's own may take a minute. It ends by itself, and what it gives is dropped.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from queue import Empty, Full, Queue, SimpleQueue
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")

# How long any thread waits before it looks whether the job was stopped.
TICK = 0.1
# How long a call that is under way is waited for at the end. Those of the libraries take some tenths of a second.
_GRACE_S = 0.7


class Flow(Generic[A, B]):
    def __init__(self, work: Callable[[A], B], workers: int, halt: threading.Event) -> None:
        self._work = work
        self._halt = halt
        self._tasks: SimpleQueue[tuple[Future[B], A] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._score, name=f"score {number}", daemon=True) for number in range(workers)]
        self._ahead: Queue[Future[B] | None] = Queue(2 * workers)

    def results(self, pieces: Iterable[A], heartbeat: Callable[[], None]) -> Generator[B, None, None]:
        """`work` of each piece, in order. `heartbeat` is called in the caller's thread, at least each TICK; what it raises ends the flow."""
        reader = threading.Thread(target=self._read, args=(pieces,), name="read", daemon=True)
        for thread in (reader, *self._threads):
            thread.start()
        try:
            while (future := self._next(heartbeat)) is not None:
                yield self._finished(future, heartbeat)
        finally:
            self._halt.set()
            reader.join()
            self._leave()

    def _read(self, pieces: Iterable[A]) -> None:
        try:
            for piece in pieces:
                future: Future[B] = Future()
                self._tasks.put((future, piece))
                if not self._hand_on(future):
                    return
            self._hand_on(None)
        except BaseException as error:
            failed: Future[B] = Future()
            failed.set_exception(error)
            self._hand_on(failed)

    def _score(self) -> None:
        while task := self._tasks.get():
            future, piece = task
            if self._halt.is_set():
                continue  # nobody waits for it
            try:
                future.set_result(self._work(piece))
            except BaseException as error:
                future.set_exception(error)

    def _leave(self) -> None:
        for _ in self._threads:
            self._tasks.put(None)
        until = time.monotonic() + _GRACE_S
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0))

    def _hand_on(self, future: Future[B] | None) -> bool:
        while not self._halt.is_set():
            try:
                self._ahead.put(future, timeout=TICK)
                return True
            except Full:
                continue
        return False

    def _next(self, heartbeat: Callable[[], None]) -> Future[B] | None:
        while True:
            heartbeat()
            try:
                return self._ahead.get(timeout=TICK)
            except Empty:
                continue

    def _finished(self, future: Future[B], heartbeat: Callable[[], None]) -> B:
        while True:
            heartbeat()
            try:
                return future.result(timeout=TICK)
            except TimeoutError:
                if future.done():
                    return future.result()  # finished just now, or the work itself timed out
