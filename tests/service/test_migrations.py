"""A database of the first release opens in this one, with its jobs."""

import json
import sqlite3

from sqlite_utils.db import Database

from reconciler.service import moment
from reconciler.service.migrations import MIGRATIONS
from reconciler.service.store import Store


def test_a_database_of_the_first_release_keeps_its_jobs(tmp_path):
    path = tmp_path / "service.db"
    side = {"type": "fileSystem", "path": "/a.csv"}
    row = {
        "id": "a" * 24,
        "status": "INITIALIZING",
        "created": "2026-11-01T00:00:00.000000Z",
        "username": "me",
        "source": "Ad hoc API",
        "deployment_id": "d",
        "intake_type": "fileSystem",
        "output_type": "fileSystem",
        "output_place": "/b.csv",
        "spec": json.dumps({"batchJobType": "prediction", "intakeSettings": side, "outputSettings": side | {"path": "/b.csv"}}),
        "logs": json.dumps(["Job submitted"]),
        "request": "r",
    }
    old = sqlite3.connect(path, isolation_level=None)
    MIGRATIONS.apply(Database(old), stop_before="m002_resources")
    old.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
    old.close()
    store = Store(path, moment.now)
    try:
        job = store.get("a" * 24)
        assert job is not None
        assert (job.definition, job.ended, job.upload, job.is_queued, job.dataset_version_id) == (None, None, None, True, None)
        taken = store.take()
        assert taken is not None
        assert taken.id == job.id
    finally:
        store.close()
