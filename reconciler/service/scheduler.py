"""The thread that starts scheduled jobs. The rule here: one job for one due time, whatever dies in between, and a run that comes late comes once.

A run that fell due while the server was down is made up for once, at the next start, however many were missed: a nightly job whose night
was slept through is scored in the morning, as DataRobot's own late runs are, and a minute-by-minute one does not flood the queue.

The job's idempotency key is the definition and its due time. So a process that dies after the job was made, and before the definition
knows it, makes no second one. What a run is refused for (a model that is gone, an output that another job writes) is logged, shown as
`lastFailedRunTime`, and not tried again before the next due time.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable
from datetime import datetime

from reconciler.errors import ReconcilerError
from reconciler.service import moment
from reconciler.service.definition import Definition
from reconciler.service.definitions import Definitions
from reconciler.service.refusal import Refusal

_LOG = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0  # well below a schedule's minute; a look is one read of an index

Submit = Callable[[Definition, str], object]  # with the idempotency key


class Scheduler:
    def __init__(self, definitions: Definitions, submit: Submit, clock: moment.Clock, look_seconds: float = _LOOK_SECONDS) -> None:
        self._definitions = definitions
        self._submit = submit
        self._clock = clock
        self._look_seconds = look_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="scheduler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def run_due(self) -> None:
        """Starts everything that is due now."""
        now = self._clock()
        for definition in self._definitions.due(now):
            self._run(definition, now)

    def _run(self, definition: Definition, now: datetime) -> None:
        try:
            self._submit(definition, f"schedule:{definition.id}:{definition.next_run}")
        except (Refusal, ReconcilerError) as error:
            _LOG.warning("the job definition %s (%r) could not be run: %s", definition.id, definition.name, error)
            self._definitions.ran(definition, now, is_refused=True)
        else:
            self._definitions.ran(definition, now, is_refused=False)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self.run_due()
            except sqlite3.Error:
                _LOG.exception("the service's database cannot be used; scheduled jobs wait")
            self._stopping.wait(self._look_seconds)
