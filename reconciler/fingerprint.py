"""Digests of values, files and folders. The rule here: every digest names its algorithm, and equal meaning gives equal digests."""

import json
import os
from pathlib import Path
from typing import Any

from blake3 import blake3

_BLOCK = 1 << 18  # as fast as any for a large file, and a small one does not pay for a megabyte of room


def canonical_json(value: Any) -> bytes:
    """The one spelling of a JSON value: sorted keys, no spaces, `1.0` as `1`. Fails on NaN, which has no JSON."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _plain(value: Any) -> Any:
    match value:
        case bool():
            return value
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return value


def digest(content: bytes) -> str:
    """`blake3:` and 64 hex digits."""
    return "blake3:" + blake3(content).hexdigest()


def value_digest(value: Any) -> str:
    return digest(canonical_json(value))


class Hasher:
    """The digest of bytes that come block by block."""

    def __init__(self) -> None:
        self._hasher = blake3()

    def update(self, block: bytes) -> None:
        self._hasher.update(block)

    def digest(self) -> str:
        return "blake3:" + self._hasher.hexdigest()


def file_digest(path: str | os.PathLike[str]) -> str:
    """The digest of a file's bytes, read in blocks. Raises OSError."""
    hasher = Hasher()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            hasher.update(block)
    return hasher.digest()


def folder_files(folder: Path) -> list[Path]:
    """Every file that is part of a folder's content, in a stable order; hidden files and caches are not. Raises OSError."""
    found: list[Path] = []
    for top, folders, files in os.walk(folder, onerror=_raised):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        found += [path for name in files if not name.startswith(".") and name != "__pycache__" and (path := Path(top, name)).is_file()]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _raised(error: OSError) -> None:
    """A folder that cannot be read must not look like an empty one."""
    raise error


def listing_digest(digests: dict[str, str]) -> str:
    """A folder's identity from the digests of its files by their relative POSIX paths: names and bytes, nothing else."""
    return value_digest(digests)


def short_id(text: str) -> str:
    """24 hex digits, the shape of a DataRobot id, made from `text`."""
    return blake3(text.encode()).hexdigest()[:24]
