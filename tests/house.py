"""The house for tests: a project with the shipped specs, the program as a child process, the service's own list of jobs."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

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


def child(*args: str, cwd: Path) -> "subprocess.Popen[str]":
    """A Python child with our interpreter; for what must be a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECONCILER_")}
    return subprocess.Popen(
        [sys.executable, *args], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


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
