"""Who runs this process, and where. The rule here: there is always an answer, whatever the machine knows of its users."""

import getpass
import os
import socket
from functools import cache
from pathlib import Path

# What stands for the start of a process that has ended and was not waited for yet.
_ENDED = "ended"


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        return str(os.getuid())


def host() -> str:
    return socket.gethostname()


@cache
def realm() -> str | None:
    """Within what a pid means one process: this boot of the system, this pid namespace. None where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def began(pid: int) -> str | None:
    """When the process with this pid began (realm and clock ticks since the boot): a pid is given again, the pair is not.

    None where the system does not tell, or where there is no such process.
    """
    try:
        # The name in parentheses may hold anything; field 22 is the start, field 3 the state.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        start = _ENDED if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return None
    return None if realm() is None else f"{realm()} {start}"


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
