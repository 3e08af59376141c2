"""Rows from an address, and scores to one. The rule here: a real server, and every way in which it may fail us."""

import csv
import gzip
import io
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servers.process import free_port
from servers.web import Web, chunks, cut, gone, packed, page, redirect, stalled, status, unmeasured

from reconciler.engine.connectors.http import Patience, open_intake, open_sink
from reconciler.engine.dialect import Dialect
from reconciler.engine.job import ScoringJob, Tally
from reconciler.engine.look import look
from reconciler.engine.pipeline import score
from reconciler.engine.place import Place
from reconciler.errors import Cancelled, ScoringError
from reconciler.options import Options
from reconciler.settings import HttpIntake, HttpOutput

Bad = Callable[..., str]
SECRET = "s3cr3t"
SHORT = Patience(connect=2, silence=0.3, answer=0.3, pauses=(0.01, 0.01))


def intake(url: str) -> Place:
    return Place(HttpIntake(type="http", url=url))


def output(url: str, **settings: Any) -> Place:
    return Place(HttpOutput(type="http", url=url, **settings), job="0123456789abcdef01234567")


def rows(count: int) -> bytes:
    numbers = np.random.default_rng(0).normal(size=(count, 2))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("a", "b"), *numbers.tolist()])
    return text.getvalue().encode()


def expected(folder: Path, content: bytes) -> list[float]:
    values = np.genfromtxt(io.BytesIO(content), delimiter=",", skip_header=1)
    return list(lightgbm.Booster(model_file=folder / "model.txt").predict(values))


def predictions(content: bytes) -> list[float]:
    return [float(row["y_PREDICTION"]) for row in csv.DictReader(io.StringIO(content.decode()))]


def run(folder: Path, tmp_path: Path, rows_from: Path | Place, scores_to: Path | Place, is_cancelled: Callable[[], bool] = lambda: False) -> Tally:
    job = ScoringJob(folder, rows_from, scores_to, Options(), rejects=tmp_path / "rejects.csv")
    return score(job, report=lambda progress: None, is_cancelled=is_cancelled)


def refused(folder: Path, tmp_path: Path, url: str) -> ScoringError:
    with pytest.raises(ScoringError) as caught:
        run(folder, tmp_path, intake(url), tmp_path / "out.csv")
    return caught.value


# The way there and back


@pytest.mark.parametrize("act", [page, packed, lambda content: chunks(content[:3], content[3:7], content[7:])], ids=["plain", "gzip", "chunks"])
def test_every_row_of_an_address_is_scored(web: Web, regression: Path, tmp_path: Path, act: Callable[[bytes], Any]) -> None:
    content = rows(5000)
    tally = run(regression, tmp_path, intake(web.serve("/in.csv", act(content))), tmp_path / "out.csv")
    assert (tally.scored, tally.failed, tally.bytes_read) == (5000, 0, len(content))
    assert predictions((tmp_path / "out.csv").read_bytes()) == expected(regression, content)
    assert len(web.seen) == 1


def test_gzip_may_have_several_members(web: Web, regression: Path, tmp_path: Path) -> None:
    content = rows(3000)
    members = gzip.compress(content[:1000]) + gzip.compress(content[1000:])
    run(regression, tmp_path, intake(web.serve("/in.csv", page(members, Content_Encoding="gzip"))), tmp_path / "out.csv")
    assert predictions((tmp_path / "out.csv").read_bytes()) == expected(regression, content)


def test_parquet_is_known_by_what_it_holds(web: Web, regression: Path, tmp_path: Path) -> None:
    content = rows(4000)
    values = np.genfromtxt(io.BytesIO(content), delimiter=",", skip_header=1)
    file = io.BytesIO()
    pq.write_table(pa.table({"b": values[:, 1], "a": values[:, 0]}), file)
    run(regression, tmp_path, intake(web.serve("/export", page(file.getvalue()))), tmp_path / "out.csv")
    assert predictions((tmp_path / "out.csv").read_bytes()) == expected(regression, content)


def test_redirects_are_followed(web: Web, regression: Path, tmp_path: Path) -> None:
    web.serve("/there.csv", page(rows(3)))
    assert run(regression, tmp_path, intake(web.serve("/here", redirect(f"{web.url}/there.csv?sig={SECRET}"))), tmp_path / "out.csv").scored == 3


def test_a_name_and_a_password_go_along(web: Web, regression: Path, tmp_path: Path) -> None:
    url = web.serve("/in.csv", page(rows(3))).replace("http://", f"http://me:{SECRET}@")
    run(regression, tmp_path, intake(url), tmp_path / "out.csv")
    assert web.seen[0].headers["Authorization"].startswith("Basic ")


def test_a_header_without_rows_is_an_output_without_rows(web: Web, regression: Path, tmp_path: Path) -> None:
    assert run(regression, tmp_path, intake(web.serve("/in.csv", page(b"a,b\n"))), tmp_path / "out.csv").scored == 0
    assert "no header" in refused(regression, tmp_path, web.serve("/none.csv", page(b""))).detail


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_scores_are_sent_whole_in_one_request(web: Web, regression: Path, tmp_path: Path, method: str) -> None:
    content = rows(20_000)
    (tmp_path / "in.csv").write_bytes(content)
    url = web.serve("/out", status(201))
    tally = run(regression, tmp_path, tmp_path / "in.csv", output(f"{url}?x=1", method=method, headers={"X-Key": SECRET, "content-type": "text/x"}))
    (sent,) = web.seen
    assert (sent.method, sent.path) == (method, "/out?x=1")
    assert predictions(sent.body) == expected(regression, content)
    assert len(sent.body) == tally.bytes_written
    headers = {name.lower(): value for name, value in sent.headers.items()}
    assert headers["content-length"] == str(len(sent.body))
    assert (headers["x-key"], headers["content-type"], headers["idempotency-key"]) == (SECRET, "text/x", "0123456789abcdef01234567")


# What goes wrong on the way here


@pytest.mark.parametrize(
    ("act", "said"),
    [
        pytest.param(cut(rows(5000), 10_000_000), "of 10,000,000 bytes", id="cut"),
        pytest.param(cut(rows(5000)[:-3], len(rows(5000))), "broke off", id="cut-in-the-last-row"),
        pytest.param(chunks(rows(5000), has_end=False), "broke off", id="chunks-without-an-end"),
        pytest.param(unmeasured(rows(10)), "neither its length nor its end", id="no-length"),
        pytest.param(page(rows(10), Content_Encoding="br"), "Content-Encoding", id="brotli"),
        pytest.param(page(rows(10), Content_Encoding="gzip"), "it is none", id="no-gzip"),
        pytest.param(status(403), "403: it refuses us", id="403"),
        pytest.param(status(404), "404: there is nothing", id="404"),
        pytest.param(status(418), "answers 418", id="418"),
        pytest.param(redirect("ftp://elsewhere/"), "not http", id="ftp"),
        pytest.param(redirect("/in.csv"), "circle", id="circle"),
    ],
)
def test_a_bad_answer_is_an_error(web: Web, regression: Path, tmp_path: Path, act: Any, said: str) -> None:
    error = refused(regression, tmp_path, web.serve("/in.csv", act) + f"?sig={SECRET}")
    assert error.summary == "The intake cannot be read"
    assert said in error.detail and f"{web.url}/in.csv" in error.detail and SECRET not in error.detail


def test_a_gzip_that_ends_too_early_is_an_error(web: Web, regression: Path, tmp_path: Path) -> None:
    url = web.serve("/in.csv", page(gzip.compress(rows(5000))[:-9], Content_Encoding="gzip"))
    assert "gzip ends too early" in refused(regression, tmp_path, url).detail


def test_what_fails_for_a_while_is_asked_again(web: Web, regression: Path, tmp_path: Path) -> None:
    url = web.serve("/in.csv", status(503), gone, page(rows(7)))
    opened = open_intake(intake(url), Dialect(), lambda: False, SHORT)
    assert list(opened.header) == ["a", "b"]
    opened.close()
    assert len(web.seen) == 3


def test_a_server_that_is_silent_or_absent_is_named(web: Web) -> None:
    until = threading.Event()
    url = web.serve("/in.csv", stalled(b"a,b\n1,2\n", until, threading.Event()))
    opened = open_intake(intake(f"{url}?sig={SECRET}"), Dialect(), lambda: False, SHORT)
    with pytest.raises(ScoringError) as caught:
        list(opened.pieces(["a", "b"], 1000, None, lambda: False))
    opened.close()
    until.set()
    assert "silent for too long" in caught.value.detail and SECRET not in caught.value.detail
    with pytest.raises(ScoringError, match="cannot be read") as caught:
        open_intake(intake(f"http://me:{SECRET}@127.0.0.1:{free_port()}/x?sig={SECRET}"), Dialect(), lambda: False, SHORT)
    assert "cannot be connected to" in caught.value.detail and SECRET not in caught.value.detail


def test_an_abort_does_not_wait_for_the_server(web: Web, regression: Path, tmp_path: Path) -> None:
    until, begun = threading.Event(), threading.Event()
    url = web.serve("/in.csv", stalled(rows(100_000), until, begun))
    with pytest.raises(Cancelled):
        run(regression, tmp_path, intake(url), tmp_path / "out.csv", is_cancelled=begun.is_set)
    assert not until.is_set()  # the server is still waiting
    until.set()


def unanswered(until: threading.Event, begun: threading.Event) -> Callable[[Any], None]:
    def act(exchange: Any) -> None:
        begun.set()
        until.wait(60)

    return act


@pytest.mark.parametrize("content", [None, b"", b"a,", b"PAR1" + bytes(100_000)], ids=["no answer", "no byte", "half a header", "half a file"])
def test_an_abort_does_not_wait_for_an_intake_to_open(web: Web, regression: Path, tmp_path: Path, content: bytes | None) -> None:
    until, begun = threading.Event(), threading.Event()
    url = web.serve("/in", unanswered(until, begun) if content is None else stalled(content, until, begun))
    with pytest.raises(Cancelled):
        run(regression, tmp_path, intake(url), tmp_path / "out.csv", is_cancelled=begun.is_set)
    assert not until.is_set()  # the server is still waiting
    until.set()


def test_a_halt_wakes_a_reader_that_would_wait_for_ever(web: Web) -> None:
    until, begun = threading.Event(), threading.Event()
    url = web.serve("/in.csv", stalled(b"a,b\n1,2\n", until, begun))
    with pytest.raises(Cancelled), closing(open_intake(intake(url), Dialect(), begun.is_set, SHORT._replace(silence=1e6))) as opened:
        list(opened.pieces(["a", "b"], 1000, None, lambda: False))
    until.set()


def test_no_address_is_logged(web: Web, regression: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run(regression, tmp_path, intake(web.serve("/in.csv", page(rows(3))) + f"?sig={SECRET}"), output(web.serve("/out", status(200))))
    assert SECRET not in caplog.text


@pytest.mark.parametrize("url", ["http://[::1/x", "http://127.0.0.1:99999/x", "http://" + "a" * 70 + ".example/x", "http:///x"])
def test_what_is_no_address_is_an_error(url: str) -> None:
    with pytest.raises(ScoringError, match="cannot be read"):
        open_intake(intake(f"{url}?sig={SECRET}") if url != "http:///x" else Place(HttpIntake.model_construct(url=url)), Dialect(), bool, SHORT)


# What goes wrong on the way there


def test_a_job_that_fails_or_is_aborted_sends_nothing(web: Web, regression: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(rows(50_000) + b'"open')
    place = output(web.serve("/out", status(200)))
    with pytest.raises(ScoringError):
        run(regression, tmp_path, tmp_path / "in.csv", place)
    with pytest.raises(Cancelled):
        run(regression, tmp_path, tmp_path / "in.csv", place, is_cancelled=lambda: True)
    assert not web.seen


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_abort_does_not_wait_for_an_output_to_be_answered(web: Web, regression: Path, tmp_path: Path, method: str) -> None:
    until, begun = threading.Event(), threading.Event()
    (tmp_path / "in.csv").write_bytes(rows(10))
    place = output(web.serve("/out", unanswered(until, begun)), method=method)
    with pytest.raises(Cancelled):
        run(regression, tmp_path, tmp_path / "in.csv", place, is_cancelled=begun.is_set)
    assert not until.is_set()  # the server is still waiting
    until.set()
    assert len(web.seen) == 1


def test_an_abort_breaks_off_an_output_on_its_way(tmp_path: Path) -> None:
    """More than fits between us and a server that does not read: it never has it whole."""
    aborted = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = replace(output(f"http://127.0.0.1:{server.getsockname()[1]}/out"), is_halted=aborted.is_set)
        with closing(open_sink(place)) as sink, ThreadPoolExecutor(1) as pool:
            sink.write(bytes(50_000_000))
            finishing = pool.submit(sink.finish)
            connection, _ = server.accept()
            aborted.set()
            assert isinstance(finishing.exception(), Cancelled)
        with connection:
            assert sum(map(len, iter(partial(connection.recv, 1 << 20), b""))) < 50_000_000


def send(place: Place, patience: Patience = SHORT) -> None:
    with closing(open_sink(place, patience)) as sink:
        sink.write(b"y_PREDICTION\n")
        sink.write(b"1.0\n")
        sink.finish()


def test_a_put_is_repeated_whole(web: Web) -> None:
    send(output(web.serve("/out", status(503), gone, status(204)), method="PUT"))
    assert [seen.body for seen in web.seen] == [b"y_PREDICTION\n1.0\n"] * 3


@pytest.mark.parametrize("act", [status(503), gone])
def test_a_put_is_given_up(web: Web, act: Any) -> None:
    with pytest.raises(ScoringError, match="The output cannot be written"):
        send(output(web.serve("/out", act), method="PUT"))
    assert len(web.seen) == 3


@pytest.mark.parametrize("act", [status(503), gone])
def test_a_post_is_not_repeated_once_it_may_have_arrived(web: Web, act: Any) -> None:
    with pytest.raises(ScoringError) as caught:
        send(output(web.serve("/out", act) + f"?sig={SECRET}", headers={"X": SECRET}))
    assert len(web.seen) == 1
    assert "It may have arrived" in caught.value.detail and SECRET not in caught.value.detail


def test_a_post_that_is_not_answered_is_not_repeated(web: Web) -> None:
    until = threading.Event()
    url = web.serve("/out", lambda exchange: until.wait(60))
    with pytest.raises(ScoringError) as caught:
        send(output(url))
    until.set()
    assert len(web.seen) == 1
    assert "silent for too long" in caught.value.detail and "It may have arrived" in caught.value.detail


def test_a_post_that_was_never_connected_is_tried_again(web: Web) -> None:
    port = free_port()
    patience = SHORT._replace(pauses=(0.05,) * 200)
    sending = threading.Thread(target=send, args=(output(f"http://127.0.0.1:{port}/out"), patience))
    sending.start()
    with socket.create_server(("127.0.0.1", port)) as late:
        connection, _ = late.accept()
        with connection:
            assert connection.recv(1 << 16).startswith(b"POST /out HTTP/1.1")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        sending.join()
    with pytest.raises(ScoringError) as caught:
        send(output(f"http://127.0.0.1:{port}/out?sig={SECRET}"))
    assert "cannot be connected to" in caught.value.detail and "arrived" not in caught.value.detail and SECRET not in caught.value.detail


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_an_output_follows_no_redirect(web: Web, code: int) -> None:
    url = web.serve("/out", redirect(f"{web.url}/there?sig={SECRET}", code))
    web.serve("/there", status(200))
    with pytest.raises(ScoringError) as caught:
        send(output(url, headers={"X-Key": SECRET}))
    assert f"redirects to {web.url}/there" in caught.value.detail and SECRET not in caught.value.detail
    assert len(web.seen) == 1


def test_a_refusal_is_not_repeated(web: Web) -> None:
    with pytest.raises(ScoringError) as caught:
        send(output(web.serve("/out", page(SECRET.encode(), 403)), method="PUT"))
    assert "refuses us" in caught.value.detail and SECRET not in caught.value.detail
    assert len(web.seen) == 1


@pytest.mark.parametrize("headers", [{"X": f"{SECRET}\r\nY: 1"}, {"X\n": SECRET}, {"X": f"{SECRET}é"}, {"": SECRET}, {"Content-Length": SECRET}])
def test_a_header_that_cannot_be_sent_is_found_before_the_first_row(web: Web, headers: dict[str, str]) -> None:
    with pytest.raises(ScoringError) as caught:
        open_sink(output(web.serve("/out", status(200)), headers=headers))
    assert "header" in caught.value.detail and SECRET not in caught.value.detail


# What a plan sees


@pytest.mark.parametrize(
    ("headers", "facts"),
    [
        ({"ETag": '"a1"', "Last_Modified": "Sun, 22 Nov 2026 04:00:00 GMT"}, {"etag": '"a1"'}),
        ({"ETag": 'W/"a1"'}, {"etag": 'W/"a1"'}),
        ({"Last_Modified": "Sun, 22 Nov 2026 04:00:00 GMT"}, {"lastModified": "Sun, 22 Nov 2026 04:00:00 GMT", "length": 8}),
        ({}, None),
    ],
)
def test_a_look_sees_what_the_server_tells(web: Web, headers: dict[str, str], facts: Any) -> None:
    assert look(intake(web.serve("/in.csv", page(b"a,b\n1,2\n", **headers)))) == facts


@pytest.mark.parametrize("code", [403, 405, 501])
def test_a_look_asks_with_get_where_head_is_refused(web: Web, code: int) -> None:
    url = web.serve("/in.csv", status(code), page(b"a,b\n" + b"1,2\n" * 3_000_000, ETag='"a"'))
    assert look(intake(url)) == {"etag": '"a"'}
    assert [seen.method for seen in web.seen] == ["HEAD", "GET"]


def test_a_look_at_nothing_is_an_error(web: Web) -> None:
    with pytest.raises(ScoringError) as caught:
        look(intake(f"{web.url}/none?sig={SECRET}"))
    assert "there is nothing" in caught.value.detail and SECRET not in caught.value.detail
