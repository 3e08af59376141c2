"""Files up and down over real sockets: bytes as they are, cuts that are noticed, memory that does not grow."""

import asyncio
import gzip
import os
import threading
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from api.peer import Asked, Script, answering, asking, half, nothing, peer, run

from reconciler.api.access import Access
from reconciler.api.client import Client
from reconciler.api.schema import Job
from reconciler.errors import ServiceError, UploadCut

ROWS = b"a,b\r\n" + b"\xff\x00 1,\xe9\r\n" * 300_000  # no text in any encoding that would be looked at
MEGABYTE = 1 << 20


def job(multipart: bool = False, is_async: bool = True, **links: str) -> Job:
    intake = {"type": "localFile", "multipart": multipart, "async": is_async}
    spec = {"intakeSettings": intake, "csvSettings": {"encoding": "latin_1", "quotechar": '"', "delimiter": ","}}
    return Job.model_validate({"id": "j1", "status": "RUNNING", "links": links, "jobSpec": spec})


def keeping(bodies: list[bytes], status: int = 202) -> Script:
    async def script(asked: Asked) -> None:
        bodies.append(await asked.body())
        await asked.answer(status)

    return script


async def downloaded(client: Client, **links: str) -> bytes:
    found = bytearray()
    async with aclosing(client.download(job(**links))) as chunks:
        async for chunk in chunks:
            found += chunk
    return bytes(found)


@pytest.fixture
def intake(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_bytes(ROWS)
    return path


def uploading(path: Path, sent: list[int] | None = None, part_size: int = MEGABYTE, **options: Any) -> Callable[[Client], Awaitable[Any]]:
    marks = [] if sent is None else sent
    return lambda client: client.upload(job(**options), path, marks.append, part_size)


@pytest.mark.parametrize("content", [ROWS, b"a\n1\n", b""])
@pytest.mark.parametrize("link", ["", "http://inner/api/v2/batchPredictions/j1/csvUpload/", "batchPredictions/j1/csvUpload/"])
def test_file_goes_up_as_it_is(tmp_path: Path, content: bytes, link: str) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    bodies: list[bytes] = []
    sent: list[int] = []
    nothing_came, there = asking(uploading(tmp_path / "rows.csv", sent, **({"csvUpload": link} if link else {})), keeping(bodies))
    assert nothing_came is None
    assert bodies == [content]
    (asked,) = there.asked
    assert asked.line == "PUT /api/v2/batchPredictions/j1/csvUpload/"
    assert [asked.header(name) for name in ("Content-Type", "Content-Length", "Transfer-Encoding")] == [
        "text/csv; encoding=latin_1",
        str(len(content)),
        None,
    ]
    assert sent == sorted(sent) and sent[-1:] == ([len(content)] if content else [])


LOGIN = answering(200, b"<html>Sign in</html>", Content_Type="text/html")


@pytest.mark.parametrize("script", [half, nothing, answering(502), answering(408), answering(307, Location="/login"), LOGIN])
def test_broken_upload_is_cut_and_not_sent_again(intake: Path, script: Script) -> None:
    error, there = asking(uploading(intake), script)
    assert (type(error), len(there.asked)) == (UploadCut, 1)


@pytest.mark.parametrize("status", [404, 406, 409, 413, 422])
def test_refused_upload_says_why_even_when_it_is_refused_early(intake: Path, status: int) -> None:
    async def early(asked: Asked) -> None:
        await asked.answer(status, b'{"message": "An upload has begun"}')
        await asked.body()  # a service drains what comes, so that its answer is read

    error, there = asking(uploading(intake), early)
    assert (type(error), error.status, error.detail, len(there.asked)) == (ServiceError, status, "An upload has begun", 1)


def test_accepted_half_is_no_upload(tmp_path: Path) -> None:
    """A gateway may say 202 and hang up before all was sent."""
    with open(path := tmp_path / "rows.csv", "wb") as file:
        file.truncate(64 * MEGABYTE)

    async def hasty(asked: Asked) -> None:
        await asked.reader.readexactly(1000)
        await asked.answer(202)

    assert type(asking(uploading(path), hasty)[0]) is UploadCut


@pytest.mark.parametrize("change", [b"more,rows\n", None], ids=["grown", "shrunk"])
def test_file_that_changes_while_it_is_sent_never_arrives_whole(intake: Path, change: bytes | None) -> None:
    came: list[int] = []

    async def changing(asked: Asked) -> None:
        body = bytearray(await asked.reader.readexactly(1000))
        with open(intake, "ab") as file:
            file.write(change) if change else file.truncate(len(ROWS) - 1)
        while block := await asked.reader.read(1 << 16):
            body += block
        came.append(len(body))

    error, there = asking(uploading(intake), changing)
    assert (type(error), error.summary, error.status) == (ServiceError, "The intake changed while it was sent", None)
    assert came[0] < int(there.asked[0].header("Content-Length") or 0)


def test_file_that_is_not_there_is_an_error_before_anything_is_sent(tmp_path: Path) -> None:
    error, there = asking(uploading(tmp_path / "rows.csv"), nothing)
    assert (error.summary, there.asked) == ("The intake cannot be read", [])


def test_file_goes_up_in_parts(intake: Path) -> None:
    bodies: list[bytes] = []
    sent: list[int] = []
    nothing_came, there = asking(uploading(intake, sent, multipart=True), keeping(bodies))
    *parts, end = bodies
    assert nothing_came is None
    assert there.lines == [
        *(f"PUT /api/v2/batchPredictions/j1/csvUpload/part/{number}/" for number in range(len(parts))),
        "POST /api/v2/batchPredictions/j1/csvUpload/finalizeMultipart/",
    ]
    assert len(parts) == 3 and end == b""
    assert b"idempotency-key: j1-parts" in there.asked[-1].head.lower()
    assert all(part.startswith(b"a,b\r\n") and part.endswith(b"\r\n") for part in parts)
    assert parts[0] + b"".join(part.removeprefix(b"a,b\r\n") for part in parts[1:]) == ROWS
    assert sent[-1] == len(ROWS)


def test_part_is_sent_again_where_the_service_waits_for_all(intake: Path) -> None:
    bodies: list[bytes] = []
    keep = keeping(bodies)
    nothing_came, there = asking(uploading(intake, multipart=True, is_async=False), keep, half, nothing, answering(503), keep)
    assert nothing_came is None
    assert [line.rsplit("/", 2)[1] for line in there.lines] == ["0", "1", "1", "1", "1", "2", "finalizeMultipart"]
    assert bodies[0] + b"".join(part.removeprefix(b"a,b\r\n") for part in bodies[1:]) == ROWS


def test_part_is_not_sent_again_where_it_may_be_scored_by_now(intake: Path) -> None:
    error, there = asking(uploading(intake, multipart=True), keeping([]), half)
    assert (type(error), len(there.asked)) == (UploadCut, 2)


def test_end_of_parts_that_is_not_answered_is_cut(intake: Path) -> None:
    error, there = asking(uploading(intake, multipart=True, is_async=False), *[keeping([])] * 3, nothing)
    assert (type(error), len(there.asked)) == (UploadCut, 4)


@pytest.mark.parametrize("link", ["", "http://inner/api/v2/batchPredictions/j1/download/"])
def test_result_comes_down_as_it_is(link: str) -> None:
    found, there = asking(lambda client: downloaded(client, **({"download": link} if link else {})), answering(200, ROWS, Content_Type="text/csv"))
    assert found == ROWS
    assert there.lines == ["GET /api/v2/batchPredictions/j1/download/"]


def test_packed_result_is_unpacked() -> None:
    assert asking(downloaded, answering(200, gzip.compress(ROWS), Content_Type="text/csv", Content_Encoding="gzip"))[0] == ROWS
    several = gzip.compress(ROWS[:9]) + gzip.compress(ROWS[9:])
    assert asking(downloaded, answering(200, several, Content_Type="text/csv", Content_Encoding="gzip"))[0] == ROWS


def test_result_that_cannot_be_asked_for_yet_is_asked_for_again() -> None:
    found, there = asking(downloaded, answering(503, Retry_After="1"), nothing, answering(200, ROWS, Content_Type="text/csv"))
    assert (found, len(there.asked)) == (ROWS, 3)


async def short(asked: Asked) -> None:
    await asked.raw(200, {"Content-Type": "text/csv", "Content-Length": str(len(ROWS))}, ROWS[:-1])


async def chunked(asked: Asked) -> None:
    await asked.raw(200, {"Content-Type": "text/csv", "Transfer-Encoding": "chunked"}, b"5\r\na,b\r\n\r\n")


@pytest.mark.parametrize(
    "script",
    [
        short,
        chunked,
        answering(200, gzip.compress(ROWS)[:-9], Content_Type="text/csv", Content_Encoding="gzip"),
        answering(200, ROWS, Content_Type="text/csv", Content_Encoding="gzip"),
        answering(200, b"<html>Sign in</html>", Content_Type="text/html; charset=utf-8"),
    ],
    ids=["short", "chunked", "packed-short", "not-packed", "html"],
)
def test_result_that_is_not_whole_is_an_error_without_a_status(script: Script) -> None:
    error, there = asking(downloaded, script)
    assert (type(error), error.status, len(there.asked)) == (ServiceError, None, 1)


@pytest.mark.parametrize("status", [404, 406, 422])
def test_refused_download_says_why(status: int) -> None:
    error, there = asking(downloaded, answering(status, b'{"message": "No result"}'))
    assert (error.status, error.detail, len(there.asked)) == (status, "No result", 1)


def test_result_comes_while_it_grows() -> None:
    """And the uploads and downloads under way do not count among the requests."""

    async def question() -> list[bytes]:
        more = asyncio.Event()

        async def growing(asked: Asked) -> None:
            if "/download/" in asked.line:
                await asked.raw(200, {"Content-Type": "text/csv", "Content-Length": "4"}, b"a\n")
                await more.wait()
                asked.writer.write(b"1\n")
            else:
                await asked.answer(200, b'{"id": "j1", "status": "RUNNING"}')

        async with peer(growing) as there, Client(Access(there.endpoint), requests=1) as client:
            found = []
            async with aclosing(client.download(job())) as chunks:
                async for chunk in chunks:
                    assert (await client.job("j1")).status == "RUNNING"
                    found.append(chunk)
                    more.set()
        return found

    assert run(question()) == [b"a\n", b"1\n"]


def test_files_are_read_beside_the_event_loop(intake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readers: set[str] = set()
    pread = os.pread

    def noted(*args: Any) -> bytes:
        readers.add(threading.current_thread().name)
        return pread(*args)

    monkeypatch.setattr(os, "pread", noted)
    asking(uploading(intake, multipart=True), keeping([]))
    assert readers and "MainThread" not in readers


@pytest.mark.parametrize("multipart", [False, True])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, multipart: bool) -> None:
    """64 MB each way; the server shares our memory and keeps none of it."""
    size = 64 * MEGABYTE
    with open(path := tmp_path / "rows.csv", "wb") as file:
        for _ in range(size // MEGABYTE):
            file.write((b"x" * 1023 + b"\n") * 1024)

    async def swallow(asked: Asked) -> None:
        left = int(asked.header("Content-Length") or 0)
        while left:
            left -= len(await asked.reader.read(min(left, 1 << 16)))
        await asked.answer(202)

    async def pour(asked: Asked) -> None:
        await asked.raw(200, {"Content-Type": "text/csv", "Content-Length": str(size)}, b"")
        for _ in range(size // MEGABYTE):
            asked.writer.write(b"x" * MEGABYTE)
            await asked.writer.drain()

    async def drained(client: Client) -> int:
        async with aclosing(client.download(job())) as chunks:
            return sum([len(chunk) async for chunk in chunks])

    tracemalloc.start()
    try:
        assert asking(uploading(path, multipart=multipart, part_size=8 * MEGABYTE), swallow)[0] is None
        assert asking(drained, pour)[0] == size
        assert tracemalloc.get_traced_memory()[1] < 24 * MEGABYTE
    finally:
        tracemalloc.stop()
