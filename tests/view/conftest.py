"""Plans to draw, and golden texts to compare them with. `UPDATE_GOLDEN=1 pytest tests/view` writes the texts anew; review them in the diff."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.plan.action import Action, Reason
from reconciler.plan.plan import Change, Fingerprint, Plan, Side

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compares a text with the file of that name, whole."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("UPDATE_GOLDEN"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare


def blake(letter: str) -> str:
    return "blake3:" + letter * 64


@pytest.fixture
def side() -> Callable[..., Side]:
    """One side of job.wine; options and digests as given."""

    def make(
        *,
        spec: str = "a",
        intake: str | None = "b",
        model: str = "c",
        output: str | None = "d",
        metadata: dict[str, Any] | None = None,
        file: str = "data/wine.csv",
        **options: Any,
    ) -> Side:
        body = {
            "deployment": "models/wine",
            "intake": {"type": "localFile", "file": file},
            "output": {"type": "localFile", "path": "out/wine.csv"},
            "options": {"passthroughColumns": ["id"], "predictionThreshold": 0.5, **options},
        }
        fingerprint = Fingerprint(blake(spec), intake and blake(intake), blake(model))
        return Side(fingerprint, body, {"description": "Reds"} if metadata is None else metadata, output and blake(output))

    return make


@pytest.fixture
def change() -> Callable[..., Change]:
    def make(action: Action, *reasons: Reason, address: str = "job.wine", **facts: Any) -> Change:
        place = {} if action is Action.FORGET else {"intake_file": "data/wine.csv", "file": "specs/jobs.yaml", "line": 12}
        return Change(address, action, reasons, **{"deployment": "wine", "output_file": "out/wine.csv", **place, **facts})

    return make


@pytest.fixture
def plan() -> Callable[..., Plan]:
    def make(*changes: Change, unchanged: int = 0, is_partial: bool = False) -> Plan:
        return Plan("local", "5f0c8a1e", 7, changes, unchanged, ("models/wine",), is_partial)

    return make
