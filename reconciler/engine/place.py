"""An intake or an output of another system, and what opens it. The rule here: secrets are held, and never printed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from reconciler.options import Strict
from reconciler.settings import INTAKES, OUTPUTS

Fields = Mapping[str, Any]


class Keys(Protocol):
    """What the names and ids in settings stand for. Raises ScoringError for one that stands for nothing."""

    def credential(self, id: str) -> Fields:
        """The secrets as the API spells them, with their `credentialType`."""

    def data_store(self, id: str) -> Fields:
        """The `params` of a data store: `jdbcUrl`, or `fields`."""

    def opened(self, settings: Fields) -> Fields:
        """The settings of a job, with what the references in them stand for."""


def _never() -> bool:
    """With a name, so that a place can be sent to another process."""
    return False


@dataclass(frozen=True)
class Place:
    """`settings` are one of `reconciler.settings`. What is not named in them is empty.

    `job` is the id of the job, which is the same when the job is scored again after a crash: it names what is written on the way.
    `probe` is a query of the user's whose rows tell whether a table has changed.
    `is_halted` tells whether the job was aborted, to whoever waits for the system; it is called in any thread.
    """

    settings: Any = field(repr=False)  # a url may be signed
    credential: Fields = field(default_factory=dict, repr=False)
    storage_credential: Fields = field(default_factory=dict, repr=False)  # cloudStorageCredentialId
    data_store: Fields = field(default_factory=dict, repr=False)
    job: str = ""
    probe: str | None = None
    is_halted: Callable[[], bool] = field(default=_never, repr=False, compare=False)

    @property
    def type(self) -> str:
        return str(self.settings.type)


def intake_place(settings: Fields, keys: Keys, job: str = "", probe: str | None = None) -> Place:
    """`settings` as the wire has them. Raises ScoringError for a credential or a data store that is not there."""
    return _place(INTAKES[settings["type"]].model_validate(keys.opened(settings)), keys, job, probe)


def output_place(settings: Fields, keys: Keys, job: str) -> Place:
    return _place(OUTPUTS[settings["type"]].model_validate(keys.opened(settings)), keys, job, None)


def _place(settings: Strict, keys: Keys, job: str, probe: str | None) -> Place:
    def named(field: str) -> str | None:
        return getattr(settings, field, None)

    credential, storage, store = named("credential_id"), named("cloud_storage_credential_id"), named("data_store_id")
    return Place(
        settings,
        keys.credential(credential) if credential else {},
        keys.credential(storage) if storage else {},
        keys.data_store(store) if store else {},
        job,
        probe,
    )
