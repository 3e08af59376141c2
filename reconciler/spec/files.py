"""Which files are the configuration. The rule here: nothing heavy is imported, because an unchanged configuration is found by its files alone."""

import os
from pathlib import Path

from reconciler.diagnostic import Diagnostic, Place
from reconciler.errors import SpecInvalid

FOLDER = "specs"

MODEL_MARKS = frozenset({"model-metadata.yaml", "MLmodel"})


def spec_files(root: Path) -> list[Path]:
    """Every *.yaml and *.yml under specs/, sorted; hidden ones and a model's own are not part of the configuration.

    Raises SpecInvalid when a folder cannot be read: its jobs must not look like jobs that were taken out.
    """

    def stop(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # no specs/ at all is for the loader to tell
            raise unreadable(Path(error.filename).relative_to(root).as_posix(), error)

    found: list[Path] = []
    top = root / FOLDER
    for folder, folders, files in os.walk(top, onerror=stop):
        if Path(folder) != top and not MODEL_MARKS.isdisjoint(files):
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in files if name.endswith((".yaml", ".yml")) and not name.startswith(".")]
    return sorted(path for path in found if path.is_file())


def unreadable(file: str, error: OSError) -> SpecInvalid:
    return SpecInvalid([Diagnostic("Unreadable file", f"It cannot be read: {error.strerror}. Check its permissions.", Place(file))])
