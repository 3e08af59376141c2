"""Brings up the program's processes quickly. The rule here: each is a process of its own, that runs the program's own `run`, and can be killed.

A test that kills hundreds of applies would spend its time on imports. So one process imports everything once, and forks for each order that
it reads: the child is what `python -m reconciler` is after its imports.
"""

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LIMIT_SECONDS = 120.0  # a safety net
_PRELOADED = (
    "reconciler.cli.apply",
    "reconciler.planning",
    "reconciler.reconcile",
    "reconciler.view.plan",
    "reconciler.view.tally",
    "reconciler.proof",
)
_ENGINE = ("reconciler.service.app", "reconciler.service.service", "reconciler.engine.models.lightgbm_model", "reconciler.engine.scoring")


class Born:
    """A running program. What it says is in two files."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.pid = pid
        self._folder = folder
        self._descriptor: int | None = os.pidfd_open(pid)

    def send(self, number: int) -> None:
        """To this process and no other; nothing, once it has ended or was let go."""
        with contextlib.suppress(ProcessLookupError):
            if self._descriptor is not None:
                signal.pidfd_send_signal(self._descriptor, number)

    def has_ended(self, seconds: float = 0.0) -> bool:
        poll = select.poll()
        poll.register(self._descriptor or 0, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def wait(self) -> int | None:
        """Its exit code; None when it was killed."""
        assert self.has_ended(LIMIT_SECONDS), f"It has not ended.\n{self.err}"
        code = self._folder / "code"
        said = code.read_text() if code.exists() else ""
        return int(said) if said else None  # killed before or while it wrote its last word

    @property
    def out(self) -> str:
        return (self._folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self._folder / "err").read_text()

    def close(self) -> None:
        """It is killed if it is still there."""
        self.send(signal.SIGKILL)
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


class Nursery:
    """Use as a context manager. With `engine`, what the embedded service needs is imported beforehand too."""

    def __init__(self, folder: Path, *, engine: bool = False) -> None:
        self._folder = folder
        self._engine = engine
        self._numbers = itertools.count()
        self._turn = threading.Lock()

    def __enter__(self) -> "Nursery":
        command = [sys.executable, __file__, *(_PRELOADED + _ENGINE if self._engine else _PRELOADED)]
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])
        environment = {**os.environ, "PYTHONPATH": path}
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        with self._process as process:
            assert process.stdin
            process.stdin.close()
            process.wait(LIMIT_SECONDS)

    @contextlib.contextmanager
    def program(self, *args: str, cwd: Path, environment: Mapping[str, str], main: str = "reconciler.cli.main:run") -> Iterator[Born]:
        """`main` is a function from arguments to an exit code."""
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        order = {"args": args, "cwd": str(cwd), "environment": dict(environment), "folder": str(folder), "main": main}
        assert self._process.stdin
        assert self._process.stdout
        with self._turn:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            born = Born(int(self._process.stdout.readline()), folder)
        try:
            yield born
        finally:
            born.close()


def _serve() -> None:
    for name in sys.argv[1:]:
        __import__(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are nobody's business here, and must not look alive
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _live(order)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _live(order: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    folder = Path(order["folder"])
    os.setpgid(0, 0)
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o600), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    module, name = order["main"].split(":")
    code: Any = 1
    try:
        code = getattr(__import__(module, fromlist=[name]), name)(order["args"])
    except SystemExit as end:
        code = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        (folder / "code").write_text(str(code or 0))
        os._exit(0)


if __name__ == "__main__":
    _serve()
