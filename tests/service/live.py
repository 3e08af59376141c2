"""The service on a real socket: uvicorn in a thread, or in a process of its own that can be killed."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from reconciler.service.app import create_app
from reconciler.service.service import Service

LIMIT_SECONDS = 30.0  # a safety net
LOCAL = {"type": "localFile"}
CSV = {"Content-Type": "text/csv"}


class Api:
    """A served API, as a caller with its own connections sees it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v2/", timeout=LIMIT_SECONDS)

    def create(self, deployment: str, intake: dict[str, Any] | None = None, output: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        body = {"deploymentId": deployment, "intakeSettings": LOCAL | (intake or {}), "outputSettings": output or LOCAL} | options
        answer = self.http.post("batchPredictions/", json=body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def upload(self, job_id: str, content: Any, headers: dict[str, str] = CSV) -> httpx.Response:
        return self.http.put(f"batchPredictions/{job_id}/csvUpload/", content=content, headers=headers)

    def part(self, job_id: str, number: object, content: Any, headers: dict[str, str] = CSV) -> httpx.Response:
        return self.http.put(f"batchPredictions/{job_id}/csvUpload/part/{number}/", content=content, headers=headers)

    def finalize(self, job_id: str) -> httpx.Response:
        return self.http.post(f"batchPredictions/{job_id}/csvUpload/finalizeMultipart/")

    def download(self, job_id: str, **options: Any) -> httpx.Response:
        return self.http.get(f"batchPredictions/{job_id}/download/", **options)

    def delete(self, job_id: str) -> httpx.Response:
        return self.http.delete(f"batchPredictions/{job_id}/")

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.http.get(f"batchPredictions/{job_id}/")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def until(self, job_id: str, *statuses: str) -> dict[str, Any]:
        limit = time.monotonic() + LIMIT_SECONDS
        while (job := self.job(job_id))["status"] not in statuses:
            assert time.monotonic() < limit, job
            time.sleep(0.005)
        return job

    def half_open(self, job_id: str, first: bytes = b"copy\n", size: int = 1000) -> socket.socket:
        """An upload that says how long it will be, sends the beginning, and stays."""
        return self.raw(f"PUT /api/v2/batchPredictions/{job_id}/csvUpload/ HTTP/1.1\r\nContent-Type: text/csv\r\nContent-Length: {size}", first)

    def raw(self, head: str, body: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_SECONDS)
        connection.sendall(f"{head}\r\nHost: 127.0.0.1\r\n\r\n".encode() + body)
        return connection


def wait_for(is_so: Any) -> None:
    limit = time.monotonic() + LIMIT_SECONDS
    while not is_so():
        assert time.monotonic() < limit
        time.sleep(0.01)


def listening() -> socket.socket:
    """On a free port. asyncio switches Nagle's wait off only for a socket that names its protocol; without, each answer takes 40 ms."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    return listener


@contextlib.contextmanager
def serving(service: Service) -> Iterator[Api]:
    """The app of a running service; every connection is gone when the block is left."""
    with contextlib.closing(listening()) as listener:
        config = uvicorn.Config(create_app(service), lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1, timeout_keep_alive=75)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        wait_for(lambda: server.started or not thread.is_alive())
        api = Api(listener.getsockname()[1])
        try:
            yield api
        finally:
            api.http.close()
            server.should_exit = True
            thread.join()


# Serves on a free port, and scores by copying, slowly enough to be killed in the middle.
CHILD = """
import json, socket, sys, time
from pathlib import Path
import uvicorn
from reconciler.engine.job import Tally
from reconciler.errors import Cancelled
from reconciler.service.app import create_app
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.service import Service

storage, folders, pause = Path(sys.argv[1]), json.loads(sys.argv[2]), float(sys.argv[3])

def score(job, *, report, is_cancelled):
    size = job.intake.stat().st_size
    with open(job.intake, "rb") as intake, open(job.output, "wb", buffering=0) as output:
        while block := intake.read(1 << 20):
            output.write(block)
            time.sleep(pause)
            if is_cancelled():
                raise Cancelled("cancelled", "")
    return Tally(1, 0, 0, size, size)

with Service(storage, Registry(LocalDeployment(id, id, Path(folder)) for id, folder in folders.items()), workers=2, score=score) as service:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(create_app(service), lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1, timeout_keep_alive=75)
    uvicorn.Server(config).run(sockets=[listener])
"""


class Child:
    def __init__(self, process: subprocess.Popen[str], api: Api) -> None:
        self.process = process
        self.api = api

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes that the server holds now, or `VmHWM`, the most it ever held."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208 - only how many


@contextlib.contextmanager
def child(storage: Path, folders: dict[str, str], pause: float = 0.0) -> Iterator[Child]:
    with subprocess.Popen([sys.executable, "-c", CHILD, str(storage), json.dumps(folders), str(pause)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            started = Child(process, Api(int(process.stdout.readline())))
            with contextlib.closing(started.api.http):
                yield started
        finally:
            process.kill()
