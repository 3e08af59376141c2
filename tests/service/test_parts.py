"""Rows in parts: how they are put together, and how parts and their end are taken over a real socket."""

from typing import NamedTuple

import pytest
from service.live import CSV, serving

from reconciler.engine.dialect import Dialect
from reconciler.service.parts import join
from reconciler.service.refusal import Refusal

CLIENT = CSV | {"User-Agent": "DataRobotPythonClient/3.20.0 (Linux) Python-3.11"}


class Case(NamedTuple):
    parts: list[bytes]
    whole: bytes
    dialect: Dialect = Dialect()


CASES = {
    "one": Case([b"a,b\n1,2\n"], b"a,b\n1,2\n"),
    "repeated header": Case([b"a,b\n1,2\n", b"a,b\n3,4\n", b"a,b\n5,6\n"], b"a,b\n1,2\n3,4\n5,6\n"),
    "CRLF": Case([b"a,b\r\n1,2\r\n", b"a,b\r\n3,4\r\n"], b"a,b\r\n1,2\r\n3,4\r\n"),
    "LF after CRLF": Case([b"a,b\r\n1,2\r\n", b"a,b\n3,4\n"], b"a,b\r\n1,2\r\n3,4\n"),
    "CR": Case([b"a,b\r1,2\r", b"a,b\r3,4\r"], b"a,b\r1,2\r\n3,4\r"),
    "no final newline": Case([b"a,b\n1,2", b"a,b\n3,4", b"a,b\n5,6"], b"a,b\n1,2\n3,4\n5,6"),
    "half a CRLF": Case([b"a,b\r\n1,2\r", b"a,b\r\n3,4\r"], b"a,b\r\n1,2\r\n3,4\r"),
    "header only": Case([b"a,b", b"a,b\n1,2\n", b"a,b"], b"a,b\n1,2\n"),
    "without header": Case([b"a,b\n1,2\n", b"3,4\n"], b"a,b\n1,2\n3,4\n"),
    "cut anywhere": Case([b"a,b\n1,", b"2\n3", b"3,4\n"], b"a,b\n1,2\n33,4\n"),
    "another header": Case([b"a,b\n1,2\n", b"b,a\n3,4\n"], b"a,b\n1,2\nb,a\n3,4\n"),
    "longer first value": Case([b"a\n1\n", b"ab\n2\n"], b"a\n1\nab\n2\n"),
    "BOM": Case([b"\xef\xbb\xbfa,b\n1,2\n", b"\xef\xbb\xbfa,b\n3,4\n", b"a,b\n5,6\n"], b"\xef\xbb\xbfa,b\n1,2\n3,4\n5,6\n"),
    "newline in a name": Case([b'"a\nx",b\n1,2\n', b'"a\nx",b\n3,4\n'], b'"a\nx",b\n1,2\n3,4\n'),
    "same first line of a name": Case([b'"a\nx",b\n1,2\n', b'"a\ny",b\n3,4\n'], b'"a\nx",b\n1,2\n"a\ny",b\n3,4\n'),
    "another quote": Case([b"'a\n\",b\n", b"1',c\n2,3\n"], b"'a\n\",b\n1',c\n2,3\n", Dialect(quotechar="'")),
    "latin-1": Case([b"\xe9\n1\n", b"\xe9\n2\n"], b"\xe9\n1\n2\n", Dialect(encoding="latin_1")),
    "utf-16 is put together as it is": Case(
        ["a\n1".encode("utf-16"), "2\n".encode("utf-16-le")], "a\n12\n".encode("utf-16"), Dialect(encoding="utf-16")
    ),
    "character over a cut": Case(["a\né".encode()[:-1], "é\n".encode()[1:]], "a\né\n".encode()),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_parts_make_one_file(tmp_path, case):
    paths = [tmp_path / str(number) for number in range(len(case.parts))]
    for path, content in zip(paths, case.parts, strict=True):
        path.write_bytes(content)
    join(paths, tmp_path / "whole", case.dialect)
    assert (tmp_path / "whole").read_bytes() == case.whole


@pytest.mark.parametrize("content", [b"\n\n", b"a\n\xff\n"])
def test_what_is_no_text_is_refused(tmp_path, content):
    (tmp_path / "0").write_bytes(content)
    with pytest.raises(Refusal) as refusal:
        join([tmp_path / "0"], tmp_path / "whole", Dialect())
    assert refusal.value.status == 422


@pytest.fixture
def api(service):
    with serving(service) as served:
        yield served


@pytest.fixture
def parted(api, house):
    def create(is_async=True, **options):
        return api.create(house.deployments["churn"].id, {"multipart": True, "async": is_async}, **options)["id"]

    return create


@pytest.mark.parametrize("is_async", [True, False])
def test_parts_become_one_intake(api, house, parted, is_async):
    job = parted(is_async)
    for number, content in ((1, b"copy\r\n3\r\n"), (0, b"copy\r\n9\r\n"), (10, b"10"), (0, b"copy\r\n1\r\n")):
        answer = api.part(job, number, content)
        assert (answer.status_code, answer.headers["connection"]) == (202, "close")
    assert api.job(job)["status"] == ("RUNNING" if is_async else "INITIALIZING")
    missing = api.finalize(job)
    assert (missing.status_code, missing.json()["message"]) == (422, f"job {job} is without the parts 2, 3, 4, 5, 6, 7, 8, 9")
    for number in range(2, 10):
        assert api.part(job, number, f"copy\r\n{number}\r\n").status_code == 202
    assert api.finalize(job).status_code == 202
    api.until(job, "COMPLETED")
    assert api.download(job).text.split() == ["copy", "1", "3", *map(str, range(2, 11))]
    assert sorted(path.name for path in (house.storage / "uploads").iterdir()) == [f"{job}.csv"]


def test_what_is_no_part_is_refused(api, house, parted):
    job, whole = parted(), api.create(house.deployments["churn"].id)["id"]
    path = api.http.post("batchPredictions/", json=house.spec("a")).json()["id"]
    assert api.finalize(job).status_code == 422
    assert [api.part(job, number, b"copy\n").status_code for number in ("-1", "x", "1000000", "9" * 5000, "%2e%2e")] == [422] * 5
    assert (api.part(job, 0, b"copy\n", {}).status_code, api.part(job, 0, b"").status_code) == (406, 422)
    for unknown in ("f" * 24, path):
        assert (api.part(unknown, 0, b"copy\n").status_code, api.finalize(unknown).status_code) == (404, 404)
    assert (api.part(whole, 0, b"copy\n").status_code, api.finalize(whole).status_code) == (409, 409)
    assert api.part(job, 0, b"copy\n1\n").status_code == 202
    assert api.finalize(job).status_code == 202
    assert (api.part(job, 0, b"copy\n").status_code, api.finalize(job).status_code) == (409, 409)
    deleted = parted()
    api.part(deleted, 0, b"copy\n")
    assert api.delete(deleted).status_code == 202
    assert (api.part(deleted, 1, b"copy\n").status_code, api.finalize(deleted).status_code) == (422, 422)


def test_parts_that_are_no_text_end_the_job(api, house, parted):
    job = parted()
    api.part(job, 0, b"copy\n\xff\n")
    answer = api.finalize(job)
    assert answer.status_code == 422
    assert api.job(job)["statusDetails"] == answer.json()["message"]
    assert list((house.storage / "uploads").iterdir()) == []


def test_a_part_that_is_cut_off_may_come_again(api, parted):
    job = parted()
    with api.raw(f"PUT /api/v2/batchPredictions/{job}/csvUpload/part/0/ HTTP/1.1\r\nContent-Type: text/csv\r\nContent-Length: 99", b"copy\n"):
        api.until(job, "RUNNING")
    assert api.part(job, 0, b"copy\n1\n").status_code == 202
    assert api.finalize(job).status_code == 202
    api.until(job, "COMPLETED")
    assert api.download(job).content == b"copy\n1"


def counted(text):
    """What the official client's part is on the wire: a length in characters, and bytes."""
    return f"Content-Type: text/csv\r\nUser-Agent: {CLIENT['User-Agent']}\r\nContent-Length: {len(text)}", text.encode()


def test_bytes_beyond_the_length_are_no_request_and_lose_no_row(api, parted):
    job = parted()
    for number in range(2):
        headers, body = counted(f"copy\r\né{number}\r\n")
        with api.raw(f"PUT /api/v2/batchPredictions/{job}/csvUpload/part/{number}/ HTTP/1.1\r\n{headers}", body) as part:
            answer = part.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 202")
        assert answer.count(b"HTTP/1.1") == 1
    assert api.finalize(job).status_code == 202
    api.until(job, "COMPLETED")
    assert api.download(job).text.split() == ["copy", "é0", "é1"]


def test_a_part_that_lost_rows_to_its_length_ends_the_job_rather_than_score_the_rest(api, parted):
    job = parted()
    headers, body = counted("copy\r\nééé\r\n")
    with api.raw(f"PUT /api/v2/batchPredictions/{job}/csvUpload/part/0/ HTTP/1.1\r\n{headers}", body) as part:
        assert part.recv(12) == b"HTTP/1.1 422"
    assert "counted its characters" in api.until(job, "ABORTED")["statusDetails"]
    assert api.part(parted(), 0, "copy\r\nééé\r\n".encode(), CLIENT).status_code == 202


def test_a_large_part_that_is_refused_hears_why(api, parted):
    job = parted()
    assert [api.part("f" * 24, 0, b"x" * 20_000_000).status_code for _ in range(3)] == [404] * 3
    assert api.part(job, 0, b"x" * 20_000_000, {"Content-Type": "text/plain"}).status_code == 406
