"""Paths and other places that rows come from and go to. The rule here: one place has one spelling."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Location = tuple[str, ...]

# Google's buckets have several addresses.
_GCP = re.compile(r"^https?://(?:storage\.(?:googleapis|cloud\.google)\.com/([^/]+)|([^/]+)\.storage\.googleapis\.com)/")
_TABLE_KEYS = ("dataStoreId", "dataset", "catalog", "schema", "table")


class Root:
    """The project's folder, from which relative paths start."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.path.abspath(folder)  # noqa: PTH100  # symlinks stay as the user has them
        self._inside = self._folder.rstrip("/") + "/"

    def absolute(self, path: str) -> str:
        return os.path.normpath(os.path.join(self._folder, path))  # noqa: PTH118

    def relative(self, path: str) -> str:
        """Normalised; relative to the root when it is inside, otherwise as it was given."""
        absolute = self.absolute(path)
        if absolute.startswith(self._inside):
            return absolute[len(self._inside) :]
        return "." if absolute == self._folder else os.path.normpath(path)


def location(settings: Mapping[str, Any], root: Root) -> Location | None:
    """What an intake or output (as on the wire) reads or writes; None when that cannot be told from its settings."""
    path = settings.get("path") or settings.get("file")
    if path is not None:
        return ("file", root.absolute(path))
    if "url" in settings:
        url = settings["url"]
        if settings["type"] == "gcp":
            url = _GCP.sub(lambda found: f"gs://{found[1] or found[2]}/", url)
        return ("url", (settings.get("endpointUrl") or "").rstrip("/"), url)
    if "table" in settings:
        return ("table", *(str(settings.get(key, "")) for key in _TABLE_KEYS))
    return None


def is_partition_of(place: Location, folder: Location) -> bool:
    """Whether a url is within the partitions (`name=value/`) of a folder of them."""
    if place[:2] != folder[:2] or not place[2].startswith(folder[2]) or not folder[2].endswith("/"):
        return False
    *folders, _ = place[2].removeprefix(folder[2]).split("/")
    return bool(folders) and all("=" in name for name in folders)


def folders_of(place: Location) -> Iterator[Location]:
    """Those that a url is in, as an intake names them: with a slash at the end."""
    if place[0] == "url":
        *folders, _ = place[2].removesuffix("/").split("/")
        for depth in range(3, len(folders) + 1):  # after `s3:`, nothing, and the bucket
            yield (*place[:2], "/".join(folders[:depth]) + "/")


def is_data_of(place: Location, folder: Location, format: str) -> bool:
    """Whether an intake that is a folder takes what is written in it for its rows: see `engine/connectors/objects.py`."""
    name = place[2].removeprefix(folder[2]) + "a.parquet" * place[2].endswith("/")
    return name.lower().endswith(f".{format}") and not any(part.startswith(("_", ".")) and "=" not in part for part in name.split("/"))
