"""Digests of local files, each file read once. The rule here: git's racy-write rule, so a change is never missed.

A digest is kept with the file's size, times and inode, and reused while these are the same. It is kept only of a file that was quiet when it was
read: one that was written less than `_QUIET_NS` before may be written again without a change of its times, so it will be read once more.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from reconciler.fingerprint import file_digest

# Wider than the coarsest file time in use (FAT: 2 s), so an equal mtime after it proves that nothing was written.
_QUIET_NS = 2_000_000_000


class Witness(NamedTuple):
    """A quiet file as it was when its digest was taken."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    digest: str


class Digests:
    """Digests by path, relative ones from `root`. What is read anew is added to `known`, and to `learned` for the state to keep."""

    def __init__(self, root: Path, known: dict[str, Witness], clock: Callable[[], int] = time.time_ns) -> None:
        # From the working folder a path is right as it stands, and the system finds it sooner: this is done 200,000 times.
        self._prefix = "" if root == Path.cwd() else f"{root}/"
        self._known = known
        self._clock = clock
        self.learned: dict[str, Witness] = {}

    def of(self, path: str) -> str | None:
        """The digest of the file's bytes; None when there is no file. Raises OSError when it cannot be read."""
        full = path if path[0] == "/" else self._prefix + path
        try:
            stat = os.stat(full)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return None
        witness = self._known.get(path)
        if (
            witness is not None
            and witness[2] == stat.st_mtime_ns
            and witness[1] == stat.st_size
            and witness[3] == stat.st_ctime_ns
            and witness[4] == stat.st_ino
        ):
            return witness[5]
        return self._read(path, full, stat)

    def _read(self, path: str, full: str, before: os.stat_result) -> str:
        began = self._clock()
        digest = file_digest(full)
        after = os.stat(full)  # noqa: PTH116
        was_still = (before.st_size, before.st_ctime_ns, before.st_ino) == (after.st_size, after.st_ctime_ns, after.st_ino)
        if was_still and max(after.st_mtime_ns, after.st_ctime_ns) < began - _QUIET_NS:
            witness = Witness(path, after.st_size, after.st_mtime_ns, after.st_ctime_ns, after.st_ino, digest)
            self._known[path] = self.learned[path] = witness
        return digest
