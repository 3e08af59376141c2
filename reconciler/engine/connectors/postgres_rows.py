"""The rows of a query, from a PostgreSQL server. The rule here: a value becomes the Arrow type that holds it, and what has none becomes text."""

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from queue import Empty, Full, Queue
from threading import Event, Lock
from types import MappingProxyType
from typing import Any

import adbc_driver_manager
import adbc_driver_postgresql
import adbc_driver_postgresql.dbapi
import pyarrow as pa

from reconciler.engine.connectors.patience import is_over, started
from reconciler.engine.connectors.postgres_tables import FLAVOR
from reconciler.engine.connectors.postgresql import Server, Session, refusal, set_session
from reconciler.engine.flow import TICK
from reconciler.engine.intake import check_names
from reconciler.errors import Cancelled, ScoringError

_BATCH_BYTES = 2 << 20
_AHEAD = 3
_GRACE_S = 2.0

_PLAIN = "{}"
# PostgreSQL's infinite dates have no place in Arrow, where they would turn into others: they are missing.
_FINITE = "CASE WHEN pg_catalog.isfinite({0}) THEN {0} END"
_TEXT = "CAST({} AS text)"
# By a type's OID, which is the same on every server.
_READ_AS: Mapping[int, str] = MappingProxyType(
    {
        16: _PLAIN,  # bool
        17: _PLAIN,  # bytea
        20: _PLAIN,  # int8
        21: _PLAIN,  # int2
        23: _PLAIN,  # int4
        25: _PLAIN,  # text
        26: "CAST({} AS int8)",  # oid
        700: _PLAIN,  # float4
        701: _PLAIN,  # float8
        869: "pg_catalog.abbrev({})",  # inet
        790: "CAST(CAST({} AS numeric) AS float8)",  # money
        1042: _PLAIN,  # char(n)
        1043: _PLAIN,  # varchar
        1082: _FINITE,  # date
        1083: _PLAIN,  # time
        1114: _FINITE,  # timestamp
        1184: _FINITE,  # timestamptz
        1700: "CAST({} AS float8)",  # numeric
    }
)


def readable(session: Session, name: str, query: str) -> str:
    """The query around the user's that gives each column as Arrow can take it. Raises ScoringError for what cannot be read, and for no columns."""
    described = session.described(f"SELECT * FROM (\n{query}\n) AS q LIMIT 0")
    check_names(name, [column for column, _ in described])
    if not described:
        raise ScoringError("The intake has no columns", f"{session.server.name}: {name} gives none.")
    said = [(FLAVOR.quoted(column), _READ_AS.get(kind, _TEXT).format(f"q.{FLAVOR.quoted(column)}")) for column, kind in described]
    return f"SELECT {', '.join(f'{value} AS {column}' for column, value in said)} FROM (\n{query}\n) AS q"


class Reading:
    """One query, in a read-only transaction of its own, a little ahead of who takes its batches. `close` ends it, wherever it is."""

    def __init__(self, server: Server, query: str) -> None:
        self._server = server
        self._query = query
        self._left = Event()
        self._ready: Queue[Any] = Queue(_AHEAD)  # the schema, batches, an error, None at the end
        self._open = OpenCursor()
        self._thread: Future[None] = started(self._run)

    def schema(self, is_halted: Callable[[], bool]) -> pa.Schema:
        return self._next(is_halted)

    def batches(self, is_halted: Callable[[], bool]) -> Iterator[pa.RecordBatch]:
        while (batch := self._next(is_halted)) is not None:
            yield batch

    def close(self) -> None:
        self._left.set()
        if not is_over(self._thread, 0):
            started(self._open.cancel)
            is_over(self._thread, _GRACE_S)

    def _next(self, is_halted: Callable[[], bool]) -> Any:
        while True:
            try:
                item = self._ready.get(timeout=TICK)
            except Empty:
                if is_halted():
                    self.close()
                    raise Cancelled("The job was aborted") from None
                continue
            if isinstance(item, BaseException):
                raise item
            return item

    def _run(self) -> None:
        try:
            with closing(adbc_driver_postgresql.dbapi.connect(self._server.conninfo)) as connection, closing(connection.cursor()) as cursor:
                cursor.adbc_statement.set_options(**{adbc_driver_postgresql.StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)})
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                cursor.execute(set_session(self._server))
                cursor.fetchall()
                with self._open.held(cursor):
                    self._read(cursor)
            self._put(None)
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            self._put(adbc_refusal(self._server.name, error, "The intake cannot be read"))
        except BaseException as error:
            self._put(error)

    def _read(self, cursor: Any) -> None:
        cursor.execute(self._query)
        with closing(cursor.fetch_record_batch()) as reader:
            names = reader.schema.names
            self._put(pa.schema(list(zip(names, reader.schema.types, strict=True))))
            for batch in reader:
                self._put(pa.RecordBatch.from_arrays(batch.columns, names=names))

    def _put(self, item: Any) -> None:
        while not self._left.is_set():
            with suppress(Full):
                self._ready.put(item, timeout=TICK)
                return
        if not isinstance(item, BaseException):
            raise Cancelled("The job was aborted")


class OpenCursor:
    """A cursor of ADBC's that another thread may cancel for as long as it is open: one that is closed must not be."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._cursor: Any = None

    @contextmanager
    def held(self, cursor: Any) -> Iterator[None]:
        self._set(cursor)
        try:
            yield
        finally:
            self._set(None)

    def cancel(self) -> None:
        with self._lock, suppress(adbc_driver_manager.Error):
            if self._cursor is not None:
                self._cursor.adbc_cancel()

    def _set(self, cursor: Any) -> None:
        with self._lock:
            self._cursor = cursor


_SAID = re.compile(r"(?:ERROR|FATAL|PANIC):\s+(?P<words>.*)", re.DOTALL)


def adbc_refusal(name: str, error: BaseException, summary: str) -> ScoringError:
    """ADBC repeats the query behind what the server said; that is left out."""
    text = str(error).partition("\nQuery was")[0].partition(" SQLSTATE:")[0]
    found = _SAID.search(text)
    state = getattr(error, "sqlstate", None) or ("57P01" if "terminating connection" in text else None) or ("08006" if _is_cut(text) else None)
    return refusal(name, RuntimeError(found["words"] if found else text), summary, state)


def _is_cut(text: str) -> bool:
    return any(words in text for words in ("server closed the connection", "could not receive data", "SSL SYSCALL", "no connection to the server"))
