"""What names stand for in one workspace. The rule here: a value from a section that may hold secrets never leaves this room, only its name does."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_snake

from reconciler.credential import OPEN, WHOSE
from reconciler.spec.document import SECRET_SECTIONS
from reconciler.spec.endpoint import KEYS, Wrong, endpoint_settings
from reconciler.spec.expression import Scope, fill
from reconciler.spec.location import Root
from reconciler.spec.problem import Problems, Spot, did_you_mean
from reconciler.spec.secret import credential_fields, store_fields
from reconciler.spec.section import Entry, Sections

LOCAL = "local"

# An id stands in the path of a request.
_ID = re.compile(r"\w[\w.-]*")

# What a name is bound to where there is no endpoint that knows an id.
_LOCALLY = {
    "deployments": "a model's folder, or {model: the folder, trust: true or false}",
    "credentials": "what it holds, {type: s3, …}, each secret named by ${env.NAME} or {file: path}",
    "data_stores": "what it holds, {jdbc_url: jdbc:postgresql://host/database}",
    "datasets": "the path of a file (a text)",
}

_OPENERS = frozenset({"credentials", "data_stores"})

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
        """The id, folder or file that `name` is bound to; where there is no endpoint, a credential and a data store have no other id than it."""
        if name in self._bound[section]:
            bound = self._bound[section][name]
            if isinstance(bound, dict) and section == "deployments":
                return str(bound["model"])
            return bound if isinstance(bound, str) else str(bound["id"])
        word = _WORDS[section]
        if name not in self._entries[section]:
            raise Unbound(f"Unknown {word}", f'No {word} "{name}" is declared.{did_you_mean(name, self._entries[section], word)}')
        entry = self._entries[section][name]
        bound_in = ", ".join(entry.value) if isinstance(entry.value, dict) and entry.value else "no workspace"
        detail = f'The {word} "{name}" ({entry.spot.where}) is bound in {bound_in}, not in "{self.name}". Add: {self.name}: …'
        raise Unbound(f"Unbound {word}", detail)

    def resolve_id(self, section: str, id: str) -> str:
        """The same of an id. Where no endpoint knows it, it may be a name."""
        if self.endpoint is not None or id in self._bound[section]:
            return id if self.endpoint is not None else self.resolve(section, id)
        word = _WORDS[section]
        key, example = word.replace(" ", "_"), "data/rows.csv" if section == "datasets" else "{…}"
        detail = (
            f'The workspace "{self.name}" has no endpoint that knows the {word} {id}. '
            f"Give it a name, {section}: {{NAME: {{{self.name}: {example}}}}}, and write {key}: NAME."
        )
        raise Unbound(f"Unknown {word}", detail)

    def credential_type(self, id: str) -> str | None:
        """What a credential holds, by what `resolve` gave; None where only an endpoint knows."""
        bindings = self._bound["credentials"].values()
        return next((bound["fields"].get("credentialType") for bound in bindings if isinstance(bound, dict) and bound["id"] == id), None)

    def account(self, id: str) -> dict[str, Any] | None:
        """Whom a credential lets in, by what `resolve` gave: what is no secret of it. None where an endpoint knows it by its id."""
        bound = self._bound["credentials"].get(id)
        if self.endpoint is not None or not isinstance(bound, dict):
            return None
        return {name: value for name, value in bound["fields"].items() if name == "credentialType" or to_snake(name) in OPEN | WHOSE}

    def data_store(self, id: str) -> dict[str, Any] | None:
        """What a data store is, by what `resolve` gave, its secrets as references; None where an endpoint knows it by its id."""
        bound = self._bound["data_stores"].get(id)
        return bound["fields"] if self.endpoint is None and isinstance(bound, dict) else None

    def openers(self) -> dict[str, dict[str, Any]]:
        """What there is here to open systems with, by section and by id: the name, and the fields with their secrets as references."""
        found: dict[str, dict[str, Any]] = {"credentials": {}, "data_stores": {}}
        for section, by_id in found.items():
            for name, bound in self._bound[section].items():
                if isinstance(bound, dict) and bound["fields"]:
                    by_id[bound["id"]] = {"name": name, "fields": bound["fields"]}
        return found

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
        before = self._problems.told
        value = fill(value, Scope(self._variables, keeps_env=section in SECRET_SECTIONS), spot, self._problems)
        if self._problems.told > before or workspace not in self._names:
            return ""
        if type(value) is int:
            value = str(value)  # an id of digits only
        if workspace in self._endpoints:
            return self._at_endpoint(section, workspace, value, spot)
        return self._here(section, entry.name, value, spot)

    def _at_endpoint(self, section: str, workspace: str, value: Any, spot: Spot) -> Any:
        """An id; of what opens a system also a mapping with `id`, and with what plan is to look with."""
        body: dict[str, Any] = dict(value) if isinstance(value, dict) and section in _OPENERS else {}
        id = str(number) if type(number := body.pop("id", None)) is int else number
        known = id if section in _OPENERS and isinstance(value, dict) else value
        if not (isinstance(known, str) and _ID.fullmatch(known)):
            detail = f'The workspace "{workspace}" has an endpoint, which knows a {_WORDS[section]} by its id: write {workspace}: the id'
            detail += ", or {id: the id, …} with what plan looks at its content with." if section in _OPENERS else "."
            self._problems.add(spot, f"Invalid {_WORDS[section]}", detail, is_key=True)
            return ""
        return {"id": known, "fields": self._fields(section, body, spot)} if body else known

    def _here(self, section: str, name: str, value: Any, spot: Spot) -> Any:
        """A folder, a file, or what opens a system."""
        is_text = isinstance(value, str) and value != "" and "\0" not in value
        if section in _OPENERS and isinstance(value, dict):
            return {"id": name, "fields": self._fields(section, value, spot)}
        if section == "datasets" and is_text and not value.endswith("/"):
            return self._root.relative(value)
        if section == "deployments" and (is_text or (isinstance(value, dict) and _is_model(value))):
            return value
        allowed = f"an id, {_LOCALLY[section]}" if section == "deployments" else _LOCALLY[section]
        self._problems.add(spot, f"Invalid {_WORDS[section]}", f"It must be bound to {allowed}.", is_key=section in _OPENERS)
        return ""

    def _fields(self, section: str, body: dict[str, Any], spot: Spot) -> dict[str, Any]:
        if section == "credentials":
            return credential_fields(body, spot, self._root, self._problems)
        return store_fields(body, spot, self._problems)
