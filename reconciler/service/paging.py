"""Lists over the wire. The rule here: `next` and `previous` are whole URLs that keep every parameter of the request."""

from typing import Any

from starlette.requests import Request


def page(request: Request, data: list[dict[str, Any]], total: int, offset: int, limit: int) -> dict[str, Any]:
    def link(start: int) -> str:
        return str(request.url.include_query_params(offset=start, limit=limit))

    return {
        "count": len(data),
        "totalCount": total,
        "next": link(offset + limit) if offset + limit < total else None,
        "previous": link(max(0, offset - limit)) if offset > 0 else None,
        "data": data,
    }
