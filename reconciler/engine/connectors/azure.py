"""Azure's blobs. The rule here: a connection string says where the account is, and the url which container and which blob of it.

Credentials: `azure` (azureConnectionString with AccountKey or SharedAccessSignature, BlobEndpoint or EndpointSuffix), `azure_service_principal`
(clientId, clientSecret, azureTenantId), and `adls_gen2_oauth` (clientId, clientSecret); without one, requests are not signed, as a public container
wants it. Fields of a connection string: Microsoft's "Configure Azure Storage connection strings".

`adls_gen2_oauth` names no tenant, so the account is asked for its own ("Bearer challenge", "Authorize with Microsoft Entra ID"). We come as the
application itself, which needs a role of its own: that a user has agreed to `oauthScopes` is known to DataRobot, and not in the credential.
"""

import base64
import binascii
import http.client
import ipaddress
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from obstore.store import AzureStore

from reconciler.credential import FITTING
from reconciler.engine.connectors.bucket import Bucket
from reconciler.engine.connectors.objects import Objects
from reconciler.engine.connectors.store import SHARED, Located, System
from reconciler.engine.place import Place
from reconciler.errors import ScoringError, Unreachable

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


# Whom the applications of Azure's national clouds ask for a token; those of all others, Microsoft's public one.
_AUTHORITIES = {"chinacloudapi.cn": "https://login.chinacloudapi.cn", "usgovcloudapi.net": "https://login.microsoftonline.us"}
_CHALLENGING = {"x-ms-version": "2021-12-02"}  # of the first versions there was no challenge
_SILENCE_S = 15


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
    said = {"account_name": account.name, "endpoint": account.endpoint, "use_emulator": False, "skip_signature": False, **account.access}
    return Located(_bucket(container, account.endpoint, bool(place.credential), **said), unquote(key))


@lru_cache(maxsize=SHARED)
def _bucket(container: str, where: str, is_known: bool, **options: Any) -> Bucket:
    config: Any = options
    made = partial(AzureStore, container, config=config)
    return Bucket(made, f"{where}/{container}/", where, _SYSTEM, is_known)


def account_of(place: Place, written: str) -> Account:
    credential = place.credential
    name = written.rpartition("/")[2].split(".")[0]
    if not credential:
        return Account(name, written, {"skip_signature": True})
    if text := credential.get("azureConnectionString"):
        return _same(written, _connected(text))
    kind = credential.get("credentialType")
    if {"clientId", "clientSecret"} <= credential.keys() and ("azureTenantId" in credential or kind == "adls_gen2_oauth"):
        tenant = credential.get("azureTenantId") or _tenant(written)
        access = {"credential_type": "client_secret", "client_id": credential["clientId"], "client_secret": credential["clientSecret"]}
        authority = next((host for cloud, host in _AUTHORITIES.items() if (urlsplit(written).hostname or "").endswith(cloud)), None)
        return Account(name, written, {**access, "tenant_id": tenant, **({"authority_host": authority} if authority else {})})
    detail = f"{place.settings.url} needs a credential of the type {', '.join(FITTING['azure'])}; this one is {kind}."
    raise ScoringError("The credential does not fit", detail)


@lru_cache(maxsize=SHARED)
def _tenant(endpoint: str) -> str:
    """The account's. Only that is taken from its answer: whom a secret is sent to, it does not decide."""
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/?comp=list", headers=_CHALLENGING), timeout=_SILENCE_S) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        with error:
            headers = error.headers
    except (OSError, ValueError, http.client.HTTPException):
        raise Unreachable("Azure cannot be reached", f"{endpoint} does not answer. Check the url and the network.") from None
    found = re.search(r'authorization_uri="?https?://[^/\s"]+/([\w.-]+)', str(headers.get("WWW-Authenticate", "")))
    if not found:
        detail = f"{endpoint} does not say of which tenant it is. Name a credential of the type azure_service_principal, which has its azureTenantId."
        raise ScoringError("The tenant of the account is not known", detail)
    return found[1]


def _same(written: str, account: Account) -> Account:
    """Raises ScoringError for a connection string of another account of Azure's than the url's. One of an emulator stands for any account."""
    hosts = [(urlsplit(where).hostname or "").split(".") for where in (written, account.endpoint)]
    if all(host[1:2] == ["blob"] for host in hosts) and hosts[0][0].removesuffix("-secondary") != hosts[1][0].removesuffix("-secondary"):
        detail = f"The url is at {written}, and the azureConnectionString is of {account.endpoint}. Correct the url, or name another credential."
        raise ScoringError("The credential is of another account", detail)
    return account


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
