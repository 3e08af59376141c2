"""local-bigquery, as BigQuery. The rule here: one for each process of the tests, with its buckets on the GCS server.

It asks for nobody's key; writes an extract to one file; shows rows that come by a stream at once, without a streaming buffer; and takes a look
at a view through the Storage API as well as at a table. Its text needs Python 3.12, and what it does runs on 3.11 as well: two of its files are
written anew for it, and a third so that a stream is of many messages, as BigQuery's is (of 128 MB at the most), and not of one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from servers.environment import environment
from servers.gcs import Gcs
from servers.process import answers, free_ports, is_listening, running

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

_DUCKDB = "1.5.5"  # the newest that the registry has the extensions of
_EXTENSIONS = ("icu", "httpfs", "ducklake")
_NEEDED = (
    *("fastapi", "fastavro", "google-cloud-bigquery-storage", "mini-racer", "numpy", "prompt-toolkit", "pyarrow", "pydantic-settings"),
    *("pygments", "sqlglot>=30.24", "uvicorn", f"duckdb=={_DUCKDB}", "duckdb-extensions"),
    *(f"duckdb-extension-{name}=={_DUCKDB}" for name in _EXTENSIONS),
)
_SETUP = f"""
import importlib.util, pathlib, re
from duckdb_extensions import import_extension
for name in {_EXTENSIONS}:
    import_extension(name)
folder = pathlib.Path(importlib.util.find_spec("local_bigquery").origin).parent
generic, nested, read = (folder / name for name in ("catalog/metadata.py", "engine/results.py", "grpc/read.py"))
text = re.sub(r"(def \\w+)\\[R: Resource\\]", r"\\1", generic.read_text())
generic.write_text("from __future__ import annotations\\n" + text)
nested.write_text(nested.read_text().replace('message.replace("\\'", "\\'\\'")', "message.replace(chr(39), chr(39) * 2)"))
read.write_text(read.read_text().replace(".to_arrow_reader()", ".to_arrow_reader(1 << 14)"))
"""


@dataclass(frozen=True)
class BigQuery:
    """`variables` are what a client of it has in its environment."""

    rest: str
    grpc: str
    gcs: Gcs
    project: str = "project"

    @property
    def variables(self) -> dict[str, str]:
        return {
            "BIGQUERY_EMULATOR_HOST": self.rest,
            "BIGQUERY_STORAGE_EMULATOR_HOST": self.grpc,
            "STORAGE_EMULATOR_HOST": self.gcs.url,
        }

    def client(self) -> "Client":
        from google.auth.credentials import AnonymousCredentials
        from google.cloud.bigquery import Client

        return Client(self.project, AnonymousCredentials(), client_options={"api_endpoint": self.rest})


@contextmanager
def running_bigquery(folder: Path, gcs: Gcs) -> Iterator[BigQuery]:
    overrides = ("--no-deps", "--ignore-requires-python", "local-bigquery==0.4.0")
    program = environment("bigquery", *_NEEDED, overrides=overrides, setup=_SETUP) / "bin" / "local-bigquery"
    rest, grpc = free_ports(2)
    server = BigQuery(f"http://127.0.0.1:{rest}", f"127.0.0.1:{grpc}", gcs)
    command = [program, "serve", "--host", "127.0.0.1", "--port", str(rest), "--grpc-port", str(grpc)]
    command += ["--data-dir", folder / "data", "--project", server.project]

    def is_ready() -> bool:
        return is_listening(grpc) and answers(f"{server.rest}/bigquery/v2/projects/{server.project}/datasets")

    with running(command, folder / "bigquery.log", is_ready, STORAGE_EMULATOR_HOST=gcs.url):
        yield server


@pytest.fixture(scope="session")
def bigquery(tmp_path_factory: pytest.TempPathFactory, gcs: Gcs) -> Iterator[BigQuery]:
    with running_bigquery(tmp_path_factory.mktemp("bigquery"), gcs) as server:
        yield server
