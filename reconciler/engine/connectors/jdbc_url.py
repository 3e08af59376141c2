"""Where a data store says a PostgreSQL server is. The rule here: a parameter is passed on in libpq's words, or refused by its name; none is dropped.

Parameters: pgjdbc's "Initializing the Driver", and libpq's "Parameter Key Words".
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from reconciler.engine.place import Fields
from reconciler.errors import ScoringError

Parameters = dict[str, str]

SEARCH_PATH = "search_path"  # the one that is no parameter of libpq's, but a setting of the session

# URLs of other systems, by what follows `jdbc:`, and the type that serves them.
_ELSEWHERE: Mapping[str, str] = MappingProxyType({"snowflake": "snowflake", "sqlserver": "synapse"})

_SESSIONS: Mapping[str, str] = MappingProxyType(
    {"master": "primary", "secondary": "standby", "slave": "standby", "prefersecondary": "prefer-standby", "preferslave": "prefer-standby"}
)


def _same(name: str) -> Callable[[str], Parameters]:
    return lambda value: {name: value}


def _flag(name: str, on: str) -> Callable[[str], Parameters]:
    return lambda value: {name: on} if value.lower() in ("true", "") else {}


_PARAMETERS: Mapping[str, Callable[[str], Parameters]] = MappingProxyType(
    {
        "user": _same("user"),
        "password": _same("password"),
        "currentSchema": _same(SEARCH_PATH),
        "ssl": _flag("sslmode", "verify-full"),
        "sslmode": _same("sslmode"),
        "sslcert": _same("sslcert"),
        "sslkey": _same("sslkey"),
        "sslrootcert": _same("sslrootcert"),
        "sslpassword": _same("sslpassword"),
        "sslNegotiation": _same("sslnegotiation"),
        "channelBinding": _same("channel_binding"),
        "requireAuth": _same("require_auth"),
        "gssEncMode": lambda value: {"gssencmode": value.lower()},
        "kerberosServerName": _same("krbsrvname"),
        "ApplicationName": _same("application_name"),
        "connectTimeout": _same("connect_timeout"),
        "loginTimeout": _same("connect_timeout"),
        "tcpKeepAlive": lambda value: {"keepalives": str(int(value.lower() == "true"))},
        "targetServerType": lambda value: {"target_session_attrs": _SESSIONS.get(value.lower(), value)},
        "loadBalanceHosts": _flag("load_balance_hosts", "random"),
        "options": _same("options"),
    }
)
_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "address": "host",
        "host": "host",
        "hostname": "host",
        "server": "host",
        "port": "port",
        "database": "dbname",
        "dbname": "dbname",
        "db": "dbname",
    }
)
_URL = re.compile(r"jdbc:postgresql:(?://(?P<hosts>[^/?]*)/?)?(?P<database>[^?]*)(?:\?(?P<query>.*))?", re.DOTALL)
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>\d+))?")


def parameters(data_store: Fields, credential: Fields) -> Parameters:
    """libpq's parameters, and SEARCH_PATH. A credential wins over what the data store says. Raises ScoringError."""
    found = _of_url(str(data_store["jdbcUrl"])) if data_store.get("jdbcUrl") else _of_fields(data_store.get("fields") or ())
    return found | _of_credential(credential)


def _of_url(url: str) -> Parameters:
    """Nothing of the URL stands in an error but its scheme and the names of its parameters: a password may be anywhere in it."""
    scheme = re.match(r"jdbc:(\w+)", url)
    system = scheme[1].lower() if scheme else "something else"
    if system in _ELSEWHERE:
        detail = f"Its jdbcUrl is of {system}: use the type {_ELSEWHERE[system]} with the same data store."
        raise ScoringError("The data store is of another system", detail)
    found = _URL.fullmatch(url)
    if not found:
        detail = f"The type jdbc serves PostgreSQL, jdbc:postgresql://host:port/database; the data store's jdbcUrl is of {system}."
        raise ScoringError("The data store is of another system", detail)
    return _hosts(found["hosts"] or "") | ({"dbname": unquote_plus(found["database"])} if found["database"] else {}) | _query(found["query"] or "")


def _hosts(text: str) -> Parameters:
    pairs = [_HOST.fullmatch(part) for part in text.split(",")]
    if None in pairs:
        raise ScoringError("The data store cannot be read", "Its jdbcUrl names no host and port: it is jdbc:postgresql://host:port/database.")
    hosts = [(pair["host"].strip("[]") or "localhost", pair["port"] or "5432") for pair in pairs if pair]
    return {"host": ",".join(host for host, _ in hosts), "port": ",".join(port for _, port in hosts)}


def _query(text: str) -> Parameters:
    given = parse_qsl(text, keep_blank_values=True)
    if unknown := [name for name, _ in given if name not in _PARAMETERS]:
        detail = f"Its jdbcUrl has {', '.join(unknown)}, which means nothing here: remove it. Served are {', '.join(_PARAMETERS)}."
        raise ScoringError("The data store has unknown parameters", detail)
    found: Parameters = {}
    for name, value in sorted(given, key=lambda pair: pair[0] != "ssl"):  # sslmode says it more exactly
        found |= _PARAMETERS[name](value)
    return found


def _of_fields(fields: Any) -> Parameters:
    """`[{"id": …, "name": …, "value": …}]`: the address, the port and the database, each known by its id or by its name."""
    found: Parameters = {}
    for field in fields:
        for word in (field.get("id"), field.get("name")):
            if name := _FIELDS.get(str(word).lower().rpartition(".")[2]):
                found[name] = str(field.get("value"))
    if "host" not in found:
        detail = "It has neither a jdbcUrl, jdbc:postgresql://host:port/database, nor fields with an address, a port and a database."
        raise ScoringError("The data store cannot be read", detail)
    address = _hosts(found["host"] if re.search(r":\d+$", found["host"]) else f"{found['host']}:{found.get('port', 5432)}")
    return found | address


def _of_credential(credential: Fields) -> Parameters:
    if not credential:
        return {}
    if credential.get("credentialType", "basic") != "basic":
        detail = f"PostgreSQL takes one of the type basic, a user and a password; this one is {credential['credentialType']}."
        raise ScoringError("The credential is of another type", detail)
    return {name: str(credential[name]) for name in ("user", "password") if credential.get(name) is not None}
