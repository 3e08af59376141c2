"""Secrets that stand in settings themselves: headers, signed urls, keys. The rule here: one table says where; who keeps, shows or opens them asks it.

A secret is known by the name it has. In a specification it is a reference, `${env.NAME}`; the service keeps it sealed, and shows it REDACTED.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

REDACTED = "[redacted]"
REFERENCE = re.compile(r"\$\{\s*env\.([\w-]+)\s*\}")

SHORTEST = 6  # a shorter one is a word that a sentence may hold by chance

Path = tuple[str, ...]  # of keys, as they are spelled; of a field of a data store its name comes last
Visit = Callable[[Path, str], str]
Change = Callable[[str], str]

# A parameter by whose name its value is a secret.
_WORDS = r"password|passwd|pwd|passphrase|secret|token|credential|signature|(?:account|access|api|private|subscription)[_-]?key"
_NAME = rf"[\w.-]*(?:{_WORDS})[\w.-]*"
SECRET_NAME = re.compile(_NAME, re.IGNORECASE)
_HEADER = re.compile(rf"(?!idempotency-key$)(?:cookie|.*(?:{_WORDS}|key|auth).*)", re.IGNORECASE)
_KEYS = frozenset({"customerKey", "customer_key", "apiKey", "api_key", "datarobotKey", "datarobot_key"})
_URLS = frozenset({"url", "jdbcUrl", "jdbc_url"})
_BLOCKS = frozenset({"serverSideEncryption", "predictionInstance", "intakeSettings", "outputSettings", "params"})
_BLOCKS |= {"server_side_encryption", "prediction_instance", "intake_settings", "output_settings"}

# In any url: a parameter's value, and what stands between a user's name and the @.
_IN_URLS = (
    re.compile(rf"[?&]\s*(?:{_NAME}|sig|key)\s*=\s*([^&]*)", re.IGNORECASE),
    re.compile(r"//[^/?#;@]*?:([^/?#;]*)@"),
)
# In a JDBC url, which knows parameters of other forms too; a database's own form ends at its own mark.
_IN_JDBC = (
    *_IN_URLS,
    re.compile(rf"[;:]\s*{_NAME}\s*=\s*(\{{[^}}]*\}}|[^;]*)", re.IGNORECASE),
    re.compile(rf"[/,]\s*{_NAME}\s*=\s*([^,;]*)", re.IGNORECASE),
    re.compile(r":[^/:@]+/([^@/]+)@"),  # Oracle's
)


def visited(settings: Mapping[str, Any], visit: Visit, above: Path = ()) -> dict[str, Any]:
    """A block of settings, a whole spec or a data store, in either spelling, with every text that may hold a secret as `visit` gives it."""
    return {key: _visited(value, visit, (*above, key)) for key, value in settings.items()}


def replaced(settings: Mapping[str, Any], change: Change) -> dict[str, Any]:
    """The same, with `change` done to each secret."""
    return visited(settings, lambda path, text: in_text(path, text, change))


def redacted(settings: Mapping[str, Any]) -> dict[str, Any]:
    return replaced(settings, lambda secret: REDACTED)


def restored(given: Any, old: Any) -> Any:
    """What a caller gives back as it was shown, redacted, is what it was; everything else is as it is given."""
    return _restored(given, old, redacted(old)) if isinstance(old, dict) else given


def redacted_fields(settings: Mapping[str, Any]) -> list[str]:
    """Where something is redacted, as `outputSettings.headers.Authorization`."""
    return [".".join(path) for path, text in texts(settings) if secrets_in(path, text)]


def secrets(settings: Mapping[str, Any]) -> list[str]:
    return [secret for path, text in texts(settings) for secret in secrets_in(path, text)]


def texts(settings: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """Every text that may hold a secret, and where."""
    found: list[tuple[Path, str]] = []

    def note(path: Path, text: str) -> str:
        found.append((path, text))
        return text

    visited(settings, note)
    return found


def without(text: str, *settings: Mapping[str, Any]) -> str:
    """A sentence without the secrets of these settings."""
    found = {secret for one in settings for secret in secrets(one) if len(secret) >= SHORTEST}
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return text


def secrets_in(path: Path, text: str) -> list[str]:
    found: list[str] = []

    def note(secret: str) -> str:
        found.append(secret)
        return secret

    in_text(path, text, note)
    return found


def in_text(path: Path, text: str, change: Change) -> str:
    """The text at `path` with `change` done to each secret in it; an empty one is none."""
    *above, name = path
    if name in _URLS:
        for pattern in _IN_URLS if name == "url" else _IN_JDBC:
            text = pattern.sub(lambda found: _within(found, change), text)
        return text
    is_secret = bool(_HEADER.fullmatch(name)) if above[-1:] == ["headers"] else name in _KEYS or bool(SECRET_NAME.fullmatch(name))
    return change(text) if is_secret and text else text


def may_hold_secret(line: str) -> bool:
    """Whether a line of any text has a secret in it as a url has one."""
    return any(found[1] for pattern in _IN_JDBC for found in pattern.finditer(line))


def _visited(value: Any, visit: Visit, path: Path) -> Any:
    name = path[-1]
    match value:
        case str() if name in _KEYS or name in _URLS:
            return visit(path, value)
        case dict() if name == "headers":
            return {key: visit((*path, key), text) if isinstance(text, str) else text for key, text in value.items()}
        case list() if name == "fields":
            return [_field(entry, visit, path) for entry in value]
        case dict() if name in _BLOCKS:
            return visited(value, visit, path)
    return value


def _restored(given: Any, old: Any, shown: Any) -> Any:
    if isinstance(given, dict) and isinstance(old, dict):
        return {name: _restored(value, old.get(name), shown.get(name)) for name, value in given.items()}
    return old if given == shown else given


def _field(entry: Any, visit: Visit, path: Path) -> Any:
    """One of a data store's, {id, name, value}."""
    match entry:
        case {"name": str(name), "value": str(text)}:
            return {**entry, "value": visit((*path, name), text)}
    return entry


def _within(found: re.Match[str], change: Change) -> str:
    start, end = (place - found.start() for place in found.span(1))
    return found[0][:start] + (change(found[1]) if found[1] else "") + found[0][end:]
