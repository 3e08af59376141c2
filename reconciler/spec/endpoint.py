"""How a workspace's endpoint is reached. The rule here: a token is only ever named, never written, so that no secret leaves the environment."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from reconciler.duration import seconds
from reconciler.spec.location import Root

# The word for: where the official client would connect.
AS_THE_CLIENT = "datarobot"

_SECRET = re.compile(r"\$\{\s*(env\.\w[\w-]*)\s*\}")
# A path that begins so is not the project's to complete.
_ELSEWHERE = ("~/", "${env.")
_SCHEMES = ("Token", "Bearer")

KEYS = ("endpoint", "token", "token_type", "ca_file", "connect_timeout", "read_timeout", "allow_http")

Wrong = tuple[str, str]  # the key, and the sentence; never the value, which may be a secret


def endpoint_settings(body: dict[str, Any], root: Root, wrong: list[Wrong]) -> dict[str, Any] | None:
    """The settings as they are kept: `${env.X}` not filled in, the file's path absolute, times in seconds. None for the embedded service."""
    settings = {key: body[key] for key in KEYS if body.get(key) is not None}
    if not settings:
        return None
    problems = list(_problems(settings))
    wrong += problems
    if problems:
        return None
    for key in ("connect_timeout", "read_timeout"):
        if key in settings:
            settings[key] = _seconds(settings[key])
    if "token" in settings:
        settings["token"] = _SECRET.sub(r"${\1}", settings["token"])
    if "ca_file" in settings and not settings["ca_file"].startswith(_ELSEWHERE):
        settings["ca_file"] = root.absolute(settings["ca_file"])
    return settings


def _problems(settings: dict[str, Any]) -> Iterator[Wrong]:
    if "endpoint" not in settings:
        yield next(iter(settings)), "It says how an endpoint is reached, and there is none: add endpoint: https://…/api/v2, or endpoint: datarobot."
    elif not _is_address(settings["endpoint"]):
        yield "endpoint", "endpoint must be an address such as https://app.datarobot.com/api/v2, or the word datarobot for the official client's own."
    elif _has_user(settings["endpoint"]):
        yield "endpoint", "An address holds no user and no password. Remove what stands before the @, and name the token: token: ${env.NAME}."
    if "token" in settings and not (isinstance(settings["token"], str) and _SECRET.fullmatch(settings["token"])):
        yield "token", "A token is never written down: name the environment variable that holds it, token: ${env.NAME}."
    elif "token" in settings and settings.get("endpoint") == AS_THE_CLIENT:
        yield "token", "A token of its own needs an endpoint of its own: name the address instead of datarobot, or leave the token out."
    if settings.get("token_type", "Token") not in _SCHEMES:
        yield "token_type", f"token_type must be one of {', '.join(_SCHEMES)}."
    if not (isinstance(file := settings.get("ca_file", "x"), str) and file):
        yield "ca_file", "ca_file must be the path of a file of certificates (PEM); a relative path starts at the folder that holds specs/."
    for key in ("connect_timeout", "read_timeout"):
        if key in settings and _seconds(settings[key]) <= 0:
            yield key, f"{key} must be a number of seconds above 0, or a duration such as 30s."
    if not isinstance(settings.get("allow_http", True), bool):
        yield "allow_http", "allow_http must be true or false."


def _is_address(endpoint: Any) -> bool:
    return isinstance(endpoint, str) and (endpoint == AS_THE_CLIENT or endpoint.startswith(("http://", "https://", "${env.")))


def _has_user(endpoint: str) -> bool:
    try:
        return "@" in urlsplit(endpoint).netloc
    except ValueError:
        return "@" in endpoint


def _seconds(value: Any) -> float:
    """0 for what is no duration."""
    if isinstance(value, str):
        try:
            return seconds(value)
        except ValueError:
            return 0.0
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
