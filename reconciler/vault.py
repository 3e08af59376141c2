"""What opens the systems that one workspace names. The rule here: a secret is read when it is asked for, and is neither kept nor said.

`bindings` hold references alone: `${env.NAME}` and `{"file": path}`, as `reconciler/spec/secret.py` makes them. So they can be kept and saved.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconciler import confidential
from reconciler.confidential import REFERENCE
from reconciler.errors import ScoringError

# Of a workspace, by section and by what the settings of a job name: {"name": …, "fields": …}.
Bindings = Mapping[str, Mapping[str, Mapping[str, Any]]]

_JSON = frozenset({"gcpKey"})  # secrets that are objects
_WORDS = {"credentials": "credential", "data_stores": "data store"}


class _Missing(Exception):
    """Why a reference leads to nothing, as the end of a sentence."""


@dataclass(frozen=True)
class Vault:
    """The `Keys` of `reconciler/engine/place.py`, for one workspace of one project. Raises ScoringError, whose words hold no value."""

    bindings: Bindings
    workspace: str
    root: Path
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def credential(self, id: str) -> dict[str, Any]:
        return self._opened("credentials", id)

    def data_store(self, id: str) -> dict[str, Any]:
        return self._opened("data_stores", id)

    def opened(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of one place, or a whole job, with what the references in them stand for."""
        missing: list[str] = []

        def filled(path: tuple[str, ...], text: str) -> str:
            try:
                return self._filled(text)
            except _Missing as why:
                missing.append(f"its {'.'.join(map(_as_written, path))} {why}")
                return text

        found = confidential.visited(settings, filled)
        if missing:
            raise ScoringError("A secret of the job is not there", f'In the workspace "{self.workspace}", {" Also ".join(missing)}')
        return found

    def _opened(self, section: str, id: str) -> dict[str, Any]:
        word = _WORDS[section]
        bound = self.bindings.get(section, {}).get(id)
        if bound is None:
            detail = f'Nothing in the specs says what the {word} {id} is in the workspace "{self.workspace}". Bind it there, in {section}.'
            raise ScoringError(f"There is no such {word}", detail)
        found: dict[str, Any] = {}
        missing: list[str] = []
        for name, value in bound["fields"].items():
            try:
                found[name] = self._value(name, value)
            except _Missing as why:
                missing.append(f"its {_as_written(name)} {why}")
        if missing:
            raise ScoringError(f'The {word} "{bound["name"]}" cannot be used', f'In the workspace "{self.workspace}", {" Also ".join(missing)}')
        return found

    def _value(self, name: str, value: Any) -> Any:
        match value:
            case str():
                text = self._filled(value)
            case {"file": file}:
                text = self._content(file)
            case dict():
                return {key: self._value(name, item) for key, item in value.items()}
            case list():
                return [self._value(name, item) for item in value]
            case _:
                return value
        return _object(text) if name in _JSON else text

    def _filled(self, text: str) -> str:
        return REFERENCE.sub(lambda match: self._variable(match[1]), text)

    def _variable(self, variable: str) -> str:
        if not (text := self.environment.get(variable)):
            raise _Missing(f"is ${{env.{variable}}}. The environment has no {variable}: set it.")
        return text

    def _content(self, file: str) -> str:
        try:
            text = (self.root / file).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise _Missing(f"is in the file {file}, which cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError:
            raise _Missing(f"is in the file {file}, which is no text.") from None
        if not text:
            raise _Missing(f"is in the file {file}, which is empty.")
        return text


def _as_written(name: str) -> str:
    """As a specification spells it: aws_access_key_id."""
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda match: f"_{match[0].lower()}", name)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:  # its own words quote the text
        value = None
    if not isinstance(value, dict):
        raise _Missing("is not a JSON object, which the key of a service account is.")
    return value
