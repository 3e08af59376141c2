"""service.db, opened once for all its tables. The rule here: one connection behind one lock, and every write is one `BEGIN IMMEDIATE`.

`sqlite_utils.Database.atomic()` is not used for writes: it opens a deferred transaction, which loses to a concurrent writer at once instead
of waiting for it.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils.db import Database as Migrated

from reconciler.errors import ServiceError
from reconciler.service.migrations import MIGRATIONS


class Database:
    def __init__(self, path: Path) -> None:
        self.connection = _opened(path)
        self.lock = threading.Lock()

    def close(self) -> None:
        with self.lock:
            self.connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            yield self.connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """On disk when the block is left; nothing of it when the block raises."""
        with self.lock:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                self.connection.rollback()
                raise


def _opened(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise ServiceError("The embedded service's database cannot be opened", f"{path}: {error}.") from error
    try:
        database = Migrated(connection)
        database.enable_wal()
        database.execute("PRAGMA synchronous = FULL")
        MIGRATIONS.apply(database)
    except sqlite3.Error as error:
        connection.close()
        raise ServiceError("The embedded service's database cannot be opened", f"{path}: {error}.") from error
    connection.row_factory = sqlite3.Row
    return connection
