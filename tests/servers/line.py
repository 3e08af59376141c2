"""A line to a server that can be cut. The rule here: it is cut by what was said on it, never by a clock."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from servers.process import free_port

Hear = Callable[["Line", bytes], Callable[[], None] | None]


class Line:
    """What comes from the client is shown to `hear`, and passed on; then what `hear` gave is done. What the server says to a mute line is lost.

    It is cut, once, before an answer that comes when it `is_enough`: for lines on which nothing can be understood.
    """

    def __init__(self, target: int, hear: Hear = lambda line, sent: None, is_enough: Callable[[], object] = lambda: False) -> None:
        self.port = free_port()
        self.is_down = self.is_mute = False
        self.cuts = 0
        self._target = target
        self._hear = hear
        self._is_enough = is_enough
        self._sockets: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self._end()

    def cut(self) -> None:
        """Those who come later get through, unless it `is_down`."""
        self.cuts += 1
        self._end()

    def _end(self) -> None:
        for one in self._sockets:
            _shut(one)
        self._sockets = []
        self.is_mute = False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                if self.is_down:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_client: bool) -> None:
        with source:
            with suppress(OSError):
                while data := source.recv(65536):
                    then = self._hear(self, data) if is_client else None
                    if not is_client and not self.cuts and self._is_enough():
                        self.cut()
                        break
                    if is_client or not self.is_mute:
                        target.sendall(data)
                    if then:
                        then()
            # Not closed: the other thread may be reading it, and it would stay open for as long as that waits.
            _shut(source)
            _shut(target)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def lost_commit(has_committed: Callable[[], object], is_for_good: bool = False) -> Hear:
    """The first COMMIT of rows that were inserted is done, and nobody hears of it; `has_committed` waits until it is."""
    inserts: list[bytes] = []

    def hear(line: Line, sent: bytes) -> Callable[[], None] | None:
        def cut() -> None:
            has_committed()
            line.is_down = is_for_good
            line.cut()

        if b"INSERT INTO" in sent and b"EXPLAIN" not in sent:
            inserts.append(sent)
        if b"COMMIT" not in sent or not inserts or line.cuts:
            return None
        line.is_mute = True
        return cut

    return hear
