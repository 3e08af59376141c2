"""What the ids in a job stand for. The rule here: those of the service's owner come first, and a secret is never in a sentence."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler import confidential
from reconciler.confidential import REFERENCE, SHORTEST
from reconciler.engine.place import Fields, Keys, Place
from reconciler.errors import ScoringError, ServiceError
from reconciler.service.connections import Connections
from reconciler.service.credentials import Credentials
from reconciler.service.refusal import Refusal
from reconciler.service.secret_box import SecretBox

_PUBLIC = ("credentialType", "user", "snowflakeAccountName")
# In a connection string of Azure's.
_WITHIN = re.compile(r"(?:accountkey|sharedaccesssignature|sig)=([^&;]+)", re.IGNORECASE)
_OF_GOOGLE = ("private_key", "private_key_id")  # of a gcpKey; the rest is no secret


class Keyring:
    """The `Keys` of the service's jobs. Raises ScoringError for what is not there, as `Keys` does."""

    def __init__(self, given: Keys | None, credentials: Credentials, data_stores: Connections, box: SecretBox) -> None:
        self._given = given
        self._box = box
        self._credentials = credentials
        self._data_stores = data_stores

    def credential(self, id: str) -> Fields:
        return self._found(id, self._given.credential if self._given else None, self._credentials.secrets, "The credential is not there")

    def data_store(self, id: str) -> Fields:
        return self._found(id, self._given.data_store if self._given else None, self._params, "The data store is not there")

    def opened(self, settings: Fields) -> Fields:
        given = self._given.opened(settings) if self._given else settings
        try:
            return self._box.opened(given)
        except ServiceError as error:
            raise ScoringError(error.summary, error.detail) from None

    def sealed(self, spec: dict[str, Any]) -> dict[str, Any]:
        """The spec as it is kept; a reference of the owner's stays as it is."""
        return self._box.sealed(spec, lambda text: self._given is not None and REFERENCE.search(text) is not None)

    def _params(self, id: str) -> Fields:
        return self._box.opened(self._data_stores.get(id).body["params"])

    def _found(self, id: str, given: Callable[[str], Fields] | None, own: Callable[[str], Fields], summary: str) -> Fields:
        missing: ScoringError | None = None
        if given:
            try:
                return given(id)
            except ScoringError as error:
                missing = error  # it says more than we can, if there is none of ours either
        try:
            return own(id)
        except Refusal as error:
            raise missing or ScoringError(summary, f"{error.message}.") from None
        except ServiceError as error:
            raise ScoringError(error.summary, error.detail) from None


def without_secrets(text: str, place: Place) -> str:
    """What a library said, which may hold what it was opened with."""
    found = [*_secrets(place.credential), *_secrets(place.storage_credential)]
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return confidential.without(text, place.data_store, place.settings.model_dump(by_alias=True))


def _secrets(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _secrets({name: value[name] for name in _OF_GOOGLE if name in value})
        elif isinstance(value, str) and len(value) >= SHORTEST and name not in _PUBLIC:
            yield value
            yield from _WITHIN.findall(value)
