"""A server as a process of the tests. The rule here: it listens on loopback, answers before it is used, and ends with us or by its own id."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_PATIENCE_S = 120.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def free_ports(count: int) -> list[int]:
    """All different: they are taken at once, and then given back."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def is_listening(port: int) -> bool:
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


def answers(url: str) -> bool:
    """Whether a server says that all is well there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:  # nobody listens yet, or it is not ready
        return False


@contextmanager
def running(command: Sequence[str | Path], log: Path, is_ready: Callable[[], bool], **environment: str) -> Iterator[int]:
    """The process id, once the server is ready. What it says goes to `log`, and is in the error when it does not come up."""
    with open(log, "wb") as said:
        server = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            cwd=log.parent,
            start_new_session=True,
            preexec_fn=_dies_with_us,
        )
    try:
        end = time.monotonic() + _PATIENCE_S
        while not is_ready():
            assert server.poll() is None and time.monotonic() < end, f"{command[0]} did not come up:\n{log.read_text(errors='replace')[-4000:]}"
            time.sleep(0.1)
        yield server.pid
    finally:
        _stop(server)


def _dies_with_us() -> None:
    """Tests that are killed stop nothing: the kernel does it then (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _stop(server: "subprocess.Popen[bytes]") -> None:
    """It and the processes that it has started: they are a group of their own."""
    for what, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 10.0)):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, what)
        with suppress(subprocess.TimeoutExpired):
            server.wait(patience)
            return
