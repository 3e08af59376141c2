"""A body on its way to the disk. The rule here: it is answered when it is on the disk, and never kept in memory or by a descriptor.

A file is opened for each write, so that thousands of half-open uploads cost their sockets and nothing else.
"""

import codecs
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from reconciler.disk import sync, sync_folder
from reconciler.engine.dialect import Dialect
from reconciler.service.files import remove
from reconciler.service.refusal import Refusal

CUT_OFF = "the upload was cut off"
_DRAINED = 1 << 25  # a part of the official client is at most 20 MB
_BOM_BYTES = 4
_BLANK = "\ufeff\r\n"


class Upload(Protocol):
    """Called from threads, one call after the other. `write` and `finish` raise Refusal; `cut` is told why there is no more to come."""

    def write(self, chunk: bytes) -> None: ...
    def finish(self) -> None: ...
    def cut(self, reason: str) -> None: ...


async def received(chunks: AsyncIterator[bytes], upload: Upload, patience: timedelta) -> None:
    """Returns when the whole body is on the disk. Raises Refusal.

    A server that stops cancels this, with no time left to write anything: the next start finds what was begun and ends it.
    """
    try:
        while chunk := await _next(chunks, patience):
            await run_in_threadpool(upload.write, chunk)
        await run_in_threadpool(upload.finish)
    except Exception as error:
        refusal = _refusal(error, patience)
        await run_in_threadpool(upload.cut, refusal.message if refusal else CUT_OFF)
        if refusal is None:
            raise
        raise refusal from None


async def drained(chunks: AsyncIterator[bytes], patience: timedelta) -> None:
    """Takes the rest of a refused body, within reason: a caller that is still sending when the connection closes never reads the answer."""
    size = 0
    with contextlib.suppress(ClientDisconnect, TimeoutError, RuntimeError):  # RuntimeError: there is no rest
        while size < _DRAINED and (chunk := await _next(chunks, patience)):
            size += len(chunk)


async def _next(chunks: AsyncIterator[bytes], patience: timedelta) -> bytes:
    with anyio.fail_after(patience.total_seconds()):
        return await anext(chunks, b"")


def _refusal(error: Exception, patience: timedelta) -> Refusal | None:
    match error:
        case Refusal():
            return error
        case ClientDisconnect():
            return Refusal(422, CUT_OFF)  # for the job; nobody hears the answer
        case TimeoutError():
            return Refusal(408, f"{CUT_OFF}: nothing came for {patience.total_seconds():g} seconds")
        case OSError():
            return unstorable(error)
    return None


def unstorable(error: OSError) -> Refusal:
    return Refusal(507, f"the upload cannot be stored: {error.strerror or error}")


class Body:
    """The bytes: in a file of their own, under their final name when they are whole."""

    def __init__(self, path: Path, room: int | None) -> None:
        self._path = path
        self._room = room
        self.size = 0

    def write(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self._room is not None and self.size > self._room:
            raise Refusal(413, "the upload is larger than this service takes")
        with open(self._path, "ab", buffering=0) as file:
            rest = memoryview(chunk)
            while rest:
                rest = rest[file.write(rest) :]

    def keep(self, path: Path) -> None:
        sync(self._path)
        self._path.replace(path)
        sync_folder(path.parent)

    def discard(self) -> None:
        remove(self._path)


class Text:
    """Looks whether bytes are text in the encoding they should be in, and whether there is any."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._decoder: codecs.IncrementalDecoder | None = None  # until there is enough to tell the BOM
        self._held = b""
        self._is_utf8 = codecs.lookup(encoding).name == "utf-8"
        self._is_empty = True
        self._seen = 0

    def feed(self, chunk: bytes) -> None:
        if self._decoder is None:
            chunk, self._held = self._held + chunk, b""
            if len(chunk) < _BOM_BYTES:
                self._held = chunk
                return
            self._decoder = Dialect(encoding=self._encoding).decoder(chunk)
        if self._is_empty or not (self._is_utf8 and chunk.isascii() and not self._decoder.getstate()[0]):
            text = self._decoded(chunk)
            self._is_empty = self._is_empty and not text.strip(_BLANK)
        self._seen += len(chunk)

    def end(self) -> None:
        self._is_empty = not self._decoded(self._held, is_last=True).strip(_BLANK) and self._is_empty
        if self._is_empty:
            raise Refusal(422, "the uploaded file is empty")

    def _decoded(self, chunk: bytes, is_last: bool = False) -> str:
        decoder = self._decoder or Dialect(encoding=self._encoding).decoder(chunk)
        try:
            return decoder.decode(chunk, is_last)
        except UnicodeDecodeError as error:
            byte = self._seen + len(chunk) - len(error.object) + error.start
            raise Refusal(422, f"the uploaded file is not {self._encoding}: byte {byte}. Set csvSettings.encoding to the file's encoding") from None
        except UnicodeError as error:
            raise Refusal(422, f"the uploaded file is not {self._encoding}: {error}. Set csvSettings.encoding to the file's encoding") from None
