"""What a room for a system offers. The rule here: its library is imported when a job needs it, not before.

A room is a module with some of these functions. Whatever a system says no to is a ScoringError that names the system, the object or table,
and the permission or setting, and never a secret.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol, cast

import pyarrow as pa

from reconciler.engine.connectors.rooms import ROOMS
from reconciler.engine.dialect import Dialect
from reconciler.engine.intake import Intake
from reconciler.engine.packages import engine_packages
from reconciler.engine.place import Place
from reconciler.engine.sink import Output, Sink


class Connector(Protocol):
    def look(self, place: Place) -> Mapping[str, Any] | None:
        """What tells one content of an intake from another, without reading it: plain JSON, the same as long as the content is.

        None: the system does not know. Raises ScoringError when it cannot be asked, or when there is nothing.
        """

    def open_intake(self, place: Place, dialect: Dialect, is_halted: Callable[[], bool]) -> Intake: ...

    def open_sink(self, place: Place) -> Sink:
        """For an output of bytes: an object, a request."""

    def open_output(self, place: Place, schema: pa.Schema) -> Output[pa.RecordBatch]:
        """For an output of rows: a table, or a folder of partitions. Its `finish` stages everything, and `settle` then shows it.

        Left without a `finish`, it has removed what it wrote.
        """

    def settle(self, place: Place, rows: int) -> None:
        """Bring the staged rows to where they belong, in one step, once: a second call, in another process too, finds it done.

        What they were staged in stays, empty, until it is discarded. Raises Absent when it is gone.
        """

    def discard(self, place: Place) -> None:
        """Remove what a job has left: of its output what is staged, or was, of its intake the files that it was unloaded to.

        There may be nothing. Raises nothing; what cannot be removed stays.
        """

    def ping(self, place: Place) -> None:
        """Log in. Only `credential` and `data_store` of the place are looked at, here and below."""

    def schemas(self, place: Place) -> list[str]: ...

    def tables(self, place: Place, schema: str | None) -> list[tuple[str, str, str]]:
        """Schema, name and kind (`table`, `view`, …), of all schemas if none is given."""


def connector(place: Place) -> Connector:
    """Raises ScoringError with the command that installs what is missing."""
    room = ROOMS[place.type]
    with engine_packages(room.extra):
        return cast(Connector, import_module(f"reconciler.engine.connectors.{room.module}"))
