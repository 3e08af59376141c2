"""The taste that a machine can check: ruff, its formatter and mypy --strict are clean."""

import subprocess
import sys

import pytest
from house import REPOSITORY


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("ruff", "check", "."), id="ruff"),
        pytest.param(("ruff", "format", "--check", "."), id="format"),
        pytest.param(("mypy",), id="mypy"),
    ],
)
def test_the_checkers_are_content(command: tuple[str, ...]) -> None:
    said = subprocess.run([sys.executable, "-m", *command], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
