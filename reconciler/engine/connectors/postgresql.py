"""A session with a PostgreSQL server. The rule here: it speaks UTC, it gives up on a dead line, and an abort ends whatever it waits for.

SQLSTATEs: PostgreSQL's documentation, appendix A.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from reconciler.engine.connectors.jdbc_url import SEARCH_PATH, Parameters, parameters
from reconciler.engine.connectors.patience import waited
from reconciler.engine.place import Place
from reconciler.errors import Cancelled, Lost, ScoringError

# A line is dead after a minute in which nothing was answered; of a server that is down a job hears sooner.
_LINE: Mapping[str, str] = MappingProxyType(
    {
        "client_encoding": "UTF8",
        "connect_timeout": "8",
        "keepalives_idle": "20",
        "keepalives_interval": "10",
        "keepalives_count": "3",
        "tcp_user_timeout": "60000",
    }
)
# Values as text are the same whatever the server's or the role's own settings are; and what is committed is on the disk.
_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "TimeZone": "UTC",
        "DateStyle": "ISO",
        "IntervalStyle": "postgres",
        "bytea_output": "hex",
        "extra_float_digits": "1",
        "synchronous_commit": "on",
    }
)
_CANCEL_S = 2.0
_PASSING = ("08", "40")  # SQLSTATEs of a line that broke, and of transactions in each other's way

# What to do, by SQLSTATE or by its first two characters.
_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "28": "Name a credential, or correct its user or password.",
        "3D000": "Correct the database in the data store.",
        "3F000": "Correct the schema.",
        "42501": "Grant the role what is missing; an output also needs CREATE on the schema of its table, where it stages its rows.",
        "42P01": "Names are taken as they are written, upper and lower case too: correct the table or its schema.",
        "42703": "Names are taken as they are written, upper and lower case too: correct the column.",
        "42601": "Correct the query; it is one statement.",
        "42804": "Give the column another type, or drop it by column_names_remapping.",
        "42846": "Give the column another type, or drop it by column_names_remapping.",
        "25006": "A query only reads: nothing may be changed by it.",
        "55P03": "Somebody else holds a lock on the table; try again when it is free.",
        "57014": "The server ended it: see its statement_timeout.",
        "53": "The server lacks what it needs: see its disk, its memory and its limit of connections.",
        "57P": "The server went down, or an administrator ended the session. Try again.",
        "08": "The connection was lost. Try again.",
        "23": "Nothing was written. Correct the rows, or the rules of the table.",
        "22": "Correct the value, or give the column another type.",
    }
)
# What is said while a session begins has no SQLSTATE in libpq: these words of its own and of the server's stand for one.
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "password authentication failed": "28P01",
        "no password supplied": "28P01",
        "pg_hba.conf": "28000",
        "does not exist": "3D000",
    }
)


@dataclass(frozen=True)
class Server:
    """Where, and as whom. `name` is how a message calls it; `settings` are of the session."""

    name: str
    conninfo: str = field(repr=False)
    settings: Mapping[str, str]


def server(place: Place) -> Server:
    """Raises ScoringError for a data store or a credential that cannot be used."""
    given: Parameters = dict(_LINE) | {"application_name": "reconciler"} | parameters(place.data_store, place.credential)
    settings = dict(_SETTINGS)
    if path := given.pop(SEARCH_PATH, ""):
        settings[SEARCH_PATH] = path
    hosts = ",".join(f"{host}:{port}" for host, port in zip(given["host"].split(","), given["port"].split(","), strict=True))
    return Server(f"PostgreSQL at {hosts}/{given.get('dbname', '')}", make_conninfo(**given), settings)


def set_session(found: Server) -> str:
    """One statement that makes a session ours."""
    return "SELECT " + ", ".join(f"set_config({_text(name)}, {_text(value)}, false)" for name, value in found.settings.items())


def _text(value: str) -> str:
    return psycopg.sql.Literal(value).as_string(None)


@contextmanager
def opened(place: Place) -> Iterator["Session"]:
    """A session in which whatever the server refuses is a ScoringError."""
    name = server(place).name
    with refusals(name, "The database cannot be reached"):
        session = Session(place)
    with session, refusals(name):
        yield session


class Session:
    """Commits what it is told at once, but for what is told in a `transaction`. Raises psycopg.Error, and Cancelled."""

    def __init__(self, place: Place) -> None:
        self.server = server(place)
        self._is_halted = place.is_halted
        self._connection: psycopg.Connection[Any] | None = None
        self._is_left = False
        self._connection = waited(self._connect, self._is_halted, self._leave)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of the answer."""

        def answer() -> list[tuple[Any, ...]]:
            cursor = self._open.execute(statement, values or None)
            return list(cursor.fetchall()) if cursor.description else []

        return waited(answer, self._is_halted, self._cancel)

    def described(self, query: str) -> list[tuple[str, int]]:
        """The name and the type (its OID) of each column that the query gives. It is one statement."""

        def answer() -> list[tuple[str, int]]:
            # In binary, the protocol takes one statement only.
            cursor = self._open.cursor(binary=True).execute(query)
            return [(column.name, column.type_code) for column in cursor.description or ()]

        return waited(answer, self._is_halted, self._cancel)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """An abort ends it, but for its commit: what became of that must be known."""
        self.run("BEGIN")
        try:
            yield
        except BaseException:
            with suppress(Cancelled, psycopg.Error):
                self.run("ROLLBACK")
            raise
        self._open.execute("COMMIT")

    @property
    def _open(self) -> psycopg.Connection[Any]:
        assert self._connection is not None
        return self._connection

    def _connect(self) -> psycopg.Connection[Any]:
        connection: psycopg.Connection[Any] = psycopg.connect(self.server.conninfo, autocommit=True, prepare_threshold=None)
        connection.execute(set_session(self.server))
        if self._is_left:
            connection.close()
        return connection

    def _cancel(self) -> None:
        self._open.cancel_safe(timeout=_CANCEL_S)

    def _leave(self) -> None:
        self._is_left = True
        if self._connection:
            self._connection.close()


@contextmanager
def refusals(name: str, summary: str = "The database refuses") -> Iterator[None]:
    """Turns what psycopg raises into a ScoringError that names the server."""
    try:
        yield
    except psycopg.Error as error:
        raise refusal(name, error, summary) from None


def refusal(name: str, error: BaseException, summary: str = "The database refuses", state: str | None = None) -> ScoringError:
    """PostgreSQL's own words, and what to do; Lost where another try may go well. Neither it nor libpq puts a password into them."""
    diagnosis = error.diag if isinstance(error, psycopg.Error) else None
    primary = diagnosis and diagnosis.message_primary
    said = ". ".join(part for part in (primary, diagnosis and diagnosis.message_detail) if part) if primary else str(error)
    state = state or getattr(error, "sqlstate", None) or ""
    if not state and isinstance(error, psycopg.OperationalError):
        state = next((known for words, known in _WORDS.items() if words in said), "")
    if state.startswith("28"):
        summary = "The database refuses the login"
    advice = next((_ADVICE[key] for key in (state, state[:3], state[:2]) if key in _ADVICE), "")
    is_lost = state[:2] in _PASSING or state[:3] == "57P" or (not state and isinstance(error, psycopg.OperationalError))
    return (Lost if is_lost else ScoringError)(summary, f"{name}: {' '.join(said.split()).rstrip('.')}. {advice}".rstrip())
