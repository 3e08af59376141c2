"""One problem in what the user wrote: what, where, what to do. The rule here: a value, never text already drawn."""

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where in a file: line and column count from 1; `text` is the source line, `length` what to underline."""

    file: str
    line: int | None = None
    column: int | None = None
    text: str | None = None
    length: int = 1


@dataclass(frozen=True)
class Diagnostic:
    """`summary` never varies with the case, so equal problems can be counted; `detail` says why and what to do."""

    summary: str
    detail: str = ""
    place: Place | None = None
    address: str | None = None
    context: str | None = None  # the block the place is in, e.g. `job "churn"`
    severity: str = "error"

    def at(self, place: Place) -> "Diagnostic":
        return replace(self, place=place)

    def as_json(self) -> dict[str, Any]:
        """Terraform's diagnostic object (`validate -json`), without the keys that do not apply."""
        shown: dict[str, Any] = {"severity": self.severity, "summary": self.summary, "detail": self.detail}
        if self.address:
            shown["address"] = self.address
        if self.place:
            shown["range"] = {"filename": self.place.file}
            if self.place.line is not None:
                shown["range"]["start"] = {"line": self.place.line, "column": self.place.column}
            if self.place.text is not None:
                shown["snippet"] = {"context": self.context, "code": self.place.text, "start_line": self.place.line}
        return shown
