"""Two applies of one state: at once, after the other was killed, and after it was only paused. The rule here: only one of them writes."""

import contextlib
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from faults import (
    DOWNLOAD,
    JOB,
    SUBMIT,
    UPLOAD,
    Exchange,
    Fault,
    Held,
    Proxy,
    cut_upload,
)
from nursery import Born, Nursery
from remote import Remote, Server, heard

LONG_S = 10_000


def ended(born: Born) -> int:
    code = born.wait()
    assert code is not None
    heard(born, code)
    return code


def let_time_pass(remote: Remote) -> None:
    """As if the holder had not shown itself for hours."""
    with sqlite3.connect(remote.state, timeout=60) as db:
        assert db.execute("UPDATE lock SET heartbeat = heartbeat - ? WHERE holder IS NOT NULL", (LONG_S,)).rowcount == 1
    db.close()


def paused(remote: Remote, born: Born) -> None:
    """Stopped between two writes: who is stopped in the middle of one keeps everybody out, as any writer of SQLite does."""
    while True:
        born.send(signal.SIGSTOP)
        try:
            db = sqlite3.connect(remote.state, timeout=0.2, isolation_level=None)
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
            return
        except sqlite3.OperationalError:
            born.send(signal.SIGCONT)
            time.sleep(0.01)
        finally:
            db.close()


@pytest.mark.parametrize("patience", [(), ("-lock-timeout=60s",)], ids=["at once", "waiting"])
def test_of_two_applies_at_once_one_submits(patience: tuple[str, ...], remote: Remote, server: Server) -> None:
    with Proxy(server.program.port) as proxy:
        remote.aim(proxy.endpoint)
        expected = remote.expected()
        with remote.watched(expected), remote.applying(*patience) as one, remote.applying(*patience) as other:
            codes = sorted([ended(one), ended(other)])
        assert 0 in codes, one.err + other.err
        assert proxy.count(*SUBMIT) == len(remote.keys)
        remote.check_settled(expected)


def test_readers_never_wait_for_an_apply(remote: Remote, server: Server) -> None:
    gate = threading.Event()
    with Proxy(server.program.port, [Fault(*DOWNLOAD, Held(gate), times=None)]) as proxy:
        remote.aim(proxy.endpoint)
        expected = remote.expected()
        with remote.applying() as born:
            proxy.wait_for(*DOWNLOAD, 2)
            for command in ("plan", "show", "history"):
                assert remote.run(command).code == 0
            refused = remote.apply()
            assert refused.code == 1
            assert str(born.pid) in refused.err
            assert "force-unlock" in refused.err
            gate.set()
            assert ended(born) == 0
        remote.check_settled(expected)


def test_a_killed_holder_is_taken_over_at_once(remote: Remote, server: Server) -> None:
    with Proxy(server.program.port, [Fault(*DOWNLOAD, Held(threading.Event()), times=2)]) as proxy:
        remote.aim(proxy.endpoint)
        expected = remote.expected()
        with remote.watched(expected), remote.applying() as born:
            proxy.wait_for(*DOWNLOAD, 2)
            born.send(signal.SIGKILL)
            assert born.wait() is None
            said = remote.apply()
            assert said.code == 0, said.err
            assert str(born.pid) in said.out + said.err
        assert proxy.count(*SUBMIT) == len(remote.keys)
        remote.check_settled(expected)


@pytest.mark.parametrize("where", [UPLOAD, DOWNLOAD], ids=["while it uploads", "while it fetches"])
def test_a_paused_holder_that_was_succeeded_does_nothing_more(where: tuple[str, str], remote: Remote, server: Server) -> None:
    """Its uploads are cut while it is paused; its downloads go on when it does."""
    gate = threading.Event()

    def cut(exchange: Exchange) -> None:
        assert gate.wait(120)
        cut_upload(exchange)

    with Proxy(server.program.port, [Fault(*where, cut if where is UPLOAD else Held(gate), times=2)]) as proxy:
        remote.aim(proxy.endpoint)
        expected = remote.expected()
        with remote.watched(expected), remote.applying() as born:
            proxy.wait_for(*where, 2)
            paused(remote, born)
            assert remote.apply().code == 1
            let_time_pass(remote)
            if where is UPLOAD:
                gate.set()
            said = remote.apply()
            assert said.code == 0, said.err
            assert str(born.pid) in said.out + said.err
            before = len(proxy.requests)
            gate.set()
            born.send(signal.SIGCONT)
            assert ended(born) == 1
        assert not [request for request in proxy.requests[before:] if request.method in ("POST", "DELETE")], born.err
        remote.check_settled(expected)


def test_a_holder_that_is_paused_after_any_write_does_nothing_twice(tmp_path: Path, server: Server, nursery: Nursery) -> None:
    for step in range(1, 100):
        remote = Remote(tmp_path / str(step), server, nursery, ("a",))
        with Proxy(server.program.port) as proxy:
            remote.aim(proxy.endpoint)
            expected = remote.expected()
            with remote.watched(expected), remote.program("SIGSTOP", str(step), main="mortal:main") as born:
                if not stopped(born):
                    assert step > 4
                    assert ended(born) == 0
                    return
                has_delivered = remote.output("a").exists()
                let_time_pass(remote)
                said = remote.apply()
                assert said.code == 0, (step, said.err)
                born.send(signal.SIGCONT)
                assert ended(born) == (0 if has_delivered else 1), step
            found = remote.wrongs(expected)
            assert not any(found.values()), (step, found, born.err)
            remote.check_settled(expected)
    raise AssertionError("the apply never ended")


def stopped(born: Born) -> bool:
    """Whether it stands still; false when it has ended instead."""
    while not born.has_ended(0.01):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended just now
            if Path(f"/proc/{born.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                return True
    return False


def test_a_resumed_holder_cannot_spoil_what_its_successor_fetched(tmp_path: Path, server: Server, nursery: Nursery) -> None:
    """The holder is paused when the rows are up; resumed when its successor has the whole result and has not yet renamed it."""
    remote = Remote(tmp_path / "project", server, nursery, ("a",))
    fetched, rename, old = threading.Event(), threading.Event(), threading.Event()

    def wait_after_fetch(exchange: Exchange) -> None:
        if exchange.proxy.count(*DOWNLOAD) and not fetched.is_set():
            fetched.set()
            rename.wait(120)
        exchange.pass_on()

    faults = [Fault(*JOB, wait_after_fetch, times=None), Fault(*DOWNLOAD, Held(old), after=1)]
    with Proxy(server.program.port, faults) as proxy:
        remote.aim(proxy.endpoint)
        expected = remote.expected()
        with remote.watched(expected), remote.program("SIGSTOP", "3", main="mortal:main") as born:
            assert stopped(born)
            let_time_pass(remote)
            with remote.applying() as successor:
                assert fetched.wait(120)
                born.send(signal.SIGCONT)
                while proxy.count(*DOWNLOAD) < 2 and not born.has_ended(0.02):
                    pass
                rename.set()
                assert ended(successor) == 0, successor.err
            old.set()
            assert ended(born) == 1
        remote.check_settled(expected)
