"""One connection of a served API. The rule here: a silent caller is not waited for, and what is no HTTP is told so in JSON, as is all else.

uvicorn waits for ever for a first request, for the end of a request's head and for a reader that does not read, and says its refusals in plain text.
"""

import asyncio
import json
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_SECONDS = 30.0
_STATUS = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large", 501: b"Not Implemented"}


class GuardedConnection(H11Protocol):
    """A subclass sets the limits; see `guarded`."""

    patience = 600.0
    most = 4000
    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.close()  # no descriptor is left for an answer worth waiting for
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._no_deadline()
        self._no_stall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._expect()
        elif not self._is_answered():
            self._no_deadline()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_answered():
            self._expect()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self._stall or self.loop.call_later(self.patience, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._no_stall()

    def send_400_response(self, msg: str) -> None:
        error = sys.exception()
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(status, f"This is no HTTP request that is served here: {error or msg}")

    def _should_upgrade(self) -> bool:
        return False  # and no warning for each request that asks

    def _expect(self) -> None:
        """What is begun has a time to be whole, however many bytes trickle in."""
        self._deadline = self._deadline or self.loop.call_later(min(self.patience, HEAD_SECONDS), self._too_late)

    def _too_late(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._refuse(408, "The request's head came too slowly")
        elif self.conn.their_state is h11.IDLE or self._is_answered():
            self.transport.close()

    def _no_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _no_stall(self) -> None:
        if self._stall:
            self._stall.cancel()
            self._stall = None

    def _is_answered(self) -> bool:
        """A request that was answered before its body had come."""
        return self.conn.their_state is h11.SEND_BODY and self.cycle.response_complete

    def _refuse(self, status: int, message: str) -> None:
        cycle: RequestResponseCycle | None = self.cycle  # none before the first request
        if cycle and not cycle.response_complete:
            # Its handler learns that the caller is gone, and says nothing into this answer.
            cycle.disconnected = True
            cycle.message_event.set()
        if not self.transport.is_closing() and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"message": message}).encode("ascii")
            headers: list[Any] = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
            reason = _STATUS.get(status, b"")
            for event in (h11.Response(status_code=status, headers=headers, reason=reason), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def guarded(patience: float, most: int) -> type[GuardedConnection]:
    """`patience`: seconds that a caller may neither send nor read; `most`: connections at once."""
    return type("Connection", (GuardedConnection,), {"patience": patience, "most": most})
