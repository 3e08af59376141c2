"""One process for one storage folder. The rule here: the lock dies with its process, so a crash never leaves one behind."""

import fcntl
import os
from pathlib import Path

from reconciler.errors import ServiceError


class FolderLock:
    """An exclusive flock on a file in the folder; the file stays, only the lock goes."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = _opened(folder)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise ServiceError(
                "The embedded service is already running",
                f"Another process is scoring with {folder}. Wait until it ends, or stop it, and try again.",
            ) from None

    def release(self) -> None:
        os.close(self._descriptor)


def _opened(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / "service.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ServiceError("The embedded service's folder cannot be written", f"{folder}: {error.strerror}.") from error
