"""Plans of a workspace with an endpoint: the real service on a loopback socket, a project elsewhere that names it."""

import http.server
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from house import REPOSITORY, Reconciler
from served import Served, serving

WINE = """\
workspaces:
  prod: {{endpoint: "{endpoint}"}}
deployments:
  wine: {{local: specs/models/wine, prod: "{wine}"}}
jobs:
  wine:
    deployment: wine
    intake_settings: {intake}
    output_settings: {{type: localFile, path: out/wine.csv}}
    passthrough_columns: [bottle_id]
    max_explanations: 0
"""
LOCAL = "{type: localFile, file: data/wine.csv}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture
def root(tmp_path: Path, served: Served, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, in which the official client's variables name the server's token."""
    for name in [name for name in os.environ if name.startswith("DATAROBOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATAROBOT_API_TOKEN", served.token)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs").mkdir()
    (tmp_path / "data").mkdir()
    shutil.copy(REPOSITORY / "specs/data/wine.csv", "data/wine.csv")
    return tmp_path


@pytest.fixture
def write(root: Path, served: Served) -> Callable[..., None]:
    """Writes the specs: one job on the server, with what is different about it."""

    def writer(intake: str = LOCAL, endpoint: str = served.endpoint, wine: str = served.deployments["wine"], more: str = "") -> None:
        (root / "specs/jobs.yaml").write_text(WINE.format(intake=intake, endpoint=endpoint, wine=wine) + more)

    return writer


def plan(reconciler: Reconciler, *options: str) -> dict[str, Any]:
    said = reconciler("plan", "-workspace=prod", "-json", *options)
    assert said.code == 0, said.err
    return dict(json.loads(said.out))


def test_plan_shows_what_would_be_submitted(write: Callable[..., None], served: Served, reconciler: Reconciler) -> None:
    write()
    document = plan(reconciler)
    (change,) = document["resource_changes"]
    assert (change["action"], change["reasons"]) == ("submit", ["never run"])
    after = change["change"]["after"]
    assert after["deployment"] == served.deployments["wine"]
    assert after["intake_settings"] == {"type": "localFile", "file": "data/wine.csv"}
    assert after["passthrough_columns"] == ["bottle_id"]
    assert after["intake_content"].startswith("blake3:")
    assert after["model"].startswith("blake3:")
    assert document["endpoint"] == served.endpoint
    assert document["notes"] == []


def test_unknown_deployment_is_told_with_file_and_line(write: Callable[..., None], reconciler: Reconciler) -> None:
    write(wine="616d01a8ddbd17fc2c75caf4")
    said = reconciler("plan", "-workspace=prod")
    assert said.code == 1
    assert "There is no such deployment" in said.err
    assert "There is no deployment 616d01a8ddbd17fc2c75caf4 at the workspace's endpoint" in " ".join(said.err.split())
    assert "on specs/jobs.yaml line 6" in said.err


def test_server_that_is_down_is_one_clear_error(write: Callable[..., None], reconciler: Reconciler) -> None:
    write(endpoint="http://127.0.0.1:9/api/v2")
    said = reconciler("plan", "-workspace=prod")
    assert (said.code, said.out, said.err.count("\nError: ")) == (1, "", 1)
    assert "Traceback" not in said.err


def test_wrong_token_is_one_clear_error(write: Callable[..., None], reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch) -> None:
    write()
    monkeypatch.setenv("DATAROBOT_API_TOKEN", "s3cr3t")
    said = reconciler("plan", "-workspace=prod")
    assert (said.code, said.out, said.err.count("\nError: ")) == (1, "", 1)
    assert "401" in said.err
    assert "s3cr3t" not in said.err


class _Website(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        body = b"<!doctype html><title>Welcome</title>"
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("status", [200, 404])
def test_website_is_one_clear_error(write: Callable[..., None], reconciler: Reconciler, status: int) -> None:
    website = type("Website", (_Website,), {"status": status})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), website) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        write(endpoint=f"http://127.0.0.1:{server.server_port}/api/v2")
        said = reconciler("plan", "-workspace=prod")
        server.shutdown()
    assert (said.code, said.out, said.err.count("\nError: ")) == (1, "", 1)
    assert "There is no such deployment" not in said.err
