"""What an answer says. The rule here: whatever a proxy or a server makes of an answer, it becomes a job or a sentence."""

import zlib
from collections.abc import AsyncGenerator, Iterator
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from reconciler.api.schema import Tolerant
from reconciler.errors import ServiceError

_Answer = TypeVar("_Answer", bound=Tolerant)

_SHOWN = 1000  # characters of a message
_HINTS = {
    401: "The token was not accepted: it is wrong, expired or revoked, or of the other token_type (Token or Bearer). "
    "Make one under Developer tools in DataRobot.",
    403: "The token is known, but its user may not do this.",
}
NO_API = "This does not look like the API: the endpoint must be its address, such as https://app.datarobot.com/api/v2."


def is_clear_refusal(status: int) -> bool:
    """The service took the request, looked at it and did nothing. After any other failure it may have done what was asked."""
    return 400 <= status < 500 and status not in (408, 429)


def parsed(kind: type[_Answer], answer: httpx.Response) -> _Answer:
    """Raises ServiceError."""
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as error:
        what = f"{answer.request.method} {answer.request.url}"
        if is_html(answer):
            raise ServiceError("The answer is a web page", f"{what}: {NO_API} It begins with {_beginning(answer)}.") from None
        broken = [item for item in error.errors() if item["type"] == "json_invalid"]
        if broken:
            raise ServiceError("The service's answer cannot be read", f"{what}: not JSON; it begins with {_beginning(answer)}.") from None
        where = ", ".join(".".join(str(part) for part in item["loc"]) for item in error.errors())
        raise ServiceError("The service's answer cannot be read", f"{what}: wrong or missing: {where}.") from None


def is_html(answer: httpx.Response) -> bool:
    return "html" in answer.headers.get("Content-Type", "") or (answer.is_closed and answer.content.lstrip()[:1] == b"<")


def refusal_detail(answer: httpx.Response) -> str:
    """What the service said: `message`, `errors` by field (where the message does not repeat them), the request's id, and what to do."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    body = body if isinstance(body, dict) else {}
    parts = [_message(body) or f"The answer has no message; it begins with {_beginning(answer)}."]
    if answer.is_redirect:
        parts.append(f"It points to {_origin(answer)}; the client follows no redirects, for they would take the token elsewhere. {NO_API}")
    elif is_html(answer):
        parts.append(NO_API)
    if answer.status_code in _HINTS:
        parts.append(_HINTS[answer.status_code])
    if request_id := answer.headers.get("X-DataRobot-Request-ID") or answer.headers.get("X-Request-ID"):
        parts.append(f"Request id: {request_id[:100]}.")
    return " ".join(parts)


def has_end(answer: httpx.Response) -> bool:
    """Whether a body that is cut short can be told from a whole one: one that ends with its connection cannot, unless its packing tells."""
    is_chunked = "chunked" in answer.headers.get("Transfer-Encoding", "").lower()
    return is_chunked or "Content-Length" in answer.headers or _is_packed(answer)


def _is_packed(answer: httpx.Response) -> bool:
    return answer.headers.get("Content-Encoding", "identity").lower() in ("gzip", "x-gzip")


async def content(answer: httpx.Response) -> AsyncGenerator[bytes]:
    """The body as it comes, unpacked. Unlike httpx's own, it notices compressed text that ends too early. Raises ServiceError."""
    if not _is_packed(answer):
        async for chunk in answer.aiter_bytes():
            yield chunk
        return
    unpacking = zlib.decompressobj(wbits=31)
    try:
        async for chunk in answer.aiter_raw():
            while chunk:
                if unpacking.eof:  # a body may be several such streams, one after the other (RFC 1952 §2.2)
                    unpacking = zlib.decompressobj(wbits=31)
                yield unpacking.decompress(chunk)
                chunk = unpacking.unused_data
    except zlib.error as error:
        raise ServiceError("The download is broken", f"Its compressed content cannot be unpacked: {error}.") from None
    if not unpacking.eof:
        raise ServiceError("The download was cut short", "Its compressed content ends too early.")


def _message(body: dict[str, Any]) -> str:
    message = str(body.get("message") or "")[:_SHOWN]
    errors = body.get("errors")
    fields = [": ".join(filter(None, (field, said))) for field, said in _said(errors) if said not in message]
    return " ".join(part for part in (message, f"({'; '.join(fields)[:_SHOWN]})" if fields else "") if part)


def _said(errors: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """The field, such as `intakeSettings.url`, and the sentence of every error."""
    if isinstance(errors, dict):
        for name, inner in errors.items():
            yield from _said(inner, f"{field}.{name}" if field else str(name))
    elif errors:
        yield field, str(errors)


def _beginning(answer: httpx.Response) -> str:
    return repr(answer.text[:200])


def _origin(answer: httpx.Response) -> str:
    try:
        url = httpx.URL(answer.headers.get("Location", ""))
    except httpx.InvalidURL:
        return "nowhere"
    return f"{url.scheme}://{url.netloc.decode('ascii')}" if url.host else "another path"
