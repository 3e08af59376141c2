"""`openapi.yaml`: what is served, for programs. The rule here: the same text for everyone; it says nothing of what is stored."""

from starlette.requests import Request
from starlette.responses import Response


def show(request: Request) -> Response:
    from reconciler.service.openapi import text  # makes the schemas of every model, which only this needs

    return Response(text(), media_type="application/yaml")
