"""A proxy on a real socket that does what networks and servers do on a bad day. The rule here: a fault is a value, and every request is on record.

It stands between a client and a server of the Batch Prediction API. What no fault asks for, it passes on as it comes, in both directions at once.
"""

import contextlib
import http.client
import http.server
import itertools
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

ROOT = "/api/v2/"
LIMIT_SECONDS = 120.0  # a safety net

# Requests, for a Fault and for counting: a method, and a pattern of the path.
SUBMIT = ("POST", "batchPredictions/")
LIST = ("GET", "batchPredictions/")
JOB = ("GET", r"batchPredictions/\w{24}/")
UPLOAD = ("PUT", r"batchPredictions/\w{24}/csvUpload/")
DOWNLOAD = ("GET", r"batchPredictions/\w{24}/download/")
DEPLOYMENT = ("GET", "deployments/.*")
_BLOCK = 1 << 16
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})

Act = Callable[["Exchange"], None]
Witness = Callable[[str, "Seen"], None]  # what happens now, and to which request


class Left(Exception):
    """One side went away in the middle."""


class Seen(NamedTuple):
    """A request as it came; `path` begins under the root of the API."""

    method: str
    path: str
    authorization: str

    def is_of(self, method: str, path: str) -> bool:
        return self.method == method and re.fullmatch(path, self.path.partition("?")[0]) is not None


@dataclass(frozen=True)
class Fault:
    """On which requests (a method, a pattern of the whole path without its query), how often (None: for ever), after how many; and what then."""

    method: str
    path: str
    act: Act
    times: int | None = 1
    after: int = 0

    def takes(self, turn: int) -> bool:
        """Whether it acts on the request that is the `turn`th of its kind, counted from 0."""
        return turn >= self.after and (self.times is None or turn < self.after + self.times)


# What a fault may do


@dataclass(frozen=True)
class Instead:
    """This answer, and the server hears nothing."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"message": "not today"}'
    media_type: str = "application/json"

    def __call__(self, exchange: "Exchange") -> None:
        exchange.swallow()
        exchange.answer(self.status, {"Content-Type": self.media_type, **self.headers}, self.body)


@dataclass(frozen=True)
class Afterwards:
    """The server does what it was asked for, and its answer is replaced by this one."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, exchange: "Exchange") -> None:
        with exchange.forwarded() as answer:
            answer.read()
        exchange.answer(self.status, {"Content-Type": "application/json", **self.headers}, b'{"message": "the gateway lost the answer"}')


# A captive portal, or a gateway's log-in page.
html = Instead(200, body=b"<html><body>Please log in</body></html>", media_type="text/html")


def html_afterwards(exchange: "Exchange") -> None:
    """The server does what it was asked for, and a gateway shows a page of its own."""
    with exchange.forwarded() as answer:
        answer.read()
    exchange.answer(200, {"Content-Type": html.media_type}, html.body)


def hang_up(exchange: "Exchange") -> None:
    """Closed before the server heard of it."""
    exchange.hang_up()


def drop(exchange: "Exchange") -> None:
    """The server does what it was asked for, and the client hears nothing: the connection is closed."""
    with exchange.forwarded() as answer:
        answer.read()
    exchange.hang_up()


def stall(exchange: "Exchange") -> None:
    """The server does what it was asked for, and the client hears nothing, until it goes."""
    with exchange.forwarded() as answer:
        answer.read()
    exchange.wait_for_leave()


def stall_midway(exchange: "Exchange") -> None:
    """Half of the answer's body, and then nothing, until the client goes."""
    with exchange.forwarded() as answer:
        body = answer.read()
        exchange.begin(answer.status, answer.getheaders(), len(body))
        exchange.send(body[: len(body) // 2])
    exchange.wait_for_leave()


def cut_download(exchange: "Exchange") -> None:
    """Half of the answer's body, and the connection is closed."""
    with exchange.forwarded() as answer:
        body = answer.read()
        exchange.begin(answer.status, answer.getheaders(), len(body) if answer.getheader("Content-Length") else None)
        exchange.send(body[: len(body) // 2])
    exchange.hang_up()


def cut_upload(exchange: "Exchange") -> None:
    """The server gets half of the body, and both connections are closed."""
    exchange.forward_half()
    exchange.hang_up()


@dataclass(frozen=True)
class Slow:
    """Both bodies at so many bytes a second."""

    rate: float

    def __call__(self, exchange: "Exchange") -> None:
        exchange.block = max(1, int(self.rate / 50))
        exchange.pause = lambda size: time.sleep(size / self.rate)
        exchange.pass_on()


@dataclass(frozen=True)
class Held:
    """Nothing of the body gets through, in neither direction, before the gate is open; or the client leaves."""

    gate: threading.Event

    def __call__(self, exchange: "Exchange") -> None:
        exchange.pause = lambda size: self._wait(exchange)
        exchange.pass_on()

    def _wait(self, exchange: "Exchange") -> None:
        while not self.gate.wait(0.01):
            exchange.check_there()


@dataclass(frozen=True)
class Rewrite:
    """The JSON of the answer is changed on its way: `change` makes of one job another; in a list, of every one."""

    change: Callable[[dict[str, Any]], dict[str, Any]]

    def __call__(self, exchange: "Exchange") -> None:
        with exchange.forwarded() as answer:
            body = answer.read()
        document = json.loads(body)
        if "data" in document:
            document["data"] = [self.change(job) for job in document["data"]]
        elif "status" in document:
            document = self.change(document)
        headers = {name: value for name, value in answer.getheaders() if name.lower() != "content-length"}
        exchange.answer(answer.status, headers, json.dumps(document).encode())


def unknown_status(exchange: "Exchange") -> None:
    Rewrite(lambda job: {**job, "status": "PAUSED"})(exchange)


@dataclass(frozen=True)
class WrongHost:
    """Every link of an answer names another server, as behind a gateway that was not told its own name."""

    host: str

    def __call__(self, exchange: "Exchange") -> None:
        host = self.host

        def moved(job: dict[str, Any]) -> dict[str, Any]:
            links = {name: link and re.sub("//[^/]+/", f"//{host}/", link) for name, link in job["links"].items()}
            return {**job, "links": links}

        Rewrite(moved)(exchange)


def forget(exchange: "Exchange") -> None:
    """The job of this request is no more: it is deleted, and answered with 404 from now on, and gone from every list."""
    exchange.proxy.forget(exchange.seen.path.split("/")[1])
    exchange.pass_on()


# The proxy


class Proxy:
    """Use as a context manager. `witness` is told of each step of an exchange: asked, uploading, answered, sending, done."""

    def __init__(self, port: int, faults: Sequence[Fault] = (), *, token: str = "", witness: Witness | None = None, at: int = 0) -> None:
        """`at` is the port to listen on, where another one did before; any free one by default."""
        self.hits = [0] * len(faults)
        self._faults = [(fault, itertools.count()) for fault in faults]
        self.requests: list[Seen] = []
        self.forgotten: set[str] = set()
        self.errors: list[BaseException] = []
        self.witness = witness or (lambda what, request: None)
        self._target = port
        self._token = token
        self._sockets: set[socket.socket] = set()
        self._news = threading.Condition()
        self._server = _Server(self, at)
        self.port = int(self._server.server_address[1])
        self.endpoint = f"http://127.0.0.1:{self.port}/api/v2"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        with self._news:
            for connection in self._sockets:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._server.server_close()  # waits for the threads
        assert not self.errors, self.errors

    def count(self, method: str, path: str) -> int:
        return sum(request.is_of(method, path) for request in self.requests)

    def wait_for(self, method: str, path: str, times: int = 1) -> None:
        """Until so many requests of this kind have come."""
        with self._news:
            assert self._news.wait_for(lambda: self.count(method, path) >= times, LIMIT_SECONDS), self.requests

    def forget(self, job_id: str) -> None:
        self.forgotten.add(job_id)
        with contextlib.closing(self._connection()) as connection:
            connection.request("DELETE", f"{ROOT}batchPredictions/{job_id}/", headers={"Authorization": f"Token {self._token}"})
            connection.getresponse().read()

    def note(self, request: Seen) -> Act:
        """What is to be done with a request that came."""
        with self._news:
            self.requests.append(request)
            self._news.notify_all()
            for number, (fault, turns) in enumerate(self._faults):
                if request.is_of(fault.method, fault.path) and fault.takes(next(turns)):
                    self.hits[number] += 1
                    return fault.act
        return _without(self.forgotten, request) if self.forgotten else Exchange.pass_on

    def attend(self, connection: socket.socket) -> None:
        with self._news:
            self._sockets.add(connection)

    def dismiss(self, connection: socket.socket) -> None:
        with self._news:
            self._sockets.discard(connection)

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._target, timeout=LIMIT_SECONDS)

    @contextlib.contextmanager
    def connected(self) -> Iterator[http.client.HTTPConnection]:
        connection = self._connection()
        connection.connect()
        assert connection.sock
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.attend(connection.sock)
        try:
            yield connection
        finally:
            if connection.sock:
                self.dismiss(connection.sock)
            connection.close()


def _without(forgotten: set[str], request: Seen) -> Act:
    if any(job_id in request.path for job_id in forgotten):
        return Instead(404, body=b'{"message": "there is no such job"}')
    if request.method == "GET" and request.path.partition("?")[0] == "batchPredictions/":
        return _filtered
    return Exchange.pass_on


def _filtered(exchange: "Exchange") -> None:
    with exchange.forwarded() as answer:
        document = json.loads(answer.read())
    document["data"] = [job for job in document["data"] if job["id"] not in exchange.proxy.forgotten]
    document["count"] = len(document["data"])
    exchange.answer(answer.status, {"Content-Type": "application/json"}, json.dumps(document).encode())


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 1024

    def __init__(self, proxy: Proxy, port: int) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", port), Exchange)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing is printed: what went wrong in here fails the test at its end."""


class Exchange(http.server.BaseHTTPRequestHandler):
    """One request and its answer; the connection may bring several of them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.proxy = self.server.proxy
        self.proxy.attend(self.connection)

    def finish(self) -> None:
        self.proxy.dismiss(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """The record is `Proxy.requests`."""

    def _do(self) -> None:
        self.pause: Callable[[int], None] = lambda size: None
        self.block = _BLOCK
        self.seen = Seen(self.command, self.path.removeprefix(ROOT), self.headers.get("Authorization", ""))
        self._unread = self._body()
        try:
            act = self.proxy.note(self.seen)
            self._tell("asked")
            act(self)
            self._tell("done")
        except (Left, OSError, http.client.HTTPException):
            self.hang_up()
        except BaseException as error:
            self.proxy.errors.append(error)
            self.hang_up()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815 - the names that http.server calls

    def _tell(self, what: str) -> None:
        self.proxy.witness(what, self.seen)

    # The request

    def _body(self) -> Iterator[bytes]:
        """Raises Left when the client does not send what it has announced."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self._line().partition(b";")[0], 16):
                yield from self._exactly(size)
                self._line()
            while self._line().strip():
                pass
        else:
            yield from self._exactly(int(self.headers.get("Content-Length", 0)))

    def _line(self) -> bytes:
        line = self.rfile.readline(_BLOCK)
        if not line.endswith(b"\n"):
            raise Left
        return line

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            block = self.rfile.read1(min(size, self.block))  # type: ignore[attr-defined]
            if not block:
                raise Left
            size -= len(block)
            yield block

    def swallow(self) -> None:
        for _ in self._unread:
            pass

    # The server

    def _head(self, connection: http.client.HTTPConnection) -> bool:
        """Whether the body goes in chunks."""
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                connection.putheader(name, value)
        is_chunked = "Transfer-Encoding" in self.headers
        if is_chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        connection.putheader("Connection", "close")
        connection.endheaders()
        return is_chunked

    @contextlib.contextmanager
    def forwarded(self) -> Iterator[http.client.HTTPResponse]:
        """The server's answer, its body yet to be read."""
        with self.proxy.connected() as connection:
            is_chunked = self._head(connection)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it answered before it had read everything
                for block in self._unread:
                    self.pause(len(block))
                    self._tell("uploading")
                    connection.send(_chunk(block) if is_chunked else block)
                if is_chunked:
                    connection.send(b"0\r\n\r\n")
            answer = connection.getresponse()
            self._tell("answered")
            yield answer

    def forward_half(self) -> None:
        body = b"".join(self._unread)
        with self.proxy.connected() as connection:
            half = body[: len(body) // 2]
            connection.send(_chunk(half) if self._head(connection) else half)

    def pass_on(self) -> None:
        with self.forwarded() as answer:
            length = answer.getheader("Content-Length")
            self.begin(answer.status, answer.getheaders(), int(length) if length else None)
            has_body = self.command != "HEAD" and answer.status not in (204, 304)
            while has_body and (block := answer.read1(self.block)):
                self.pause(len(block))
                self._tell("sending")
                self.send(block)
            if answer.length:
                raise Left
        self.end()

    # The answer

    def begin(self, status: int, headers: Iterable[tuple[str, str]], length: int | None) -> None:
        self._is_chunked = length is None and status not in (204, 304)
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {*_HOP_BY_HOP, "content-length"}:
                self.send_header(name, value)
        self.send_header(*(("Transfer-Encoding", "chunked") if self._is_chunked else ("Content-Length", str(length or 0))))
        self.end_headers()

    def send(self, block: bytes) -> None:
        self.wfile.write(_chunk(block) if self._is_chunked else block)

    def end(self) -> None:
        if self._is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.begin(status, headers.items(), len(body))
        self.send(body)

    def hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def check_there(self) -> None:
        """Raises Left."""
        with contextlib.suppress(BlockingIOError):
            if not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                raise Left

    def wait_for_leave(self) -> None:
        with contextlib.suppress(OSError):
            while self.connection.recv(_BLOCK):
                pass
        self.hang_up()


def _chunk(block: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(block), block)
