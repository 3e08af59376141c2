"""The JSON Schema of a specification, for editors. The rule here: made from the models that validate, so that both say the same.

What a schema cannot say (names that must be declared, rules between keys) is left to the loader.
"""

from collections.abc import Mapping
from typing import Any

from pydantic.alias_generators import to_camel

from reconciler.credential import KINDS, OPEN, TYPES
from reconciler.options import Strict
from reconciler.settings import SYNONYMS
from reconciler.spec import model
from reconciler.spec.block import SIDES
from reconciler.spec.section import SECTIONS

Schema = dict[str, Any]

_EXPRESSION: Schema = {"type": "string", "pattern": r"\$\{"}
_NULL: Schema = {"type": "null"}
_SECONDS: Schema = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": r"[1-9]"}, {"type": "null"}]}
_TEXT: Schema = {"type": "string", "minLength": 1}
_NAME: Schema = {"pattern": "^[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff-]*$"}

# A secret, by the name of what holds it.
_FILE: Schema = {
    "type": "object",
    "properties": {"file": {**_TEXT, "description": "A file that holds the value; a relative path starts at the folder that holds specs/."}},
    "required": ["file"],
    "additionalProperties": False,
}
_REFERENCE: Schema = {
    "description": "A secret: ${env.NAME}, or {file: path}.",
    "anyOf": [{"type": "string", "pattern": r"^\$\{\s*env\.[\w-]+\s*\}$"}, _FILE],
}
_FIELD: Schema = {"anyOf": [_TEXT, {"type": "integer"}, {"type": "array", "items": _TEXT}, _FILE]}

_MODEL: Schema = {
    "type": "object",
    "properties": {
        "model": {"type": "string", "minLength": 1, "description": "The model's folder."},
        "trust": {
            "description": "Whether code in the folder may run: pickles, custom.py, MLflow's python_function.",
            "anyOf": [{"type": "boolean"}, _EXPRESSION],
        },
    },
    "required": ["model"],
    "additionalProperties": False,
}

# Keys whose model reads more than its own schema says.
_WIDER: dict[str, Schema] = {
    "for_each": {"anyOf": [{"type": "array", "items": {"type": "string"}, "uniqueItems": True}, {"type": "object"}]},
    "column_names_remapping": {
        "anyOf": [
            {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "null"}, {"const": False}]}},
            {"type": "array", "items": {"type": "object", "properties": {"inputName": {}, "outputName": {}}, "additionalProperties": False}},
        ]
    },
    "statement_type": {"enum": ["insert", "update", "insert_update", "create_table", "insertUpdate", "createTable"]},
}
_SPELLED = {"async_": "async", "db_schema": "schema"}
_ABOUT = {
    "variables": "Values to use as ${var.name}; -var=name=value replaces a default.",
    "workspaces": "Environments. local is always there, with the embedded service; an endpoint makes one a DataRobot installation.",
    "deployments": "Each name's model folder (local) or deployment id, per workspace.",
    "credentials": "Each name's credential id, or the credential itself with ${env.NAME} in it, per workspace.",
    "data_stores": "Each name's data store id, or its settings with ${env.NAME} in them, per workspace.",
    "datasets": "Each name's file (local) or dataset id, per workspace.",
    "jobs": "What must have been scored.",
}


def json_schema() -> Schema:
    """JSON Schema 2020-12 of one file under specs/."""
    definitions: Schema = {}
    sections = {section: _section(section, _ENTRIES.get(section, _bindings(section)), definitions) for section in SECTIONS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "reconciler: batch scoring jobs",
        "type": ["object", "null"],
        "properties": sections,
        "additionalProperties": False,
        "$defs": definitions,
    }


def _section(section: str, entry: Schema, definitions: Schema) -> Schema:
    if section == "jobs":
        entry = _job(definitions)
    named = {"propertyNames": _NAME} if section in ("variables", "workspaces", "jobs") else {}
    return {"description": _ABOUT[section], "type": ["object", "null"], "additionalProperties": entry, **named}


def _bindings(section: str) -> Schema:
    mapping = {"deployments": _MODEL, "credentials": _credential(), "data_stores": _data_store()}.get(section)
    bound: Schema = {"anyOf": [_TEXT, {"type": "integer"}, _NULL, *([mapping] if mapping else [])]}
    return {"type": "object", "additionalProperties": bound}


def _credential() -> Schema:
    """Of every type at once; which fields go together is left to the loader."""
    fields = {name: _FIELD if name in OPEN else _REFERENCE for kind in KINDS.values() for name in kind.model_fields}
    del fields["credential_type"], fields["config_id"]
    kind: Schema = {"anyOf": [{"enum": list(TYPES)}, _EXPRESSION], "description": "What it holds."}
    spelled: Schema = {spelling: {"anyOf": [schema, _NULL]} for name, schema in fields.items() for spelling in _spellings(name)}
    return _mapping({"type": kind, "credential_type": kind, "credentialType": kind, **spelled})


def _data_store() -> Schema:
    url: Schema = {"type": ["string", "null"], "pattern": r"^(jdbc:|\$\{)", "description": "Without a password: that is a credential's."}
    value: Schema = {"type": ["string", "number", "boolean"]}
    parameter: Schema = {
        "type": "object",
        "properties": {"id": _TEXT, "name": _TEXT, "value": value},
        "anyOf": [{"required": ["id"]}, {"required": ["name"]}],
        "required": ["value"],
        "additionalProperties": False,
    }
    fields: Schema = {
        "description": "What a native driver is opened with.",
        "anyOf": [{"type": "object", "additionalProperties": value}, {"type": "array", "items": parameter}, _NULL],
    }
    return _mapping({"jdbc_url": url, "jdbcUrl": url, "fields": fields})


def _mapping(properties: Schema) -> Schema:
    about = "The id, where there is an endpoint; the rest is then what plan looks at content with."
    id: Schema = {"anyOf": [_TEXT, {"type": "integer"}], "description": about}
    return {"type": "object", "properties": {"id": id, **properties}, "additionalProperties": False}


_ENTRIES: dict[str, Schema] = {
    "variables": {
        "type": ["object", "null"],
        "properties": {"default": {"description": "Used when no value is given."}, "description": {"type": ["string", "null"]}},
        "additionalProperties": False,
    },
    "workspaces": {
        "type": ["object", "null"],
        "properties": {
            "endpoint": {
                "type": ["string", "null"],
                "pattern": r"^(https?://|\$\{|datarobot$)",
                "description": "The API's address, …/api/v2; or datarobot, for where the official client would connect.",
            },
            "token": {
                "type": ["string", "null"],
                "pattern": r"^\$\{\s*env\.\w[\w-]*\s*\}$",
                "description": "${env.NAME}: the environment variable that holds the token.",
            },
            "token_type": {"enum": ["Token", "Bearer", None], "description": "How the token is presented."},
            "ca_file": {
                "type": ["string", "null"],
                "minLength": 1,
                "description": "The authorities (PEM) that the server's certificate is checked against.",
            },
            "connect_timeout": {**_SECONDS, "description": "Seconds, or a duration such as 5s."},
            "read_timeout": {**_SECONDS, "description": "Seconds, or a duration such as 1m."},
            "allow_http": {"type": ["boolean", "null"], "description": "Whether the token may be sent unencrypted to another machine."},
        },
        "additionalProperties": False,
    },
}


def _job(definitions: Schema) -> Schema:
    schema = _described(model.Job, definitions)
    for side, kinds in SIDES.items():
        schema["properties"][side] = schema["properties"][to_camel(side)] = {
            "description": model.Job.model_fields[side].description,
            **_settings(side.removesuffix("_settings"), kinds, definitions),
        }
    schema["oneOf"] = [_one_of_required(_spellings(target)) for target in model.TARGETS]
    return schema


def _settings(word: str, kinds: Mapping[str, type[Strict]], definitions: Schema) -> Schema:
    types = [*kinds, *(synonym for synonym, name in SYNONYMS.items() if name in kinds)]
    branches = []
    for kind in types:
        name = SYNONYMS.get(kind, kind)
        definitions[f"{word} {name}"] = _kind(kinds[name], definitions)
        branches.append(
            {"if": {"type": "object", "properties": {"type": {"const": kind}}, "required": ["type"]}, "then": {"$ref": f"#/$defs/{word}%20{name}"}}
        )
    return {
        "anyOf": [{"type": "object", "properties": {"type": {"anyOf": [{"enum": types}, _EXPRESSION]}}, "required": ["type"]}, _EXPRESSION],
        "allOf": branches,
    }


def _kind(kind: type[Strict], definitions: Schema) -> Schema:
    schema = _described(kind, definitions)
    schema["properties"]["type"] = {}
    for key, (target, section) in model.names_of(kind).items():
        schema["properties"][key] = {"anyOf": [_TEXT, _NULL], "description": f"A name declared in {section}, instead of {target}."}
        schema["allOf"] = [_or_named(rule, target, key) for rule in schema["allOf"]]
    return schema


def _or_named(rule: Schema, target: str, key: str) -> Schema:
    options: list[Schema] = rule["anyOf"]
    return {"anyOf": [*options, {"required": [key]}]} if {"required": [target]} in options else rule


def _described(kind: type[Strict], definitions: Schema) -> Schema:
    """The model's schema with both spellings of each key, expressions, and null for what is not there."""
    schema = kind.model_json_schema(by_alias=False)
    for name, nested in schema.pop("$defs", {}).items():
        definitions[name] = _opened(nested, allows_null=False)
    return _opened(schema, allows_null=True)


def _opened(schema: Schema, allows_null: bool) -> Schema:
    required = schema.get("required", [])
    properties: Schema = {}
    for name, inner in schema.get("properties", {}).items():
        spelled = _property(name, inner, allows_null and name not in required)
        properties.update(dict.fromkeys(_spellings(name), spelled))
    rules = {"allOf": [_one_of_required(_spellings(name)) for name in required]} if required else {}
    return {"type": "object", "properties": properties, "additionalProperties": False, **rules}


def _property(name: str, schema: Schema, allows_null: bool) -> Schema:
    about = {key: schema[key] for key in ("description", "default") if schema.get(key) is not None}
    value = {key: inner for key, inner in schema.items() if key not in ("description", "default", "title", "discriminator")}
    if name in _WIDER:
        value = _WIDER[name]
    elif name.endswith("_id"):
        value = {"anyOf": [_TEXT, {"type": "integer"}]}
    return {**about, "anyOf": [value, _EXPRESSION, *([_NULL] if allows_null else [])]}


def _spellings(name: str) -> tuple[str, ...]:
    written = _SPELLED.get(name, name)
    return tuple(dict.fromkeys((written, to_camel(written))))


def _one_of_required(names: tuple[str, ...]) -> Schema:
    return {"anyOf": [{"required": [name]} for name in names]}
