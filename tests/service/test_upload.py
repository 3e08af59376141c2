"""Rows in one PUT, over a real socket: what is taken, what is refused, what a caller that is slow, silent or gone does to its job."""

import os
import threading
from datetime import timedelta

import httpx
import pytest
from service.live import CSV, LIMIT_SECONDS, serving, wait_for

from reconciler.service.upload import Text

ROWS = b"copy\n1\n2\n"
SCORED = b"copy\n1\n2"
HALF_OPEN = int(os.environ.get("RECONCILER_HALF_OPEN", "60"))


@pytest.fixture
def api(service):
    with serving(service) as served:
        yield served


@pytest.fixture
def churn(house):
    return house.deployments["churn"].id


def uploads(house):
    return sorted(path.name for path in (house.storage / "uploads").iterdir())


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("content", [ROWS, [ROWS[:4], ROWS[4:]]], ids=["length", "chunked"])
def test_rows_go_up_and_scores_come_down(api, churn, is_async, content):
    job = api.create(churn, {"async": is_async})
    assert (job["queued"], job["links"]["download"], job["intakeDatasetDisplayName"]) == (False, None, None)
    answer = httpx.put(job["links"]["csvUpload"], content=content if isinstance(content, bytes) else iter(content), headers=CSV)
    assert (answer.status_code, answer.content) == (202, b"")
    done = api.until(job["id"], "COMPLETED")
    assert (done["scoredRows"], done["links"]["csvUpload"]) == (2, None)
    assert [line.split(" at ")[0] for line in done["logs"][1:]] == ["Job submitted", "Job started processing", "Job done processing"]
    assert httpx.get(done["links"]["download"]).content == SCORED


@pytest.mark.parametrize("type", ["text/csv; encoding=utf-8", "TEXT/CSV;charset=utf-8", "application/csv"])
def test_the_media_type_may_have_parameters(api, churn, type):
    assert api.upload(api.create(churn)["id"], ROWS, {"Content-Type": type}).status_code == 202


def test_files_and_paths_go_together(api, house, churn):
    up = api.create(churn, output={"type": "fileSystem", "path": str(house.output("up"))})["id"]
    api.upload(up, ROWS)
    assert api.until(up, "COMPLETED")["links"]["download"] is None
    assert house.output("up").read_bytes() == SCORED
    assert api.download(up).status_code == 404
    down = api.http.post("batchPredictions/", json=house.spec("down", outputSettings={"type": "localFile"})).json()
    assert down["links"]["csvUpload"] is None
    api.until(down["id"], "COMPLETED")
    assert api.download(down["id"]).content == SCORED


def refused(answer, status):
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    return answer.json()["message"]


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/json"}, {"Content-Type": "text/csvx"}], ids=str)
def test_another_media_type_is_refused_and_the_job_still_waits(api, churn, headers):
    job = api.create(churn)["id"]
    refused(api.upload(job, ROWS, headers), 406)
    assert api.job(job)["status"] == "INITIALIZING"
    assert api.upload(job, ROWS).status_code == 202


def test_a_job_that_does_not_wait_for_rows_is_refused_them(api, house, churn):
    refused(api.upload("f" * 24, ROWS), 404)
    path = api.http.post("batchPredictions/", json=house.spec("a")).json()["id"]
    refused(api.upload(path, ROWS), 404)
    parts = api.create(churn, {"multipart": True})["id"]
    refused(api.upload(parts, ROWS), 409)
    twice = api.create(churn)["id"]
    api.upload(twice, ROWS)
    refused(api.upload(twice, ROWS), 409)
    deleted = api.create(churn)["id"]
    assert api.delete(deleted).status_code == 202
    assert "abort" in refused(api.upload(deleted, ROWS), 422)


BAD = {
    "empty": (b"", {}, "empty"),
    "blank": (b"\xef\xbb\xbf\r\n\n", {}, "empty"),
    "binary": (b"a\n\x1f\x8b\x08\x00", {}, "not utf-8: byte 3"),
    "cut character": ("a\né".encode()[:-1], {}, "not utf-8: byte 2"),
    "utf-16": (b"a\n1", {"csvSettings": {"encoding": "utf-16"}}, "not utf-16"),
}


@pytest.mark.parametrize(("content", "options", "reason"), list(BAD.values()), ids=list(BAD))
def test_rows_that_cannot_be_read_end_the_job_with_the_reason(api, house, churn, content, options, reason):
    job = api.create(churn, **options)["id"]
    message = refused(api.upload(job, content), 422)
    assert reason in message
    ended = api.job(job)
    assert (ended["status"], ended["statusDetails"], ended["links"]["download"]) == ("ABORTED", message, None)
    assert uploads(house) == []


def test_rows_are_text_in_the_encoding_of_the_job(api, churn):
    job = api.create(churn, csvSettings={"encoding": "latin_1"})["id"]
    assert api.upload(job, "copy\né\n".encode("latin-1")).status_code == 202


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "shift_jis"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_bom_may_come_byte_by_byte_or_not_at_all(encoding, mark):
    content = f"{mark}copy\n表\n".encode({"utf-16": "utf-16-be" if mark else "utf-16-le", "utf-32": "utf-32-le"}.get(encoding, encoding), "ignore")
    text = Text(encoding)
    for byte in content:
        text.feed(bytes([byte]))
    text.end()


def test_the_first_bytes_make_the_job_run_and_the_last_ones_make_it_score(api, house, churn):
    job = api.create(churn)["id"]
    with api.half_open(job, ROWS[:4], len(ROWS)) as upload:
        running = api.until(job, "RUNNING")
        assert running["links"]["download"] == f"http://127.0.0.1:{api.port}/api/v2/batchPredictions/{job}/download/"
        assert house.scorer.began == []
        refused(api.upload(job, ROWS), 409)
        with api.http.stream("GET", f"batchPredictions/{job}/download/") as download:
            upload.sendall(ROWS[4:])
            assert download.read() == SCORED
        assert api.job(job)["status"] == "COMPLETED"
        assert upload.recv(12) == b"HTTP/1.1 202"


def test_a_job_that_wants_all_rows_first_waits_for_the_last(api, house, churn):
    job = api.create(churn, {"async": False})["id"]
    with api.half_open(job, ROWS[:4], len(ROWS)) as upload:
        wait_for(lambda: uploads(house))
        shown = api.job(job)
        assert (shown["status"], shown["queued"], shown["links"]["download"]) == ("INITIALIZING", False, None)
        assert "submitted" not in shown["logs"][-1]
        upload.sendall(ROWS[4:])
        api.until(job, "COMPLETED")


@pytest.mark.parametrize("is_async", [True, False])
def test_a_caller_that_vanishes_ends_its_job(api, house, churn, is_async):
    job = api.create(churn, {"async": is_async})["id"]
    with api.half_open(job):
        wait_for(lambda: uploads(house))
    ended = api.until(job, "ABORTED")
    assert ended["statusDetails"] == ended["logs"][-1] == "the upload was cut off"
    wait_for(lambda: uploads(house) == [])
    assert house.scorer.began == []


def test_a_chunked_upload_without_its_end_ends_the_job(api, house, churn):
    job = api.create(churn)["id"]
    head = f"PUT /api/v2/batchPredictions/{job}/csvUpload/ HTTP/1.1\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked"
    with api.raw(head, b"5\r\ncopy\n\r\n"):
        wait_for(lambda: uploads(house))
    assert api.until(job, "ABORTED")["statusDetails"] == "the upload was cut off"


def test_a_silent_caller_is_not_waited_for_for_ever(house, churn):
    with house.service(upload_patience=timedelta(seconds=0.2)) as service, serving(service) as api:
        job = api.create(churn)["id"]
        with api.half_open(job) as upload:
            assert upload.recv(12) == b"HTTP/1.1 408"
        assert "nothing came for 0.2 seconds" in api.until(job, "ABORTED")["statusDetails"]


def test_a_job_deleted_while_its_rows_come_ends_and_leaves_nothing(api, house, churn):
    job = api.create(churn)["id"]
    with api.half_open(job) as upload:
        api.until(job, "RUNNING")
        assert api.delete(job).status_code == 202
        assert api.job(job)["status"] == "ABORTED"
        threading.Event().wait(1.1)  # the job is looked at once a second
        upload.sendall(b"1\n")
        assert upload.recv(12) == b"HTTP/1.1 422"
    wait_for(lambda: uploads(house) == [])


@pytest.mark.parametrize("content", [b"x" * 200, [b"x" * 60, b"y" * 60]], ids=["length", "chunked"])
def test_an_upload_beyond_the_limit_is_refused_and_ends_the_job(house, churn, content):
    with house.service(upload_limit=100) as service, serving(service) as api:
        job = api.create(churn)["id"]
        refused(api.upload(job, content if isinstance(content, bytes) else iter(content)), 413)
        assert "larger" in api.job(job)["statusDetails"]
        refused(api.upload(job, ROWS), 422)
        assert uploads(house) == []
        parts = api.create(churn, {"multipart": True})["id"]
        assert api.part(parts, 0, b"x" * 60).status_code == 202
        refused(api.part(parts, 1, b"y" * 60), 413)
        assert api.part(parts, 0, b"z" * 90).status_code == 202


def test_a_json_body_has_a_limit(api):
    message = refused(api.http.post("batchPredictions/", content=b"[" + b" " * (1 << 20) + b"]"), 413)
    assert "1048576" in message


def test_a_job_that_was_never_uploaded_holds_no_place(api, house, churn):
    waiting = api.create(churn)["id"]
    held = api.http.post("batchPredictions/", json=house.spec("a", "hold")).json()["id"]
    api.until(held, "RUNNING")
    assert api.http.post("batchPredictions/", json=house.spec("b")).json()["queuePosition"] == 0
    shown = api.job(waiting)
    assert (shown["status"], shown["queued"], shown["queuePosition"]) == ("INITIALIZING", False, None)
    house.scorer.gate.set()


def test_a_slow_upload_holds_nobody_up(api, house, churn):
    job = api.create(churn)["id"]
    with api.half_open(job):
        api.until(job, "RUNNING")
        other = api.http.post("batchPredictions/", json=house.spec("a")).json()["id"]
        api.until(other, "COMPLETED")
        assert api.job(job)["status"] == "RUNNING"


def test_an_upload_waits_for_its_turn_while_its_deployment_scores(api, house, churn):
    held = api.http.post("batchPredictions/", json=house.spec("a", "hold")).json()["id"]
    api.until(held, "RUNNING")
    job = api.create(churn)["id"]
    with api.half_open(job, ROWS[:4], len(ROWS)) as upload:
        wait_for(lambda: api.job(job)["queued"])
        assert (api.job(job)["status"], api.job(job)["queuePosition"]) == ("INITIALIZING", 0)
        house.scorer.gate.set()
        api.until(job, "RUNNING")
        upload.sendall(ROWS[4:])
        api.until(job, "COMPLETED")
    assert house.scorer.most_in_a_folder == 1


def test_many_half_open_uploads_cost_no_thread_and_stop_nobody(api, house, churn):
    jobs = [api.create(churn)["id"] for _ in range(HALF_OPEN)]
    before = threading.active_count()
    connections = [api.half_open(job) for job in jobs]
    try:
        wait_for(lambda: len(uploads(house)) == HALF_OPEN)
        done = api.create(churn)["id"]
        api.upload(done, ROWS)
        api.until(done, "COMPLETED")
        assert threading.active_count() < before + 45  # Starlette's threads are at most 40
    finally:
        for connection in connections:
            connection.close()
    wait_for(lambda: len(uploads(house)) == 1)
    assert {api.job(job)["status"] for job in jobs} == {"ABORTED"}


def test_a_body_that_is_refused_unread_does_not_spoil_the_connection(api, churn):
    with httpx.Client(timeout=LIMIT_SECONDS) as http:
        url = f"http://127.0.0.1:{api.port}/api/v2/batchPredictions/{'f' * 24}/"
        assert [http.put(f"{url}csvUpload/", content=b"x" * 5_000_000, headers=CSV).status_code for _ in range(3)] == [404] * 3


def test_an_upload_that_the_server_itself_cuts_off_ends_its_job_at_the_next_start(house, churn):
    with house.service() as service, serving(service) as api:
        jobs = [api.create(churn)["id"] for _ in range(3)]
        connections = [api.half_open(job) for job in jobs]
        wait_for(lambda: len(uploads(house)) == 3)
    for connection in connections:
        connection.close()
    with house.service() as service:
        assert {service.job(job).logs[-1] for job in jobs} == {"the upload was cut off"}
        assert uploads(house) == []
