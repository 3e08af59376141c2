"""One instance of a job: what must have been scored. The rule here: equal meaning gives equal digests, whatever the spelling."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from reconciler.fingerprint import value_digest
from reconciler.options import PACE

DIGEST_VERSION = 1
# Fields of an intake or output that name what opens it, with the part of a spec that says what that is.
OPENERS = {"credentialId": "credentials", "cloudStorageCredentialId": "credentials", "dataStoreId": "dataStores"}


@dataclass(frozen=True, slots=True)
class Instance:
    """`spec` is canonical (wire keys, names resolved, no nulls or defaults); parts of it may be shared between instances."""

    address: str
    deployment: str
    spec: dict[str, Any]
    metadata: dict[str, Any]
    depends_on: tuple[str, ...]
    file: str
    line: int
    intake_file: str | None
    output_file: str | None
    digest: str
    intake_version: str | None = None
    on_unknown: Literal["keep", "rerun"] = "keep"
    probe: str | None = None  # a query whose rows tell whether the intake's have changed


def address_of(job: str, key: str | None) -> str:
    return f"job.{job}" if key is None else f"job.{job}[{json.dumps(key, ensure_ascii=False)}]"


def opened(spec: dict[str, Any], side: Literal["intake", "output"]) -> dict[str, Any]:
    """One side of a spec, with its data store and the accounts of its credentials in place of their names: two names of one database are one place.

    An endpoint's id stays.
    """
    settings: dict[str, Any] = spec[side]
    if "credentials" not in spec and "dataStores" not in spec:
        return settings  # as of thousands of local files
    known = {field: spec.get(section, {}).get(settings.get(field)) for field, section in OPENERS.items()}
    return {**settings, **{field: told for field, told in known.items() if told is not None}}


def spec_digest(spec: dict[str, Any]) -> str:
    """The fingerprint of a spec as it reaches the scorer: a local intake's content has a digest of its own, and pace changes nothing."""
    intake = {"type": "localFile"} if spec["intake"]["type"] == "localFile" else opened(spec, "intake")
    options = {key: value for key, value in spec["options"].items() if key not in PACE}
    rest = {key: value for key, value in spec.items() if key not in OPENERS.values()}
    return value_digest({"version": DIGEST_VERSION, **rest, "intake": intake, "output": opened(spec, "output"), "options": options})
