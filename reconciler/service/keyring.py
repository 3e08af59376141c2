"""What the ids in a job stand for. The rule here: those of the service's owner come first, and a secret is never in a sentence."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.engine.place import Fields, Keys, Place
from reconciler.errors import ScoringError, ServiceError
from reconciler.service.connections import Connections
from reconciler.service.credentials import Credentials
from reconciler.service.refusal import Refusal

# Shorter ones are words that a sentence may hold by chance.
_SHORTEST_SECRET = 6
_PUBLIC = ("credentialType", "user", "snowflakeAccountName")
# In a JDBC URL, and in a connection string of Azure's.
_WITHIN = re.compile(r"(?:password|passwd|pwd|accountkey|sig)=([^&;]+)", re.IGNORECASE)
_OF_GOOGLE = ("private_key", "private_key_id")  # of a gcpKey; the rest is no secret


class Keyring:
    """The `Keys` of the service's jobs. Raises ScoringError for what is not there, as `Keys` does."""

    def __init__(self, given: Keys | None, credentials: Credentials, data_stores: Connections) -> None:
        self._given = given
        self._credentials = credentials
        self._data_stores = data_stores

    def credential(self, id: str) -> Fields:
        return self._found(id, self._given.credential if self._given else None, self._credentials.secrets, "The credential is not there")

    def data_store(self, id: str) -> Fields:
        return self._found(id, self._given.data_store if self._given else None, self._params, "The data store is not there")

    def _params(self, id: str) -> Fields:
        params: Fields = self._data_stores.get(id).body["params"]
        return params

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
    url = place.data_store.get("jdbcUrl") or ""
    found = [*_secrets(place.credential), *_secrets(place.storage_credential), *_WITHIN.findall(url)]
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return text


def _secrets(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _secrets({name: value[name] for name in _OF_GOOGLE if name in value})
        elif isinstance(value, str) and len(value) >= _SHORTEST_SECRET and name not in _PUBLIC:
            yield value
            yield from _WITHIN.findall(value)
