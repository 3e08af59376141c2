"""Who scores, from where, with which release. The rule here: asked once for an apply, and never a reason for it to fail."""

import secrets
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from reconciler.identity import host, user
from reconciler.version import VERSION


@dataclass(frozen=True)
class Provenance:
    user: str
    host: str
    git_commit: str | None
    tool_version: str


def provenance(root: Path) -> Provenance:
    return Provenance(user(), host(), _git_commit(root), VERSION)


def _git_commit(root: Path) -> str | None:
    """The commit that is checked out, with `-dirty` when the work tree differs from it; None outside of git."""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def new_run_id() -> str:
    """24 hex digits that sort by time, like the ids of the platform."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"
