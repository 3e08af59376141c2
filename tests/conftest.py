"""The house in two fixtures: a project with the shipped specs in a temporary folder, and the program run on it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import Reconciler, Said, copy_specs
from nursery import Nursery
from remote import Remote, Server, served

from reconciler.cli.main import run

# The systems' servers, each after those that it needs: one is started by the first test that asks for it.
pytest_plugins = [f"servers.{name}" for name in ("azurite", "gcs", "seaweed", "postgres", "web", "bigquery", "snowflake", "synapse")]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh project with the shipped specs; the working folder is its root."""
    monkeypatch.chdir(copy_specs(tmp_path))
    return tmp_path


@pytest.fixture
def reconciler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Reconciler:
    """The program in the working folder, in this process: the exit code and what it said."""
    for name in [name for name in os.environ if name.startswith("RECONCILER_")]:
        monkeypatch.delenv(name)

    def call(*args: str) -> Said:
        capfd.readouterr()
        code = run(args)
        said = capfd.readouterr()
        return Said(code, said.out, said.err)

    return call


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`reconciler serve` for every project of the session whose workspace is over the network."""
    with served(tmp_path_factory.mktemp("server"), 300 + int(os.environ.get("RECONCILER_KILL_ROUNDS", "0"))) as running:
        yield running


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery")) as ready:
        yield ready


@pytest.fixture
def remote(tmp_path: Path, server: Server, nursery: Nursery) -> Remote:
    """A project with two jobs whose workspace `prod` is yet to be aimed at an address."""
    return Remote(tmp_path / "project", server, nursery)
