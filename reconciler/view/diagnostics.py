"""Diagnostics as terminal text: Terraform's box, or plain lines without colour. The rule here: all problems at once, equal ones counted."""

import shutil
import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby

from reconciler.diagnostic import Diagnostic, Place
from reconciler.view.paint import Paint, plain, shown

# Of problems with the same summary this many are shown in full; 500 jobs with one wrong credential are one problem.
_SHOWN = 10


def diagnostics_text(diagnostics: Sequence[Diagnostic], paint: Paint) -> str:
    parts: list[str] = []
    for _, group in groupby(_by_summary(diagnostics), key=lambda item: item.summary):
        same = list(group)
        parts += [_one(item, paint) for item in same[:_SHOWN]]
        if len(same) > _SHOWN:
            rest = len(same) - _SHOWN
            parts.append(f"\n(and {rest} more {'problem' if rest == 1 else 'problems'} of this kind: {same[0].summary})\n")
    return "".join(parts)


def _by_summary(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    first: dict[str, int] = {}
    for item in diagnostics:
        first.setdefault(item.summary, len(first))
    return sorted(diagnostics, key=lambda item: first[item.summary])


def _one(item: Diagnostic, paint: Paint) -> str:
    lines = [*_head(item, paint), *_where(item, paint), *_detail(item.detail)]
    if paint is plain:
        return "\n" + "\n".join(lines) + "\n"
    tone = "red" if item.severity == "error" else "yellow"
    bar = paint("│", tone)
    return "\n".join([paint("╷", tone), *(f"{bar} {line}".rstrip() for line in lines), paint("╵", tone)]) + "\n"


def _head(item: Diagnostic, paint: Paint) -> list[str]:
    tone = "bold red" if item.severity == "error" else "bold yellow"
    return [f"{paint(item.severity.capitalize() + ':', tone)} {paint(shown(item.summary), 'bold')}"]


def _where(item: Diagnostic, paint: Paint) -> list[str]:
    lines = []
    if item.address:
        lines.append(f"  with {shown(item.address)}" + ("," if item.place else ""))
    if item.place:
        lines += _place(item.place, item.context, paint)
    return ["", *lines] if lines else []


def _place(place: Place, context: str | None, paint: Paint) -> list[str]:
    if place.line is None:
        return [f"  on {shown(place.file)}"]
    column = f", column {place.column}" if place.column is not None else ""
    where = f"  on {shown(place.file)} line {place.line}{column}" + (f", in {shown(context)}:" if context else ":")
    if place.text is None or place.column is None:
        return [where]
    start, end = place.column - 1, place.column - 1 + place.length
    text = place.text.replace("\t", " ")
    marked = shown(text[:start]) + paint(shown(text[start:end]), "underline") + shown(text[end:])
    lines = [where, f"  {place.line:4d}: {marked}"]
    if paint is plain:  # without an underline, point at the place
        lines.append(" " * (8 + start) + "^" * max(1, min(place.length, len(text) - start)))
    return lines


def _detail(detail: str) -> list[str]:
    """Paragraphs are wrapped; a line that begins with a space stays as it is."""
    if not detail:
        return []
    width = max(40, min(120, shutil.get_terminal_size((100, 24)).columns - 3))
    lines = [""]
    for line in detail.splitlines():
        whole = line.startswith(" ") or not line
        lines += [shown(line)] if whole else textwrap.wrap(shown(line), width, break_long_words=False, break_on_hyphens=False)
    return lines
