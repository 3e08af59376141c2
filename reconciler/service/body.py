"""A request's JSON body. The rule here: only what every later step can store and digest gets in."""

import json
from typing import Any, NoReturn

from starlette.requests import Request

from reconciler.service.refusal import Refusal

LIMIT = 1 << 20


async def json_object(request: Request) -> dict[str, Any]:
    """Raises Refusal: 413 when it is too large, 400 when it is not JSON, 422 when it is no object."""
    content = await _content(request)
    try:
        body = json.loads(content, parse_constant=_no_constant)
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()  # 1e999 and a lone surrogate are JSON, but no number and no text
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refusal(422, "the body is not a JSON object")
    return body


async def _content(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LIMIT:
            raise Refusal(413, f"the body is larger than {LIMIT} bytes")
    return bytes(content)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")
