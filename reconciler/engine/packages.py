"""The engine's optional packages. The rule here: a missing one is a sentence with the command that installs it, never a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.errors import ScoringError


def install(extra: str) -> str:
    # Not by its name alone: a registry may hold another project's package under it.
    return f"pip install '.[{extra}]' in a clone of reconciler"


INSTALL = install("engine")


@contextmanager
def engine_packages(extra: str = "engine") -> Iterator[None]:
    """Around imports of numpy, pyarrow and the model libraries; `extra` is the one that brings them."""
    try:
        yield
    except ImportError as error:
        if (error.name or "").startswith("reconciler"):
            raise  # ours: a bug, not a missing package
        summary = "The scoring engine is not installed" if extra == "engine" else "A package is not installed"
        raise ScoringError(summary, f"The package {error.name or error} is missing. Run: {install(extra)}") from error
    except OSError as error:
        # LightGBM's import opens a shared library, which needs the system's OpenMP.
        detail = (
            f"A library of the scoring engine cannot be loaded: {error}. Install what it names (libgomp1 for libgomp.so.1), then: {install(extra)}"
        )
        raise ScoringError("The scoring engine is not installed", detail) from error
