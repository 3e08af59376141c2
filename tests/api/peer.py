"""Servers that speak HTTP as they are told, byte for byte, on a real socket. Each connection gets the next script; the last one stays."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from reconciler.api.access import Access
from reconciler.api.client import Client
from reconciler.errors import ServiceError

TOKEN = "s3cr3t-t0ken"
Script = Callable[["Asked"], Awaitable[None]]
LIMIT_SECONDS = 60.0  # a safety net


@dataclass
class Asked:
    """A request: its head as it came, and what is left to read and to write."""

    head: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def line(self) -> str:
        return self.head.split(b" HTTP/", 1)[0].decode()

    def header(self, name: str) -> str | None:
        for line in self.head.decode().split("\r\n")[1:]:
            found, _, value = line.partition(": ")
            if found.lower() == name.lower():
                return value
        return None

    async def body(self) -> bytes:
        return await self.reader.readexactly(int(self.header("Content-Length") or 0))

    async def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        """A whole answer."""
        lines = {"Content-Type": "application/json", "Content-Length": str(len(content)), "Connection": "close"}
        await self.raw(status, lines | {name.replace("_", "-"): value for name, value in headers.items()}, content)

    async def raw(self, status: int, headers: dict[str, str], content: bytes) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.writer.write(f"HTTP/1.1 {status} So\r\n{head}\r\n".encode() + content)
        await self.writer.drain()


@dataclass
class Peer:
    port: int = 0
    asked: list[Asked] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v2"

    @property
    def lines(self) -> list[str]:
        return [asked.line for asked in self.asked]


@contextlib.asynccontextmanager
async def peer(*scripts: Script, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Peer]:
    here, remaining = Peer(), list(scripts)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            asked = Asked(await reader.readuntil(b"\r\n\r\n"), reader, writer)
            here.asked.append(asked)
            await (remaining.pop(0) if len(remaining) > 1 else remaining[0])(asked)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    speaking: set[asyncio.Task[None]] = set()

    async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        speaking.add(task := asyncio.ensure_future(speak(reader, writer)))
        await task

    server = await asyncio.start_server(noted, "127.0.0.1", port, ssl=tls)
    here.port = server.sockets[0].getsockname()[1]
    async with server:
        yield here
        await asyncio.gather(*speaking)


def answering(status: int, content: bytes = b"", **headers: str) -> Script:
    async def script(asked: Asked) -> None:
        await asked.body()
        await asked.answer(status, content, **headers)

    return script


async def nothing(asked: Asked) -> None:
    """Takes the request, and closes without a word."""
    await asked.body()


async def silence(asked: Asked) -> None:
    """Takes the request, and says nothing until the caller goes."""
    await asked.body()
    await asked.reader.read()


async def half(asked: Asked) -> None:
    """Takes half of the body, and breaks the connection."""
    await asked.reader.readexactly(int(asked.header("Content-Length") or 0) // 2)
    asked.writer.transport.abort()


def asking(
    question: Callable[[Client], Awaitable[Any]], *scripts: Script, waits: list[float] | None = None, read_s: float = LIMIT_SECONDS
) -> tuple[Any, Peer]:
    """What a client gets from a server of these scripts, be it a ServiceError. Its pauses take no time; `waits` is told what they would have been."""

    async def pause(seconds: float) -> None:
        if waits is not None:
            waits.append(seconds)

    async def asked() -> tuple[Any, Peer]:
        async with peer(*scripts) as there, Client(Access(there.endpoint, TOKEN, read_s=read_s), pause=pause) as client:
            try:
                return await question(client), there
            except ServiceError as error:
                return error, there

    outcome: tuple[Any, Peer] = run(asked())
    return outcome


def run(question: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await question

    return asyncio.run(bounded())
