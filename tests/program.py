"""`reconciler serve` as a process of its own, in a copy of specs/, to be signalled, killed and attacked."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

SPECS = Path(__file__).parent.parent / "specs"
COMMAND = (sys.executable, "-m", "reconciler")
LIMIT_SECONDS = 60.0  # a safety net
LOCAL = {"type": "localFile"}
CSV = {"Content-Type": "text/csv"}
HEADER, *BOTTLES = (SPECS / "data/wine.csv").read_text().splitlines()


def project(folder: Path) -> Path:
    """A folder with specs/ in it."""
    shutil.copytree(SPECS, folder / "specs", dirs_exist_ok=True)
    return folder


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DATAROBOT_", "RECONCILER_"))}
    return kept | {"NO_COLOR": "1"} | variables


def run(root: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A `serve` that is expected to end by itself."""
    command = [*COMMAND, "serve", *arguments]
    return subprocess.run(command, cwd=root, env=environment(**variables), capture_output=True, text=True, timeout=LIMIT_SECONDS)


class Program:
    """A running server, and a caller with the token."""

    def __init__(self, process: "subprocess.Popen[str]", document: dict[str, Any], token: str, stderr: Path) -> None:
        self.process = process
        self.document = document
        self.token = token
        self.deployments: dict[str, str] = document["deployments"]
        self.port = int(document["endpoint"].split(":")[2].partition("/")[0])
        self.http = httpx.Client(base_url=document["endpoint"] + "/", headers={"Authorization": f"Token {token}"}, timeout=LIMIT_SECONDS)
        self._stderr = stderr

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    def create(self, intake: dict[str, Any] | None = None, output: dict[str, Any] | None = None) -> str:
        body = {"deploymentId": self.deployments["wine"], "intakeSettings": intake or LOCAL, "outputSettings": output or LOCAL}
        answer = self.http.post("batchPredictions/", json=body | {"passthroughColumns": ["bottle_id"]})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def upload(self, job_id: str, content: Any = None) -> httpx.Response:
        return self.http.put(f"batchPredictions/{job_id}/csvUpload/", content=rows(1) if content is None else content, headers=CSV)

    def download(self, job_id: str) -> httpx.Response:
        return self.http.get(f"batchPredictions/{job_id}/download/")

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.http.get(f"batchPredictions/{job_id}/")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def until(self, job_id: str, *statuses: str) -> dict[str, Any]:
        return awaited(lambda: (job := self.job(job_id))["status"] in statuses and job)  # type: ignore[no-any-return]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_SECONDS)

    def raw(self, head: str, body: bytes = b"", token: str | None = None) -> socket.socket:
        """What is sent is a head with the token, and these bytes after it."""
        connection = self.connect()
        connection.sendall(f"{head}\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token or self.token}\r\n\r\n".encode() + body)
        return connection

    def half_open(self, job_id: str) -> socket.socket:
        return self.raw(f"PUT /api/v2/batchPredictions/{job_id}/csvUpload/ HTTP/1.1\r\nContent-Type: text/csv\r\nContent-Length: 1000", b"a")

    def memory(self) -> int:
        """Bytes that the server holds."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.send(number)
        return self.process.wait(LIMIT_SECONDS)


@contextlib.contextmanager
def serving(root: Path, *arguments: str, files: int | None = None, **variables: str) -> Iterator[Program]:
    """It is killed at the end, if it is still there. `files`: how many it may have open."""
    stderr = root / "stderr.txt"
    command = [*COMMAND, "serve", "-port", "0", "-json", "-storage", str(root / "storage"), *arguments]
    if files:
        command = ["/bin/sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command]
    with (
        open(stderr, "a") as log,
        subprocess.Popen(command, cwd=root, env=environment(**variables), stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, stderr.read_text()
            document = json.loads(line)
            token = Path(document["token_file"]).read_text().strip() if document["token_file"] else variables["DATAROBOT_API_TOKEN"]
            program = Program(process, document, token, stderr)
            with contextlib.closing(program.http):
                yield program
        finally:
            process.kill()


def rows(times: int) -> bytes:
    """The wines, so many times over."""
    return (HEADER + "\n" + ("\n".join(BOTTLES) + "\n") * times).encode()


def bottles(result: str) -> list[str]:
    """What was passed through, row by row."""
    header, *lines = result.splitlines()
    place = header.split(",").index("bottle_id")
    return [line.split(",")[place] for line in lines]


def answered(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    found = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while block := connection.recv(1 << 16):
            found += block
    return bytes(found)


def awaited(look: Callable[[], Any]) -> Any:
    limit = time.monotonic() + LIMIT_SECONDS
    while not (found := look()):
        assert time.monotonic() < limit
        time.sleep(0.01)
    return found
