"""The lock of the state: who may hold it, who takes it over, and what the one who waits is told."""

import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from house import Holding

from reconciler.errors import Refused, StateLocked
from reconciler.identity import began, host, realm, user
from reconciler.state.lifecycle import Status
from reconciler.state.lock import STALE_S
from reconciler.state.record import Run
from reconciler.state.snapshot import open_snapshot
from reconciler.state.store import Store, now


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


# Two processes


@pytest.fixture
def other(path: Path) -> Iterator[Holding]:
    """Another process that holds the lock."""
    Store(path).close()
    with Holding(path) as holding:
        yield holding


def test_of_two_processes_one_holds_the_lock_and_the_other_is_told(other: Holding, path: Path) -> None:
    with Holding(path) as second:
        assert second.first["error"] == "StateLocked"
        assert f"ID:      {other.first['held']}" in second.first["detail"]
        assert f"PID:     {other.process.pid}" in second.first["detail"]
    other.end()
    with Holding(path) as third:
        assert third.first["fence"] == other.first["fence"] + 1
        assert third.first["notes"] == []


@pytest.mark.parametrize("is_waited_for", [True, False], ids=["gone", "a-zombie"])
def test_killed_holder_is_taken_over_at_once(other: Holding, path: Path, *, is_waited_for: bool) -> None:
    other.do("intend 1")
    other.process.kill()
    if is_waited_for:
        other.process.wait()
    else:
        os.waitid(os.P_PID, other.process.pid, os.WEXITED | os.WNOWAIT)
    with Store(path) as store, store.locked("apply") as lock:
        (note,) = lock.notes
        assert note.startswith(f"The lock was taken over from {user()}@{host()} (pid {other.process.pid}, test, since ")
        assert note.endswith("), whose process no longer runs.")
        assert [run.status for run in store.snapshot.open_runs("local")] == ["intended"]


def test_stopped_holder_that_was_taken_over_is_stopped_by_the_fence(other: Holding, path: Path) -> None:
    assert "done" in other.do("intend 1")
    other.process.send_signal(signal.SIGSTOP)
    timer = Ticking()
    with Store(path, timer=timer, stale_s=STALE_S) as store, pytest.raises(StateLocked), store.locked("apply"):
        pass  # it has just shown itself
    told: list[str] = []
    with Store(path, timer=timer) as store, store.locked("apply", 600, told.append) as lock:
        assert lock.fence == other.first["fence"] + 1
        assert lock.taken_from is not None
        assert "who had not shown any sign for 1" in lock.taken_from
        assert len(told) == 1
        assert told[0].startswith("Waiting for the lock of the state, up to 600 s. It is held by ")
        other.process.send_signal(signal.SIGCONT)
        for step in ("intend 2", "beat"):
            said = other.do(step)
            assert (said["error"], said["summary"]) == ("StateLocked", "The lock of the state was taken over")
            assert f"pid {os.getpid()}, apply" in said["detail"]
            assert "This process writes nothing more" in said["detail"]
        assert [run.id for run in store.snapshot.runs("local")] == ["1"]
        assert {event.fence for event in store.snapshot.history("local")} == {other.first["fence"]}
    with open_snapshot(path) as snapshot:
        assert snapshot.holder() is None


def test_job_id_that_comes_after_the_lock_was_taken_over_is_found_by_the_next_holder(other: Holding, path: Path) -> None:
    other.do("intend 1")
    other.do("reserve 1")
    with Store(path) as store:
        store.unlock(other.first["held"])
        with store.locked("apply") as lock:
            assert lock.recovered == ()
            said = other.do("submit 1 job-1")
            assert said["error"] == "StateLocked"
            assert "job.wine, job-1, is safe in" in said["detail"]
            other.end()
        with store.locked("apply") as lock:
            assert lock.recovered == ("job.wine: job job-1, which could not be recorded, was recovered from the journal.",)
            assert lock.replayed == 1
            run = store.snapshot.run("1")
            assert run is not None
            assert (run.status, run.job_id) == (Status.SUBMITTED, "job-1")


# Waiting


class Ticking:
    """A steady clock that only sleeping moves; `at` are things that happen at a time."""

    def __init__(self, at: dict[float, Callable[[], object]] | None = None) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._at = dict(at or {})

    def steady(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        for moment in [moment for moment in self._at if moment <= self.now]:
            self._at.pop(moment)()


@pytest.mark.parametrize(
    ("timeout_s", "pauses"),
    [(0.0, []), (0.5, [0.5]), (3.0, [1.0, 2.0]), (10.0, [1.0, 2.0, 4.0, 3.0]), (50.0, [1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 3.0])],
)
def test_lock_is_tried_again_after_ever_longer_pauses_up_to_the_timeout(store: Store, path: Path, timeout_s: float, pauses: list[float]) -> None:
    timer = Ticking()
    with Store(path, timer=timer) as other, pytest.raises(StateLocked), other.locked("apply", timeout_s):
        pass
    assert timer.slept == pauses


def test_lock_that_becomes_free_in_time_is_taken(store: Store, path: Path, rewrite: Callable[..., None]) -> None:
    timer = Ticking({5.0: lambda: rewrite(holder=None)})
    with Store(path, timer=timer) as other, other.locked("apply", 60) as lock:
        assert timer.slept == [1.0, 2.0, 4.0]
        assert lock.taken_from is None


def test_holder_that_beats_is_waited_for_however_long(store: Store, path: Path) -> None:
    timer = Ticking(dict.fromkeys(range(0, 2000, 60), store.beat))
    with Store(path, timer=timer) as other, pytest.raises(StateLocked), other.locked("apply", 2000):
        pass


def test_waiting_is_interrupted_at_once(store: Store, path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    timer = Ticking({1.0: interrupt})
    with Store(path, timer=timer) as other, pytest.raises(KeyboardInterrupt), other.locked("apply", 60):
        pass
    assert store.snapshot.holder() is not None


# Clocks that jump, pids that are given again


def test_heartbeat_from_the_future_is_not_stale(store: Store, path: Path, rewrite: Callable[..., None]) -> None:
    rewrite(heartbeat=time.time() + 86400)
    with Store(path) as other, pytest.raises(StateLocked), other.locked("apply"):
        pass


def test_heartbeat_from_the_future_does_not_hide_a_dead_holder(store: Store, path: Path, rewrite: Callable[..., None], dead_pid: int) -> None:
    rewrite(heartbeat=time.time() + 86400, pid=dead_pid)
    with Store(path) as other, other.locked("apply") as lock:
        assert lock.taken_from is not None


def test_silent_holder_is_found_by_the_steady_clock_when_the_wall_clock_was_set_back(store: Store, path: Path, rewrite: Callable[..., None]) -> None:
    rewrite(host="elsewhere")

    def yesterday() -> datetime:
        return now() - timedelta(days=1)

    timer = Ticking()
    with Store(path, yesterday, timer=timer) as other, other.locked("apply", 600) as lock:
        assert lock.taken_from is not None
        assert STALE_S < timer.now < STALE_S + 20


def test_clock_that_is_set_back_during_an_apply_loses_nothing(path: Path, new_run: Callable[..., Run]) -> None:
    moments = (now() - timedelta(hours=hour) for hour in range(10))
    with Store(path, lambda: next(moments)) as store, store.locked("apply"):
        store.intend(new_run(), {})
        store.beat()
        store.move(new_run(), Status.SUBMITTED, job_id="job-1")
        history = store.snapshot.history("local")
        assert [(event.serial, event.kind) for event in history] == [(1, "intended"), (2, "submitted")]
        assert history[0].at > history[1].at


def test_pid_that_was_given_to_another_process_is_a_dead_holder(store: Store, path: Path, rewrite: Callable[..., None]) -> None:
    mine = began(os.getpid())
    assert mine is not None
    assert mine.rpartition(" ")[0] == realm()
    rewrite(began=f"{realm()} 1")
    with Store(path) as other, other.locked("apply") as lock:
        assert lock.taken_from is not None
        assert lock.taken_from.endswith("whose process no longer runs.")


@pytest.mark.parametrize("elsewhere", ["another-boot pid:[4026531836]", "another container"])
def test_pid_of_another_boot_or_container_of_the_same_name_says_nothing(
    store: Store, path: Path, rewrite: Callable[..., None], dead_pid: int, elsewhere: str
) -> None:
    rewrite(began=f"{elsewhere} 17", pid=dead_pid)
    with Store(path) as other, pytest.raises(StateLocked), other.locked("apply"):
        pass


def test_holder_of_a_system_that_does_not_tell_when_a_process_began_is_judged_by_its_pid(
    store: Store, path: Path, rewrite: Callable[..., None], dead_pid: int
) -> None:
    rewrite(began=None)
    with Store(path) as other, pytest.raises(StateLocked), other.locked("apply"):
        pass
    rewrite(pid=dead_pid)
    with Store(path) as other, other.locked("apply") as lock:
        assert lock.taken_from is not None


# By force


def test_lock_is_taken_by_its_id_only(store: Store, path: Path, new_run: Callable[..., Run]) -> None:
    holder = store.snapshot.holder()
    assert holder is not None
    with Store(path) as other:
        with pytest.raises(Refused, match="has another ID than 123") as caught:
            other.unlock("123")
        assert holder.holder in caught.value.detail
        store.check_lock()
        assert other.unlock(holder.holder).startswith(holder.who)
        with pytest.raises(Refused, match="is not locked"):
            other.unlock(holder.holder)
    for write in (lambda: store.intend(new_run(), {}), store.check_lock, store.beat):
        with pytest.raises(StateLocked, match="was taken over") as stopped:
            write()
        assert "Its holder now: nobody." in stopped.value.detail


def test_writing_without_the_lock_is_refused(path: Path) -> None:
    with Store(path) as store, pytest.raises(StateLocked, match="written without its lock"):
        store.forget("local", "job.wine")
