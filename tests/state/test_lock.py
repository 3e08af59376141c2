"""The lock of the state: who may hold it, who takes it over, and what the one who waits is told."""

import os
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import StateLocked
from reconciler.identity import began
from reconciler.state.lock import STALE_S
from reconciler.state.store import Store


@pytest.fixture
def rewrite(path: Path) -> Callable[..., None]:
    """Sets facts of the lock's row, as another process might have left them."""

    def write(**facts: Any) -> None:
        db = sqlite3.connect(path, isolation_level=None)
        for name, value in facts.items():
            db.execute(f"UPDATE lock SET {name} = ?", (value,))
        db.close()

    return write


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_second_holder_is_refused_with_the_facts_of_the_first(store: Store, path: Path) -> None:
    with Store(path) as other, pytest.raises(StateLocked) as caught, other.locked("apply"):
        pass
    row = store.snapshot.holder()
    assert row is not None
    assert caught.value.summary == "The state is locked"
    assert "-lock-timeout=5m" in caught.value.detail
    assert "reconciler force-unlock ID" in caught.value.detail
    assert caught.value.detail.endswith(
        f"\n  ID:      {row.holder}\n  Who:     {row.who}\n  PID:     {os.getpid()}\n  Command: test\n  Since:   {row.since}"
    )
    assert row.who.endswith(f"@{socket.gethostname()}")


def test_refused_holder_leaves_the_lock_where_it_is(store: Store, path: Path) -> None:
    before = store.snapshot.holder()
    with Store(path) as other, pytest.raises(StateLocked), other.locked("apply"):
        pass
    assert store.snapshot.holder() == before
    store.beat()


def test_lock_is_free_after_its_holder(path: Path) -> None:
    with Store(path) as store:
        with store.locked("apply") as first:
            assert first.taken_from is None
        assert store.snapshot.holder() is None
        with store.locked("apply") as second:
            assert second.taken_from is None
            assert second.fence == first.fence + 1


def test_lock_is_free_after_a_holder_that_failed(path: Path) -> None:
    with Store(path) as store:
        with pytest.raises(ZeroDivisionError), store.locked("apply"):
            raise ZeroDivisionError
        assert store.snapshot.holder() is None


def test_dead_holder_on_this_host_is_taken_over(store: Store, path: Path, rewrite: Callable[..., None], dead_pid: int) -> None:
    since = "2026-11-21T00:00:00.000000Z"
    rewrite(pid=dead_pid, who="ada@laptop", since=since)
    with Store(path) as other, other.locked("apply") as lock:
        assert lock.taken_from == f"The lock was taken over from ada@laptop (pid {dead_pid}, test, since {since}), whose process no longer runs."


@pytest.mark.parametrize("host", ["elsewhere", pytest.param(socket.gethostname(), id="here")])
def test_living_holder_is_waited_for(store: Store, path: Path, rewrite: Callable[..., None], host: str) -> None:
    rewrite(host=host, heartbeat=time.time() - STALE_S / 2)
    with Store(path) as other, pytest.raises(StateLocked), other.locked("apply"):
        pass


def test_process_of_another_user_is_a_living_holder(store: Store, path: Path, rewrite: Callable[..., None]) -> None:
    rewrite(pid=1, began=began(1))
    with Store(path) as other, pytest.raises(StateLocked), other.locked("apply"):
        pass


def test_dead_pid_says_nothing_about_another_host(store: Store, path: Path, rewrite: Callable[..., None], dead_pid: int) -> None:
    rewrite(host="elsewhere", pid=dead_pid)
    with Store(path) as other, pytest.raises(StateLocked), other.locked("apply"):
        pass


@pytest.mark.parametrize("host", ["elsewhere", pytest.param(socket.gethostname(), id="here-where-its-pid-was-given-to-another")])
def test_holder_that_has_long_been_silent_is_taken_over(store: Store, path: Path, rewrite: Callable[..., None], host: str) -> None:
    rewrite(host=host, heartbeat=time.time() - 2 * STALE_S)
    with Store(path) as other, other.locked("apply") as lock:
        assert lock.taken_from is not None


def test_heartbeat_shows_that_the_holder_lives(store: Store, rewrite: Callable[..., None]) -> None:
    rewrite(heartbeat=0.0)
    store.beat()
    holder = store.snapshot.holder()
    assert holder is not None
    assert holder.heartbeat > time.time() - STALE_S


def test_holder_releases_only_its_own_lock(path: Path, rewrite: Callable[..., None], dead_pid: int) -> None:
    with Store(path) as first, Store(path) as second:
        with first.locked("apply"):
            rewrite(pid=dead_pid)
            stack = second.locked("apply")
            lock = stack.__enter__()
        holder = second.snapshot.holder()
        assert holder is not None
        assert holder.holder == lock.holder
        second.beat()
        stack.__exit__(None, None, None)
        assert second.snapshot.holder() is None


def test_writing_without_the_lock_is_refused(path: Path) -> None:
    with Store(path) as store, pytest.raises(StateLocked, match="written without its lock"):
        store.forget("local", "job.wine")
