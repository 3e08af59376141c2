"""Paths and other places that rows come from and go to. The rule here: one place has one spelling."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Location = tuple[str, ...]

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
        return ("url", settings["url"])
    if "table" in settings:
        return ("table", *(str(settings.get(key, "")) for key in _TABLE_KEYS))
    return None
