"""Files that leave. The rule here: the store forgets them first, so that a crash in between leaves an orphan, never a promise."""

import logging
import threading
from datetime import timedelta

from reconciler.service import moment
from reconciler.service.files import Files
from reconciler.service.store import Store

_LOG = logging.getLogger(__name__)
_INTERVAL = 60.0
STALLED = "the upload was begun, but never finished"


class Sweeper:
    """A thread that removes the files of deleted jobs at once, and those of other jobs when they have been kept for long enough."""

    def __init__(self, store: Store, files: Files, clock: moment.Clock, retention: timedelta) -> None:
        self._store = store
        self._files = files
        self._clock = clock
        self._retention = retention
        self._stopping = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def wake(self) -> None:
        """A job has ended or was deleted."""
        self._wake.set()

    def _work(self) -> None:
        failures = 0
        while True:
            self._wake.clear()
            if self._stopping:  # set before the event, so it is seen here or the event is still to come
                return
            try:
                self.sweep()
                failures = 0
            except Exception:
                # Such as a part that was being written into the folder that was removed.
                _LOG.exception("files that are no longer kept cannot be removed; the next round tries again")
                failures += 1
            self._wake.wait(min(_INTERVAL, 2.0**failures) if failures else _INTERVAL)

    def sweep(self) -> None:
        self._files.remove_rejects(self._clock() - self._retention)
        before = moment.rfc3339(self._clock() - self._retention)
        for job in self._store.stalled(before):
            self._store.cut_upload(job.id, STALLED)
            self._files.remove_upload(job.id)
        for job in self._store.expired(before):
            self._files.remove(job.id)
            self._store.forget_files(job.id)  # only now: what could not be removed must be found again
