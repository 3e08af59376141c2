"""A web server of the tests. The rule here: what a path does is a function, and every request is on record, with all that came of it."""

import contextlib
import gzip
import http.server
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest


class Seen(NamedTuple):
    """`path` with its query; `body` as much of it as came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Act = Callable[["Exchange"], None]


@dataclass
class Web:
    """`acts` by path without query: one for each request, the last for all that follow."""

    url: str
    acts: dict[str, list[Act]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    def serve(self, path: str, *acts: Act) -> str:
        """The address."""
        self.acts[path] = list(acts)
        return self.url + path

    def asked(self, method: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method]


class Exchange(http.server.BaseHTTPRequestHandler):
    """A request, and what answers it. HEAD is answered as GET is, without the body."""

    protocol_version = "HTTP/1.1"
    web: Web

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        self.web.seen.append(Seen(self.command, self.path, dict(self.headers), body))
        acts = self.web.acts.get(self.path.partition("?")[0], [status(404)])
        act = acts.pop(0) if len(acts) > 1 else acts[0]
        with contextlib.suppress(ConnectionError):
            act(self)

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None: ...

    def begin(self, code: int, headers: Mapping[str, Any]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def send(self, content: bytes) -> None:
        if self.command != "HEAD":
            self.wfile.write(content)
            self.wfile.flush()

    def leave(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


# What a path may do


def page(content: bytes, code: int = 200, **headers: Any) -> Act:
    def act(exchange: Exchange) -> None:
        exchange.begin(code, {"Content-Length": len(content)} | {name.replace("_", "-"): value for name, value in headers.items()})
        exchange.send(content)

    return act


def status(code: int, **headers: Any) -> Act:
    return page(b"", code, **headers)


def packed(content: bytes) -> Act:
    return page(gzip.compress(content), Content_Encoding="gzip")


def cut(content: bytes, length: int, **headers: Any) -> Act:
    """Says that there are `length` bytes, and leaves after these."""

    def act(exchange: Exchange) -> None:
        exchange.begin(200, {"Content-Length": length} | {name.replace("_", "-"): value for name, value in headers.items()})
        exchange.send(content)
        exchange.leave()

    return act


def chunks(*contents: bytes, has_end: bool = True) -> Act:
    def act(exchange: Exchange) -> None:
        exchange.begin(200, {"Transfer-Encoding": "chunked"})
        for content in contents:
            exchange.send(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        if has_end:
            exchange.send(b"0\r\n\r\n")
        else:
            exchange.leave()

    return act


def unmeasured(content: bytes) -> Act:
    """As HTTP/1.0 has it: it ends with its connection."""

    def act(exchange: Exchange) -> None:
        exchange.begin(200, {"Connection": "close"})
        exchange.send(content)
        exchange.leave()

    return act


def stalled(content: bytes, until: threading.Event, begun: threading.Event) -> Act:
    """Sends these bytes of many, and nothing more."""

    def act(exchange: Exchange) -> None:
        exchange.begin(200, {"Content-Length": len(content) + 1})
        exchange.send(content)
        begun.set()
        until.wait(60)
        exchange.leave()

    return act


def gone(exchange: Exchange) -> None:
    """Leaves without an answer."""
    exchange.leave()


def redirect(to: str, code: int = 302) -> Act:
    return status(code, Location=to)


@contextlib.contextmanager
def running_web() -> Iterator[Web]:
    here = Web("")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Exchange,), {"web": here}))
    server.daemon_threads = True
    here.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(name="web")
def web_server() -> Iterator[Web]:
    with running_web() as server:
        yield server
