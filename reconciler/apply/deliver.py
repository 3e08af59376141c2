"""Bringing a scored output to its place. The rule here: the final name always shows a whole file, the old one until the new one is complete.

The scorer writes to a neighbour of the final file (`staging`), in the same folder so that the rename is atomic. A crash between any two steps
is found again: the digest is in the state before the rename, so the file under the final name tells whether the rename happened.
"""

import glob
from pathlib import Path
from typing import NamedTuple

from reconciler.disk import sync_folder
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
        raise unwritable(staging.parent, error) from None


def inspect(staging: Path) -> Staged:
    """The digest and size in bytes of the scored file. Raises DeliveryError."""
    try:
        return Staged(file_digest(staging), staging.stat().st_size)
    except OSError as error:
        raise DeliveryError(
            "The scored output is not where it was written", f"{staging}: {error.strerror}. Run apply again to score it anew."
        ) from None


def deliver(staging: Path, final: Path, digest: str) -> bool:
    """Rename the staged file to its final name, once; a second call finds it done. False: there is nothing to rename. Raises DeliveryError."""
    try:
        if staging.exists():
            staging.replace(final)
            sync_folder(final.parent)
            return True
        return final.exists() and file_digest(final) == digest
    except OSError as error:
        raise unwritable(final, error) from None


def discard_fetched(staging: Path) -> None:
    """Remove what downloads of the same run have left that were killed in their midst. Raises OSError."""
    name = glob.escape(staging.name.removesuffix(".part"))
    for left in staging.parent.glob(f"{name}.*.part"):
        left.unlink(missing_ok=True)


def discard(staging: Path) -> None:
    """Remove what a run that failed has left."""
    try:
        discard_fetched(staging)
        staging.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(staging, error) from None


def unwritable(path: Path, error: OSError) -> DeliveryError:
    return DeliveryError("The output cannot be written", f"{path}: {error.strerror}. Make the folder writable, or change the job's output path.")
