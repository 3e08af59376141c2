"""What names stand for in one workspace. The rule here: a value from a section that may hold secrets never leaves this room, only its name does."""

import re
from collections.abc import Mapping
from typing import Any

from reconciler.spec.document import SECRET_SECTIONS
from reconciler.spec.endpoint import KEYS, Wrong, endpoint_settings
from reconciler.spec.expression import Scope, fill
from reconciler.spec.location import Root
from reconciler.spec.problem import Problems, did_you_mean
from reconciler.spec.section import Entry, Sections

LOCAL = "local"

# An id stands in the path of a request.
_ID = re.compile(r"\w[\w.-]*")

_WORDS = {"deployments": "deployment", "credentials": "credential", "data_stores": "data store", "datasets": "dataset"}


def _is_model(value: dict[str, Any]) -> bool:
    """A deployment bound to a folder, with a word on the code in it: whoever trusts it lets it run."""
    return (
        value.keys() <= {"model", "trust"}
        and isinstance(value.get("model"), str)
        and value["model"] != ""
        and type(value.get("trust", False)) is bool
    )


class Unbound(Exception):
    """A name that stands for nothing here."""

    def __init__(self, summary: str, detail: str) -> None:
        super().__init__(detail)
        self.summary = summary


class Workspace:
    """The workspace asked for: its endpoint's settings (None for the embedded service) and what each name is bound to."""

    def __init__(self, name: str, sections: Sections, variables: Mapping[str, Any], root: Root, problems: Problems) -> None:
        self.name = name
        self._root = root
        self._names = {LOCAL, *sections["workspaces"]}
        self._problems = problems
        self._variables = variables
        self._entries = sections
        self._endpoints = self._all_endpoints(sections["workspaces"])
        self.endpoint = self._endpoints.get(name)
        self.is_known = self._require_known()
        self._bound = {section: self._bindings(section) for section in _WORDS}

    def resolve(self, section: str, name: str) -> str:
        """The id or folder that `name` is bound to; a binding that is a mapping is looked up by the name itself."""
        if name in self._bound[section]:
            bound = self._bound[section][name]
            if isinstance(bound, dict) and section == "deployments":
                return str(bound["model"])
            return bound if isinstance(bound, str) else name
        word = _WORDS[section]
        if name not in self._entries[section]:
            raise Unbound(f"Unknown {word}", f'No {word} "{name}" is declared.{did_you_mean(name, self._entries[section], word)}')
        entry = self._entries[section][name]
        bound_in = ", ".join(entry.value) if isinstance(entry.value, dict) and entry.value else "no workspace"
        detail = f'The {word} "{name}" ({entry.spot.where}) is bound in {bound_in}, not in "{self.name}". Add: {self.name}: …'
        raise Unbound(f"Unbound {word}", detail)

    def deployments(self) -> dict[str, str]:
        """Every deployment bound here; for the embedded service, the model's folder."""
        return {name: self.deployment(name) for name in sorted(self._bound["deployments"])}

    def deployment(self, name: str) -> str:
        bound = self.resolve("deployments", name)
        return bound if self.endpoint is not None else self._root.relative(bound)

    def trusted(self) -> frozenset[str]:
        """The models' folders whose code the user trusts."""
        bindings = self._bound["deployments"].items()
        return frozenset(self.deployment(name) for name, bound in bindings if isinstance(bound, dict) and bound.get("trust"))

    def _require_known(self) -> bool:
        if self.name not in self._names:
            detail = f'There is no workspace "{self.name}".{did_you_mean(self.name, self._names)} Declared: {", ".join(sorted(self._names))}.'
            self._problems.add(None, "Unknown workspace", detail)
        return self.name in self._names

    def _all_endpoints(self, workspaces: Mapping[str, Entry]) -> dict[str, dict[str, Any]]:
        return {name: settings for name, entry in workspaces.items() if (settings := self._settings(entry)) is not None}

    def _settings(self, entry: Entry) -> dict[str, Any] | None:
        body = {} if entry.value is None else entry.value
        if not isinstance(body, dict):
            self._problems.add(entry.spot, "Invalid workspace", "A workspace is a mapping: {} or {endpoint: https://…/api/v2}.")
            return None
        for key in body.keys() - set(KEYS):
            detail = f'"{key}" is not a key of a workspace.{did_you_mean(key, KEYS, "key")}'
            self._problems.add(entry.spot / key, "Unknown key", detail, is_key=True)
        before = self._problems.told
        # A token is read as it was written: the value of a variable would be kept.
        filled = {key: self._filled(entry, key, value) if key != "token" else value for key, value in body.items()}
        if self._problems.told > before:
            return None
        wrong: list[Wrong] = []
        settings = endpoint_settings(filled, self._root, wrong)
        for key, detail in wrong:
            self._problems.add(entry.spot / key, "Invalid value", detail)
        return settings

    def _filled(self, entry: Entry, key: str, value: Any) -> Any:
        return fill(value, Scope(self._variables, keeps_env=True), entry.spot / key, self._problems)

    def _bindings(self, section: str) -> dict[str, Any]:
        """What each name of the section is bound to in this workspace."""
        found: dict[str, Any] = {}
        for name, entry in self._entries[section].items():
            bindings = self._checked(section, entry)
            if bindings.get(self.name) is not None:
                found[name] = bindings[self.name]
        return found

    def _checked(self, section: str, entry: Entry) -> dict[str, Any]:
        word = _WORDS[section]
        if not isinstance(entry.value, dict):
            detail = f"A {word} is bound per workspace: write {entry.name}: {{{LOCAL}: …}}."
            self._problems.add(entry.spot, f"Invalid {word}", detail, is_key=section in SECRET_SECTIONS)
            return {}
        return {name: self._binding(section, entry, name, value) for name, value in entry.value.items()}

    def _binding(self, section: str, entry: Entry, workspace: str, value: Any) -> Any:
        spot = entry.spot / workspace
        if workspace not in self._names:
            detail = f'No workspace "{workspace}" is declared.{did_you_mean(workspace, self._names, "workspace")}'
            self._problems.add(spot, "Unknown workspace", detail, is_key=True)
        keeps_env = section in SECRET_SECTIONS
        value = fill(value, Scope(self._variables, keeps_env=keeps_env), spot, self._problems)
        if type(value) is int:
            value = str(value)  # an id of digits only
        is_lawful = (isinstance(value, str) and value != "") or (isinstance(value, dict) and (section != "deployments" or _is_model(value)))
        if workspace in self._endpoints and is_lawful and not (isinstance(value, str) and _ID.fullmatch(value)):
            detail = f'The workspace "{workspace}" has an endpoint, which knows a {_WORDS[section]} by its id: write {workspace}: the id.'
            self._problems.add(spot, f"Invalid {_WORDS[section]}", detail, is_key=True)
            return ""
        if not is_lawful:
            allowed = (
                "an id, a model's folder, or {model: the folder, trust: true or false}" if section == "deployments" else "an id (a text) or a mapping"
            )
            self._problems.add(spot, f"Invalid {_WORDS[section]}", f"It must be bound to {allowed}.", is_key=keeps_env)
            return ""
        return value
