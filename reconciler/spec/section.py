"""The sections of all files as one configuration. The rule here: a name is declared once, wherever it stands."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.spec.document import SECRET_SECTIONS, Document
from reconciler.spec.expression import NAME
from reconciler.spec.problem import Problems, Spot, did_you_mean
from reconciler.spec.wording import shown

SECTIONS = ("variables", "workspaces", "deployments", "credentials", "data_stores", "datasets", "jobs")

_NAMED_IN_EXPRESSIONS = frozenset({"variables", "workspaces", "jobs"})
_NAME = re.compile(NAME)


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of a section and what was written under it."""

    name: str
    value: Any
    spot: Spot


Sections = dict[str, dict[str, Entry]]


def merged(documents: Sequence[Document], problems: Problems) -> Sections:
    sections: Sections = {section: {} for section in SECTIONS}
    for document in documents:
        for section, names in (document.value or {}).items():
            spot = Spot(document, (section,))
            if section not in sections:
                detail = f'"{section}" is not a section.' + did_you_mean(section, SECTIONS, "section")
                problems.add(spot, "Unknown section", detail, is_key=True)
            elif isinstance(names, dict):
                _add(sections[section], names, spot, problems)
            elif names is not None:
                found = "a value" if section in SECRET_SECTIONS else shown(names)
                problems.add(spot, "Invalid section", f"{section} must be a mapping of names; found {found}.")
    return sections


def _add(declared: dict[str, Entry], names: dict[str, Any], section: Spot, problems: Problems) -> None:
    for name, value in names.items():
        spot = section / name
        if name in declared:
            detail = f'"{name}" is already declared in {declared[name].spot.where}. Rename one of the two, or remove it.'
            problems.add(spot, "Declared twice", detail, is_key=True)
        elif not name or (section.path[0] in _NAMED_IN_EXPRESSIONS and not _NAME.fullmatch(name)):
            detail = f'"{name}" cannot be a name: a name begins with a letter or _ and goes on with letters, digits, _ and -.'
            problems.add(spot, "Invalid name", detail, is_key=True)
        else:
            declared[name] = Entry(name, value, spot)
