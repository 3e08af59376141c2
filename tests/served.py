"""`reconciler serve` as its users run it: a child process on a copy of the shipped specs, with the wire to it made visible.

What the models' own libraries predict is computed here too, without a line of ours.
"""

import contextlib
import csv
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy

SPECS = Path(__file__).parent.parent / "specs"
LIMIT_SECONDS = 120.0  # a safety net
_HEAD = re.compile(rb"(?:([A-Z]+) (\S+) HTTP/1\.1|HTTP/1\.1 (\d+)[^\r\n]*)\r\n((?:[^\r\n]+\r\n)*)\r\n")


class Served(NamedTuple):
    """A running server: its project's folder, and what a caller must know."""

    root: Path
    endpoint: str
    token: str
    deployments: Mapping[str, str]
    http: httpx.Client

    @property
    def port(self) -> int:
        return int(self.endpoint.split(":")[2].partition("/")[0])

    def data(self, name: str) -> str:
        return (self.root / f"specs/data/{name}.csv").read_text()

    def created(self, deployment: str, intake: dict[str, Any] | None = None, output: dict[str, Any] | None = None) -> dict[str, Any]:
        """A job made over raw HTTP; its rows are yet to be uploaded, unless the intake says otherwise."""
        local = {"type": "localFile"}
        body = {"deploymentId": self.deployments[deployment], "intakeSettings": intake or local, "outputSettings": output or local}
        answer = self.http.post("batchPredictions/", json=body)
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.http.get(f"batchPredictions/{job_id}/")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def until(self, job_id: str, *statuses: str) -> dict[str, Any]:
        """The job once it has one of these statuses: the client itself looks only every five seconds."""
        return awaited(lambda: (job := self.job(job_id))["status"] in statuses and job)


def awaited(look: Callable[[], Any]) -> Any:
    limit = time.monotonic() + LIMIT_SECONDS
    while not (found := look()):
        assert time.monotonic() < limit
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def serving(root: Path) -> Iterator[Served]:
    """Started from the shell's point of view: ready when it says so, ended by SIGTERM with exit code 0 and without a word of trouble."""
    shutil.copytree(SPECS, root / "specs", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RECONCILER_", "DATAROBOT_"))}
    command = [sys.executable, "-m", "reconciler", "serve", "-port", "0", "-json", "-storage", str(root / "storage")]
    with (
        open(root / "stderr", "wb") as trouble,
        subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=trouble) as process,
    ):
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            token = Path(ready["token_file"]).read_text().strip()
            with httpx.Client(base_url=f"{ready['endpoint']}/", headers={"Authorization": f"Bearer {token}"}, timeout=LIMIT_SECONDS) as http:
                yield Served(root, ready["endpoint"], token, ready["deployments"], http)
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT_SECONDS) == 0
            said = process.stdout.read(), (root / "stderr").read_text()
            assert said == (b"", ""), said
        finally:
            process.kill()


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]


class Wire:
    """A relay that passes every byte on as it is, and remembers the heads of requests and answers in the order they came."""

    def __init__(self, port: int) -> None:
        self.requests: list[Request] = []
        self.answers: list[Answer] = []
        self._port = port
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api/v2"
        self._start(self._accept)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in (self._listener, *self._sockets):
            connection.close()

    @property
    def lines(self) -> list[str]:
        return [f"{request.method} {request.path.removeprefix('/api/v2/')}" for request in self.requests]

    def request(self, method: str, path_end: str) -> Request:
        """The one request of this kind."""
        (found,) = [request for request in self.requests if request.method == method and request.path.endswith(path_end)]
        return found

    def is_downloading(self) -> bool:
        return any(answer.headers.get("content-type", "").startswith("text/csv") for answer in self.answers)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        self._threads.append(thread := threading.Thread(target=work, args=args, daemon=True))
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
                for connection in (near, far):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets += [near, far]
                self._start(self._pass_on, near, far)
                self._start(self._pass_on, far, near)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        seen = b""
        with contextlib.suppress(OSError):
            while block := source.recv(1 << 16):
                seen = self._noted(seen + block)
                sink.sendall(block)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _noted(self, seen: bytes) -> bytes:
        """Notes every head in what was seen, and gives what may be the beginning of another."""
        end = 0
        for head in _HEAD.finditer(seen):
            end = head.end()
            method, path, status, rest = (group.decode("latin-1") if group is not None else "" for group in head.groups())
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest.splitlines())}
            if status:
                self.answers.append(Answer(int(status), headers))
            else:
                self.requests.append(Request(method, path, headers))
        return seen[max(end, len(seen) - 8192) :]


class Held(io.RawIOBase):
    """A file for an upload that stops in its middle until it is let go; of unknown size, as a pipe's is."""

    def __init__(self, content: bytes) -> None:
        self._blocks = [content[: len(content) // 2], content[len(content) // 2 :]]
        self._position = 0
        self.gate = threading.Event()

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:  # type: ignore[override]
        assert position == self._position
        return position

    def readinto(self, buffer: Any) -> int:
        if self._position and len(self._blocks) == 1:
            assert self.gate.wait(LIMIT_SECONDS)
        block = self._blocks.pop(0) if self._blocks else b""
        taken, rest = block[: len(buffer)], block[len(buffer) :]
        if rest:
            self._blocks.insert(0, rest)
        buffer[: len(taken)] = taken
        self._position += len(taken)
        return len(taken)


def table(text: str, **dialect: Any) -> dict[str, list[str]]:
    """A CSV text by column."""
    header, *rows = csv.reader(io.StringIO(text, newline=""), **dialect)
    return {name: [row[index] for row in rows] for index, name in enumerate(header)}


def predictions(root: Path, name: str, rows: Mapping[str, list[str]], threshold: float = 0.5) -> dict[str, Any]:
    """What the model's own library says of these rows, by the columns of §5.1."""
    import lightgbm
    import onnxruntime

    folder = root / "specs/models" / name
    if name == "wine":
        session = onnxruntime.InferenceSession(folder / "model.onnx")
        names = json.loads(session.get_modelmeta().custom_metadata_map["feature_names"])
        labels, scores = session.run(None, {session.get_inputs()[0].name: _features(rows, names).astype(numpy.float32)})
        classes = ("barbera", "barolo", "grignolino")
        return {f"cultivar_{one}_PREDICTION": scores[:, index] for index, one in enumerate(classes)} | {"cultivar_PREDICTION": list(labels)}
    booster = lightgbm.Booster(model_file=folder / "model.txt")
    scores = booster.predict(_features(rows, booster.feature_name()))
    if name == "diabetes":
        return {"progression_PREDICTION": scores}
    return {
        "diagnosis_malignant_PREDICTION": scores,
        "diagnosis_benign_PREDICTION": 1 - scores,
        "diagnosis_PREDICTION": ["malignant" if score >= threshold else "benign" for score in scores],
        "POSITIVE_CLASS": ["malignant"] * len(scores),
    }


def _features(rows: Mapping[str, list[str]], names: list[str]) -> "numpy.ndarray[Any, Any]":
    return numpy.array([[float(value) for value in rows[name]] for name in names]).T


def check_scored(scored: Mapping[str, list[str]], expected: Mapping[str, Any], kept: Mapping[str, list[str]] | None = None) -> None:
    """Every row has, to the last bit, the library's predictions; and in its order the columns that it was to keep."""
    for name, values in expected.items():
        if isinstance(values, list):
            assert scored[name] == values, name
        else:
            assert numpy.array_equal(numpy.array(scored[name], dtype=values.dtype), values), name
    for name, texts in (kept or {}).items():
        assert scored[name] == texts, name


def ended(job: Any) -> dict[str, Any]:
    """What the client knows of a job that has gone well."""
    job.wait_for_completion()
    status = job.get_status()
    assert status["status"] == "COMPLETED", status
    return dict(status)
