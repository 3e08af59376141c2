"""Every bad day of a network and a server, met by the real program: one job for each fingerprint, the right output, and never half a file."""

import signal
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from faults import (
    DEPLOYMENT,
    DOWNLOAD,
    JOB,
    LIST,
    SUBMIT,
    UPLOAD,
    Afterwards,
    Fault,
    Instead,
    Proxy,
    Seen,
    Slow,
    WrongHost,
    cut_download,
    cut_upload,
    drop,
    forget,
    hang_up,
    html,
    html_afterwards,
    stall,
    stall_midway,
    unknown_status,
)
from nursery import Nursery
from remote import TOKEN, Remote, Server, patients

SOON = {"Retry-After": "1"}


class Case(NamedTuple):
    """`applies`: how many it takes at the most until one ends well. `says`: what those say that do not."""

    faults: tuple[Fault, ...]
    applies: int = 1
    says: str = ""


def one(*faults: Fault, applies: int = 1, says: str = "") -> Case:
    return Case(faults, applies, says)


BUSY = {
    f"{status}{' with Retry-After' if headers else ''} {'after' if act is Afterwards else 'instead of'} {name}": one(
        Fault(*where, act(status, headers), times=1 if where in (SUBMIT, UPLOAD) else 2)  # type: ignore[operator]
    )
    for name, where in {"the submission": SUBMIT, "the upload": UPLOAD, "the download": DOWNLOAD, "a look": JOB, "the model's id": DEPLOYMENT}.items()
    for status in (429, 500, 502, 503, 504)
    for headers in ({}, SOON)
    for act in (Instead, Afterwards)
    if (status == 503 and not (headers and act is Afterwards)) or (name == "the submission" and not headers)
}
BROKEN = {
    "the submission's answer is dropped": one(Fault(*SUBMIT, drop)),
    "two submissions' answers are dropped": one(Fault(*SUBMIT, drop, times=2)),
    "the submission's answer never comes": one(Fault(*SUBMIT, stall)),
    "the submission is hung up on": one(Fault(*SUBMIT, hang_up)),
    "the submission is answered with a page": one(Fault(*SUBMIT, html)),
    "the submission is answered with a page after it": one(Fault(*SUBMIT, html_afterwards)),
    "the upload is cut": one(Fault(*UPLOAD, cut_upload)),
    "the upload is cut again and again": one(Fault(*UPLOAD, cut_upload, times=6)),
    "the upload's answer is dropped": one(Fault(*UPLOAD, drop)),
    "the upload's answer never comes": one(Fault(*UPLOAD, stall)),
    "the upload is hung up on": one(Fault(*UPLOAD, hang_up)),
    "the upload is answered with a page": one(Fault(*UPLOAD, html)),
    "the download is cut": one(Fault(*DOWNLOAD, cut_download)),
    "the download is cut again and again": one(Fault(*DOWNLOAD, cut_download, times=5)),
    "the download stops midway": one(Fault(*DOWNLOAD, stall_midway)),
    "the download is answered with a page": one(Fault(*DOWNLOAD, html)),
    "the download is hung up on": one(Fault(*DOWNLOAD, hang_up, times=2)),
    "a look is hung up on": one(Fault(*JOB, hang_up, times=2)),
    "a look is answered with a page": one(Fault(*JOB, html, times=2), applies=2, says="web page"),
    "a look's answer never comes": one(Fault(*JOB, stall)),
    "the status is unknown for a while": one(Fault(*JOB, unknown_status, times=2)),
    "the list is hung up on": one(Fault(*SUBMIT, drop), Fault(*LIST, hang_up)),
    "the list is answered with a page": one(Fault(*SUBMIT, drop), Fault(*LIST, html), applies=2, says="web page"),
    "the list is busy": one(Fault(*SUBMIT, drop), Fault(*LIST, Instead(503))),
    "the link is slow": one(Fault(*UPLOAD, Slow(40_000), times=None), Fault(*DOWNLOAD, Slow(40_000), times=None)),
}


def check_applied(remote: Remote, proxy: Proxy, case: Case) -> None:
    """Applied until it ends well, and settled then."""
    remote.aim(proxy.endpoint, read_timeout=2)
    expected = remote.expected()
    with remote.watched(expected):
        for number in range(case.applies):
            said = remote.apply()
            if said.code == 0:
                break
            assert case.says in said.err, (number, said.err)
        assert said.code == 0, said.err
    assert all(proxy.hits), proxy.requests
    remote.check_settled(expected)


def check_asked_between_submissions(proxy: Proxy) -> None:
    """Of one job: nothing is submitted again before the list was asked."""
    asked = [request.method for request in proxy.requests if request.path.partition("?")[0] == "batchPredictions/"]
    assert len({request.path for request in proxy.requests if request.method == "PUT"}) > 1 or "POST POST" not in " ".join(asked)


@pytest.mark.parametrize("cases", [BUSY, BROKEN], ids=["busy", "broken"])
def test_an_apply_comes_through(cases: Mapping[str, Case], tmp_path: Path, server: Server, nursery: Nursery) -> None:
    """Side by side, for most of the time is waited: each in a project and at a deployment of its own, through a proxy of its own."""

    def wrong(number: int, case: Case) -> str:
        is_submission = (case.faults[0].method, case.faults[0].path) == SUBMIT and case.faults[0].times == 1
        remote = Remote(tmp_path / str(number), server, nursery, ("a",) if is_submission else ("a", "b"))
        try:
            with Proxy(server.program.port, case.faults) as proxy:
                check_applied(remote, proxy, case)
                check_asked_between_submissions(proxy)
        except AssertionError as error:
            return str(error) or repr(error)
        return ""

    with ThreadPoolExecutor(12) as pool:
        found = dict(zip(cases, pool.map(wrong, range(len(cases)), cases.values()), strict=True))
    assert not {name: error for name, error in found.items() if error}


def test_answers_of_submissions_with_one_spec_are_dropped(tmp_path: Path, server: Server, nursery: Nursery) -> None:
    """Their jobs cannot be told apart by what a list shows: none has rows yet, so each may be anyone's, and each is taken once."""
    remote = Remote(tmp_path / "project", server, nursery, ("a", "b", "c"), is_alike=True)
    with Proxy(server.program.port, [Fault(*SUBMIT, drop, times=3)]) as proxy:
        check_applied(remote, proxy, one())


@pytest.mark.parametrize("where", [UPLOAD, DOWNLOAD], ids=["before its rows came", "while it is fetched"])
def test_a_job_that_is_gone_is_said_to_be_gone_and_scored_anew(where: tuple[str, str], tmp_path: Path, server: Server, nursery: Nursery) -> None:
    remote = Remote(tmp_path / "project", server, nursery, ("a",))
    with Proxy(server.program.port, [Fault(*where, forget)], token=TOKEN) as proxy:
        remote.aim(proxy.endpoint, read_timeout=2)
        expected = remote.expected()
        with remote.watched(expected):
            said = remote.apply()
            if where is UPLOAD:
                assert said.code == 1
            if said.code:
                assert next(iter(proxy.forgotten)) in said.err
                said = remote.apply()
            assert said.code == 0, said.err
        delivered_anyway = [] if proxy.count(*SUBMIT) == 1 else sorted(proxy.forgotten)
        remote.check_settled(expected, delivered_anyway)


def test_links_to_another_server_get_no_token(remote: Remote, server: Server) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def listen() -> None:
            while True:
                try:
                    connection, _ = stranger.accept()
                except OSError:
                    return
                with connection:
                    heard.append(connection.recv(1 << 16))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        wrong = WrongHost(f"127.0.0.1:{stranger.getsockname()[1]}")
        faults = [Fault(*where, wrong, times=None) for where in (SUBMIT, JOB)]
        with Proxy(server.program.port, faults) as proxy:
            check_applied(remote, proxy, one())
        stranger.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert not [request for request in heard if TOKEN.encode() in request]


def test_the_old_output_stays_until_the_new_one_is_whole(tmp_path: Path, server: Server, nursery: Nursery) -> None:
    """Also through an apply that gives up."""
    remote = Remote(tmp_path / "project", server, nursery, ("a",))
    with Proxy(server.program.port) as proxy:
        remote.aim(proxy.endpoint, read_timeout=2)
        old = remote.expected()
        assert remote.apply().code == 0
    assert remote.output("a").read_bytes() == old["a"]
    old_jobs = [job["id"] for job in remote.jobs()]
    remote.intake("a").write_bytes(patients("changed", 2))
    new = remote.expected()
    faults = [Fault(*UPLOAD, cut_upload), Fault(*DOWNLOAD, stall_midway), Fault(*DOWNLOAD, cut_download, times=3)]
    with Proxy(server.program.port, faults) as proxy:
        remote.aim(proxy.endpoint, read_timeout=2)
        with remote.watched(old, new):
            while (said := remote.apply()).code:
                assert remote.output("a").read_bytes() == old["a"]
        assert all(proxy.hits), said
        found = remote.wrongs(new, old_jobs)
        assert not any(found.values()), found
        assert remote.run("plan", "-detailed-exitcode").code == 0


def test_a_token_that_is_refused_is_told_and_not_shown(remote: Remote, server: Server) -> None:
    with Proxy(server.program.port) as proxy:
        remote.aim(proxy.endpoint)
        said = remote.run("apply", "-auto-approve", DATAROBOT_API_TOKEN="another-secret")
        assert said.code == 1
        assert "token" in said.err.lower()
        assert "another-secret" not in said.err
        check_applied(remote, proxy, one())


def test_without_a_token_nothing_is_sent(remote: Remote, server: Server) -> None:
    with Proxy(server.program.port) as proxy:
        remote.aim(proxy.endpoint)
        said = remote.run("apply", "-auto-approve", DATAROBOT_API_TOKEN="", HOME=str(remote.root))
        assert said.code == 1
        assert "DATAROBOT_API_TOKEN" in said.err
        assert proxy.requests == []


def test_a_lost_answer_and_a_list_that_fails_keep_the_run_open(tmp_path: Path, server: Server, nursery: Nursery) -> None:
    """Also when the next apply cannot look either."""
    remote = Remote(tmp_path / "project", server, nursery, ("a",))
    with Proxy(server.program.port, [Fault(*SUBMIT, drop), Fault(*LIST, Instead(500), times=2)]) as proxy:
        check_applied(remote, proxy, one(applies=3))
        assert proxy.count(*SUBMIT) == 1


def test_a_submission_that_stays_unclear_stops_with_the_way_to_settle_it(tmp_path: Path, server: Server, nursery: Nursery) -> None:
    """The program is killed before it hears of its job, and then there is a stranger's job of the same spec too."""
    remote = Remote(tmp_path / "project", server, nursery, ("a",), is_alike=True)
    made = threading.Event()
    with Proxy(server.program.port, [Fault(*SUBMIT, stall)], witness=lambda what, request: made.set() if is_made(what, request) else None) as proxy:
        remote.aim(proxy.endpoint, read_timeout=60)
        expected = remote.expected()
        with remote.applying() as born:
            assert made.wait(120)
            born.send(signal.SIGKILL)
            assert born.wait() is None
    (own,) = remote.jobs()
    local = {"type": "localFile"}
    body = {"deploymentId": remote.deployment, "intakeSettings": local, "outputSettings": local, "passthroughColumns": ["patient_id"]}
    stranger = server.program.http.post("batchPredictions/", json=body | {"columnNamesRemapping": {"progression_PREDICTION": "prediction"}}).json()
    with Proxy(server.program.port, at=proxy.port) as proxy:
        remote.aim(proxy.endpoint, read_timeout=2)
        said = remote.apply()
        assert said.code == 1
        assert "reconciler state adopt" in said.err
        assert "reconciler state resubmit" in said.err
        assert own["id"] in said.err
        assert proxy.count(*SUBMIT) == 0
        assert remote.run("state", "adopt", 'job.diabetes["a"]', own["id"]).code == 0
        assert remote.apply().code == 0
        server.program.http.delete(f"batchPredictions/{stranger['id']}/")
        remote.check_settled(expected)


def test_an_open_run_is_not_taken_for_another_endpoints(remote: Remote, server: Server) -> None:
    """Its job is not there, and to submit it anew would score it twice."""
    with Proxy(server.program.port, [Fault(*UPLOAD, stall)]) as first:
        remote.aim(first.endpoint)
        expected = remote.expected()
        with remote.applying() as born:
            first.wait_for(*UPLOAD)
            born.send(signal.SIGINT)
            assert born.wait() == 1
    with Proxy(server.program.port) as second:
        remote.aim(second.endpoint)
        said = remote.apply()
        assert said.code == 1
        assert f"It went to {first.endpoint}" in " ".join(said.err.split())
        assert second.count(*SUBMIT) == 0
    with Proxy(server.program.port, at=first.port) as back:
        remote.aim(back.endpoint)
        assert remote.apply().code == 0
        remote.check_settled(expected)


def is_made(what: str, request: Seen) -> bool:
    return what == "answered" and request.is_of(*SUBMIT)
