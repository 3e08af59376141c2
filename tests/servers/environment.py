"""Environments for servers that cannot share ours. The rule here: each is made once, whole or not at all, and found by what is in it."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reconciler-tests"


def environment(name: str, *requirements: str, overrides: Sequence[str] = (), python: str = sys.executable, setup: str = "") -> Path:
    """A folder whose `bin/` has what these packages bring, from the registry of Python's packages.

    `overrides` are installed after them, whatever they ask for; `setup` is code that is then run once in the environment.
    """
    pip = ["bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    commands = [[python, "-m", "venv", "."], [*pip, *requirements]]
    if overrides:
        commands.append([*pip, *overrides])
    if setup:
        commands.append(["bin/python", "-c", setup])
    return _made(name, commands)


def node_modules(name: str, *packages: str) -> Path:
    """A folder whose `node_modules/` has these packages, from npm's registry."""
    assert shutil.which("npm"), "there is no npm here: apt-get install npm"
    return _made(name, [["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", ".", *packages]])


def debian_files(name: str, package: str) -> Path:
    """A folder with the files of a package of Debian's, unpacked from where apt has it, for a machine that has it not and may not install it."""
    for program in ("apt-get", "dpkg"):
        assert shutil.which(program), f"{package} is not here, nor is {program}, which would bring it"
    return _made(name, [["apt-get", "download", package], ["sh", "-c", "dpkg -x *.deb ."]], f"Or install it: apt-get install {package}")


def _made(name: str, commands: Sequence[Sequence[str]], advice: str = "") -> Path:
    digest = hashlib.sha256(repr(commands).encode()).hexdigest()[:12]
    folder = _CACHE / f"{name}-{digest}"
    whole = folder / "whole"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with open(_CACHE / f"{name}-{digest}.lock", "w") as lock:  # held while another worker of the same run makes it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for command in commands:
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}{advice}"
            whole.touch()
    return folder
