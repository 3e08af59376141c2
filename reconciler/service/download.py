"""A result on its way to the caller. The rule here: the job's end is stored before the stream ends, and a stream ends well only when the job has.

Scores are sent as they are written. A caller that reads slowly holds a descriptor, not a thread; one that leaves holds nothing.
"""

import codecs
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from reconciler.service.status import has_ended
from reconciler.service.store import Store

_BLOCK = 1 << 18
_SHORTEST, _LONGEST = 0.02, 0.5  # how long to wait for more, doubled as long as nothing comes


class Interrupted(Exception):
    """The service stopped, so the rest will not come in this stream."""


class Result:
    """The output of one job, also while it grows. Its methods are called in threads, one after the other."""

    def __init__(self, job_id: str, encoding: str, path: Path, store: Store) -> None:
        self.job_id = job_id
        self.charset = codecs.lookup(encoding).name
        self._path = path
        self._store = store
        self._file: BinaryIO | None = None

    def read(self) -> bytes:
        """What has come since the last time; nothing when nothing has, or when it is not there yet."""
        if self._file is None:
            try:
                self._file = open(self._path, "rb", buffering=0)  # noqa: SIM115 - closed by close()
            except FileNotFoundError:
                return b""
        return self._file.read(_BLOCK)

    def is_whole(self) -> bool:
        """Raises Interrupted."""
        try:
            job = self._store.get(self.job_id)
        except sqlite3.Error:
            raise Interrupted from None
        if job is None or job.status == "INITIALIZING":
            raise Interrupted
        return has_ended(job.status)

    def close(self) -> None:
        if self._file:
            self._file.close()


class Download(Response):
    """Sends what there is and waits for more, and looks meanwhile whether the caller is still there."""

    def __init__(self, result: Result) -> None:
        super().__init__(media_type=f"text/csv; charset={result.charset}")
        del self.headers["Content-Length"]
        self.headers["Content-Disposition"] = f"attachment; filename=result-{result.job_id}.csv"
        self._result = result

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_when_left, receive, group.cancel_scope)
                await self._answer(scope["method"] == "HEAD", send)
                group.cancel_scope.cancel()
        finally:
            self._result.close()

    async def _answer(self, is_head: bool, send: Send) -> None:
        # OSError: the caller left. Interrupted: the answer is left without its end, so that the server cuts the connection.
        with contextlib.suppress(OSError, Interrupted):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if not is_head:
                async for chunk in _followed(self._result):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _cancel_when_left(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _followed(result: Result) -> AsyncIterator[bytes]:
    is_whole, pause = False, _SHORTEST
    while True:
        if chunk := await run_in_threadpool(result.read):
            pause = _SHORTEST
            yield chunk
        elif is_whole:
            return
        elif not (is_whole := await run_in_threadpool(result.is_whole)):
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST)
