"""The last step of an output of rows. The rule here: a line that breaks is no answer, so it is asked again until there is one.

A system that has moved the rows may be cut off before it says so. Whoever settles a second time finds it done, so nothing is written twice.
"""

import time
from collections.abc import Callable

from reconciler.engine.connectors.connector import connector
from reconciler.engine.flow import TICK
from reconciler.engine.place import Place
from reconciler.errors import UNSETTLED, Absent, Cancelled, Lost

_PAUSES_S = (0.2, 1.0, 3.0, 8.0, 15.0, 30.0)  # a database that goes over to another machine is back within a minute


def settle(output: Place, rows: int) -> None:
    """Raises Lost when nobody knows whether the rows are there; after every other ScoringError none of them is."""
    room = connector(output)
    lost: Lost | None = None
    for pause in (0.0, *_PAUSES_S):
        if not _is_waited(pause, output.is_halted):
            break
        try:
            room.settle(output, rows)
            return
        except Absent as error:
            raise Lost("The staged rows are gone", f"{error.detail} {UNSETTLED}: look there before they are scored again.") from error
        except Lost as error:
            lost = error
        except Cancelled:
            if lost is None:
                raise
            break
    assert lost is not None
    staged = f"The scores were staged as reconciler_{output.job}. If they are still there, remove them once you have looked."
    detail = f"{lost.detail} {UNSETTLED}: look there before they are scored again. {staged}"
    raise Lost("The system was lost while rows were written", detail) from lost


def _is_waited(seconds: float, is_halted: Callable[[], bool]) -> bool:
    """Whether the time has passed before the job was aborted."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if is_halted():
            return False
        time.sleep(min(TICK, left))
    return True
