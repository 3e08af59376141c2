"""The wire between a client and any server, which can be cut. The rule here: it is cut by what went through it, never by a clock."""

import contextlib
import socket
import threading
from dataclasses import dataclass
from typing import Literal

_BLOCK = 1 << 14


@dataclass(frozen=True)
class Cut:
    """After so many bytes `down` to the client or `up` to the server: once, and new connections are good; or for good."""

    way: Literal["down", "up"]
    after: int
    is_once: bool = False
    is_silent: bool = False  # nothing is closed: no more comes


class Wire:
    """Use as a context manager. `url` takes the place of the server's."""

    def __init__(self, url: str, cut: Cut) -> None:
        self._host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
        self._target = (self._host, int(port))
        self._cut = cut
        self._passed = 0
        self.is_cut = threading.Event()
        self._left = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.netloc = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "Wire":
        self._start(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._close(self._listener, *self._sockets)
        for thread in self._threads:
            thread.join()

    def _start(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                if self.is_cut.is_set() and not self._cut.is_once:
                    self._sockets.append(client)
                    if not self._cut.is_silent:
                        self._close(client)
                    continue
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                self._start(self._pump, client, server, "up")
                self._start(self._pump, server, client, "down")

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(_BLOCK):
                if way == self._cut.way and self._is_past(len(block)):
                    if self._cut.is_silent:
                        self._left.wait()
                    break
                target.sendall(block)
        self._close(source, target)

    def _is_past(self, size: int) -> bool:
        with self._lock:
            self._passed += size
            if self._passed <= self._cut.after or (self._cut.is_once and self.is_cut.is_set()):
                return False
            self.is_cut.set()
            return True

    def _close(self, *sockets: socket.socket) -> None:
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
