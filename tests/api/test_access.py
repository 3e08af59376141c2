"""Where the API is and whose token goes there. The official client is asked the same, wherever it has an answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from datarobot.config import create_drconfig

from reconciler.api.access import Access, find_access
from reconciler.api.client import Client
from reconciler.errors import Refused

ENDPOINT = "https://app.example.com/api/v2"
OTHER = "https://other.example.com/api/v2"
TOKEN, SECOND = "t0ken-0ne", "t0ken-tw0"
OWN = {"token_type": "bearer", "ca_file": "/ca.pem", "connect_timeout": 1, "read_timeout": "2.5"}
ENVIRON = {"DATAROBOT_ENDPOINT": ENDPOINT, "DATAROBOT_API_TOKEN": TOKEN}


def configured(home: Path, text: str, name: str = ".config/datarobot/drconfig.yaml") -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def found(settings: Mapping[str, Any], environ: Mapping[str, str], home: Path) -> Access | None:
    """None when it is refused; what it is refused with never holds a token."""
    try:
        return find_access(settings, environ, home)
    except Refused as refused:
        assert refused.detail
        assert not [said for said in (refused.summary, refused.detail) if TOKEN in said or SECOND in said or "passw0rd" in said]
        return None


@pytest.mark.parametrize(
    ("environ", "file", "named", "expected"),
    [
        pytest.param(ENVIRON, None, None, (ENDPOINT, TOKEN), id="environment"),
        pytest.param({}, f"endpoint: {OTHER}\ntoken: {SECOND}", None, (OTHER, SECOND), id="file-at-home"),
        pytest.param(ENVIRON, f"endpoint: {OTHER}\ntoken: {SECOND}", None, (ENDPOINT, TOKEN), id="environment-before-home"),
        pytest.param(ENVIRON, None, f"endpoint: {OTHER}\ntoken: {SECOND}", (OTHER, SECOND), id="named-file-before-environment"),
        pytest.param({"DATAROBOT_API_TOKEN": TOKEN}, f"endpoint: {OTHER}\ntoken: {SECOND}", None, None, id="token-here-endpoint-there"),
        pytest.param({"DATAROBOT_ENDPOINT": ENDPOINT}, f"endpoint: {OTHER}\ntoken: {SECOND}", None, None, id="endpoint-here-token-there"),
        pytest.param({"DATAROBOT_API_TOKEN": TOKEN}, None, None, None, id="token-alone"),
        pytest.param({}, None, None, None, id="nothing"),
        pytest.param({}, f"endpoint: {OTHER}", None, None, id="file-without-a-token"),
        pytest.param({}, "- endpoint", None, None, id="file-that-is-no-mapping"),
        pytest.param({}, f"endpoint: {OTHER}\ntoken: 12345", None, None, id="token-that-is-a-number"),
    ],
)
def test_one_source_says_both_as_for_the_official_client(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    file: str | None,
    named: str | None,
    expected: tuple[str, str] | None,
) -> None:
    if file:
        configured(tmp_path, file)
    if named:
        environ = {**environ, "DATAROBOT_CONFIG_FILE": str(configured(tmp_path, named, "mine.yaml"))}
    access = found({"endpoint": "datarobot"}, environ, tmp_path)
    assert (access and (access.endpoint, access.token)) == expected

    for name in ("DATAROBOT_ENDPOINT", "DATAROBOT_API_TOKEN", "DATAROBOT_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**environ, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    try:
        official = create_drconfig()
    except Exception:
        assert expected is None
    else:
        assert (official.endpoint, official.token) == expected


@pytest.mark.parametrize(
    ("settings", "environ", "file", "token"),
    [
        pytest.param({"token": "${env.MINE}"}, {**ENVIRON, "MINE": SECOND}, None, SECOND, id="own-token"),
        pytest.param({"token": "${env.MINE}"}, ENVIRON, None, None, id="own-token-that-is-not-set"),
        pytest.param({}, {"DATAROBOT_API_TOKEN": TOKEN}, None, TOKEN, id="token-of-the-environment"),
        pytest.param({}, ENVIRON, None, TOKEN, id="same-endpoint"),
        pytest.param({}, {**ENVIRON, "DATAROBOT_ENDPOINT": "HTTPS://App.example.com:443/api/v2/"}, None, TOKEN, id="same-endpoint-otherwise-spelled"),
        pytest.param({}, {**ENVIRON, "DATAROBOT_ENDPOINT": OTHER}, None, None, id="token-of-another-endpoint"),
        pytest.param({}, {**ENVIRON, "DATAROBOT_ENDPOINT": OTHER}, f"endpoint: {ENDPOINT}/\ntoken: {SECOND}", SECOND, id="token-of-the-file"),
        pytest.param({}, {}, f"endpoint: {OTHER}\ntoken: {SECOND}", None, id="file-of-another-endpoint"),
        pytest.param({}, {}, f"token: {SECOND}", None, id="file-without-an-endpoint"),
        pytest.param({}, {}, None, None, id="nothing"),
        pytest.param({}, {"DATAROBOT_API_TOKEN": f"  {TOKEN}\n"}, None, TOKEN, id="newline-of-a-file"),
        pytest.param({}, {"DATAROBOT_API_TOKEN": f"{TOKEN}\nX-Evil: 1"}, None, None, id="header-in-the-token"),
        pytest.param({}, {"DATAROBOT_API_TOKEN": f"{TOKEN}é"}, None, None, id="token-that-is-not-ascii"),
    ],
)
def test_token_goes_to_its_own_endpoint_only(
    tmp_path: Path, settings: dict[str, str], environ: dict[str, str], file: str | None, token: str | None
) -> None:
    if file:
        configured(tmp_path, file)
    access = found({"endpoint": ENDPOINT, **settings}, environ, tmp_path)
    assert (access and access.token) == token
    assert access is None or access.endpoint == ENDPOINT


def test_refusal_says_what_was_found_where(tmp_path: Path) -> None:
    path = configured(tmp_path, f"endpoint: https://me:passw0rd@third.example.com/api/v2?x=1\ntoken: {SECOND}")
    with pytest.raises(Refused) as caught:
        find_access({"endpoint": ENDPOINT}, {**ENVIRON, "DATAROBOT_ENDPOINT": OTHER}, tmp_path)
    assert caught.value.summary == f"No API token for {ENDPOINT}"
    assert caught.value.detail == (
        f"Found were: DATAROBOT_ENDPOINT and DATAROBOT_API_TOKEN: the endpoint {OTHER}, a token; {path}: the endpoint "
        "https://third.example.com/api/v2, a token. A token is sent to no other endpoint than its own: set DATAROBOT_API_TOKEN, with "
        "DATAROBOT_ENDPOINT unset or the same, or give the workspace its own: token: ${env.NAME}."
    )


@pytest.mark.parametrize(
    ("endpoint", "is_taken"),
    [
        (ENDPOINT, True),
        ("https://app.example.com/dr/api/v2/", True),
        ("http://127.0.0.1:8080/api/v2", True),
        ("http://[::1]:8080/api/v2", True),
        ("http://localhost/api/v2", True),
        ("http://app.example.com/api/v2", False),
        ("https://me:passw0rd@app.example.com/api/v2", False),
        ("https://passw0rd@app.example.com/api/v2", False),
        ("https://app.example.com/api/v2?token=passw0rd", False),
        ("ftp://app.example.com/api/v2", False),
        ("https://app.example.com:99999/api/v2", False),
        ("app.example.com/api/v2", False),
        ("https:///api/v2", False),
        ("", False),
    ],
)
def test_endpoint_is_an_address_that_keeps_secrets(tmp_path: Path, endpoint: str, is_taken: bool) -> None:
    environ = {"DATAROBOT_ENDPOINT": endpoint, "DATAROBOT_API_TOKEN": TOKEN}
    assert (found({"endpoint": endpoint}, {"DATAROBOT_API_TOKEN": TOKEN}, tmp_path) is not None) == is_taken
    assert (found({"endpoint": "datarobot"}, environ, tmp_path) is not None) == is_taken
    assert (found({"endpoint": "${env.DATAROBOT_ENDPOINT}"}, environ, tmp_path) is not None) == is_taken


def test_plain_http_is_used_where_the_workspace_says_so(tmp_path: Path) -> None:
    access = find_access({"endpoint": "http://scoring.internal/api/v2", "allow_http": True}, {"DATAROBOT_API_TOKEN": TOKEN}, tmp_path)
    assert access.endpoint == "http://scoring.internal/api/v2"


def test_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        find_access({"endpoint": "https://${env.WHERE}/api/v2"}, {}, tmp_path)
    assert "WHERE" in caught.value.detail


@pytest.mark.parametrize(
    ("settings", "text", "environ", "expected"),
    [
        pytest.param({}, "", {}, {"scheme": "Token", "verify": True, "connect_s": 6.05, "read_s": 60.0}, id="defaults"),
        pytest.param(
            {}, "token_type: Bearer\nconnect_timeout: 20\nssl_verify: false", {}, {"scheme": "Bearer", "verify": False, "connect_s": 20.0}, id="file"
        ),
        pytest.param({}, "ssl_verify: ~/ca.pem", {}, {"verify": "HOME/ca.pem"}, id="authorities-in-the-file"),
        pytest.param({}, "", {"REQUESTS_CA_BUNDLE": "/etc/ca.pem"}, {"verify": "/etc/ca.pem"}, id="authorities-of-the-machine"),
        pytest.param(
            OWN,
            "token_type: Token\nssl_verify: false",
            {},
            {"scheme": "Bearer", "verify": "/ca.pem", "connect_s": 1.0, "read_s": 2.5},
            id="workspace-before-file",
        ),
        pytest.param({"ca_file": "${env.CA}"}, "", {"CA": "/ca.pem"}, {"verify": "/ca.pem"}, id="filled-in"),
        pytest.param({}, "", {**ENVIRON, "DATAROBOT_SSL_VERIFY": "false"}, {"verify": False, "endpoint": ENDPOINT}, id="environment"),
        pytest.param({}, "token_type: Bearer", ENVIRON, {"scheme": "Bearer", "endpoint": ENDPOINT}, id="options-at-home-for-the-environment"),
    ],
)
def test_options_are_read_as_the_official_client_reads_them(
    tmp_path: Path, settings: dict[str, Any], text: str, environ: dict[str, str], expected: dict[str, Any]
) -> None:
    configured(tmp_path, f"endpoint: {OTHER}\ntoken: {SECOND}\n{text}")
    access = find_access({"endpoint": "datarobot", **settings}, environ, tmp_path)
    wanted = {name: value.replace("HOME", str(tmp_path)) if isinstance(value, str) else value for name, value in expected.items()}
    assert {name: getattr(access, name) for name in expected} == wanted


@pytest.mark.parametrize(
    "settings",
    [{"token_type": "Basic"}, {"connect_timeout": 0}, {"read_timeout": "soon"}, {"read_timeout": float("nan")}, {"token": "${env.MINE}"}],
)
def test_setting_that_makes_no_sense_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert found({"endpoint": "datarobot", **settings}, {**ENVIRON, "MINE": SECOND}, tmp_path) is None


@pytest.mark.parametrize("text", [f"token: [{TOKEN}", f"token: {TOKEN}\n\tendpoint: x", "\x00"])
def test_broken_file_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = configured(tmp_path, text)
    with pytest.raises(Refused) as caught:
        find_access({"endpoint": "datarobot"}, {}, tmp_path)
    assert str(path) in caught.value.detail
    assert TOKEN not in caught.value.detail


def test_named_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    assert found({"endpoint": "datarobot"}, {**ENVIRON, "DATAROBOT_CONFIG_FILE": "/no/such/file"}, tmp_path) is None


@pytest.mark.parametrize("endpoint", ["https://1.2.3.400/api/v2", "https://ex\x00ample.com/api/v2"])
def test_address_of_no_host_is_refused(endpoint: str) -> None:
    with pytest.raises(Refused) as caught:
        Client(Access(endpoint, TOKEN))
    assert caught.value.summary == "The endpoint is not an address"


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_authorities_that_cannot_be_read_are_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    with pytest.raises(Refused) as caught:
        Client(Access(ENDPOINT, TOKEN, verify=str(path)))
    assert str(path) in caught.value.detail
