"""The house for tests: a project with the shipped specs, the program as a child process, the service's own list of jobs."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from reconciler.embedded import embedded_client

REPOSITORY = Path(__file__).parent.parent


class Said(NamedTuple):
    code: int
    out: str
    err: str


Reconciler = Callable[..., Said]


def copy_specs(root: Path) -> Path:
    """The shipped specs, models and data in a folder of their own."""
    shutil.copytree(REPOSITORY / "specs", root / "specs", ignore=shutil.ignore_patterns("__pycache__"))
    return root


def two_jobs(root: Path) -> Path:
    """Of the shipped specs only the job with two instances."""
    copy_specs(root)
    text = (root / "specs/jobs.yaml").read_text()
    (root / "specs/jobs.yaml").write_text(text[: text.index("  breast_cancer:")] + text[text.index("  diabetes:") :])
    return root


def child(*args: str, cwd: Path, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
    """A Python child with our interpreter; for what must be a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECONCILER_")}
    return subprocess.Popen(
        [sys.executable, *args], cwd=cwd, env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


class Holding:
    """A process of its own that holds the lock of a state (see holding.py); it is killed at the end, if it is still there."""

    def __init__(self, state: Path, **variables: str) -> None:
        command = [sys.executable, str(Path(__file__).parent / "holding.py"), str(state)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])), **variables}
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = self.answer()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def tell(self, step: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(step + "\n")
        self.process.stdin.flush()

    def do(self, step: str) -> dict[str, Any]:
        self.tell(step)
        return self.answer()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()  # the rest of what it says is of no interest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        with self.process:
            pass


# Root may read and write everything, whatever the permissions; this drops what makes it so (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH).
_BOUND_BY_PERMISSIONS = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "reconciler", *sys.argv[1:]])
"""


def run_bound_by_permissions(*args: str, cwd: Path) -> Said:
    """The program as a user whom file permissions bind, also when the tests are run by root."""
    return run_child("-c", _BOUND_BY_PERMISSIONS, *args, cwd=cwd)


def run_child(*args: str, cwd: Path) -> Said:
    """A child, waited for."""
    with child(*args, cwd=cwd) as process:
        said, _ = process.communicate()
    return Said(process.returncode, said, "")


def remote_jobs(root: Path, *folders: str) -> list[tuple[str, str]]:
    """Every job that the service of a project lists: the output it was to write, and its status."""

    async def listed() -> list[tuple[str, str]]:
        async with embedded_client(root, root / "state/reconciler.service/local", dict.fromkeys(folders, False)) as client:
            return [(job.job_spec["outputSettings"]["path"], job.status) async for job in client.jobs()]

    return sorted(asyncio.run(listed()))
