"""Attacks on the running server: each is refused clearly and in JSON, none is answered with 5xx, and the server goes on as before."""

import contextlib
import http.client
import json
import os
import random
import re
import threading
import time
from pathlib import Path

import httpx
import pytest
from program import BOTTLES, CSV, HEADER, answered, awaited, bottles, project, rows, serving

from reconciler.service.app import ROUTES

PATIENCE = 3.0
CROWD = 300
MB = 1 << 20
API = "/api/v2"
TRAVERSALS = {
    "dots": "../../../../etc/passwd",
    "escaped": "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "escaped-twice": "%252e%252e%252fetc%252fpasswd",
    "backslashes": "..\\..\\service.db",
    "escaped-backslashes": "..%5c..%5cservice.db",
    "absolute": "%2fetc%2fpasswd",
    "dot": ".",
    "two-dots": "%2e%2e",
    "nul": "a%00b",
    "nul-after": "../uploads%00.csv",
    "line-end": "a%0d%0aX-Injected:%20yes",
    "not-utf-8": "%ff%fe",
    "overlong": "%c0%ae%c0%ae%c0%af",
    "surrogate": "%ed%a0%80",
    "sql": "'%20OR%20'1'='1",
    "percent": "%25s%25n%",
    "long": "a" * 10_000,
    "wild": "*",
}
WITH_ID = sorted({(method, path) for method, path, _ in ROUTES if "{" in path})


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    with serving(project(tmp_path_factory.mktemp("attacks")), "-patience", str(PATIENCE)) as running:
        yield running
        assert running.end() == 0
        assert "Traceback" not in running.stderr


@pytest.fixture(autouse=True)
def goes_on(program):
    yield
    assert program.http.get("version/").json()["versionString"]


def told(answer, *statuses):
    """A refusal as every client can read it."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["message"]
    return answer.json()["message"]


def spoken(program, text, token=None):
    """Bytes as they are; the status line's numbers and the whole answer, until the server closes or is silent."""
    with program.connect() as connection:
        connection.settimeout(PATIENCE + 2)
        answer = bytearray()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before all was said
            connection.sendall(text)
        with contextlib.suppress(OSError):
            while block := connection.recv(65536):
                answer += block
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3})", answer)], bytes(answer)


def with_path(program, method, path):
    """Sent as written: httpx would tidy it."""
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=30)
    body = b"{}" if method in ("POST", "PATCH") else b"a\n1\n" if method == "PUT" else None
    headers = {"Authorization": f"Bearer {program.token}", "Content-Type": "text/csv" if method == "PUT" else "application/json"}
    connection.putrequest(method, f"{API}/{path}", skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body or b"")))
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return httpx.Response(answer.status, headers=answer.getheaders(), content=content)


@pytest.mark.parametrize("attack", TRAVERSALS)
def test_no_id_leads_anywhere(program, attack):
    before = {path for path in Path(program.document["token_file"]).parent.rglob("*") if "service.db" not in path.name}
    for method, path in WITH_ID:
        asked = re.sub(r"{\w+}", lambda _: TRAVERSALS[attack], path)
        answer = with_path(program, method, asked)
        told(answer, 400, 404, 405, 422)
        assert "x-injected" not in answer.headers
        assert b"root:" not in answer.content
    assert {path for path in Path(program.document["token_file"]).parent.rglob("*") if "service.db" not in path.name} == before


@pytest.mark.parametrize("number", ["-1", "1e3", "%2e%2e", "..", "0x1", "99999999999999999999", "%D9%A1", "a" * 10_000])
def test_no_part_number_leads_anywhere(program, number):
    job = program.create({"type": "localFile", "multipart": True})
    told(with_path(program, "PUT", f"batchPredictions/{job}/csvUpload/part/{number}/"), 404, 422)


@pytest.mark.parametrize(
    "name",
    [
        "../../../evil.csv",
        "/etc/evil.csv",
        "..\\..\\evil.csv",
        "C:\\evil.csv",
        "a\0b.csv",
        ".",
        "..",
        "x" * 3000,
        'a"; name="b',
        "\u202egnp.csv",
        "<b>&",
    ],
    ids=lambda name: repr(name)[:20],
)
def test_a_dataset_is_never_where_its_name_says(program, name):
    storage = Path(program.document["token_file"]).parent
    before = {path.parent for path in storage.parent.parent.rglob("*evil*")}
    answer = program.http.post("datasets/fromFile/", files={"file": (name, rows(1))})
    assert answer.status_code == 202, answer.text
    dataset = answer.json()
    kept = storage / "datasets" / f"{dataset['catalogVersionId']}.csv"
    assert kept.read_bytes() == rows(1)
    assert {path.parent for path in storage.parent.parent.rglob("*evil*")} == before
    assert not Path("/etc/evil.csv").exists()
    sent = program.http.get(f"datasets/{dataset['catalogId']}/file/")
    assert sent.headers["content-disposition"] == f'attachment; filename="{dataset["catalogVersionId"]}.csv"'
    job = program.create({"type": "dataset", "datasetId": dataset["catalogId"]})
    assert program.until(job, "COMPLETED")["scoredRows"] == len(BOTTLES)


@pytest.mark.parametrize("side", ["intakeSettings", "outputSettings"])
def test_no_job_reads_or_writes_the_services_own_files(program, side):
    storage = Path(program.document["token_file"]).parent
    link = storage.parent / f"link-{side}"
    link.symlink_to(storage)
    places = [
        f"{storage}/token",
        f"{storage}/service.db",
        f"{storage.parent}/specs/../storage/token",
        f"//{storage}//./token",
        f"{link}/token",
        f"/proc/self/root{storage}/token",
        f"/proc/{program.process.pid}/root{storage}/service.db",
        f"{storage}/new/folder/x.csv",
        str(storage),
    ]
    for place in places:
        body = {"deploymentId": program.deployments["wine"], side: {"type": "fileSystem", "path": place}}
        assert "own folder" in told(program.http.post("batchPredictions/", json=body), 422), place
    for place in ("storage/token", "../x", "", "a\0b", "~/x"):
        told(program.http.post("batchPredictions/", json=body | {side: {"type": "fileSystem", "path": place}}), 422)


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/stdin", "/proc/self/mem", "/", "pipe"])
def test_an_intake_that_never_ends_is_no_file(program, place, tmp_path):
    if place == "pipe":
        os.mkfifo(place := str(tmp_path / "pipe"))
    answer = program.http.post(
        "batchPredictions/", json={"deploymentId": program.deployments["wine"], "intakeSettings": {"type": "fileSystem", "path": place}}
    )
    if answer.status_code == 202:
        assert program.until(answer.json()["id"], "ABORTED")["statusDetails"]
    else:
        told(answer, 422)


@pytest.mark.parametrize("size", [40_000, 200_000, 4 * MB])
@pytest.mark.parametrize("where", ["header", "headers", "path", "query", "method", "token", "no-end"])
def test_a_huge_head_is_refused(program, where, size):
    filler = b"a" * size
    line, extra, token = b"GET " + API.encode() + b"/version/ HTTP/1.1", b"", program.token.encode()
    if where in ("header", "no-end"):
        extra = b"X-Long: " + filler + b"\r\n"
    elif where == "headers":
        extra = b"".join(b"X-%d: aaaaaaaa\r\n" % number for number in range(size // 16))
    elif where == "path":
        line = line.replace(b"version/", filler)
    elif where == "query":
        line = line.replace(b"version/", b"version/?a=" + filler)
    elif where == "method":
        line = line.replace(b"GET", filler)
    else:
        token = filler
    end = b"" if where == "no-end" else b"\r\n"
    statuses, answer = spoken(program, line + b"\r\nHost: x\r\nAuthorization: Bearer " + token + b"\r\n" + extra + end)
    if statuses or size < MB:  # of what is far too long the rest may meet a closed door before the answer is read
        assert statuses in ([431], [400]), answer[:300]
        assert b"application/json" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["message"]


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        pytest.param(b'{"a":"' + b"x" * MB + b'"}', (413,), id="over-1-MB"),
        pytest.param(b"[" * 200_000 + b"]" * 200_000, (400, 422), id="nested-lists"),
        pytest.param(b'{"intakeSettings":' * 40_000 + b"1" + b"}" * 40_000, (400, 422), id="nested-objects"),
        pytest.param(b'{"deploymentId":NaN}', (400, 422), id="nan"),
        pytest.param(b'{"numConcurrent":Infinity}', (400, 422), id="infinity"),
        pytest.param(b'{"numConcurrent":1e999}', (400, 422), id="too-large-a-float"),
        pytest.param(b'{"numConcurrent":' + b"9" * 5_000 + b"}", (400, 422), id="huge-int"),
        pytest.param(b'{"numConcurrent":' + b"9" * 4_000 + b"}", (400, 422), id="large-int"),
        pytest.param(b'{"numConcurrent":99999999999999999999999}', (422,), id="int-of-77-bits"),
        pytest.param(b'{"deploymentId":"\\ud800"}', (400, 422), id="lone-surrogate"),
        pytest.param(b'{"deploymentId":"a\\u0000b"}', (404, 422), id="nul"),
        pytest.param(b"\xff\xfe{}", (400, 422), id="not-utf-8"),
        pytest.param(b"", (400, 422), id="empty"),
        pytest.param(b"null", (422,), id="null"),
        pytest.param(b"{", (400,), id="cut"),
        pytest.param(b'{"__proto__":{},"deploymentId":["x"],"intakeSettings":7}', (422,), id="types"),
        pytest.param(json.dumps({f"k{n}": n for n in range(50_000)}).encode(), (413, 422), id="many-keys"),
        pytest.param(b"deploymentId=x&a=b", (400,), id="a-form"),
    ],
)
@pytest.mark.parametrize("path", ["batchPredictions/", "batchPredictionJobDefinitions/", "credentials/", "externalDataStores/"])
def test_a_body_that_is_no_job_is_refused(program, path, body, statuses):
    answer = program.http.post(path, content=body, headers={"Content-Type": "application/json"})
    told(answer, *({*statuses, 422} if path != "batchPredictions/" else statuses))
    assert len(answer.content) < MB


def test_of_a_key_given_twice_one_counts_everywhere(program):
    body = '{{"deploymentId":"no such","deploymentId":"{}"}}'.format(program.deployments["wine"])
    answer = program.http.post("batchPredictions/", content=body)
    if answer.status_code == 202:
        assert answer.json()["jobSpec"]["deploymentId"] == program.deployments["wine"]
    else:
        told(answer, 400, 422)


@pytest.mark.parametrize("quote", ["unterminated", "doubled", "each-line"])
def test_a_quoting_bomb_ends_its_job_and_not_the_memory(program, quote):
    content = {"unterminated": b'"' + b"x" * 50 * MB, "doubled": b'"' + b'""' * 25 * MB, "each-line": b'"\n' * 5 * MB + b'"'}[quote]
    before = program.memory()
    job = program.create()
    assert program.upload(job, HEADER.encode() + b"\n" + content).status_code in (202, 422)
    ended = program.until(job, "ABORTED")
    assert re.search("quote|long|columns|CSV|fields", ended["statusDetails"]), ended["statusDetails"]
    assert program.memory() - before < 150 * MB
    assert program.http.get("batchPredictions/").status_code == 200
    told(program.download(job), 404, 422)


def test_a_bomb_of_columns_or_of_a_header_ends_its_job(program):
    before = program.memory()
    for content in (b"," * 20 * MB, b'"' + b"x" * 20 * MB, b"a" * 20 * MB + b"\n1\n", b"\x00" * MB, b"\n" * 5 * MB + b"a\n1\n"):
        job = program.create()
        if program.upload(job, content).status_code == 202:
            assert program.until(job, "ABORTED")["statusDetails"]
    assert program.memory() - before < 400 * MB


def test_an_upload_comes_once_where_it_is_wanted_and_as_csv(program, tmp_path):
    job = program.create()
    for kind in (None, "application/json", "text/html", "text/csvx", "multipart/form-data; boundary=x", "x" * 5000):
        headers = {"Content-Type": kind} if kind else {}
        told(program.http.put(f"batchPredictions/{job}/csvUpload/", content=rows(1), headers=headers), 406)
    assert program.upload(job).status_code == 202
    told(program.upload(job), 409)
    program.until(job, "COMPLETED")
    told(program.upload(job), 409)
    assert bottles(program.download(job).text) == [line.split(",")[0] for line in BOTTLES]
    (tmp_path / "in.csv").write_bytes(rows(1))
    elsewhere = program.create({"type": "fileSystem", "path": str(tmp_path / "in.csv")})
    told(program.upload(elsewhere), 404)
    told(program.http.put(f"batchPredictions/{program.create()}/csvUpload/part/0/", content=rows(1), headers=CSV), 404, 409, 422)


def test_of_uploads_at_once_one_wins(program):
    job, statuses = program.create(), []
    threads = [threading.Thread(target=lambda: statuses.append(program.upload(job, rows(200)).status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [202] + [409] * 7
    assert program.until(job, "COMPLETED")["scoredRows"] == 200 * len(BOTTLES)


def test_a_crowd_that_says_nothing_holds_nobody_up(program):
    """Half-open uploads, bodies and heads that stop, and connections that never speak: others are answered, then these are closed."""
    program.http.get("version/")
    before = program.descriptors()
    jobs = [program.create() for _ in range(CROWD)]
    uploads = [program.half_open(job) for job in jobs]
    idle = [program.connect() for _ in range(CROWD)]
    heads = [program.connect() for _ in range(50)]
    for connection in heads:
        connection.sendall(b"GET /api/v2/version/ HTTP/1.1\r\nHost: x\r\nX-A")
    bodies = [program.raw("POST /api/v2/batchPredictions/ HTTP/1.1\r\nContent-Length: 500", b"{") for _ in range(50)]
    forms = [
        program.raw("POST /api/v2/datasets/fromFile/ HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 500", b"-")
        for _ in range(50)
    ]
    awaited(lambda: program.descriptors() > before + 400)
    began = time.monotonic()
    job = program.create()
    program.upload(job)
    assert program.until(job, "COMPLETED")["scoredRows"] == len(BOTTLES)
    assert time.monotonic() - began < 20
    for connection in (*uploads, *bodies, *forms):
        answer = answered(connection)
        assert answer.startswith(b"HTTP/1.1 408"), answer
        assert b"application/json" in answer
    for connection in heads:
        assert answered(connection).startswith(b"HTTP/1.1 408")
    assert [answered(connection) for connection in idle] == [b""] * CROWD
    for connection in (*uploads, *bodies, *forms, *heads, *idle):
        connection.close()
    for job in jobs:
        assert "nothing came for 3 seconds" in program.until(job, "ABORTED")["statusDetails"]
    awaited(lambda: program.descriptors() <= before + 10)


def test_a_head_that_trickles_is_not_waited_for(program):
    with program.connect() as connection:
        began = time.monotonic()
        with pytest.raises(OSError):
            for _ in range(200):
                connection.sendall(b"a")
                time.sleep(0.1)
        assert time.monotonic() - began < PATIENCE + 5


def test_a_body_that_trickles_after_its_refusal_is_not_waited_for(program):
    with program.raw("PUT /api/v2/batchPredictions/none/csvUpload/ HTTP/1.1\r\nContent-Type: text/csv\r\nContent-Length: 1000") as connection:
        assert connection.recv(4096).startswith(b"HTTP/1.1 404")
        with pytest.raises(OSError):
            for _ in range(200):
                connection.sendall(b"a")
                time.sleep(0.1)


def test_callers_who_vanish_leave_nothing(program):
    job = program.create()
    program.upload(job, rows(500))
    program.until(job, "COMPLETED")
    before = program.descriptors()
    for number in range(60):
        connection = program.raw(f"GET /api/v2/batchPredictions/{job}/download/ HTTP/1.1")
        if number % 2:
            connection.recv(1000)
        connection.close()
    awaited(lambda: program.descriptors() <= before + 5)
    assert len(bottles(program.download(job).text)) == 500 * len(BOTTLES)


def test_a_caller_who_does_not_read_is_not_waited_for(program):
    job = program.create()
    program.upload(job, rows(1500))
    program.until(job, "COMPLETED")
    before = program.descriptors()
    stalled = [program.raw(f"GET /api/v2/batchPredictions/{job}/download/ HTTP/1.1") for _ in range(20)]
    awaited(lambda: program.descriptors() > before + 20)
    awaited(lambda: program.descriptors() <= before + 5)
    for connection in stalled:
        connection.close()


MALFORMED = {
    "noise": bytes(range(256)) * 20,
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http-0.9": b"GET /\r\n\r\n",
    "http-9": b"GET / HTTP/9.9\r\nHost: x\r\nConnection: close\r\n\r\n",
    "no-host": b"GET /api/v2/version/ HTTP/1.1\r\n\r\n",
    "two-hosts": b"GET /api/v2/version/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two-lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "negative-length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "huge-length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 100 + b"\r\n\r\n",
    "unknown-coding": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    "two-codings": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nA: b\r\n c\r\n : d\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
    "no-colon": b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "space-before-colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "not-ascii-target": "GET /é HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "not-ascii-host": "GET /api/v2/version/ HTTP/1.1\r\nConnection: close\r\nHost: é/\\@[\r\n\r\n".encode("latin-1"),
}


@pytest.mark.parametrize("attack", MALFORMED)
def test_what_is_no_http_is_told_so(program, attack):
    statuses, answer = spoken(program, MALFORMED[attack])
    assert statuses, answer
    assert set(statuses) <= {400, 401, 404, 431, 501}, answer
    assert b"content-type: application/json" in answer.lower()


@pytest.mark.parametrize(
    "body",
    [b"zz\r\n", b"-5\r\nabc\r\n", b"5\r\nabcdefgh\r\n", b"f" * 40 + b"\r\n", b"5;" + b"x" * 100_000, b"3\r\nabc\r\n0\r\nA: " + b"x" * 100_000],
    ids=["not-hex", "negative", "longer", "huge", "long-extension", "long-trailer"],
)
def test_chunks_that_are_none_end_the_upload(program, body):
    job = program.create()
    head = f"PUT {API}/batchPredictions/{job}/csvUpload/ HTTP/1.1\r\nHost: x\r\nAuthorization: Token {program.token}\r\nContent-Type: text/csv\r\n"
    statuses, answer = spoken(program, head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert statuses in ([400], [431], [408], []), answer
    assert program.until(job, "ABORTED")["statusDetails"].startswith("the upload was cut off")


def test_a_length_beside_chunks_hides_no_request(program):
    """The smuggler's request is at most the next one on this connection, with a token of its own."""
    hidden = f"GET {API}/version/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    head = f"POST {API}/batchPredictions/ HTTP/1.1\r\nHost: x\r\nAuthorization: Token {program.token}\r\n"
    head += "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    statuses, answer = spoken(program, (head + "0\r\n\r\n" + hidden).encode())
    assert set(statuses) <= {400, 401, 422}, answer
    assert 200 not in statuses


def test_pipelined_requests_are_answered_in_order_and_each_needs_the_token(program):
    one = f"GET {API}/version/ HTTP/1.1\r\nHost: x\r\nAuthorization: Token {program.token}\r\n\r\n".encode()
    bare = f"GET {API}/version/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    last = one.replace(b"Host: x\r\n", b"Host: x\r\nConnection: close\r\n")
    assert spoken(program, one * 50 + bare + one + last)[0] == [200] * 50 + [401, 200, 200]
    assert spoken(program, one * 3 + b"garbage\r\n\r\n")[0] == [200] * 3 + [400]
    assert spoken(program, (b"PUT" + one[3:]) * 2 + last)[0] == [405, 405, 200]


@pytest.mark.parametrize("method", ["BREW", "TRACE", "OPTIONS", "PROPFIND", "CONNECT", "PUT", "DELETE"])
def test_an_unknown_method_is_405(program, method):
    answer = program.http.request(method, "batchPredictions/")
    assert method in told(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_head_is_get_without_its_body(program):
    job = program.create()
    program.upload(job)
    program.until(job, "COMPLETED")
    for path in ("version/", "batchPredictions/", f"batchPredictions/{job}/", f"batchPredictions/{job}/download/", "batchPredictions/none/"):
        head, got = program.http.head(path), program.http.get(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-type"] == got.headers["content-type"]


@pytest.mark.parametrize(
    "target", ["*", "http://evil.example/api/v2/version/", "//evil.example/", "/api/v2", "/api/v3/version/", "/../etc/passwd", "/%2e%2e/"]
)
def test_an_odd_target_is_404(program, target):
    statuses, answer = spoken(
        program, f"OPTIONS {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Token {program.token}\r\n\r\n".encode()
    )
    assert statuses == [404]
    assert b"application/json" in answer


def test_an_upgrade_is_not_made(program):
    head = f"GET {API}/version/ HTTP/1.1\r\nHost: x\r\nAuthorization: Token {program.token}\r\n"
    head += "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
    assert spoken(program, head.encode())[0] == [200]


@pytest.mark.parametrize(
    "query", ["offset=-1", "limit=99999999999999999999", "limit=x", "status=%00", "orderBy=';--", "a=" + "b" * 5000, "%ff=%fe", "&" * 5000]
)
def test_an_odd_query_is_told(program, query):
    answer = program.http.get(f"batchPredictions/?{query}")
    assert answer.status_code in (200, 422)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("form", ["many-fields", "long-field", "long-header", "no-end", "no-boundary", "two-files", "deep-boundary"])
def test_an_odd_form_is_refused(program, form):
    def part(head, body=b"x"):
        return b"--b\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + body + b"\r\n"

    file = part(b'name="file"; filename="a.csv"', b"a\n1\n")
    content = {
        "many-fields": part(b'name="categories"') * 5000 + file,
        "long-field": part(b'name="categories"', b"x" * MB) + file,
        "long-header": part(b'name="' + b"x" * MB + b'"') + file,
        "no-end": file,
        "no-boundary": file,
        "two-files": file * 2,
        "deep-boundary": b"\r\n--" * 100_000,
    }[form]
    kind = "multipart/form-data" if form == "no-boundary" else "multipart/form-data; boundary=b"
    end = b"" if form in ("no-end", "deep-boundary") else b"--b--\r\n"
    told(program.http.post("datasets/fromFile/", content=content + end, headers={"Content-Type": kind}), 422)


def test_noise_of_all_kinds_never_makes_it_stumble(program):
    """Lawful requests with bytes turned round, from a fixed seed."""
    chance = random.Random(7)
    job = program.create()
    rest = f"HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Token {program.token}\r\n"
    lawful = [
        f"GET {API}/batchPredictions/{job}/ {rest}\r\n".encode(),
        f"POST {API}/batchPredictions/ {rest}Content-Length: 2\r\n\r\n{{}}".encode(),
    ]
    for number in range(150):
        text = bytearray(lawful[number % 2])
        for _ in range(chance.randint(1, 6)):
            text[chance.randrange(len(text) - 4)] = chance.randrange(256)
        with program.connect() as connection:
            connection.sendall(text)
            connection.shutdown(1)
            answer = answered(connection)
        assert not answer.startswith(b"HTTP/1.1 5") or answer.startswith(b"HTTP/1.1 501"), (bytes(text), answer)


def test_too_many_at_once_are_told_to_come_back(tmp_path):
    """With few files to open, few requests are answered at once: 503 in JSON with Retry-After, and no descriptor runs out."""
    with serving(project(tmp_path), files=400) as program:
        jobs, uploads = [program.create() for _ in range(90)], []

        def refusal():
            uploads.append(program.half_open(jobs.pop()))
            answer = program.http.get("version/")
            return answer if answer.status_code == 503 else None

        refused = awaited(refusal)
        assert "try again" in told(refused, 503)
        assert refused.headers["retry-after"] == "1"
        crowd = [program.connect() for _ in range(40)]
        assert answered(crowd[-1]) == b""
        for connection in (*uploads, *crowd):
            connection.close()
        awaited(lambda: is_served(program))
        assert "Too many open files" not in program.stderr


def is_served(program):
    try:
        return program.http.get("version/").status_code == 200
    except httpx.TransportError:  # no connection was left for it
        return False
