"""An external data source of Synapse, and the folder in it that a job fills and empties. The rule here: what is left there is a job's own, and goes.

Locations: Microsoft's "CREATE EXTERNAL DATA SOURCE"; credentials of COPY: "COPY INTO (Transact-SQL)".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from reconciler.engine.connectors import azure
from reconciler.engine.connectors.sqlserver import Session, literal
from reconciler.engine.connectors.store import Object, Store
from reconciler.engine.place import Place
from reconciler.errors import ScoringError
from reconciler.settings import AzureIntake


@dataclass(frozen=True)
class Folder:
    """`location` is where it is in the data source, `url` where it is for COPY, and `key` in the container; all end in `/`."""

    store: Store
    key: str
    location: str
    url: str
    access: Mapping[str, str] = field(repr=False)

    @property
    def credential(self) -> str:
        """As COPY wants it; holds a secret. Without one, Synapse goes there as the user that is logged in."""
        match self.access:
            case {"account_key": key}:
                return _credential("Storage Account Key", key)
            case {"sas_key": signature}:
                return _credential("Shared Access Signature", signature)
            case {"client_id": client, "client_secret": secret, "tenant_id": tenant}:
                authority = self.access.get("authority_host", "https://login.microsoftonline.com")
                return _credential(f"{client}@{authority}/{tenant}/oauth2/token", secret)
        return ""

    def objects(self) -> list[Object]:
        """What has something in it, by name."""
        return sorted((found for found in self.store.list(self.key) if found.size), key=lambda found: found.key)

    def clear(self) -> None:
        self.store.remove([found.key for found in self.store.list(self.key)])


def folder(session: Session, place: Place, part: str) -> Folder:
    """Raises ScoringError for a data source that is not there, or is no container of Azure."""
    name = place.settings.external_data_source
    found = session.run("SELECT location FROM sys.external_data_sources WHERE name = ?", name)
    if not found:
        detail = f"{session.name} has no external data source {name}. Correct external_data_source, or create it there."
        raise ScoringError("The external data source does not exist", detail)
    host, container, root = _located(name, str(found[0][0]).strip())
    location = f"reconciler_{place.job}/{part}/"
    key = "/".join(word for word in [*root.split("/"), location.rstrip("/")] if word) + "/"
    url = f"https://{host}/{container}/{quote(key)}"
    there = Place(AzureIntake(type="azure", url=url), place.storage_credential)
    account = azure.account_of(there, f"https://{host}")
    if account.name != host.partition(".")[0]:
        detail = f"{name} is in the account {host.partition('.')[0]}, and the credential of cloud_storage_credential is of {account.name}."
        raise ScoringError("The storage credential is of another account", detail)
    return Folder(azure.locate(there).store, key, f"/{location}", url, account.access)


def secrets(place: Place) -> list[str]:
    """What a message about COPY must not hold."""
    credential = place.storage_credential
    said = str(credential.get("azureConnectionString", ""))
    parts = [value for _, _, value in (part.partition("=") for part in said.split(";")) if len(value) > 30]
    return [*parts, *(part.removeprefix("?") for part in parts), *(str(credential[key]) for key in ("clientSecret",) if credential.get(key))]


def _located(name: str, location: str) -> tuple[str, str, str]:
    """The account's host for blobs, the container, and the folder: of `wasbs://container@host/folder` or `https://host/container/folder`."""
    where = urlsplit(location)
    path = where.path.lstrip("/")
    container, root = (where.username or "", path)
    if not container:
        container, _, root = path.partition("/")
    host = (where.hostname or "").replace(".dfs.", ".blob.")
    if where.scheme not in ("wasb", "wasbs", "abfs", "abfss", "abs", "adls", "http", "https") or not host or not container:
        detail = f"{name} is at {location}; its location has to be one of Azure's storage: abfss://container@account.dfs.core.windows.net."
        raise ScoringError("The external data source is of another kind", detail)
    return host, container, root


def _credential(identity: str, secret: str) -> str:
    return f"CREDENTIAL = (IDENTITY = {literal(identity)[1:]}, SECRET = {literal(secret)[1:]})"
