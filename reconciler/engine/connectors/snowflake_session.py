"""A session with Snowflake: where it is, who asks, and what it says no to. The rule here: no message holds a secret, and nothing is asked for ever.

A data store is a JDBC URL as Snowflake's own driver reads it, `jdbc:snowflake://<account>.snowflakecomputing.com/?warehouse=..&db=..&schema=..&role=..`
(`ssl=off` and `account=` too), or the same as fields, with the host as `address`. Credentials: `basic`, `snowflake_key_pair_user_account`, `oauth` (a
token that the account trusts), `snowflake_oauth_user_account` (clientId and clientSecret, which oauthIssuerUrl, an endpoint for tokens, takes).
"""

import logging
import re
import socket
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import snowflake.connector
from cryptography.hazmat.primitives import serialization
from snowflake.connector.errors import (
    DataError,
    Error,
    ForbiddenError,
    HttpError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)

from reconciler.engine.connectors.patience import started, waited
from reconciler.engine.place import Fields, Place
from reconciler.errors import Lost, ScoringError

A = TypeVar("A")

_CLOUD = re.compile(r"\.snowflakecomputing\.(com|cn)$")
_LOGIN_S = 10
# The pauses before a request is sent again; after the last, the network is down. A statement itself may take as long as it takes.
_PAUSES_S = (1, 2, 4)
_PARAMETERS = {
    "CLIENT_TELEMETRY_ENABLED": False,
    "CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False,
    "QUERY_TAG": "reconciler",
    # Else each unloaded file has the smallest type that its own numbers need.
    "ENABLE_UNLOAD_PHYSICAL_TYPE_OPTIMIZATION": False,
    "CLIENT_RESULT_CHUNK_SIZE": 16,  # MB of rows that come at once, its smallest; the connector holds some, and 160 is usual
}

# What Snowflake's error numbers mean to a user: a summary, and what to do.
_REFUSED = "Snowflake refused the credential"
_MISSING = "Snowflake does not have that, or does not show it"
_TROUBLES: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        390100: (_REFUSED, "Correct the user or the password."),
        390101: (_REFUSED, "The user is disabled or locked. Ask the account's administrator."),
        390102: (_REFUSED, "The user is locked for now. Try again later, or ask the account's administrator."),
        390144: (_REFUSED, "The key pair does not belong to the user: set the user's RSA_PUBLIC_KEY, or correct privateKeyStr."),
        390303: (_REFUSED, "The OAuth token is not valid. Get another one."),
        390318: (_REFUSED, "The OAuth token has expired. Get another one."),
        390189: ("Snowflake does not know the role", "Correct the role of the data store, or grant it to the user."),
        390201: ("Snowflake does not know what the data store names", "Correct its warehouse, db or schema."),
        606: ("Snowflake has no warehouse to run this", "Set the data store's warehouse, and grant the role USAGE on it."),
        90105: ("Snowflake has no current database", "Set the data store's db, or the job's catalog."),
        90106: ("Snowflake has no current schema", "Set the data store's schema, or the job's schema."),
        2003: (_MISSING, "Correct its name, or grant the role access to it."),
        2043: (_MISSING, "Correct its name, or grant the role access to it."),
        904: ("Snowflake does not know a column", "Correct the query; a name that is not all upper case has to be in double quotes."),
        1003: ("Snowflake cannot read the statement", "Correct the query."),
        3001: ("The role may not do that", "Grant it the privilege that Snowflake names, or choose another role."),
        290403: ("Snowflake does not know the account", "Correct the account in the data store's URL."),
        290404: ("Snowflake does not know the account", "Correct the account in the data store's URL."),
        100072: ("A value is missing", "Nothing was written. Correct the rows, or let the column be null."),
    }
)
_UNREACHABLE = "Snowflake cannot be reached"
# What the connector raises for an answer; whatever else it raises, there was none.
_ANSWERS = (ProgrammingError, IntegrityError, DataError, NotSupportedError)
# Fields of a credential that may stand in a message.
_PUBLIC = {"credentialType", "user", "clientId", "oauthIssuerUrl", "oauthScopes"}


@dataclass(frozen=True)
class Address:
    """Where a data store is. `settings` are as Snowflake's driver calls them, in lower case."""

    host: str
    port: int
    settings: Mapping[str, str] = field(repr=False)

    @property
    def is_http(self) -> bool:
        return self.settings.get("ssl", "on").lower() in ("off", "false")

    @property
    def account(self) -> str:
        return self.settings.get("account") or _CLOUD.sub("", self.host)

    @property
    def name(self) -> str:
        return f"Snowflake at {self.host}:{self.port}"


class Session:
    """Use as a context manager, or close it. Every method raises ScoringError."""

    def __init__(self, place: Place) -> None:
        self.address = address(place.data_store)
        secrets = [*(value for name, value in place.credential.items() if name not in _PUBLIC), self.address.settings.get("password")]
        self._secrets = [value for value in secrets if isinstance(value, str) and value]
        self._lost: ScoringError | None = None
        logging.getLogger("snowflake.connector").setLevel(logging.CRITICAL)  # what it has to say is in its errors
        known = _login(self.address, place.credential)
        if not urllib.request.getproxies():
            self._check_reachable()
        self._is_halted = place.is_halted
        self._connection: Any = None
        self._connection = self.asked("log in", lambda: self._connected(known))

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if not self._lost:
            self._leave()

    def _leave(self) -> None:
        self._lost = ScoringError(_UNREACHABLE, f"{self.address.name}: the session is closed.")
        self._end()

    def _end(self) -> None:
        if self._connection:
            with suppress(Error, OSError):
                self._connection.close(retry=False)

    def run(self, statement: str, *values: str) -> int:
        """How many rows it changed."""
        return self.asked(statement, lambda: self.cursor().execute(statement, values or None).rowcount or 0)

    def commit(self) -> None:
        """An abort waits for what becomes of it."""
        self._is_halted = lambda: False
        self.run("COMMIT")

    def rows(self, query: str, *values: str) -> Sequence[Mapping[str, Any]]:
        """All of them; names are in upper case."""

        def found() -> Sequence[Mapping[str, Any]]:
            cursor = self.cursor().execute(query, values or None)
            names = [column.name.upper() for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        return self.asked(query, found)

    def answer(self, query: str, most: int) -> list[tuple[Any, ...]]:
        """Its first rows, whatever the names of their columns."""
        return self.asked(query, lambda: list(self.cursor().execute(query).fetchmany(most)))

    def cursor(self) -> Any:
        return self._connection.cursor()

    def asked(self, what: str, work: Callable[[], A]) -> A:
        """What the connector raises becomes a ScoringError; itself it is not kept, for its words may hold a secret. Raises Cancelled, too."""
        if self._lost:
            raise self._lost  # and is not asked again
        try:
            return waited(work, self._is_halted, self._leave)
        except (Error, OSError) as error:
            trouble = self._trouble(error, what)
        raise trouble

    def _trouble(self, error: Exception, what: str) -> ScoringError:
        number = getattr(error, "errno", None) or 0
        said = self._shown(getattr(error, "raw_msg", None) or getattr(error, "msg", None) or str(error))
        if isinstance(error, ForbiddenError | HttpError) and number not in _TROUBLES:
            number = 290403
        if number in _TROUBLES:
            summary, advice = _TROUBLES[number]
            return ScoringError(summary, f"{self.address.name}: {said}. {advice}")
        if isinstance(error, _ANSWERS):
            return ScoringError("Snowflake refused a statement", f"{self.address.name}: {said}. It was: {self._shown(what, 200)}.")
        self._lost = Lost(_UNREACHABLE, f"{self.address.name}: {said}. Check the network and the data store's URL.")
        started(self._end)  # which may wait for the line, and ends the thread that keeps the session alive
        return self._lost

    def _shown(self, text: str, size: int = 600) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "…")
        text = " ".join(text.split()).removesuffix(".")
        return text if len(text) <= size else f"{text[:size]}…"

    def _connected(self, known: Mapping[str, Any]) -> Any:
        connection = snowflake.connector.connect(
            account=self.address.account,
            host=self.address.host,
            port=self.address.port,
            protocol="http" if self.address.is_http else "https",
            warehouse=self.address.settings.get("warehouse"),
            database=self.address.settings.get("db") or self.address.settings.get("database"),
            schema=self.address.settings.get("schema"),
            role=self.address.settings.get("role"),
            login_timeout=_LOGIN_S,
            backoff_policy=self._pauses,
            client_prefetch_threads=2,
            client_session_keep_alive=True,  # between the first row and the last there may be hours
            platform_detection_timeout_seconds=0.0,
            log_imported_packages_in_telemetry=False,
            application="reconciler",
            paramstyle="qmark",
            session_parameters=_PARAMETERS,
            **known,
        )
        if self._lost:  # the job was aborted meanwhile, and nobody takes it
            connection.close(retry=False)
        return connection

    def _check_reachable(self) -> None:
        """The connector itself waits a minute for a host that does not answer."""
        try:
            socket.create_connection((self.address.host, self.address.port), timeout=_LOGIN_S).close()
        except OSError as error:
            detail = f"{self.address.name}: {error.strerror or error}. Check the account, the host and the port of the data store, and the network."
            raise Lost(_UNREACHABLE, detail) from error

    def _pauses(self) -> Iterator[int]:
        yield from _PAUSES_S
        raise OperationalError(f"It does not answer, and was asked {len(_PAUSES_S)} times")


def address(store: Fields) -> Address:
    """Raises ScoringError."""
    settings = {str(field.get("name") or field.get("id")).lower(): str(field.get("value") or "") for field in store.get("fields") or ()}
    url = str(store.get("jdbcUrl") or f"jdbc:snowflake://{settings.get('address') or settings.get('host') or ''}")
    split = urlsplit(url.removeprefix("jdbc:"))
    try:
        settings |= {name.lower(): value for name, value in parse_qsl(split.query)}
        host, port = split.hostname or "", split.port or int(settings.get("port") or 0)
    except ValueError:
        host, port = "", 0
    if split.scheme != "snowflake" or not host:
        detail = "Its jdbcUrl has to look like jdbc:snowflake://<account>.snowflakecomputing.com/?warehouse=…&db=…&schema=…."
        raise ScoringError("The data store is not Snowflake", detail)
    is_http = settings.get("ssl", "on").lower() in ("off", "false")
    return Address(unquote(host), port or (80 if is_http else 443), settings)


def _login(where: Address, credential: Fields) -> dict[str, Any]:
    """What the connector is told of who asks. Raises ScoringError."""
    if not credential and {"user", "password"} <= where.settings.keys():
        credential = {"credentialType": "basic", **where.settings}
    kind = str(credential.get("credentialType") or "")
    if not kind:
        raise ScoringError(
            "Snowflake needs a credential", f"{where.name}: name a credential (credential_id) with a user and a password, a key pair or OAuth."
        )
    if "configId" in credential:
        raise ScoringError(
            "The credential cannot be used", f"{where.name}: a shared secure configuration (configId) is not known here. Give the secrets."
        )
    if kind not in _LOGINS:
        raise ScoringError("The credential does not fit", f"{where.name} takes {', '.join(_LOGINS)}; the one named is of the type {kind}.")
    needed, login = _LOGINS[kind]
    if missing := [name for name in needed if not credential.get(name)]:
        raise ScoringError("The credential is not complete", f"{where.name}: a credential of the type {kind} needs {', '.join(missing)}.")
    return login(credential)


def _basic(credential: Fields) -> dict[str, Any]:
    return {"user": credential["user"], "password": credential["password"]}


def _key_pair(credential: Fields) -> dict[str, Any]:
    passphrase = credential.get("passphrase") or None
    try:
        key = serialization.load_pem_private_key(str(credential["privateKeyStr"]).encode(), passphrase.encode() if passphrase else None)
    except (ValueError, TypeError) as error:
        detail = "privateKeyStr is no private key in PEM, or the passphrase does not open it."
        raise ScoringError("The credential's key cannot be read", detail) from error
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {"user": credential["user"], "private_key": der, "authenticator": "SNOWFLAKE_JWT"}


def _token(credential: Fields) -> dict[str, Any]:
    return {"token": credential["token"], "authenticator": "oauth"}


def _client(credential: Fields) -> dict[str, Any]:
    scopes = credential.get("oauthScopes") or ""
    return {
        "authenticator": "OAUTH_CLIENT_CREDENTIALS",
        "oauth_client_id": credential["clientId"],
        "oauth_client_secret": credential["clientSecret"],
        "oauth_token_request_url": credential["oauthIssuerUrl"],
        "oauth_scope": scopes if isinstance(scopes, str) else " ".join(scopes),
    }


_LOGINS: Mapping[str, tuple[Sequence[str], Callable[[Fields], dict[str, Any]]]] = MappingProxyType(
    {
        "basic": (("user", "password"), _basic),
        "snowflake_key_pair_user_account": (("user", "privateKeyStr"), _key_pair),
        "oauth": (("token",), _token),
        "snowflake_oauth_user_account": (("clientId", "clientSecret", "oauthIssuerUrl"), _client),
    }
)
