"""Scores over a real socket: while they are written, after the end, again; and what happens to callers that are slow or gone."""

import threading
import time
from pathlib import Path

import httpx
import pytest
from service.live import LIMIT_SECONDS, serving, wait_for

from reconciler.engine.job import Tally
from reconciler.errors import Cancelled, ScoringError

ROWS = b"copy\n1\n2\n"
SCORED = b"copy\n1\n2"
BIG = 30_000_000


@pytest.fixture
def api(service):
    with serving(service) as served:
        yield served


@pytest.fixture
def churn(house):
    return house.deployments["churn"].id


def uploaded(api, churn, rows=ROWS, **options):
    job = api.create(churn, **options)["id"]
    assert api.upload(job, rows).status_code == 202
    return job


def open_files(house):
    """How many descriptors of this process lead to results."""
    return sum(target(path).startswith(str(house.storage / "results")) for path in Path("/proc/self/fd").iterdir())


def target(descriptor):
    try:
        return str(descriptor.readlink())
    except OSError:  # closed since it was listed
        return ""


def test_a_result_is_csv_as_the_official_client_reads_it_and_may_be_read_again(api, churn):
    job = uploaded(api, churn, csvSettings={"encoding": "latin_1"})
    api.until(job, "COMPLETED")
    answers = [api.download(job, headers={"Accept-Encoding": "gzip"}) for _ in range(2)]
    assert [answer.content for answer in answers] == [SCORED] * 2
    headers = answers[0].headers
    assert (headers["content-type"], headers["transfer-encoding"]) == ("text/csv; charset=iso8859-1", "chunked")
    assert headers["content-disposition"] == f"attachment; filename=result-{job}.csv"
    assert not {"content-encoding", "content-length"} & set(headers)
    head = api.http.head(f"batchPredictions/{job}/download/")
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", headers["content-type"])


def test_scores_come_while_they_are_written_and_the_end_comes_after_the_status(api, house, churn):
    job = uploaded(api, churn, b"hold\n1\n2\n")
    api.until(job, "RUNNING")
    with api.http.stream("GET", f"batchPredictions/{job}/download/") as download:
        assert download.status_code == 200
        wait_for(lambda: api.job(job)["scoredRows"])
        house.scorer.gate.set()
        assert download.read() == b"hold\n1\n2"
        assert api.job(job)["status"] == "COMPLETED"
    assert open_files(house) == 0


def test_rows_that_are_scored_are_sent_before_the_others(house, churn):
    gate = threading.Event()

    def score(job, *, report, is_cancelled):
        with open(job.output, "wb", buffering=0) as output:
            output.write(b"first\n")
            assert gate.wait(LIMIT_SECONDS)
            output.write(b"second\n")
        return Tally(2, 0, 0, 9, 13)

    with house.service(score=score) as service, serving(service) as api:
        job = uploaded(api, churn)
        api.until(job, "RUNNING")
        with api.http.stream("GET", f"batchPredictions/{job}/download/") as download:
            parts = download.iter_raw()
            assert next(parts) == b"first\n"
            assert api.job(job)["status"] == "RUNNING"
            gate.set()
            assert b"".join(parts) == b"second\n"
            assert api.job(job)["status"] == "COMPLETED"


@pytest.mark.parametrize("how", ["deleted", "failed"])
def test_a_job_that_aborts_ends_its_stream_well_and_says_why_first(house, churn, how):
    gate = threading.Event()

    def score(job, *, report, is_cancelled):
        job.output.write_text("half")
        assert gate.wait(LIMIT_SECONDS)
        raise ScoringError("The model failed") if how == "failed" else Cancelled("deleted")

    with house.service(score=score) as service, serving(service) as api:
        job = uploaded(api, churn)
        api.until(job, "RUNNING")
        with api.http.stream("GET", f"batchPredictions/{job}/download/") as download:
            if how == "deleted":
                assert api.delete(job).status_code == 202
            gate.set()
            assert download.read() in (b"half", b"")
            assert api.job(job)["status"] == "ABORTED"
        answer = api.download(job)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/json")
        wait_for(lambda: not (house.storage / "results" / f"{job}.csv").exists())


def test_there_is_nothing_to_download_before_the_job_runs(api, house, churn):
    held = api.http.post("batchPredictions/", json=house.spec("a", "hold")).json()["id"]
    api.until(held, "RUNNING")
    queued = uploaded(api, churn)
    for job in (api.create(churn)["id"], queued, held, "f" * 24):
        assert api.download(job).status_code == 404
    house.scorer.gate.set()
    failed = uploaded(api, churn, b"bad\n1\n")
    ended = api.until(failed, "ABORTED")
    answer = api.download(failed)
    assert (answer.status_code, ended["links"]["download"]) == (422, None)
    assert ended["statusDetails"] in answer.json()["message"]


def test_a_result_that_somebody_removed_is_gone(api, house, churn):
    job = uploaded(api, churn)
    api.until(job, "COMPLETED")
    (house.storage / "results" / f"{job}.csv").unlink()
    assert api.download(job).status_code == 404


def test_a_message_names_no_place_of_the_service(house, churn):
    def score(job, *, report, is_cancelled):
        raise ScoringError("The intake is not CSV", f"{job.intake}: line 3. {job.output} is not written")

    with house.service(score=score) as service, serving(service) as api:
        ended = api.until(uploaded(api, churn), "ABORTED")
        assert ended["statusDetails"] == "The intake is not CSV: the uploaded file: line 3. the result is not written"


def get(api, job):
    return api.raw(f"GET /api/v2/batchPredictions/{job}/download/ HTTP/1.1")


def test_callers_that_vanish_leave_no_descriptor(api, house, churn):
    job = uploaded(api, churn, b"hold\n1\n2\n")
    api.until(job, "RUNNING")
    wait_for(lambda: (house.storage / "results" / f"{job}.csv").exists())
    callers = [get(api, job) for _ in range(10)]
    for caller in callers:
        assert caller.recv(12) == b"HTTP/1.1 200"
    wait_for(lambda: open_files(house) >= 10)
    for caller in callers:
        caller.close()
    wait_for(lambda: open_files(house) <= 1)  # the scorer's own
    house.scorer.gate.set()
    assert api.download(job).content == b"hold\n1\n2"


def test_callers_that_read_slowly_hold_nobody_up(api, house, churn):
    job = uploaded(api, churn, b"copy\n" + b"x" * BIG)
    api.until(job, "COMPLETED")
    before = threading.active_count()
    slow = [get(api, job) for _ in range(50)]
    try:
        wait_for(lambda: open_files(house) == 50)
        began = time.monotonic()
        assert len(api.download(job).content) == BIG + 5
        assert api.job(job)["status"] == "COMPLETED"
        assert time.monotonic() - began < LIMIT_SECONDS
        assert threading.active_count() < before + 45
    finally:
        for caller in slow:
            caller.close()
    wait_for(lambda: open_files(house) == 0)


def test_a_service_that_stops_cuts_its_streams_rather_than_end_them_well(house, churn):
    service = house.service()
    service.start()
    with serving(service) as api:
        job = uploaded(api, churn, b"hold\n1\n2\n")
        api.until(job, "RUNNING")
        with api.http.stream("GET", f"batchPredictions/{job}/download/") as download:
            service.stop()
            with pytest.raises(httpx.RemoteProtocolError):
                download.read()
    house.scorer.gate.set()
    with house.service() as again, serving(again) as api:
        api.until(job, "COMPLETED")
        assert api.download(job).content == b"hold\n1\n2"
