"""A service over real SQLite in a temporary folder, spoken to through its ASGI app. The rule here: only the scorer is a stand-in."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reconciler.engine.job import Progress, ScoringJob, Tally
from reconciler.errors import Cancelled, ScoringError
from reconciler.fingerprint import short_id
from reconciler.service.app import create_app
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.service import Service

LIMIT_SECONDS = 20.0  # a safety net; nothing here takes a second
METADATA = """
name: {name}
type: inference
targetType: binary
inferenceModel:
  targetName: churned
  positiveClassLabel: yes
  negativeClassLabel: no
"""


class Copier:
    """Scores by copying lines. The intake's first line says what happens: `hold` waits for its gate, `bad` and `bug` fail."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.began: list[str] = []
        self.most_at_once = 0
        self.most_in_a_folder = 0
        self._active: list[Path] = []
        self._lock = threading.Lock()

    def __call__(self, job: ScoringJob, *, report: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Tally:
        with self._lock:
            self.began.append(job.intake.name)
            self._active.append(job.folder)
            self.most_at_once = max(self.most_at_once, len(self._active))
            self.most_in_a_folder = max(self.most_in_a_folder, self._active.count(job.folder))
        try:
            return self._copy(job, report, is_cancelled)
        finally:
            with self._lock:
                self._active.remove(job.folder)

    def _copy(self, job: ScoringJob, report: Callable[[Progress], None], is_cancelled: Callable[[], bool]) -> Tally:
        lines = job.intake.read_text().splitlines()
        size = job.intake.stat().st_size
        if lines[0] == "early":
            raise ScoringError("Nothing was written", "")
        with open(job.output, "w") as output:
            output.write("half")
            report(Progress(1, size // 2, size, 4))
            match lines[0]:
                case "hold" | "finish":
                    self._wait(lines[0] == "hold", is_cancelled)
                case "bad":
                    raise ScoringError("Zeile 3 ist für das Modell unlesbar", "größer als ∞")
                case "bug":
                    raise KeyError("nobody expected this")
                case "exit":
                    raise SystemExit(3)
        job.output.write_text("\n".join(lines))
        return Tally(len(lines) - 1, 1, 0, size, job.output.stat().st_size)

    def _wait(self, heeds_cancel: bool, is_cancelled: Callable[[], bool]) -> None:
        until = time.monotonic() + LIMIT_SECONDS
        while not self.gate.wait(0.002) and time.monotonic() < until:
            if heeds_cancel and is_cancelled():
                raise Cancelled("cancelled", "")


class Client:
    """The API as apply drives it: one request after the other through httpx's ASGITransport."""

    def __init__(self, service: Service) -> None:
        self._app = create_app(service)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, options))

    async def _request(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self._app), base_url="http://reconciler.local/api/v2/") as client:
            return await client.request(method, path, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.get(f"batchPredictions/{job_id}/")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def ids(self, query: str = "") -> list[str]:
        answer = self.get(f"batchPredictions/{query}")
        assert answer.status_code == 200, answer.text
        return [job["id"] for job in answer.json()["data"]]

    def until(self, job_id: str, *statuses: str) -> dict[str, Any]:
        limit = time.monotonic() + LIMIT_SECONDS
        while (job := self.job(job_id))["status"] not in statuses:
            assert time.monotonic() < limit, job
            time.sleep(0.002)
        return job


class House:
    """A storage folder, two deployments, intakes by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.storage = folder / "storage"
        self.scorer = Copier()
        self.deployments = {name: self._deployment(name) for name in ("churn", "fraud")}
        self.registry = Registry(self.deployments.values())

    def service(self, workers: int = 2, **options: Any) -> Service:
        return Service(self.storage, self.registry, workers=workers, **({"score": self.scorer} | options))

    def spec(self, name: str, does: str = "copy", deployment: str = "churn", **options: Any) -> dict[str, Any]:
        intake = self.folder / f"{name}.csv"
        intake.write_text(f"{does}\n1\n2\n")
        return {
            "deploymentId": self.deployments[deployment].id,
            "intakeSettings": {"type": "fileSystem", "path": str(intake)},
            "outputSettings": {"type": "fileSystem", "path": str(self.output(name))},
        } | options

    def output(self, name: str) -> Path:
        return self.folder / f"{name}.out"

    def _deployment(self, name: str) -> LocalDeployment:
        folder = self.folder / "models" / name
        folder.mkdir(parents=True)
        (folder / "model-metadata.yaml").write_text(METADATA.format(name=name))
        (folder / "model.lgb").write_text("tree\n")
        return LocalDeployment(short_id(name), name, folder)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture(scope="session")
def house_of() -> type[House]:
    return House


@pytest.fixture
def service(house: House) -> Iterator[Service]:
    with house.service() as running:
        yield running


@pytest.fixture
def client(service: Service) -> Client:
    return Client(service)


@pytest.fixture
def client_of() -> type[Client]:
    return Client


@pytest.fixture
def submit(client: Client) -> Callable[..., str]:
    """Submits a spec and gives the job's id."""

    def submitted(spec: dict[str, Any], **options: Any) -> str:
        answer = client.request("POST", "batchPredictions/", json=spec, **options)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    return submitted
