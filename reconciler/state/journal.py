"""Job ids that the state could not take. The rule here: an id that the service gave is on a disk before anybody is told that it is safe.

A file beside the state, `<state>.journal-<holder>`, has its room on the disk before anything is submitted, so a disk that is full later has still
room for it. Where the folder cannot be written, a file in the user's temporary folder takes its place, under a name made from the state's path.
The next holder of the lock reads what is left behind into the state.

A living owner holds a flock on its file, so nobody removes a journal that may still be written to: a paused holder that wakes up after its lock was
taken over finds it where it left it.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from reconciler.disk import sync_folder
from reconciler.fingerprint import short_id, value_digest

# A line is some 300 bytes, with a long address a little more.
_ROOM = 1024
# The first write that fails stops the apply, so no more ids can be homeless than were on their way at that moment.
_MOST = 1000


class Entry(NamedTuple):
    """A run that became a job: `facts` are what the move to `submitted` would have recorded, with `job_id`."""

    run_id: str
    workspace: str
    address: str
    facts: Mapping[str, Any]


class Journal:
    """One holder's. Nothing is made before `reserve` or `save`."""

    def __init__(self, state: Path, holder: str) -> None:
        self._paths = [_owned(prefix, holder) for prefix in _prefixes(state)]
        self._files: dict[Path, _File] = {}
        self.homeless: list[Entry] = []  # those for which there was no place at all

    def reserve(self, runs: int) -> None:
        """Have room for so many runs on the disk. Raises OSError."""
        self._file(self._paths[0]).reserve(min(max(runs, 1), _MOST) * _ROOM)

    def save(self, entry: Entry) -> Path | None:
        """Where the entry is now, for good; None when it could be written nowhere."""
        line = _line(entry)
        for path in self._paths:
            with suppress(OSError):
                self._file(path).put(line)
                return path
        self.homeless.append(entry)
        return None

    def close(self) -> None:
        """Removes what holds no entry."""
        for path, file in self._files.items():
            with suppress(OSError):
                file.close(path)
        self._files.clear()

    def _file(self, path: Path) -> "_File":
        if path not in self._files:
            self._files[path] = _File(path)
        return self._files[path]


class _File:
    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        self._end = 0
        with suppress(OSError):  # a file system without locks: then it is removed once it was read
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(OSError):  # or one whose folders cannot be synchronised
            sync_folder(path.parent)

    def reserve(self, size: int) -> None:
        try:
            os.posix_fallocate(self._descriptor, 0, size)
        except AttributeError:  # a system without it
            _write(self._descriptor, bytes(size), 0)
        os.fsync(self._descriptor)

    def put(self, line: bytes) -> None:
        """In place, so that it needs no new room where some was reserved."""
        if os.fstat(self._descriptor).st_nlink == 0:
            raise FileNotFoundError("the journal was removed")
        _write(self._descriptor, line, self._end)
        os.fsync(self._descriptor)
        self._end += len(line)

    def close(self, path: Path) -> None:
        try:
            if not self._end:
                path.unlink()
        finally:
            os.close(self._descriptor)


class Leftover:
    """A journal that somebody left behind. Raises OSError when it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)

    def entries(self) -> Iterator[Entry]:
        """Whole lines only: of one that a crash cut short, nobody was told that it is safe."""
        content, offset = b"", 0
        while b"\0" not in content and (block := os.pread(self._descriptor, 1 << 16, offset)):
            content, offset = content + block, offset + len(block)
        for line in content.split(b"\0", 1)[0].split(b"\n"):
            if (entry := _entry(line)) is not None:
                yield entry

    def remove(self) -> None:
        """Unless its owner lives."""
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path.unlink()

    def close(self) -> None:
        os.close(self._descriptor)


def leftovers(state: Path) -> list[Path]:
    """Every journal of this state, in the order of their names; in the temporary folder only those of this user."""
    beside, temporary = _prefixes(state)
    found = [path for path in _named(beside) if path.is_file()]
    return found + [path for path in _named(temporary) if _is_ours(path)]


def _prefixes(state: Path) -> tuple[Path, Path]:
    temporary = f"reconciler-{os.getuid()}-{short_id(os.path.realpath(state))}.journal"
    return state.with_name(f"{state.name}.journal"), _temporary_folder() / temporary


def _temporary_folder() -> Path:
    # Not `gettempdir`, which goes elsewhere while the folder is full: what is saved must be found again.
    return Path(os.environ.get("TMPDIR") or "/tmp")


def _owned(prefix: Path, holder: str) -> Path:
    return prefix.with_name(f"{prefix.name}-{holder}")


def _named(prefix: Path) -> list[Path]:
    try:
        return sorted(path for path in prefix.parent.iterdir() if path.name.startswith(f"{prefix.name}-"))
    except OSError:
        return []


def _is_ours(path: Path) -> bool:
    """Anybody may put a file into a shared folder."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def _line(entry: Entry) -> bytes:
    fields = {**entry._asdict(), "facts": dict(entry.facts)}
    return json.dumps({**fields, "digest": value_digest(fields)}).encode() + b"\n"


def _entry(line: bytes) -> Entry | None:
    try:
        fields = json.loads(line)
        claimed = fields.pop("digest")
        return Entry(**fields) if value_digest(fields) == claimed else None
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def _write(descriptor: int, content: bytes, offset: int) -> None:
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written
