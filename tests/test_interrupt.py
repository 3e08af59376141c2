"""Ctrl-C and SIGTERM in the middle of an apply over the network. The rule here: what was begun is on record, and the next apply goes on with it."""

import signal
import threading
import time

import pytest
from faults import DOWNLOAD, SUBMIT, UPLOAD, Fault, Held, Proxy, stall
from nursery import Born
from remote import Remote, Server, heard

NEVER = threading.Event()


def left(born: Born, number: int) -> int:
    """Its exit code. How long it took is printed: two seconds are meant, and no machine is held to them."""
    began = time.monotonic()
    born.send(number)
    code = born.wait()
    print(f"\n{signal.Signals(number).name}: left after {time.monotonic() - began:.2f} s")
    assert code is not None
    heard(born, code)
    return code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_leaves_the_jobs_going_and_says_which(number: int, remote: Remote, server: Server) -> None:
    with Proxy(server.program.port, [Fault(*DOWNLOAD, Held(NEVER), times=2)]) as proxy:
        remote.aim(proxy.endpoint)
        expected = remote.expected()
        with remote.watched(expected), remote.applying() as born:
            proxy.wait_for(*DOWNLOAD, 2)
            assert left(born, number) == 1
            for job in remote.jobs():
                assert job["id"] in born.err
            assert "apply" in born.err
            said = remote.apply()
        assert said.code == 0, said.err
        assert proxy.count(*SUBMIT) == len(remote.keys)
        assert proxy.count("DELETE", ".*") == 0
        remote.check_settled(expected)


@pytest.mark.parametrize("fault", [Fault(*UPLOAD, Held(NEVER), times=2), Fault(*SUBMIT, stall, times=2)], ids=["uploading", "submitting"])
def test_an_interrupt_before_the_rows_are_there_loses_nothing(fault: Fault, remote: Remote, server: Server) -> None:
    with Proxy(server.program.port, [fault]) as proxy:
        remote.aim(proxy.endpoint)
        expected = remote.expected()
        with remote.watched(expected), remote.applying() as born:
            proxy.wait_for(fault.method, fault.path, 2)
            assert left(born, signal.SIGINT) == 1
            said = remote.apply()
        assert said.code == 0, said.err
        remote.check_settled(expected)


@pytest.mark.parametrize("where", [SUBMIT, UPLOAD, DOWNLOAD], ids=["submitting", "uploading", "fetching"])
def test_with_cancel_no_job_goes_on(where: tuple[str, str], remote: Remote, server: Server) -> None:
    act = stall if where is SUBMIT else Held(NEVER)
    with Proxy(server.program.port, [Fault(*where, act, times=2)]) as proxy:
        remote.aim(proxy.endpoint)
        expected = remote.expected()
        with remote.watched(expected):
            with remote.applying("-on-interrupt=cancel") as born:
                proxy.wait_for(*where, 2)
                assert left(born, signal.SIGINT) == 1
            assert not [job for job in remote.jobs() if job["status"] in ("INITIALIZING", "RUNNING")], born.err
            said = remote.apply()
        assert said.code == 0, said.err
        gone = [] if where is not DOWNLOAD else [job["id"] for job in remote.jobs()][2:]
        remote.check_settled(expected, gone)


def test_the_second_signal_leaves_at_once_and_loses_nothing(remote: Remote, server: Server) -> None:
    with Proxy(server.program.port, [Fault(*UPLOAD, Held(NEVER), times=2), Fault("DELETE", ".*", stall)]) as proxy:
        remote.aim(proxy.endpoint)
        expected = remote.expected()
        with remote.watched(expected):
            with remote.applying("-on-interrupt=cancel") as born:
                proxy.wait_for(*UPLOAD, 2)
                born.send(signal.SIGINT)
                proxy.wait_for("DELETE", ".*", 1)
                assert left(born, signal.SIGINT) == 130
            said = remote.apply()
        assert said.code == 0, said.err
        remote.check_settled(expected)
