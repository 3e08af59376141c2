"""A data store, tried. The rule here: a connection is made for the answer, and what opens it is kept nowhere."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from pydantic import Field, ValidationError

from reconciler.api.schema import validation_problems
from reconciler.credential import SECRETS, URLS
from reconciler.engine.connectors.rooms import ROOMS, is_installed
from reconciler.engine.packages import install
from reconciler.engine.place import Fields, Keys, Place
from reconciler.errors import ScoringError
from reconciler.options import Id, Strict
from reconciler.service.keyring import without_secrets
from reconciler.service.places import connected
from reconciler.service.refusal import Refusal, invalid
from reconciler.service.systems import database
from reconciler.settings import INTAKES


class Access(Strict):
    """A user with a password, or a credential that is kept, or one that is given; with none of them the data store's URL says it all."""

    user: str | None = None
    password: str | None = None
    credential_id: Id | None = None
    credential_data: dict[str, Any] | None = None
    use_kerberos: bool | None = None
    db_schema: str | None = Field(None, alias="schema")
    catalog: str | None = None


def reached(store: str, body: dict[str, Any], keys: Keys, question: str) -> dict[str, Any]:
    """What the room of a data store (its id) answers to `ping`, `schemas` or `tables`, as the API shows it. Raises Refusal."""
    try:
        access = Access.model_validate(body)
    except ValidationError as error:
        # Without the words of the validator, which may quote a password that stands in the wrong field.
        raise invalid((where, "this field is unknown, or its value is of another type") for where, _ in validation_problems(error)) from None
    if access.use_kerberos:
        raise invalid([(("useKerberos",), "Kerberos is not served here; give a user and a password, or a credential")])
    place = _place(store, _params(store, keys), _credential(access, keys))
    try:
        ask = getattr(connected(place), question, None)
        if ask is None:
            raise Refusal(422, f"a data store of {place.type} cannot be asked this here; a job says whether it can be opened")
        answer = ask(place, access.db_schema) if question == "tables" else ask(place)
    except ScoringError as error:
        sentence = f"{error.summary}: {error.detail}" if error.detail else error.summary
        raise Refusal(422, without_secrets(sentence, place)) from None
    return _SHOWN[question](answer, _catalog(place))


def _tables(found: Sequence[tuple[str, str, str]], catalog: str) -> dict[str, Any]:
    kinds = {True: "VIEW", False: "TABLE"}  # the API knows no others
    shown = [{"catalog": catalog, "schema": schema, "name": name, "type": kinds["VIEW" in kind.upper()]} for schema, name, kind in found]
    return {"catalog": catalog, "tables": shown}


_SHOWN: Mapping[str, Callable[[Any, str], dict[str, Any]]] = {
    "ping": lambda answer, catalog: {"message": "Connection successful"},
    "schemas": lambda schemas, catalog: {"catalog": catalog, "catalogs": None, "schemas": schemas},
    "tables": _tables,
}
# Where a JDBC URL names the database.
_CATALOGS = {
    "jdbc": re.compile(r"//[^/]*/([^?]*)"),
    "snowflake": re.compile(r"[?&]db=([^&]*)", re.IGNORECASE),
    "synapse": re.compile(r";database(?:name)?=([^;]*)", re.IGNORECASE),
}


def _catalog(place: Place) -> str:
    found = _CATALOGS[place.type].search(place.data_store["jdbcUrl"])
    return unquote(found[1]) if found else ""


def _place(store: str, params: Mapping[str, Any], credential: Fields) -> Place:
    kind = database(params)
    if kind is None:
        raise Refusal(422, f"a data store is opened here when its jdbcUrl begins with {' or '.join(URLS.values())}")
    if not is_installed(kind):
        raise Refusal(422, f"the client library for {kind} is not installed; run: {install(ROOMS[kind].extra)}")
    return Place(INTAKES[kind].model_validate({"type": kind, "dataStoreId": store}), credential, data_store=params)


def _params(store: str, keys: Keys) -> Fields:
    try:
        return keys.data_store(store)
    except ScoringError as error:
        raise Refusal(422, error.detail or error.summary) from None


def _credential(access: Access, keys: Keys) -> Fields:
    if access.credential_id:
        try:
            return keys.credential(access.credential_id)
        except ScoringError as error:
            raise invalid([(("credentialId",), error.detail or error.summary)]) from None
    if access.credential_data:
        try:
            return SECRETS.validate_python(access.credential_data).model_dump(by_alias=True, exclude_none=True)
        except ValidationError:
            raise invalid([(("credentialData",), "these are not the fields of a credential")]) from None
    if access.user is None and access.password is None:
        return {}
    return {"credentialType": "basic", "user": access.user or "", "password": access.password or ""}
