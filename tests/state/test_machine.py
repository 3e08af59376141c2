"""The state through any life: runs that move, writes that fail, holders that end, die, sleep and wake up. What may never happen, never does.

More examples for a long run: RECONCILER_MACHINE_EXAMPLES=1000 pytest tests/state/test_machine.py
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from holding import new_run
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.errors import StateLocked, StateUnwritable
from reconciler.state.lifecycle import Status, is_lawful
from reconciler.state.lock import Lock
from reconciler.state.record import Event, Run
from reconciler.state.store import Store

EXAMPLES = int(os.environ.get("RECONCILER_MACHINE_EXAMPLES", "20"))
ADDRESSES = st.sampled_from(["job.a", "job.b", 'job.c["é"]'])
ANY = st.integers(0, 1000)


class Holder(NamedTuple):
    """A store whose lock is held, and the context that holds it."""

    store: Store
    context: AbstractContextManager[Lock]
    lock: Lock


class StateMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "state.db"
        self.before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = str(self.folder)
        self.numbers = count(1)
        self.runs: dict[str, Run] = {}
        self.current: dict[str, str | None] = {}  # the latest delivered run of every address that is known
        self.history: list[Event] = []
        self.issued: dict[str, str] = {}  # every job that the service made, with its run
        self.sleeping: list[Holder] = []
        self.dead: list[Holder] = []
        self.holder = self.take()

    def teardown(self) -> None:
        for holder in self.dead:
            with pytest.raises(sqlite3.ProgrammingError):  # its database is closed
                holder.context.__exit__(None, None, None)
        for holder in [*self.sleeping, self.holder]:
            holder.context.__exit__(None, None, None)
            holder.store.close()
        if self.before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = self.before
        shutil.rmtree(self.folder)

    # Holders

    def take(self) -> Holder:
        store = Store(self.path, patience_s=0)
        context = store.locked("test")
        lock = context.__enter__()
        self.check_recovery(store, lock)
        return Holder(store, context, lock)

    def check_recovery(self, store: Store, lock: Lock) -> None:
        """A job id that could not be recorded is with its run now, or its run has another story, and the history tells of the job."""
        history = store.snapshot.history("local")
        assert len(history) - len(self.history) == lock.replayed == len(lock.recovered)
        for run in store.snapshot.runs("local"):
            known = self.runs[run.id]
            if run != known:
                assert (known.status, run.status) == (Status.INTENDED, Status.SUBMITTED)
                assert self.issued[str(run.job_id)] == run.id
                self.runs[run.id] = run
        self.history += history[len(self.history) :]
        told = {run.job_id for run in self.runs.values()} | {event.detail.get("job_id") for event in history if event.kind == "stray"}
        assert self.issued.keys() <= told

    @rule()
    def end_and_begin_again(self) -> None:
        self.holder.context.__exit__(None, None, None)
        self.holder.store.close()
        self.holder = self.take()

    @rule()
    def die(self) -> None:
        """As a process dies: nothing is told, every file is closed."""
        journal = self.holder.store._journal
        assert journal is not None
        for file in journal._files.values():
            os.close(file._descriptor)
        journal._files.clear()
        self.holder.store._db.conn.close()
        self.dead.append(self.holder)
        self.by_hand("UPDATE lock SET began = 'another boot', heartbeat = 0")
        self.holder = self.take()
        assert self.holder.lock.taken_from is not None

    @rule()
    def fall_asleep(self) -> None:
        """Stopped, or a laptop that is closed: another takes over."""
        self.sleeping.append(self.holder)
        self.by_hand("UPDATE lock SET heartbeat = 0")
        self.holder = self.take()
        assert self.holder.lock.fence == self.sleeping[-1].lock.fence + 1

    @rule()
    def unlock(self) -> None:
        with Store(self.path) as other:
            other.unlock(self.holder.lock.holder)
        self.sleeping.append(self.holder)
        self.holder = self.take()

    @precondition(lambda self: self.sleeping and self.runs)
    @rule(which=ANY, run=ANY)
    def wake_up(self, which: int, run: int) -> None:
        """It goes on with what it knows, perhaps with an answer of the service, and the fence stops it."""
        store = self.sleeping[which % len(self.sleeping)].store
        chosen = self.pick(run)
        for write in (
            lambda: store.forget("local", chosen.address),
            lambda: store.intend(new_run("late"), {}),
            store.beat,
            store.check_lock,
            lambda: store.move(new_run(chosen.id, chosen.address), Status.SUBMITTED, job_id=self.job_of(chosen)),
        ):
            with pytest.raises(StateLocked):
                write()

    @rule()
    def another_begins(self) -> None:
        with Store(self.path) as other, pytest.raises(StateLocked), other.locked("test"):
            raise AssertionError("two hold the lock")

    @rule(number=st.integers(1, 5))
    def reserve(self, number: int) -> None:
        self.holder.store.reserve(number)

    # Runs

    def pick(self, number: int) -> Run:
        return list(self.runs.values())[number % len(self.runs)]

    def job_of(self, run: Run) -> str:
        job_id = f"job-{next(self.numbers)}"
        self.issued[job_id] = run.id
        return job_id

    @contextmanager
    def one_event(self) -> Iterator[None]:
        """What happens writes one line of history, with the holder's fence."""
        yield
        history = self.holder.store.snapshot.history("local")
        assert len(history) == len(self.history) + 1
        assert history[-1].fence == self.holder.lock.fence
        self.history.append(history[-1])

    @rule(address=ADDRESSES)
    def intend(self, address: str) -> None:
        run = new_run(f"{next(self.numbers):08}", address)
        with self.one_event():
            self.holder.store.intend(run, {})
        self.runs[run.id] = run
        self.current.setdefault(address, None)

    @precondition(lambda self: self.runs)
    @rule(run=ANY, status=st.sampled_from(Status))
    def move(self, run: int, status: Status) -> None:
        chosen = self.pick(run)
        if not is_lawful(chosen.status, status):
            with pytest.raises(ValueError, match="does not move"):
                self.holder.store.move(chosen, status)
            return
        facts = {"job_id": self.job_of(chosen)} if status is Status.SUBMITTED else {}
        with self.one_event():
            moved = self.runs[chosen.id] = self.holder.store.move(chosen, status, **facts)
        if status is Status.DELIVERED and moved.address in self.current:
            before = self.current[moved.address]
            if before is not None:
                self.runs[before] = Run(**{**vars(self.runs[before]), "superseded_by": moved.id})
            self.current[moved.address] = moved.id

    @precondition(lambda self: self.runs)
    @rule(run=ANY, status=st.sampled_from(Status))
    def move_in_trouble(self, run: int, status: Status) -> None:
        """A stranger holds the database: nothing is written, and a job id goes to the journal."""
        chosen = self.pick(run)
        if not is_lawful(chosen.status, status):
            return
        facts = {"job_id": self.job_of(chosen)} if status is Status.SUBMITTED else {}
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            with pytest.raises(StateUnwritable) as caught:
                self.holder.store.move(chosen, status, **facts)
        assert ("is safe in" in caught.value.detail) == bool(facts)

    @rule(address=ADDRESSES)
    def forget(self, address: str) -> None:
        with self.one_event():
            self.holder.store.forget("local", address)
        self.current.pop(address, None)

    @rule(statement=st.sampled_from(["UPDATE history SET kind = 'x'", "DELETE FROM history", "DELETE FROM runs"]))
    def rewrite(self, statement: str) -> None:
        if self.history:
            with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
                if "runs" not in statement or self.runs:
                    with pytest.raises(sqlite3.IntegrityError):
                        db.execute(statement)

    def by_hand(self, statement: str) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
            db.execute(statement)

    # Always

    @invariant()
    def history_only_grows(self) -> None:
        snapshot = self.holder.store.snapshot
        assert snapshot.history("local") == self.history
        assert [event.serial for event in self.history] == list(range(1, snapshot.serial + 1))

    @invariant()
    def runs_are_what_was_written(self) -> None:
        snapshot = self.holder.store.snapshot
        assert {run.id: run for run in snapshot.runs("local")} == self.runs

    @invariant()
    def every_address_has_one_current_run(self) -> None:
        snapshot = self.holder.store.snapshot
        recorded = {address: known.current and known.current.id for address, known in snapshot.recorded("local").items()}
        assert recorded == self.current

    @invariant()
    def no_two_runs_have_one_job(self) -> None:
        jobs = [run.job_id for run in self.runs.values() if run.job_id]
        assert len(jobs) == len(set(jobs))


StateMachine.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
TestStateMachine = StateMachine.TestCase
