"""Bringing a scored output to its place. The rule here: the final name always shows a whole file, the old one until the new one is complete.

The scorer writes to a neighbour of the final file (`staging`), in the same folder so that the rename is atomic. A crash between any two steps
is found again: the digest is in the state before the rename, so the file under the final name tells whether the rename happened.
"""

import os
from pathlib import Path
from typing import NamedTuple

from reconciler.errors import DeliveryError
from reconciler.fingerprint import file_digest


class Staged(NamedTuple):
    """A whole scored file that is not delivered yet."""

    digest: str
    size: int


def staging_path(final: Path, run_id: str) -> Path:
    # The scorer tells Parquet from CSV by the suffix, so that stays the last one.
    suffix = final.suffix if final.suffix.lower() == ".parquet" else ""
    return final.with_name(f".{final.name}.{run_id}.part{suffix}")


def prepare(staging: Path) -> None:
    """Make the folder and an empty staging file: what cannot be written is found before anything is submitted. Raises DeliveryError."""
    try:
        staging.parent.mkdir(parents=True, exist_ok=True)
        staging.touch()
    except OSError as error:
        raise _unwritable(staging.parent, error) from None


def inspect(staging: Path) -> Staged:
    """The digest and size in bytes of the scored file. Raises DeliveryError."""
    try:
        return Staged(file_digest(staging), staging.stat().st_size)
    except OSError as error:
        raise DeliveryError(
            "The scored output is not where it was written", f"{staging}: {error.strerror}. Run apply again to score it anew."
        ) from None


def deliver(staging: Path, final: Path, digest: str) -> None:
    """Rename the staged file to its final name, once; a second call finds that it is done. Raises DeliveryError."""
    try:
        if staging.exists():
            staging.replace(final)
            _sync_folder(final.parent)
        elif not final.exists() or file_digest(final) != digest:
            raise DeliveryError(
                "The scored output was lost before it was delivered",
                f"{staging} is gone and {final} is another file. Run apply again to score it anew.",
            )
    except OSError as error:
        raise _unwritable(final, error) from None


def discard(staging: Path) -> None:
    """Remove what a run that failed has left."""
    try:
        staging.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(staging, error) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> DeliveryError:
    return DeliveryError("The output cannot be written", f"{path}: {error.strerror}. Make the folder writable, or change the job's output path.")
