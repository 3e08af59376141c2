"""What must survive a power cut. The rule here: a file is on the disk when its content is, and its name when its folder is."""

import contextlib
import os
from pathlib import Path


def sync(path: Path) -> None:
    """The content of a file is on the disk; of a folder, its names. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder
        sync(folder)
