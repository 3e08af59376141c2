"""Digests of local files, each file read once. The rule here: git's racy-write rule, so a change is never missed.

A file's digest is reused while its size, times and inode are those of when it was taken, and only if the file was already quiet then: a file
that was written less than `_QUIET_NS` before it was read may be written again without a change of its times, so it is read once more.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from reconciler.fingerprint import file_digest

# Wider than the coarsest file time in use (FAT: 2 s), so an equal mtime after it proves that nothing was written.
_QUIET_NS = 2_000_000_000


class Witness(NamedTuple):
    """A file as it was when its digest was taken."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    checked_ns: int
    digest: str


class Digests:
    """Digests by path, relative ones from `root`. What was read anew is in `learned`, for the state to keep."""

    def __init__(self, root: str | os.PathLike[str], known: Mapping[str, Witness], clock: Callable[[], int] = time.time_ns) -> None:
        self._prefix = os.path.join(os.fspath(root), "")  # noqa: PTH118 - one concatenation a file, 100,000 times
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
        witness = self.learned.get(path) or self._known.get(path)
        if (
            witness is not None
            and witness[0] == stat.st_size
            and witness[1] == stat.st_mtime_ns
            and witness[2] == stat.st_ctime_ns
            and witness[3] == stat.st_ino
            and witness[1] < witness[4] - _QUIET_NS > witness[2]
        ):
            return witness[5]
        return self._read(path, full, stat)

    def _read(self, path: str, full: str, before: os.stat_result) -> str:
        checked = self._clock()
        digest = file_digest(full)
        after = os.stat(full)  # noqa: PTH116
        if (before.st_size, before.st_ctime_ns, before.st_ino) != (after.st_size, after.st_ctime_ns, after.st_ino):
            return digest  # written while it was read: true for now, but nothing to keep
        self.learned[path] = Witness(after.st_size, after.st_mtime_ns, after.st_ctime_ns, after.st_ino, checked, digest)
        return digest
