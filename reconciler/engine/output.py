"""The scored file. The rule here: what `finish` returned is on the disk."""

import codecs
import os
from pathlib import Path
from types import TracebackType

from reconciler.engine.dialect import Dialect
from reconciler.errors import ScoringError


class Output:
    """Takes UTF-8 and writes the job's encoding."""

    def __init__(self, path: Path, dialect: Dialect) -> None:
        self.path = path
        self.bytes_written = 0
        self._dialect = dialect
        self._encoder = codecs.getincrementalencoder(dialect.encoding)("strict")
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed on leaving the context
        except OSError as error:
            raise self._unwritable(error) from error

    def __enter__(self) -> "Output":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def write(self, text: bytes) -> None:
        self._put(text if self._dialect.is_utf8 else self._encoded(text.decode()))

    def finish(self) -> None:
        if not self._dialect.is_utf8:
            self._put(self._encoder.encode("", True))
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def _put(self, content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._unwritable(error) from error
        self.bytes_written += len(content)

    def _encoded(self, text: str) -> bytes:
        try:
            return self._encoder.encode(text)
        except UnicodeEncodeError as error:
            character = error.object[error.start]
            detail = (
                f"{self._dialect.encoding} has no {character!r} (U+{ord(character):04X}), which a class label, the target's name or a "
                "column name holds. Choose another csv_settings.encoding, or rename it."
            )
            raise ScoringError("The output cannot be encoded", detail) from error

    def _unwritable(self, error: OSError) -> ScoringError:
        return ScoringError("The output cannot be written", f"{self.path}: {error.strerror or error}.")
