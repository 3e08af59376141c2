"""A state database in a temporary folder, and runs to write into it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.store import Store

ROAD = (Status.SUBMITTED, Status.RUNNING, Status.SCORED, Status.DELIVERED)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "reconciler.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """An open store that holds the lock."""
    with Store(path) as opened, opened.locked("test"):
        yield opened


@pytest.fixture
def new_run() -> Callable[..., Run]:
    def make(run_id: str = "run-1", **facts: Any) -> Run:
        known: dict[str, Any] = {
            "id": run_id,
            "workspace": "local",
            "address": "job.wine",
            "status": Status.INTENDED,
            "spec": {"options": {"maxExplanations": 3}},
            "spec_digest": "blake3:spec",
            "intake": {"file": "data/wine.csv"},
            "intake_digest": "blake3:intake",
            "model": {"deployment": "models/wine"},
            "model_digest": "blake3:model",
            "deployment": "wine",
            "deployment_id": "0" * 24,
            "request": {"deploymentId": "0" * 24},
            "reasons": ("never run",),
            "intended_at": f"2026-11-21T00:00:00.{run_id}",
            "user": "ada",
            "host": "laptop",
            "git_commit": None,
            "tool_version": "0.1.0",
            "output": "out/wine.csv",
        }
        return Run(**{**known, **facts})

    return make


@pytest.fixture
def take_to(store: Store) -> Callable[..., Run]:
    """Writes a run down and moves it along the road, up to the status."""

    def take(run: Run, status: Status, **facts: Any) -> Run:
        store.intend(run, {"description": "Wine"})
        for step in ROAD[: ROAD.index(status) + 1]:
            run = store.move(run, step, **(facts if step is status else {}))
        return run

    return take
