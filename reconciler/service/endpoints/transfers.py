"""`csvUpload/` and `download/` of a job. The rule here: bytes are awaited on the event loop and written by a thread, so a slow caller holds none."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from reconciler.service import parameters
from reconciler.service.answer import Json
from reconciler.service.download import Download
from reconciler.service.refusal import Refusal, invalid
from reconciler.service.transfers import Transfers
from reconciler.service.upload import drained, received

# Bytes that a part sends beyond its Content-Length must not be read as the next request.
_LAST = {"Connection": "close"}
_part_number = parameters.whole(0, 999_999)


async def upload(request: Request) -> Response:
    transfers = _transfers(request)
    begun = await run_in_threadpool(transfers.begin, request.path_params["id"], _media_type(request))
    await received(request.stream(), begun, transfers.limits.patience)
    return Response(status_code=202)


async def upload_part(request: Request) -> Response:
    try:
        await _part(request)
    except Refusal as refusal:
        await drained(request.stream(), _transfers(request).limits.patience)
        return Json(refusal.body, refusal.status, headers=_LAST)
    return Response(status_code=202, headers=_LAST)


def finalize(request: Request) -> Response:
    _transfers(request).finalize(request.path_params["id"])
    return Response(status_code=202)


async def download(request: Request) -> Response:
    return Download(await run_in_threadpool(_transfers(request).result, request.path_params["id"]))


async def _part(request: Request) -> None:
    transfers = _transfers(request)
    agent = request.headers.get("User-Agent", "")
    begun = await run_in_threadpool(transfers.begin_part, request.path_params["id"], _number(request), _media_type(request), agent)
    await received(request.stream(), begun, transfers.limits.patience)


def _number(request: Request) -> int:
    try:
        return int(_part_number(request.path_params["number"]))
    except ValueError as error:
        raise invalid([(("number",), str(error))]) from None


def _media_type(request: Request) -> str:
    return request.headers.get("Content-Type", "")


def _transfers(request: Request) -> Transfers:
    transfers: Transfers = request.app.state.service.transfers
    return transfers
