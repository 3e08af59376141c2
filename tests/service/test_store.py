"""The store: immediate transactions under contention, durability settings, unlawful moves."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from reconciler.errors import ServiceError
from reconciler.service import moment
from reconciler.service.job import Caller, Counts, new_job
from reconciler.service.store import Store


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "service.db", moment.now)
    yield opened
    opened.close()


def job(folder, number):
    spec = {
        "batchJobType": "prediction",
        "intakeSettings": {"type": "fileSystem", "path": f"{folder}/{number}.csv"},
        "outputSettings": {"type": "fileSystem", "path": f"{folder}/{number}.out"},
    }
    return new_job(f"deployment-{number}", None, spec, Caller("me", "127.0.0.1"), moment.now())


def test_no_write_is_lost_under_contention_with_another_connection(store, tmp_path):
    other = sqlite3.connect(tmp_path / "service.db", timeout=30, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE noise (id INTEGER)")
    ready = threading.Barrier(5)

    def noise():
        ready.wait()
        for _ in range(20):
            other.execute("INSERT INTO noise VALUES (1)")

    def add(start):
        ready.wait()
        for number in range(start, start + 10):
            store.add(job(tmp_path, number), "request", f"key-{number}")

    with ThreadPoolExecutor(5) as pool:
        for future in [pool.submit(noise), *(pool.submit(add, start) for start in (0, 10, 20, 30))]:
            future.result()
    assert other.execute("SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM noise)").fetchone() == (40, 20)
    other.close()


def test_a_key_used_by_many_at_once_makes_one_job(store, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: store.add(job(tmp_path, number), "request", "one").id, range(16)))
    assert len(set(made)) == 1


def test_every_status_is_durable_before_it_is_seen(store):
    assert store._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert store._connection.execute("PRAGMA synchronous").fetchone()[0] == 2


def test_an_unlawful_move_changes_nothing(store, tmp_path):
    added = store.add(job(tmp_path, 1), "request", None)
    with pytest.raises(ServiceError, match="cannot change"):
        store.complete(added.id, Counts())
    assert store.get(added.id) == added


def test_a_migrated_database_opens_again_with_its_jobs(store, tmp_path):
    added = store.add(job(tmp_path, 1), "request", None)
    again = Store(tmp_path / "service.db", moment.now)
    assert again.get(added.id) == added
    again.close()
