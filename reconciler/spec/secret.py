"""Credentials, data stores, secrets in settings: as they are written. The rule here: a secret is named, never written, and no value is ever shown.

What is kept of them is spelled as the API spells it, with each secret still a reference: `${env.NAME}`, or `{"file": path}`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic.alias_generators import to_camel, to_snake

from reconciler import confidential
from reconciler.confidential import REFERENCE, SECRET_NAME
from reconciler.credential import KINDS, OPEN, TYPES, needed
from reconciler.spec.location import Root
from reconciler.spec.problem import Problems, Spot, did_you_mean

_TYPE_KEYS = ("type", "credential_type", "credentialType")
_LISTS = frozenset({"oauth_scopes"})
_UNESCAPED = re.compile(rf"(?<!\$){REFERENCE.pattern}")
_USER_INFO = re.compile(r"(?<=//)[^/?#]*@")

Value = TypeVar("Value")


def credential_fields(body: Mapping[str, Any], spot: Spot, root: Root, problems: Problems) -> dict[str, Any]:
    """The fields as the API spells them; what is wrong with them is told."""
    type_key = next((key for key in _TYPE_KEYS if key in body), None)
    if type_key is None:
        problems.add(spot, "Missing key", f"A credential needs type: one of {', '.join(TYPES)}.", is_key=True)
        return {}
    kind = KINDS.get(body[type_key]) if isinstance(body[type_key], str) else None
    if kind is None:
        near = did_you_mean(body[type_key], TYPES, "type")
        problems.add(spot / type_key, "Unknown credential type", f"This is not a type of credential.{near}", is_key=True)
        return {}
    word, names = f"a credential of type {body[type_key]}", kind.model_fields.keys() - {"credential_type", "config_id"}
    found: dict[str, Any] = {}
    for key, value in body.items():
        name = to_snake(key)
        if key == type_key or value is None:
            continue
        if name == "config_id":
            detail = "A secure configuration is known to an endpoint alone. Name the secrets themselves, each by ${env.NAME} or {file: path}."
            problems.add(spot / key, "Invalid credential", detail, is_key=True)
        elif name not in names or key in _TYPE_KEYS:
            problems.add(spot / key, "Unknown key", f'"{key}" is not a key of {word}.{did_you_mean(key, names, "key")}', is_key=True)
        elif name in found:
            problems.add(spot / key, "Duplicate key", f'"{name}" and "{to_camel(name)}" are one key. Keep one of the two.', is_key=True)
        else:
            found[name] = _field(name, key, value, spot, root, problems)
    if missing := [name for name in kind.model_fields if name in needed(kind) - found.keys()]:
        problems.add(spot, "Missing key", f"{word[0].upper() + word[1:]} needs {' and '.join(missing)}.", is_key=True)
    return {"credentialType": body[type_key], **{to_camel(name): value for name, value in found.items()}}


def store_fields(body: Mapping[str, Any], spot: Spot, problems: Problems) -> dict[str, Any]:
    """`{"jdbcUrl": …}` or `{"fields": [{id, name, value}]}`; what is wrong is told. `fields` may be written as a mapping of names too."""
    given: dict[str, Any] = {}
    for key, value in body.items():
        if to_snake(key) not in ("jdbc_url", "fields"):
            near = did_you_mean(key, ("jdbc_url", "fields"), "key")
            problems.add(spot / key, "Unknown key", f'"{key}" is not a key of a data store.{near}', is_key=True)
        elif value is not None:
            given[to_camel(to_snake(key))] = (key, value)
    if len(given) != 1:
        if not body.keys() - {"jdbc_url", "jdbcUrl", "fields"}:
            detail = "A data store is {jdbc_url: jdbc:postgresql://host:port/database}, or {fields: {…}}; exactly one of the two is needed."
            problems.add(spot, "Invalid data store", detail, is_key=True)
        return {}
    ((name, (key, value)),) = given.items()
    return {name: _url(value, spot / key, problems) if name == "jdbcUrl" else list(_parameters(value, spot / key, problems))}


def sheltered(block: Value) -> Value:
    """Settings as they are written, with each reference to a secret that may stand where it does kept from being read as an expression."""
    return confidential.visited(block, _sheltered) if isinstance(block, dict) else block  # type: ignore[return-value]


def check_secrets(block: Mapping[str, Any], spot: Spot, problems: Problems) -> None:
    """That no secret is written in settings; each that is, is told."""
    for path, text in confidential.texts(block):
        # A header may hold more than its secret: Bearer ${env.NAME}.
        is_header = "headers" in path[:-1]
        if any(not REFERENCE.search(secret) if is_header else _is_written(secret) for secret in confidential.secrets_in(path, text)):
            instead = "Bearer ${env.NAME}" if path[-1].lower() == "authorization" else "…?sig=${env.NAME}" if path[-1] == "url" else "${env.NAME}"
            detail = (
                f"There is a secret in {path[-1]}, and what is written in a specification ends up in version control, in the state and in plans. "
                f"Name it instead, as in {path[-1]}: {instead}."
            )
            problems.add(Spot(spot.document, spot.path + path), "Secret in a specification", detail, is_key=True)


def _sheltered(path: confidential.Path, text: str) -> str:
    if path[-1] != "url":
        return _kept(text)
    address, mark, query = text.partition("?")
    return _USER_INFO.sub(lambda match: _kept(match[0]), address) + mark + _kept(query)


def _kept(text: str) -> str:
    return _UNESCAPED.sub(r"$${env.\1}", text)


def _field(name: str, key: str, value: Any, spot: Spot, root: Root, problems: Problems) -> Any:
    """The value, or what names it."""
    if name in _LISTS:
        if isinstance(value, list) and value and all(isinstance(item, str) and item for item in value):
            return value
        problems.add(spot / key, "Invalid value", f"{key} must be a list of texts.", is_key=True)
        return None
    if type(value) is int and name in OPEN:
        return str(value)  # a name of digits only
    if isinstance(value, dict) and value.keys() == {"file"} and isinstance(value["file"], str) and value["file"] and "\0" not in value["file"]:
        return {"file": root.relative(value["file"])}
    if isinstance(value, str) and value and (name in OPEN or REFERENCE.fullmatch(value)):
        return _plain(value)
    if name in OPEN:
        problems.add(spot / key, "Invalid value", f"{key} must be a text, ${{env.NAME}} or {{file: path}}.", is_key=True)
    else:
        detail = (
            f"{key} is a secret, and what is written in a specification ends up in version control. Name it instead: "
            f"{key}: ${{env.NAME}}, or {key}: {{file: path}}."
        )
        problems.add(spot / key, "Secret in a specification", detail, is_key=True)
    return None


def _url(value: Any, spot: Spot, problems: Problems) -> str:
    if not isinstance(value, str) or not value.startswith(("jdbc:", "${")):
        problems.add(spot, "Invalid data store", "A jdbc_url begins with jdbc:, such as jdbc:postgresql://host:port/database.", is_key=True)
        return ""
    url = _plain(value)
    if any(_is_written(secret) for secret in confidential.secrets_in(("jdbcUrl",), url)):
        _refuse_password(spot, problems)
    return url


def _parameters(value: Any, spot: Spot, problems: Problems) -> Iterator[dict[str, str]]:
    """The fields of a native driver."""
    entries = [{"name": name, "value": text} for name, text in value.items()] if isinstance(value, dict) else value
    if not isinstance(entries, list) or not entries:
        problems.add(spot, "Invalid data store", "fields are a mapping such as {address: host, database: name}.", is_key=True)
        return
    for number, entry in enumerate(entries):
        texts = {key: _text(item) for key, item in entry.items()} if isinstance(entry, dict) else {}
        name = texts.get("name") or texts.get("id")
        if not name or texts.get("value") is None or texts.keys() - {"id", "name", "value"}:
            problems.add(spot, "Invalid data store", f"Field {number + 1} is not one: it needs a name and a value.", is_key=True)
        elif SECRET_NAME.fullmatch(name) and _is_written(texts["value"] or ""):
            _refuse_password(spot / (name if isinstance(value, dict) else number), problems)
        else:
            yield {"id": texts.get("id") or name, "name": name, "value": _plain(texts["value"] or "")}


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _refuse_password(spot: Spot, problems: Problems) -> None:
    detail = (
        "There is a secret in it, and what is written in a specification ends up in version control. Remove it, and give the jobs a credential: "
        "{type: basic, user: …, password: ${env.NAME}}; or name it here by ${env.NAME}."
    )
    problems.add(spot, "Secret in a specification", detail, is_key=True)


def _is_written(secret: str) -> bool:
    return REFERENCE.sub("", secret).strip() != ""


def _plain(text: str) -> str:
    """With one spelling for each reference."""
    return REFERENCE.sub(r"${env.\1}", text)
