"""An apply that is killed at its Nth step. Run as a program by test_crash.py: `python dying.py N`.

A step is a write to the state that has become durable, or a request to the service: once before it is sent and once after it was answered.
Of the polls only those count that show a new status, so that the number of steps does not depend on the machine's speed.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from reconciler.api.access import Access
from reconciler.api.client import Client
from reconciler.embedded import deployment_id
from reconciler.planning import make_plan
from reconciler.project import Project
from reconciler.reconcile import Edges, apply_plan
from reconciler.service.app import create_app
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.service import Service
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.store import Store
from reconciler.vault import Vault


class Fate:
    """Counts steps, and dies at the last one as a machine that loses its power does: at once."""

    def __init__(self, last: int) -> None:
        self.left = last
        self.seen: set[bytes] = set()

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class DyingStore(Store):
    fate: Fate

    def intend(self, run: Run, metadata: Mapping[str, Any]) -> None:
        super().intend(run, metadata)
        self.fate.step()

    def move(self, run: Run, status: Status, **facts: Any) -> Run:
        moved = super().move(run, status, **facts)
        self.fate.step()
        return moved


class DyingTransport(httpx.AsyncBaseTransport):
    def __init__(self, app: Any, fate: Fate) -> None:
        self._inner = httpx.ASGITransport(app=app)
        self._fate = fate

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            self._fate.step()
        answer = await self._inner.handle_async_request(request)
        body = await answer.aread()
        if request.method != "GET" or self._is_news(str(request.url), body):
            self._fate.step()
        return answer

    def _is_news(self, url: str, body: bytes) -> bool:
        status = next((word for word in (b"INITIALIZING", b"RUNNING", b"COMPLETED") if word in body), b"")
        news = url.encode() + status
        is_new = news not in self._fate.seen
        self._fate.seen.add(news)
        return is_new


def main(last: int) -> None:
    fate = DyingStore.fate = Fate(last)

    @asynccontextmanager
    async def dying_client(
        project: Project, endpoint: Mapping[str, Any] | None, folders: Mapping[str, bool], vault: Vault, requests: int
    ) -> AsyncIterator[Client]:
        registry = Registry(LocalDeployment(deployment_id(folder), folder, project.root / folder) for folder in folders)
        with Service(project.root / "state/reconciler.service/local", registry) as service:
            async with Client(Access("http://embedded/api/v2"), DyingTransport(create_app(service), fate)) as client:
                yield client

    project = Project(Path.cwd(), Path.cwd() / "state" / "reconciler.db")
    ended = apply_plan(project, make_plan(project), lambda event: None, edges=Edges(open_store=DyingStore, open_client=dying_client))
    print(f"lived, {fate.left} steps before the end, {len(ended)} changes")


if __name__ == "__main__":
    main(int(sys.argv[1]))
