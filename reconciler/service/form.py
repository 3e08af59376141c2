"""A multipart form with one file, streamed. The rule here: the file goes to the disk block by block; no more than small fields are ever in memory.

Starlette's own form parser would first write the file to the system's temporary folder, and it would be written a second time from there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from reconciler.service.refusal import Refusal

if TYPE_CHECKING:  # of the extra `serve`: an apply in this process takes no forms
    from python_multipart.multipart import MultipartParser

_MOST_FIELDS = 20
_LONGEST_FIELD = 10_000
_LONGEST_HEADER = 4_096


@dataclass
class Form:
    """The parts so far: the file's own name (None until the part `file` has begun), and the other fields in order."""

    file_name: str | None = None
    fields: list[tuple[str, str]] = field(default_factory=list)


class _Parts:
    """What the parser calls. File bytes go to `write`; python-multipart hands over at most one block of the request at a time."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.form = Form()
        self.is_whole = False
        self._write = write
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._content = bytearray()
        self._is_file = False

    def begin(self) -> None:
        self._headers = {}
        self._content = bytearray()

    def header(self, data: bytes, start: int, end: int) -> None:
        self._header += _short(self._header, data[start:end], _LONGEST_HEADER)

    def value(self, data: bytes, start: int, end: int) -> None:
        self._value += _short(self._value, data[start:end], _LONGEST_HEADER)

    def header_ended(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def headers_ended(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = self._name == "file"
        if self._is_file:
            if self.form.file_name is not None:
                raise _refused("file", "only one file can be given")
            self.form.file_name = options.get(b"filename", b"").decode("utf-8", "replace")

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._write(data[start:end])
        else:
            self._content += _short(self._content, data[start:end], _LONGEST_FIELD)

    def part_ended(self) -> None:
        if not self._is_file:
            if len(self.form.fields) == _MOST_FIELDS:
                raise Refusal(422, "the form has too many fields")
            self.form.fields.append((self._name, self._content.decode("utf-8", "replace")))

    def ended(self) -> None:
        self.is_whole = True


async def receive(request: Request, write: Callable[[bytes], None]) -> Form:
    """Raises Refusal: 422 for what is no whole form with a file, 400 when the client goes away, whom it will not reach."""
    from python_multipart.exceptions import FormParserError

    parts = _Parts(write)
    try:
        parser = _parser(request, parts)
        async for block in request.stream():
            await run_in_threadpool(parser.write, block)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(422, f"the body is not a multipart form: {error}") from None
    except ClientDisconnect:
        raise Refusal(400, "the client went away before the form was whole") from None
    if not parts.is_whole:
        raise Refusal(422, "the multipart form ends too early")
    if parts.form.file_name is None:
        raise _refused("file", "a file is needed, as the form's part `file`")
    return parts.form


def _parser(request: Request, parts: _Parts) -> "MultipartParser":
    from python_multipart.multipart import MultipartParser, parse_options_header

    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise _refused("file", "a multipart/form-data body is needed, with a boundary and a part `file`")
    return MultipartParser(
        boundary,
        {
            "on_part_begin": parts.begin,
            "on_part_data": parts.data,
            "on_part_end": parts.part_ended,
            "on_header_field": parts.header,
            "on_header_value": parts.value,
            "on_header_end": parts.header_ended,
            "on_headers_finished": parts.headers_ended,
            "on_end": parts.ended,
        },
    )


def _short(before: bytearray, more: bytes, longest: int) -> bytes:
    if len(before) + len(more) > longest:
        raise Refusal(422, "a field or a header of the form is too long")
    return more


def _refused(name: str, sentence: str) -> Refusal:
    return Refusal(422, sentence, {name: sentence})
