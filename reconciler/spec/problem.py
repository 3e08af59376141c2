"""The problems found on the way, and the spots they are at. The rule here: reading goes on after a problem, so that all are told at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from reconciler.diagnostic import Diagnostic, Place
from reconciler.errors import SpecInvalid
from reconciler.spec.document import Document
from reconciler.spec.position import Path

_BLOCKS = {
    "jobs": "job",
    "deployments": "deployment",
    "credentials": "credential",
    "data_stores": "data store",
    "datasets": "dataset",
    "workspaces": "workspace",
    "variables": "variable",
}


@dataclass(frozen=True, slots=True)
class Spot:
    """A path in a document; its place is looked up only when it is shown."""

    document: Document
    path: Path

    def __truediv__(self, part: str | int) -> "Spot":
        return Spot(self.document, (*self.path, part))

    def place(self, is_key: bool = False) -> Place:
        return self.document.place(self.path, is_key)

    @property
    def where(self) -> str:
        """`specs/a.yaml line 3`, for a sentence that names a second place."""
        place = self.place(is_key=True)
        return f"{place.file} line {place.line}"

    @property
    def context(self) -> str | None:
        block = _BLOCKS.get(str(self.path[0])) if len(self.path) > 1 else None
        return f'{block} "{self.path[1]}"' if block else None


class Problems:
    """Every problem so far, each once: what a for_each repeats for each key is told for the first."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Diagnostic] = {}
        self.told = 0  # how often something was added, repetitions included: whoever builds a part sees whether it is sound

    def add(self, spot: Spot | None, summary: str, detail: str, *, is_key: bool = False, address: str | None = None) -> None:
        self.told += 1
        identity = (summary, detail, is_key, spot and (spot.document.file, spot.path))
        if identity not in self._found:
            place, context = (spot.place(is_key), spot.context) if spot else (None, None)
            self._found[identity] = Diagnostic(summary, detail, place, address, context)

    def take(self, diagnostics: Iterable[Diagnostic]) -> None:
        self._found.update({(diagnostic,): diagnostic for diagnostic in diagnostics})

    def found(self) -> list[Diagnostic]:
        """In the order of their places."""
        return sorted(self._found.values(), key=_order)

    def raise_if_any(self) -> None:
        if self._found:
            raise SpecInvalid(self.found())


def _order(diagnostic: Diagnostic) -> tuple[str, int, int]:
    place = diagnostic.place
    return (place.file, place.line or 0, place.column or 0) if place else ("", 0, 0)


def did_you_mean(name: object, known: Iterable[str], what: str = "") -> str:
    """A sentence that names the nearest valid name, or else all of them when `what` they are is given."""
    names = sorted(known)
    near = get_close_matches(str(name), names, n=1) or [known_name for known_name in names if known_name.lower() == str(name).lower()]
    if near:
        return f' Did you mean "{near[0]}"?'
    if not what:
        return ""
    if not names:
        return ""
    return f" Valid: {', '.join(names[:20])}{', …' if len(names) > 20 else ''}."
