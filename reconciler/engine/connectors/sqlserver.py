"""A session with SQL Server or Synapse, by Microsoft's own driver. The rule here: what the server says is passed on, but for secrets.

Every statement is committed at once, but for those between BEGIN and COMMIT. Connection properties: Microsoft's "Setting the connection properties"
(JDBC) and "DSN and Connection String Keywords and Attributes" (ODBC).
"""

import re
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, TypeVar

import mssql_python
import pyarrow as pa

from reconciler.engine.connectors.patience import waited
from reconciler.engine.place import Fields, Place
from reconciler.errors import Lost, ScoringError

A = TypeVar("A")

mssql_python.pooling(enabled=False)  # else a connection that broke is handed out again

_PORT = "1433"
_LOGIN_S = 8
_LOAD_S = 600  # for one bulk copy of ROWS
_READ_ROWS = 16_384

# What JDBC calls it, in lower case, and what ODBC does.
_PROPERTIES: Mapping[str, str] = MappingProxyType(
    {
        "database": "Database",
        "databasename": "Database",
        "user": "UID",
        "username": "UID",
        "password": "PWD",
        "encrypt": "Encrypt",
        "trustservercertificate": "TrustServerCertificate",
        "hostnameincertificate": "HostnameInCertificate",
        "multisubnetfailover": "MultiSubnetFailover",
        "applicationintent": "ApplicationIntent",
        "servername": "host",
        "server": "host",
        "port": "port",
        "portnumber": "port",
    }
)
# Of these nothing depends on what is sent.
_IGNORED = {"logintimeout", "applicationname", "sslprotocol", "sendstringparametersasunicode", "lastupdatecount"}
_FIELDS = {"address": "host", "host": "host", "hostname": "host", "db": "Database", "dbname": "Database"}
_FLAGS = {"true": "yes", "false": "no"}
_URL = re.compile(r"jdbc:sqlserver://(?P<host>[^;:\\]*)(?P<instance>\\[^;:]*)?(?::(?P<port>\d+))?(?P<rest>(?:;.*)?)", re.DOTALL)
_PROPERTY = re.compile(r";\s*(?:([^=;]+?)\s*=\s*(\{(?:[^}]|\}\})*\}|[^;]*))?")

_UNREACHABLE = "The database cannot be reached"
# What the server or the driver says, and what to do about it.
_TROUBLES: Sequence[tuple[str, str, str]] = (
    (r"load the driver|libltdl|libodbc", "The driver cannot be loaded", "It needs libltdl: apt-get install libltdl7."),
    (r"Login failed for", "The credential is refused", "Correct the credential's user or password."),
    (r"Cannot open database", "The database does not exist", "Correct the database in the data store, or let the user in."),
    (r"Invalid object name", "The table does not exist", "Correct the table or its schema."),
    (r"Invalid column name", "The column does not exist", "Correct the column."),
    (r"permission|not authorized", "The database refuses", "Grant the user what is missing."),
    (
        r"[Cc]ertificate|SSL Provider",
        "The server is not trusted",
        "Set trustServerCertificate=true in the data store, or trust its certificate here.",
    ),
    (
        r"external location|storage account|External file access",
        "The storage account refuses",
        "Correct the storage credential or the data source's.",
    ),
    (r"TCP Provider|timeout expired|Communication link|[Cc]onnection|TDS|closed|broken pipe|reset", _UNREACHABLE, "Try again."),
)
_NAMES = re.compile(r"'[^']*'|\"[^\"]*\"")  # a table may be called closed_connections
_SECRET = re.compile(r"(SECRET|PWD|Password)(\s*=\s*)(N?'(?:[^']|'')*'|\{(?:[^}]|\}\})*\}|[^;,\s)]+)", re.IGNORECASE)


class Session:
    """Raises ScoringError, from every method. `secrets` are what its messages never hold, whoever says them."""

    def __init__(self, place: Place, secrets: Sequence[str] = ()) -> None:
        properties = _properties(place.data_store, place.credential)
        self.name = f"SQL Server at {properties['host']}:{properties.get('port', _PORT)}/{properties.get('Database', '')}"
        self._secrets = [secret for secret in (properties.get("PWD"), *secrets) if secret]
        self._is_halted = place.is_halted
        self._lock = threading.Lock()
        self._is_busy = self._is_left = False
        self._statement: Any = None
        self._connection: Any = None
        with self._refusals():
            self._connection = self._waited(lambda: mssql_python.connect(_connection_string(properties), autocommit=True, timeout=_LOGIN_S))

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """At once, or when the driver comes back: a connection must not be closed under it."""
        with self._lock:
            self._is_left = True
            if not self._is_busy:
                self._end()

    def run(self, statement: str, *values: Any, limit: int | None = None) -> list[tuple[Any, ...]]:
        """All rows of the answer, or the first ones."""

        def answer() -> list[tuple[Any, ...]]:
            with self._cursor() as cursor:
                cursor.execute(statement, *values)
                if not cursor.description:
                    return []
                return [tuple(row) for row in (cursor.fetchall() if limit is None else cursor.fetchmany(limit))]

        return self._told(answer)

    def change(self, statement: str) -> int:
        """How many rows it touched; -1 when the server does not say."""

        def touched() -> int:
            with self._cursor() as cursor:
                return int(cursor.execute(statement).rowcount)

        return self._told(touched)

    def schema(self, table: str) -> pa.Schema:
        def shape() -> pa.Schema:
            with self._cursor() as cursor:
                return cursor.execute(f"SELECT TOP 0 * FROM {table}").arrow_batch(0).schema

        return self._told(shape)

    def read(self, query: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """What the query answers, as the driver types it."""
        batches = self._batches(query)
        first = self._told(lambda: next(batches))
        return first.schema, iter(lambda: self._told(lambda: next(batches, None)), None)

    def load(self, table: str, rows: pa.Table) -> None:
        """Bulk copies into the columns of these names, on a connection of its own."""

        def copy() -> None:
            with self._cursor() as cursor:
                cursor.bulkcopy_arrow(table, rows, timeout=_LOAD_S, column_mappings=rows.column_names, keep_nulls=True, table_lock=True)

        self._told(copy)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Isolation as the database has it; no DDL in it, a dedicated pool refuses that. An abort waits for what becomes of the COMMIT."""
        self.run("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            with suppress(ScoringError):
                self.run("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
            raise
        self._is_halted = lambda: False
        self.run("COMMIT TRANSACTION")

    def exists(self, table: str) -> bool:
        """`table` is quoted and qualified."""
        return self.run("SELECT OBJECT_ID(?)", table)[0][0] is not None

    def _batches(self, query: str) -> Generator[pa.RecordBatch, None, None]:
        """The first one has no rows."""
        with self._cursor() as cursor:
            cursor.execute(query)
            if not cursor.description:
                raise ScoringError("The query answers no rows", f"{self.name}: it is not one that selects. Correct the query.")
            with cursor.arrow_reader(_READ_ROWS) as reader:
                yield pa.RecordBatch.from_pylist([], reader.schema)
                yield from reader

    def _told(self, work: Callable[[], A]) -> A:
        """What `work` gives. Raises Cancelled once the job is aborted: the server is asked to stop, and nothing more can be done here."""
        if self._is_left:
            raise ScoringError("The connection is closed", f"{self.name}: the job was aborted.")
        with self._refusals():
            return self._waited(work)

    def _waited(self, work: Callable[[], A]) -> A:
        def step() -> A:
            try:
                return work()
            finally:
                with self._lock:
                    self._is_busy = False
                    if self._is_left:
                        self._end()

        self._is_busy = True
        return waited(step, self._is_halted, self._cancel)

    def _cancel(self) -> None:
        self.close()
        with suppress(Exception):  # the statement is over
            self._statement.hstmt._cancel()  # SQLCancel; the driver has no public name for it

    def _end(self) -> None:
        with suppress(mssql_python.Error, RuntimeError, AttributeError):
            self._connection.close()

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        self._statement = cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            self._statement = None
            with suppress(mssql_python.Error, RuntimeError):
                cursor.close()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """The driver's errors in our words; it has seen the connection string and the statement, so nothing is said but what is scrubbed."""
        try:
            yield
        except (mssql_python.Error, mssql_python.exceptions.ConnectionStringParseError, RuntimeError, pa.ArrowException) as error:
            trouble = self._refusal(error)
        else:
            return
        raise trouble

    def _refusal(self, error: Exception) -> ScoringError:
        said = " ".join(str(getattr(error, "ddbc_error", None) or error).split())
        said = _SECRET.sub(r"\1\2…", re.sub(r"\[(Microsoft|SQL Server|ODBC Driver[^\]]*)\]", "", said))
        for secret in self._secrets:
            said = said.replace(secret, "…").replace(secret.replace("'", "''"), "…")
        words = _NAMES.sub("", said)
        found = next(((summary, advice) for pattern, summary, advice in _TROUBLES if re.search(pattern, words)), ("The database refuses", ""))
        summary, advice = found
        return (Lost if summary == _UNREACHABLE else ScoringError)(summary, f"{self.name}: {said.strip().rstrip('.')}. {advice}".rstrip())


def quoted(name: str) -> str:
    return "[" + name.replace("]", "]]") + "]"


def literal(value: str) -> str:
    return "N'" + value.replace("'", "''") + "'"


def _properties(data_store: Fields, credential: Fields) -> dict[str, str]:
    """ODBC's keywords, and `host` and `port`. A credential wins over what the data store says. Raises ScoringError, without a value."""
    given = _of_url(str(data_store["jdbcUrl"])) if data_store.get("jdbcUrl") else _of_fields(data_store.get("fields") or ())
    found: dict[str, str] = {}
    for name, value in given:
        key = name.strip().lower()
        if key in _IGNORED:
            continue
        keyword = _PROPERTIES.get(key) or _FIELDS.get(key)
        if keyword is None:
            served = ", ".join(sorted({*_PROPERTIES} - {"user", "username", "password"}))
            raise ScoringError("The data store has unknown properties", f"It has {name}, which means nothing here: remove it. Served are {served}.")
        found[keyword] = _FLAGS.get(value.lower(), value) if keyword in ("Encrypt", "TrustServerCertificate", "MultiSubnetFailover") else value
    if not found.get("host"):
        detail = "It has neither a jdbcUrl, jdbc:sqlserver://host:1433;database=name, nor fields with an address and a database."
        raise ScoringError("The data store cannot be read", detail)
    if credential and credential.get("credentialType", "basic") != "basic":
        detail = f"Synapse takes one of the type basic, a user and a password; this one is {credential['credentialType']}."
        raise ScoringError("The credential is of another type", detail)
    return found | {keyword: str(credential[name]) for name, keyword in (("user", "UID"), ("password", "PWD")) if credential.get(name) is not None}


def _of_url(url: str) -> list[tuple[str, str]]:
    found = _URL.fullmatch(url)
    if not found:
        raise ScoringError("The data store is of another system", "The type synapse needs a jdbcUrl as jdbc:sqlserver://host:1433;database=name.")
    given = [(name, _unbraced(value)) for name, value in _PROPERTY.findall(found["rest"]) if name]
    has_port = found["port"] or any(_PROPERTIES.get(name.lower()) == "port" for name, _ in given)
    if found["instance"] and not has_port:  # beside a port, an instance says nothing: so does Microsoft's own driver
        raise ScoringError("The data store cannot be read", "Its jdbcUrl names an instance and no port. Name the port: jdbc:sqlserver://host:1433.")
    return [("serverName", found["host"]), *([("portNumber", found["port"])] if found["port"] else []), *given]


def _of_fields(fields: Any) -> list[tuple[str, str]]:
    """`[{"id": …, "name": …, "value": …}]`, each known by its id or by its name."""
    given = []
    for field in fields:
        words = [str(field.get(word) or "").rpartition(".")[2] for word in ("id", "name")]
        known = next((word for word in words if word.lower() in _PROPERTIES or word.lower() in _FIELDS), None)
        value = str(field.get("value") or "")
        if known and _FIELDS.get(known.lower()) == "host" and (address := re.fullmatch(r"(.+):(\d+)", value)):
            given += [("host", address[1]), ("port", address[2])]
        elif known and value:
            given.append((known, value))
    return given


def _unbraced(value: str) -> str:
    return value[1:-1].replace("}}", "}") if value.startswith("{") else value.strip()


def _connection_string(properties: Mapping[str, str]) -> str:
    server = f"tcp:{properties['host']},{properties.get('port', _PORT)}"
    given = {"Server": server, "Encrypt": "yes", "ConnectRetryCount": "0"}
    given |= {keyword: value for keyword, value in properties.items() if keyword not in ("host", "port")}
    return ";".join(f"{keyword}={{{value.replace('}', '}}')}}}" for keyword, value in given.items())
