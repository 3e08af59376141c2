"""Where the bytes of an output go. The rule here: the name shows them when all are there, or it shows what it did before."""

import os
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

from reconciler.errors import ScoringError

Content = TypeVar("Content", contravariant=True)


class Sink(Protocol):
    """Raises ScoringError, from every method but `close`."""

    @property
    def name(self) -> str:
        """As a message names it."""

    def write(self, content: bytes) -> None: ...

    def finish(self) -> None:
        """Everything is there, durably, when this returns."""

    def close(self) -> None:
        """Always called at the end. Without a `finish` before it, nothing of what was written is ever seen."""


class Output(Protocol[Content]):
    """Left without a `finish`, nothing of what was written is ever seen. Raises ScoringError."""

    @property
    def bytes_written(self) -> int: ...

    def __enter__(self) -> "Output[Content]": ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
    def write(self, content: Content) -> None: ...
    def finish(self) -> None: ...


class FileSink:
    """A file of this machine, which is emptied at once: the caller gives a name of its own and renames it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise self._unwritable(error) from error

    def write(self, content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._unwritable(error) from error

    def finish(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        self._file.close()

    def _unwritable(self, error: OSError) -> ScoringError:
        return ScoringError("The output cannot be written", f"{self.name}: {error.strerror or error}.")
