"""Rows from an address, and scores to one. The rule here: a cut is an error, what may have arrived is not sent twice, and only the path is named.

What stands behind `?` or before `@` in an address may be a secret, and so may what a server answers: neither is in an error.
"""

import io
import logging
import re
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, BinaryIO, NamedTuple, cast
from urllib.parse import urlsplit

import httpx

from reconciler.engine.connectors.patience import either, waited
from reconciler.engine.csv_intake import CsvIntake
from reconciler.engine.dialect import Dialect
from reconciler.engine.file import File
from reconciler.engine.flow import TICK
from reconciler.engine.intake import Intake
from reconciler.engine.parquet import MAGIC, ParquetIntake
from reconciler.engine.place import Place
from reconciler.engine.source import BLOCK
from reconciler.errors import Cancelled, ScoringError
from reconciler.version import VERSION

# At INFO it would log whole addresses.
logging.getLogger("httpx").setLevel(logging.WARNING)


class Patience(NamedTuple):
    """Seconds: to connect, until a server says something or takes something, and between the attempts at what may be repeated."""

    connect: float = 10.0
    silence: float = 60.0
    answer: float = 300.0  # to a body that was sent whole
    pauses: tuple[float, ...] = (0.5, 2.0)


PATIENCE = Patience()
_UNREAD, _UNWRITTEN = "The intake cannot be read", "The output cannot be written"
# Not asked to be packed: then the length is known, and the tag of the content is always of the same form.
_HEADERS = {"User-Agent": f"reconciler/{VERSION}", "Accept-Encoding": "identity"}
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
_FOR_A_WHILE = frozenset({408, 429, 500, 502, 503, 504})
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "expect"})
_GZIP = ("gzip", "x-gzip")
_GZIP_BITS = 31  # what zlib calls gzip, with its header and its checksum

# The first that fits. The library's own words are not used: they may quote what was sent.
_REASONS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (httpx.ConnectTimeout, "no connection could be made in time; check the host and the network"),
    (httpx.ProxyError, "the proxy on the way refuses; check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"),
    (httpx.TimeoutException, "it has been silent for too long"),
    (httpx.TooManyRedirects, "it redirects in a circle"),
    (httpx.UnsupportedProtocol, "it leads to an address that is not http or https"),
    ((httpx.InvalidURL, ValueError), "it is not an address, or leads to one that is none"),
    (httpx.RemoteProtocolError, "the connection broke off, or what answers does not speak HTTP"),
    (httpx.LocalProtocolError, "the request cannot be sent; check the url and the headers"),
    (Exception, "the connection broke off"),
)
_STATUSES = {
    401: "it wants other credentials. Give a signed url, or user:password@ before the host",
    403: "it refuses us. A signed url may have expired, or be signed for another method",
    404: "there is nothing. Correct the url",
    410: "there is nothing any longer. Correct the url",
    413: "that is more than it takes",
}


def look(place: Place, patience: Patience = PATIENCE) -> Mapping[str, Any] | None:
    url = place.settings.url
    # A server may not know HEAD, and a signed url is often signed for GET alone; of that, the body is left unread.
    for method in ("HEAD", "GET"):
        with _asked(_UNREAD, method, url, patience) as answer:
            if answer.is_success and (facts := _facts(answer.headers)):
                return facts
            if method == "GET":
                _check_status(_UNREAD, answer, url)
    return None


def _facts(headers: httpx.Headers) -> Mapping[str, Any] | None:
    if tag := headers.get("ETag"):
        return {"etag": tag}
    if "Last-Modified" in headers and "Content-Length" in headers:
        return {"lastModified": headers["Last-Modified"], "length": int(headers["Content-Length"])}
    return None


def open_intake(place: Place, dialect: Dialect, is_halted: Callable[[], bool], patience: Patience = PATIENCE) -> Intake:
    url = place.settings.url
    is_over = either(is_halted, place.is_halted)  # the one tells of any end, the other of an abort while this is opened
    first = _opened(url, patience, is_over)
    try:
        if first.begins_with(MAGIC):
            return ParquetIntake(_spooled(url, first, is_over))
    except BaseException:
        first.close()
        raise
    waiting = [first]

    def opened() -> BinaryIO:
        return cast(BinaryIO, waiting.pop() if waiting else _opened(url, patience, is_over))

    return CsvIntake(File(_shown(url), first.length, opened, opened), dialect, is_over)


def _opened(url: str, patience: Patience, is_halted: Callable[[], bool]) -> "_Body":
    """Raises Cancelled; a server that answers after that is left."""
    return waited(lambda: _answered(url, patience, is_halted), is_halted)


def _answered(url: str, patience: Patience, is_halted: Callable[[], bool]) -> "_Body":
    for pause in (*patience.pauses, None):
        try:
            body = _asked_for(url, patience, is_halted)
        except _Passing:
            if pause is None or is_halted():
                raise
            time.sleep(pause)
        else:
            break
    if is_halted():
        body.close()
        raise Cancelled("The job was aborted")
    return body


def _asked_for(url: str, patience: Patience, is_halted: Callable[[], bool]) -> "_Body":
    with ExitStack() as stack:
        answer = stack.enter_context(_asked(_UNREAD, "GET", url, patience))
        _check_status(_UNREAD, answer, url)
        packing = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if packing not in ("identity", *_GZIP):
            raise ScoringError(_UNREAD, f"{_shown(url)}: its Content-Encoding is {packing[:40]!r}; only gzip can be unpacked.")
        is_chunked = "chunked" in answer.headers.get("Transfer-Encoding", "").lower()
        if packing not in _GZIP and not is_chunked and "Content-Length" not in answer.headers:
            detail = f"{_shown(url)}: the server tells neither its length nor its end, so that lost rows would not be noticed."
            raise ScoringError(_UNREAD, f"{detail} Let it send a Content-Length, or in chunks.")
        return _Body(url, answer, packing in _GZIP, stack.pop_all(), is_halted)


class _Body(io.RawIOBase):
    """What an answer holds, unpacked. It ends where the server says that it ends, or it raises ScoringError; a halt breaks it off."""

    def __init__(self, url: str, answer: httpx.Response, is_packed: bool, opened: ExitStack, is_halted: Callable[[], bool]) -> None:
        self._name = _shown(url)
        self._sent = int(answer.headers.get("Content-Length", 0))
        self.length = 0 if is_packed else self._sent  # 0: nobody knows
        self._received = 0
        self._ready = b""
        self._chunks = self._unpacked(answer.iter_raw()) if is_packed else self._raw(answer.iter_raw())
        self._opened = opened
        self._is_halted = is_halted
        self._is_over = threading.Event()
        self._watch = threading.Thread(target=self._break_off, args=(answer,), name="http", daemon=True)
        self._watch.start()

    def readable(self) -> bool:
        return True

    def begins_with(self, mark: bytes) -> bool:
        """Asked before anything is read."""
        while len(self._ready) < len(mark) and (more := next(self._chunks, b"")):
            self._ready += more
        return self._ready.startswith(mark)

    def readinto(self, buffer: Any) -> int:
        self._ready = self._ready or next(self._chunks, b"")
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._is_over.set()
            self._watch.join()
            self._opened.close()
        super().close()

    def _raw(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for chunk in chunks:
                self._received += len(chunk)
                yield chunk
        except (httpx.HTTPError, httpx.StreamError) as error:
            if self._is_halted():
                raise Cancelled("The job was aborted") from None
            of = f" of {self._sent:,}" if self._sent else ""
            raise ScoringError(_UNREAD, f"{self._name}: {_reason(error)}, after {self._received:,}{of} bytes.") from None

    def _unpacked(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Of gzip, which may have several members."""
        unpacking = zlib.decompressobj(_GZIP_BITS)
        try:
            for chunk in self._raw(chunks):
                while chunk:
                    if text := unpacking.decompress(chunk, BLOCK):
                        yield text
                    chunk = unpacking.unconsumed_tail
                    if unpacking.eof and (chunk := unpacking.unused_data):
                        unpacking = zlib.decompressobj(_GZIP_BITS)
            if text := unpacking.flush():
                yield text
        except zlib.error:
            raise ScoringError(_UNREAD, f"{self._name}: its Content-Encoding is gzip, and it is none.") from None
        if not unpacking.eof:
            raise ScoringError(_UNREAD, f"{self._name}: its gzip ends too early, after {self._received:,} bytes.")

    def _break_off(self, answer: httpx.Response) -> None:
        """A thread that waits for the server is woken by nothing else."""
        while not self._is_over.wait(TICK):
            if self._is_halted():
                if connection := answer.extensions["network_stream"].get_extra_info("socket"):
                    _shut(connection)
                return


def _shut(connection: Any) -> None:
    try:
        connection.shutdown(2)  # both directions
    except OSError:
        return  # it is shut already


def _spooled(url: str, body: _Body, is_halted: Callable[[], bool]) -> File:
    """Parquet is read from its end."""
    spool = _spool()
    try:
        with body:
            while block := body.read(BLOCK):
                if is_halted():
                    raise Cancelled("The job was aborted")
                _kept(spool, block)
        size = spool.seek(0, 2)
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    return File(_shown(url), size, lambda: spool, lambda: spool)


def open_sink(place: Place, patience: Patience = PATIENCE) -> "HttpSink":
    return HttpSink(place, patience)


class HttpSink:
    """One request, sent when all of the output is there. `Idempotency-Key` is the id of the job, by which a receiver knows a second one.

    PUT is repeated when it fails in passing. POST is not, once anything of it may have arrived. An abort breaks it off; what was sent whole by then
    and is not answered yet may have arrived.
    """

    def __init__(self, place: Place, patience: Patience) -> None:
        self.name = _shown(place.settings.url)
        self._url, self._method = place.settings.url, place.settings.method
        given = place.settings.headers or {}
        self._check(given)
        self._headers = httpx.Headers({"Content-Type": "text/csv"} | ({"Idempotency-Key": place.job} if place.job else {}))
        self._headers.update(given)
        self._patience = patience
        self._is_halted = place.is_halted
        self._spool = _spool()

    def write(self, content: bytes) -> None:
        _kept(self._spool, content)

    def finish(self) -> None:
        # What is left behind by an abort finds the spool closed, and sends no more.
        waited(self._sent, self._is_halted, self.close)

    def close(self) -> None:
        self._spool.close()

    def _sent(self) -> None:
        for pause in (*self._patience.pauses, None):
            try:
                self._send()
                return
            except _Passing as passing:
                if pause is None or not (self._method == "PUT" or passing.is_unsent):
                    raise self._failed(passing) from None
                time.sleep(pause)

    def _send(self) -> None:
        self._spool.seek(0)
        request = {"content": self._spool, "headers": self._headers, "follow_redirects": False}
        with _asked(_UNWRITTEN, self._method, self._url, self._patience, self._patience.answer, **request) as answer:
            if answer.has_redirect_location:
                to = _shown(str(answer.url.join(answer.headers["Location"])))
                raise ScoringError(_UNWRITTEN, f"{self.name}: it redirects to {to}, and an output is sent to its own url only. Correct the url.")
            _check_status(_UNWRITTEN, answer, self._url)

    def _failed(self, passing: "_Passing") -> ScoringError:
        doubt = self._method == "POST" and not passing.is_unsent
        advice = " It may have arrived all the same: look there before the job is run again." if doubt else ""
        return ScoringError(passing.summary, f"{passing.detail}{advice}")

    def _check(self, given: Mapping[str, str]) -> None:
        """Headers that can be sent. Their values may be secrets."""
        for name, value in given.items():
            if name.lower() in _FRAMING:
                raise ScoringError(_UNWRITTEN, f"{self.name}: the header {name} is not yours to set. Leave it out of headers.")
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(r"[\t\x20-\x7e]*", value) or value != value.strip():
                raise ScoringError(_UNWRITTEN, f"{self.name}: the header {name!r} cannot be sent. Its name or its value has a character too many.")


class _Passing(ScoringError):
    """What may go well the next time."""

    def __init__(self, summary: str, detail: str, is_unsent: bool = False) -> None:
        super().__init__(summary, detail)
        self.is_unsent = is_unsent


@contextmanager
def _asked(summary: str, method: str, url: str, patience: Patience, silence: float | None = None, **request: Any) -> Iterator[httpx.Response]:
    """The answer, its body unread."""
    timeout = httpx.Timeout(patience.silence, connect=patience.connect, read=silence or patience.silence)
    with ExitStack() as stack:
        with _told(summary, url):
            client = stack.enter_context(httpx.Client(timeout=timeout, follow_redirects=True, headers=_HEADERS))
            answer: AbstractContextManager[httpx.Response] = client.stream(method, url, **request)
            entered = stack.enter_context(answer)
        yield entered


@contextmanager
def _told(summary: str, url: str) -> Iterator[None]:
    try:
        yield
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects, httpx.LocalProtocolError, ValueError) as error:
        raise ScoringError(summary, f"{_shown(url)}: {_reason(error)}.") from None
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise _Passing(summary, f"{_shown(url)}: {_reason(error)}.", isinstance(error, _NOTHING_SENT)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.ConnectError):
        return f"it cannot be connected to ({' '.join(str(error).split()) or 'no reason given'})"
    return next(said for kind, said in _REASONS if isinstance(error, kind))


def _check_status(summary: str, answer: httpx.Response, url: str) -> None:
    if answer.is_success:
        return
    at = _shown(url) if not answer.history else f"{_shown(url)}, which redirects to {_shown(str(answer.url))}"
    said = f"the server answers {answer.status_code}"
    detail = f"{at}: {said}: {_STATUSES[answer.status_code]}." if answer.status_code in _STATUSES else f"{at}: {said}."
    raise _Passing(summary, detail) if answer.status_code in _FOR_A_WHILE else ScoringError(summary, detail)


def _shown(url: str) -> str:
    """Without what may be a secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the url"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _spool() -> BinaryIO:
    try:
        return cast(BinaryIO, tempfile.TemporaryFile())
    except OSError as error:
        raise _no_room(error) from error


def _kept(spool: BinaryIO, content: bytes) -> None:
    try:
        spool.write(content)
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> ScoringError:
    detail = f"{tempfile.gettempdir()}: {error.strerror or error}. Make room, or set TMPDIR to a folder that has some."
    return ScoringError("A temporary file cannot be written", detail)
