"""Bytes to read: a file of this machine, or an object of a store. The rule here: it can be opened again, and reads the same."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from reconciler.errors import ScoringError


@dataclass(frozen=True)
class File:
    """`name` is how a message calls it. `open` gives the bytes from the beginning; `open_anywhere` a file that can seek as well.

    Both raise OSError or ScoringError, as does reading what they give.
    """

    name: str
    size: int
    open: Callable[[], BinaryIO]
    open_anywhere: Callable[[], BinaryIO]


def local_file(path: Path) -> File:
    """Raises ScoringError when it cannot be looked at."""

    def opened() -> BinaryIO:
        return open(path, "rb", buffering=0)

    try:
        return File(str(path), path.stat().st_size, opened, opened)
    except OSError as error:
        raise unreadable(str(path), error) from error


def unreadable(name: str, error: Exception) -> ScoringError:
    said = (error.strerror if isinstance(error, OSError) else None) or error
    return ScoringError("The intake cannot be read", f"{name}: {' '.join(str(said).split()).removesuffix('.')}.")
