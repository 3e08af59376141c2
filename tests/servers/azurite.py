"""Azurite, Microsoft's own emulator of Azure's blobs. The rule here: one for each process of the tests."""

import base64
import hashlib
import hmac
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from servers.environment import node_modules
from servers.process import free_port, is_listening, running

if TYPE_CHECKING:
    from obstore.store import AzureStore

# The account and the key that Azurite has for everybody.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_VERSION = "2021-12-02"


@dataclass(frozen=True)
class Azurite:
    """`url` is the account's, without a slash at its end."""

    url: str
    account: str = _ACCOUNT
    key: str = _KEY

    @property
    def connection_string(self) -> str:
        return f"DefaultEndpointsProtocol=http;AccountName={self.account};AccountKey={self.key};BlobEndpoint={self.url};"

    @property
    def credential(self) -> dict[str, str]:
        """As the API spells it."""
        return {"credentialType": "azure", "azureConnectionString": self.connection_string}

    def sas(self, permissions: str = "rwdlac", expiry: str = "2099-01-01T00:00:00Z") -> str:
        """A shared access signature of the account, for its containers and blobs, as the query of a URL."""
        said = {"sv": _VERSION, "ss": "b", "srt": "sco", "sp": permissions, "se": expiry}
        signed = "\n".join([self.account, permissions, "b", "sco", "", expiry, "", "", _VERSION, "", ""])
        digest = hmac.digest(base64.b64decode(self.key), signed.encode(), hashlib.sha256)
        return urllib.parse.urlencode(said | {"sig": base64.b64encode(digest).decode()})

    def store(self, container: str) -> "AzureStore":
        from obstore.store import AzureStore

        return AzureStore(container, account_name=self.account, account_key=self.key, endpoint=self.url, client_options={"allow_http": True})

    def bucket(self, name: str, is_public: bool = False) -> "AzureStore":
        """A new container."""
        headers = {"Content-Length": "0"} | ({"x-ms-blob-public-access": "container"} if is_public else {})
        made = urllib.request.Request(f"{self.url}/{name}?restype=container&{self.sas()}", method="PUT", headers=headers)
        with urllib.request.urlopen(made, timeout=30):
            return self.store(name)


@contextmanager
def running_azurite(folder: Path, certificate: Path | None = None) -> Iterator[Azurite]:
    """With a certificate over TLS, and then it takes tokens too."""
    main = node_modules("azurite", "azurite@3.35.0") / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    port = free_port()
    command: list[str | Path] = [
        *("node", main, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", folder),
        *("--silent", "--skipApiVersionCheck", "--disableTelemetry"),
        *(("--oauth", "basic", "--cert", certificate, "--key", certificate) if certificate else ()),
    ]
    with running(command, folder / "azurite.log", lambda: is_listening(port)):
        yield Azurite(f"{'https' if certificate else 'http'}://127.0.0.1:{port}/{_ACCOUNT}")


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with running_azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server
