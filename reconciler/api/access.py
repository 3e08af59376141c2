"""Where the Batch Prediction API is, and who asks. The rule here: endpoint and token come from one source, and the token is never shown."""

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from reconciler.errors import Refused

OFFICIAL = "datarobot"  # as an endpoint: where the official client would connect
_ENVIRONMENT = "DATAROBOT_ENDPOINT and DATAROBOT_API_TOKEN"
_REFERENCE = re.compile(r"\$\{env\.([\w-]+)\}")
_SCHEMES: Mapping[str, Literal["Token", "Bearer"]] = {"token": "Token", "bearer": "Bearer"}
_PORTS = {"http": 80, "https": 443}
_FALSE = ("no", "No", "0", "false", "False")  # as the official client reads DATAROBOT_SSL_VERIFY


@dataclass(frozen=True)
class Access:
    """`verify` is whether the server's certificate is checked, or the file of the authorities to check it against. Raises Refused."""

    endpoint: str
    token: str = field(default="", repr=False)
    scheme: Literal["Token", "Bearer"] = "Token"
    verify: bool | str = True
    connect_s: float = 6.05
    read_s: float = 60.0

    def __post_init__(self) -> None:
        if not all("!" <= letter <= "~" for letter in self.token):
            raise Refused("The API token is not one", "It holds blanks or characters that cannot be sent in a header.")


@dataclass(frozen=True)
class _Source:
    """What one place says, all of it or nothing of it to be used."""

    name: str
    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)  # ssl_verify, connect_timeout, token_type
    is_there: bool = True

    @property
    def found(self) -> str:
        if not self.is_there:
            return f"{self.name} is not there"
        endpoint = f"the endpoint {_shown(self.endpoint)}" if self.endpoint else "no endpoint"
        return f"{self.name}: {endpoint}, {'a' if self.token else 'no'} token"


def find_access(settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ, home: Path | None = None) -> Access:
    """What a workspace's settings (raw: `${env.X}` not yet filled in) say, completed as the official client does. Raises Refused.

    `endpoint`, an address or `datarobot`; `token`, `token_type`, `ca_file`, `connect_timeout` and `read_timeout` (seconds), `allow_http`.
    """
    given = {key: _filled(key, value, environ) for key, value in settings.items() if value is not None}
    endpoint = str(given.get("endpoint", OFFICIAL)).strip()
    home = home or Path.home()
    if endpoint != OFFICIAL:
        _check_endpoint(endpoint, given)
    source = _official(given, environ, home) if endpoint == OFFICIAL else _of_endpoint(endpoint, given, environ, home)
    _check_endpoint(source.endpoint or "", given)
    options = dict(source.options) | given
    return Access(
        endpoint=source.endpoint or "",
        token=(source.token or "").strip(),
        scheme=_scheme(options.get("token_type"), source.name),
        verify=_verify(options, environ, home),
        connect_s=_seconds("connect_timeout", options, Access.connect_s),
        read_s=_seconds("read_timeout", given, Access.read_s),
    )


def _official(given: Mapping[str, Any], environ: Mapping[str, str], home: Path) -> _Source:
    """In the official client's order: the file that the environment names, the environment, the file at home; its options may lie at home too."""
    if given.get("token"):
        raise Refused(
            "A token of its own needs an endpoint of its own", f"The workspace has a token, and the endpoint `{OFFICIAL}`: name the address."
        )
    at_home = _file(_home_file(home))
    first = _named_file(environ, home) or _environment(environ)
    for source in (first, at_home):
        if source.endpoint or source.token:
            if source.endpoint and source.token:
                return _Source(source.name, source.endpoint, source.token, {**at_home.options, **source.options})
            break
    raise Refused(
        "No endpoint with its token was found",
        f"Found were: {first.found}; {at_home.found}. Both must come from one place: set {_ENVIRONMENT}, or write endpoint and token to "
        f"{_home_file(home)}.",
    )


def _of_endpoint(endpoint: str, given: Mapping[str, Any], environ: Mapping[str, str], home: Path) -> _Source:
    if given.get("token"):
        return _Source("the workspace", endpoint, str(given["token"]))
    in_environment = _environment(environ)
    if in_environment.token and _is_same(in_environment.endpoint or endpoint, endpoint):
        return _Source(in_environment.name, endpoint, in_environment.token, in_environment.options)
    in_file = _named_file(environ, home) or _file(_home_file(home))
    if in_file.token and _is_same(in_file.endpoint or "", endpoint):
        return _Source(in_file.name, endpoint, in_file.token, in_file.options)
    raise Refused(
        f"No API token for {_shown(endpoint)}",
        f"Found were: {in_environment.found}; {in_file.found}. A token is sent to no other endpoint than its own: set DATAROBOT_API_TOKEN, with "
        "DATAROBOT_ENDPOINT unset or the same, or give the workspace its own: token: ${env.NAME}.",
    )


def _environment(environ: Mapping[str, str]) -> _Source:
    verify = environ.get("DATAROBOT_SSL_VERIFY")
    options = {} if verify is None else {"ssl_verify": verify not in _FALSE}
    return _Source(_ENVIRONMENT, environ.get("DATAROBOT_ENDPOINT") or None, environ.get("DATAROBOT_API_TOKEN") or None, options)


def _home_file(home: Path) -> Path:
    return home / ".config/datarobot/drconfig.yaml"


def _named_file(environ: Mapping[str, str], home: Path) -> _Source | None:
    if not (name := environ.get("DATAROBOT_CONFIG_FILE")):
        return None
    source = _file(_expanded(name, home))
    if not source.is_there:
        raise Refused("The official client's configuration is missing", f"DATAROBOT_CONFIG_FILE names {source.name}, which is not there.")
    return source


def _file(path: Path) -> _Source:
    """Raises Refused, with nothing of the file's text: a token may stand where the error is."""
    import yaml  # dear to import, and rarely needed

    try:
        said = yaml.safe_load(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return _Source(str(path), is_there=False)
    except OSError as error:
        raise _bad_file(path, str(error.strerror)) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise _bad_file(path, f"it is not YAML{f' (line {mark.line + 1})' if mark else ''}") from None
    if not isinstance(said, dict):
        raise _bad_file(path, "it is not a mapping with `endpoint` and `token`")
    for key in ("endpoint", "token"):
        if not isinstance(said.get(key, ""), str):
            raise _bad_file(path, f"`{key}` is no text; put it in quotes")
    options = {key: said[key] for key in ("ssl_verify", "connect_timeout", "token_type") if said.get(key) is not None}
    return _Source(str(path), said.get("endpoint") or None, said.get("token") or None, options)


def _bad_file(path: Path, why: str) -> Refused:
    return Refused("The official client's configuration cannot be used", f"{path}: {why}.")


def _filled(key: str, value: Any, environ: Mapping[str, str]) -> Any:
    if not isinstance(value, str):
        return value
    if missing := [name for name in _REFERENCE.findall(value) if not environ.get(name)]:
        raise Refused(f"The workspace's {key} is not known", f"It needs what is not set in the environment: {', '.join(missing)}.")
    return _REFERENCE.sub(lambda match: environ[match[1]], value)


def _check_endpoint(endpoint: str, given: Mapping[str, Any]) -> None:
    """Raises Refused."""
    url = _split(endpoint)
    if url is None or url.scheme.lower() not in _PORTS or not url.hostname or url.query or url.fragment:
        raise Refused("The endpoint is not an address", f"{_shown(endpoint)}: needed is one such as https://app.datarobot.com/api/v2.")
    if "@" in url.netloc:
        raise Refused("The endpoint holds a user or a password", f"{_shown(endpoint)}: the API knows its users by their tokens alone; leave it out.")
    if url.scheme.lower() == "http" and not _is_loopback(url.hostname) and given.get("allow_http") is not True:
        raise Refused(
            "The token would be sent in the clear",
            f"{_shown(endpoint)} is not https. Where nobody else is on the network in between, set allow_http: true in the workspace.",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def _is_same(one: str, other: str) -> bool:
    first, second = _normal(one), _normal(other)
    return first is not None and first == second


def _normal(endpoint: str) -> tuple[str, str, int | None, str] | None:
    url = _split(endpoint)
    if url is None or not url.hostname:
        return None
    scheme = url.scheme.lower()
    return scheme, url.hostname.lower(), url.port or _PORTS.get(scheme), url.path.rstrip("/")


def _split(endpoint: str) -> SplitResult | None:
    try:
        url = urlsplit(endpoint)
        _ = url.port  # is checked when it is asked for
    except ValueError:
        return None
    return url


def _shown(endpoint: str | None) -> str:
    """Without what may be a secret."""
    url = _split(endpoint or "")
    if url is None or not url.hostname:
        return "(not an address)"
    return url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _scheme(said: Any, where: str) -> Literal["Token", "Bearer"]:
    scheme = _SCHEMES.get(str(said or "Token").lower())
    if scheme is None:
        raise Refused("The token_type is unknown", f"{where} says {said!r}; known are Token and Bearer.")
    return scheme


def _verify(options: Mapping[str, Any], environ: Mapping[str, str], home: Path) -> bool | str:
    if file := options.get("ca_file"):
        return str(_expanded(str(file), home))
    said = options.get("ssl_verify", True)
    if isinstance(said, str):
        return str(_expanded(said, home))
    return next(_bundles(environ), True) if said else False


def _bundles(environ: Mapping[str, str]) -> Iterator[str]:
    """The authorities that every program of `requests` trusts here, so the official client as well."""
    return (environ[name] for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if environ.get(name))


def _expanded(path: str, home: Path) -> Path:
    return home / path.removeprefix("~/") if path.startswith("~/") else Path(path)


def _seconds(name: str, options: Mapping[str, Any], default: float) -> float:
    said = options.get(name, default)
    try:
        seconds = float(said)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise Refused(f"The {name} is no time", f"{said!r}: a number of seconds is needed.")
    return seconds
