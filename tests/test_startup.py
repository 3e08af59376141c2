"""What a command imports. Heavy libraries are met only where they have work, so that a plan that finds nothing to do starts at once."""

import json
import sys
import time
from pathlib import Path

import pytest
from house import Reconciler, run_child

# Runs a command line as the console script does, then tells every module that was loaded on the way.
TELL = """
import json, sys
before = set(sys.modules)
from reconciler.cli.main import run
code = run(sys.argv[1:])
print(json.dumps({"code": code, "modules": sorted(set(sys.modules) - before)}))
"""
READS_NO_STATE = {"cli", "diagnostic", "errors", "version", "view"}
PLANS = READS_NO_STATE | {"collector", "digests", "fingerprint", "plan", "planning", "project", "proof", "refresh", "spec", "state", "wanted"}


def loaded(*args: str, cwd: Path) -> list[str]:
    said = run_child("-c", TELL, *args, cwd=cwd)
    assert said.code == 0, said.out
    told = json.loads(said.out.splitlines()[-1])
    assert told["code"] == 0, said.out
    return list(told["modules"])


def libraries(modules: list[str]) -> set[str]:
    return {name.split(".")[0] for name in modules} - sys.stdlib_module_names - {"reconciler"}


def rooms(modules: list[str]) -> set[str]:
    return {name.split(".")[1] for name in modules if name.startswith("reconciler.")}


@pytest.fixture
def warm(project: Path, reconciler: Reconciler) -> Path:
    """The project on the day after everything was scored and planned: every file was quiet when it was last read."""
    assert reconciler("apply", "-auto-approve").code == 0
    time.sleep(2.1)  # until every file has been quiet long enough for its digest to be kept
    assert reconciler("plan", "-detailed-exitcode").code == 0
    return project


def test_plan_that_finds_nothing_to_do_loads_no_heavy_library(warm: Path) -> None:
    modules = loaded("plan", "-detailed-exitcode", cwd=warm)
    assert libraries(modules) == {"blake3", "click"}
    assert rooms(modules) == PLANS
    # Of the specs the names of their files alone, of the state the reader alone.
    assert {name for name in modules if name.startswith(("reconciler.spec.", "reconciler.state."))} == {
        "reconciler.spec.files",
        "reconciler.state.lifecycle",
        "reconciler.state.record",
        "reconciler.state.snapshot",
    }


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        pytest.param(("version",), READS_NO_STATE | {"project"}, id="version"),
        pytest.param(("-version",), READS_NO_STATE, id="-version"),
    ],
)
def test_version_loads_nothing_but_the_command_line(tmp_path: Path, args: tuple[str, ...], expected: set[str]) -> None:
    modules = loaded(*args, cwd=tmp_path)
    assert libraries(modules) == {"click"}
    assert rooms(modules) == expected


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        pytest.param(("plan", "-help"), {"click"}, id="plan"),
        pytest.param(("apply", "-help"), {"click"}, id="apply"),
        pytest.param(("-help",), {"blake3", "click"}, id="all commands"),
        pytest.param(("state", "-help"), {"blake3", "click"}, id="all state commands"),
    ],
)
def test_help_loads_no_heavy_library(tmp_path: Path, args: tuple[str, ...], expected: set[str]) -> None:
    modules = loaded(*args, cwd=tmp_path)
    assert libraries(modules) == expected
    assert rooms(modules) <= PLANS
