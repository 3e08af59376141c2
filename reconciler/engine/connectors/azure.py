"""Azure's blobs. The rule here: a connection string says where the account is, and the url which container and which blob of it.

Credentials: `azure` (azureConnectionString with AccountKey or SharedAccessSignature, BlobEndpoint or EndpointSuffix), and
`azure_service_principal` (clientId, clientSecret, azureTenantId); without one, requests are not signed, as a public container wants it.
Fields of a connection string: Microsoft's "Configure Azure Storage connection strings".
"""

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from obstore.store import AzureStore

from reconciler.engine.connectors.bucket import Bucket
from reconciler.engine.connectors.objects import Objects
from reconciler.engine.connectors.store import Located, System
from reconciler.engine.place import Place
from reconciler.errors import ScoringError

_SYSTEM = System(
    "Azure",
    "container",
    {
        "read": "r of a shared access signature, or the role Storage Blob Data Reader",
        "list": "l of a shared access signature (of the container), or the role Storage Blob Data Reader",
        "write": "c and w of a shared access signature, or the role Storage Blob Data Contributor",
        "remove": "d of a shared access signature, or the role Storage Blob Data Contributor",
    },
)
# The account that emulators have for everybody: Microsoft's "Use the Azurite emulator".
_DEVELOPMENT = {
    "AccountName": "devstoreaccount1",
    "AccountKey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "BlobEndpoint": "http://127.0.0.1:10000/devstoreaccount1",
}


class Account(NamedTuple):
    """`endpoint` is without a slash at its end; `access` are obstore's options for one way to be let in."""

    name: str
    endpoint: str
    access: Mapping[str, Any]


def locate(place: Place) -> Located:
    url = place.settings.url
    address = urlsplit(url)
    if address.query or address.fragment or address.username or address.password:
        detail = "A url must not hold a signature. Put it into a credential: BlobEndpoint=https://…;SharedAccessSignature=…"
        raise ScoringError("The url holds more than a place", detail)
    written = f"{address.scheme}://{address.netloc}"
    path = address.path.lstrip("/")
    if _account_is_in_path(address.hostname or ""):
        first, _, path = path.partition("/")
        written = f"{written}/{first}"
    account = account_of(place, written)
    container, _, key = path.partition("/")
    key = key or "/" * (path.endswith("/") and bool(container))  # all of the container
    if not key:
        raise ScoringError(
            "The url names no blob", f"{url} has to name a container and a blob: https://account.blob.core.windows.net/container/blob."
        )
    # What is not said here, the library takes from the environment.
    said = {"account_name": account.name, "endpoint": account.endpoint, "use_emulator": False, "skip_signature": False}
    options: Any = {**said, **account.access}
    root = f"{account.endpoint}/{container}/"
    bucket = Bucket(lambda **client: AzureStore(container, config=options, **client), root, account.endpoint, _SYSTEM, bool(place.credential))
    return Located(bucket, unquote(key))


def account_of(place: Place, written: str) -> Account:
    credential = place.credential
    name = written.rpartition("/")[2].split(".")[0]
    if not credential:
        return Account(name, written, {"skip_signature": True})
    if text := credential.get("azureConnectionString"):
        return _connected(text)
    if {"clientId", "clientSecret", "azureTenantId"} <= credential.keys():
        keys = {"client_id": credential["clientId"], "client_secret": credential["clientSecret"], "tenant_id": credential["azureTenantId"]}
        return Account(name, written, {"credential_type": "client_secret", **keys})
    kind = credential.get("credentialType")
    detail = f"{place.settings.url} needs a credential of the type azure, with azureConnectionString, or azure_service_principal; this one is {kind}."
    raise ScoringError("The credential does not fit", detail)


def _connected(text: str) -> Account:
    """Raises ScoringError for a connection string that lacks something; its values are not shown."""
    pairs = [part.partition("=") for part in text.split(";") if part.strip()]
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if fields.get("usedevelopmentstorage", "").lower() == "true":
        fields = {name.lower(): value for name, value in _DEVELOPMENT.items()}
    endpoint = fields.get("blobendpoint", "").rstrip("/")
    if not endpoint and "accountname" in fields:
        scheme, suffix = fields.get("defaultendpointsprotocol", "https"), fields.get("endpointsuffix", "core.windows.net")
        endpoint = f"{scheme}://{fields['accountname']}.blob.{suffix}"
    if not endpoint:
        raise _incomplete("AccountName or BlobEndpoint")
    host = urlsplit(endpoint)
    of_endpoint = host.path.strip("/") if _account_is_in_path(host.hostname or "") else (host.hostname or "").split(".")[0]
    account = fields.get("accountname", of_endpoint)
    if signature := fields.get("sharedaccesssignature"):
        return Account(account, endpoint, {"credential_type": "sas_token", "sas_key": signature.removeprefix("?")})
    key = fields.get("accountkey")
    if not key:
        raise _incomplete("AccountKey or SharedAccessSignature")
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error:
        raise ScoringError(
            "The credential is refused", "The AccountKey of the azureConnectionString is not base64: a part of it is missing."
        ) from None
    return Account(account, endpoint, {"credential_type": "access_key", "account_key": key})


def _incomplete(what: str) -> ScoringError:
    return ScoringError("The connection string is incomplete", f"The azureConnectionString lacks {what}. Copy it as the portal shows it.")


def _account_is_in_path(host: str) -> bool:
    """As emulators have it, which have no name for each account."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


_room = Objects(locate)
look, open_intake, open_sink = _room.look, _room.open_intake, _room.open_sink
open_output, settle, discard = _room.open_output, _room.settle, _room.discard
