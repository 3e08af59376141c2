"""What is Azure's own. The rule here: a real server says no, and what it says is put into words without the signature it was asked with."""

import base64
import urllib.parse
from collections.abc import Mapping
from typing import Any

import obstore
import pytest
from servers.azurite import Azurite
from servers.clouds import Cloud, azure_cloud, told
from servers.stranger import Answer, stranger

from reconciler.engine.connectors.connector import connector
from reconciler.engine.look import look
from reconciler.errors import ScoringError

ROWS = b"a,b\n1,2\n"


@pytest.fixture(scope="session")
def cloud(azurite: Azurite) -> Cloud:
    made = azure_cloud(azurite, "own")
    made.put("in.csv", ROWS)
    return made


def connected(text: str) -> dict[str, str]:
    return {"credentialType": "azure", "azureConnectionString": text}


def signed(server: Azurite, signature: str) -> dict[str, str]:
    return connected(f"BlobEndpoint={server.url};SharedAccessSignature={signature}")


def write(cloud: Cloud, credential: Mapping[str, Any]) -> None:
    place = cloud.output("out.csv", credential)
    sink = connector(place).open_sink(place)
    try:
        sink.write(ROWS)
        sink.finish()
    finally:
        sink.close()


def test_a_shared_access_signature_is_enough(cloud: Cloud, azurite: Azurite) -> None:
    for signature in (azurite.sas(), f"?{azurite.sas()}"):
        assert look(cloud.intake("in.csv", signed(azurite, signature))) == look(cloud.intake("in.csv"))
        write(cloud, signed(azurite, signature))


def test_the_connection_string_says_where_the_account_is(cloud: Cloud, azurite: Azurite) -> None:
    """So that a spec of production is rehearsed on an emulator by another credential alone."""
    place = cloud.intake("in.csv", url="https://production.blob.core.windows.net/own/in.csv")
    assert look(place) == look(cloud.intake("in.csv"))


@pytest.mark.parametrize(
    ("key", "said"),
    [(base64.b64encode(b"wrong" * 16).decode(), "The account key or the signature is wrong"), ("half of a key", "is not base64")],
)
def test_a_wrong_account_key_is_refused(cloud: Cloud, azurite: Azurite, key: str, said: str) -> None:
    wrong = connected(azurite.connection_string.replace(azurite.key, key))
    for ask in (lambda: look(cloud.intake("in.csv", wrong)), lambda: look(cloud.intake("some/", wrong)), lambda: write(cloud, wrong)):
        with pytest.raises(ScoringError) as caught:
            ask()
        assert caught.value.summary == "The credential is refused" and said in told(caught.value, key)


def test_a_signature_that_has_expired_is_refused_and_not_shown(cloud: Cloud, azurite: Azurite) -> None:
    signature = azurite.sas(expiry="2020-01-01T00:00:00Z")
    secret = dict(urllib.parse.parse_qsl(signature))["sig"]
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", signed(azurite, signature)))
    assert "has expired" in told(caught.value, secret, urllib.parse.quote_plus(secret), "sig=")


@pytest.mark.parametrize(("permissions", "action"), [("r", "write"), ("wc", "read"), ("rw", "list")])
def test_a_signature_that_lacks_a_permission_is_told_which(cloud: Cloud, azurite: Azurite, permissions: str, action: str) -> None:
    credential = signed(azurite, azurite.sas(permissions))
    asks = {
        "write": lambda: write(cloud, credential),
        "read": lambda: look(cloud.intake("in.csv", credential)),
        "list": lambda: look(cloud.intake("some/", credential)),
    }
    with pytest.raises(ScoringError) as caught:
        asks[action]()
    assert f"the permission to {action} it: " in told(caught.value, "sig=") and caught.value.summary == "Access is denied"


def test_a_signature_in_the_url_is_refused_and_not_shown(cloud: Cloud, azurite: Azurite) -> None:
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", {}, url=f"{cloud.root}in.csv?{azurite.sas()}"))
    assert "SharedAccessSignature=" in told(caught.value, "sig=", "sp=")


def test_a_public_container_needs_no_credential(cloud: Cloud, azurite: Azurite) -> None:
    obstore.put(azurite.bucket("public", is_public=True), "in.csv", ROWS)
    assert look(cloud.intake("in.csv", {}, url=f"{azurite.url}/public/in.csv"))
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", {}))
    assert caught.value.summary in ("Access is denied", "The credential is refused", "The object does not exist")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("AccountName=lake", "lacks AccountKey or SharedAccessSignature"),
        ("AccountKey=c2VjcmV0", "lacks AccountName or BlobEndpoint"),
        ("c2VjcmV0", "lacks AccountName or BlobEndpoint"),
    ],
)
def test_a_connection_string_that_lacks_something_is_told_what(cloud: Cloud, text: str, said: str) -> None:
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", connected(text)))
    assert said in told(caught.value, "c2VjcmV0")


@pytest.mark.parametrize("kind", ["s3", "adls_gen2_oauth"])
def test_a_credential_of_another_kind_is_named(cloud: Cloud, kind: str) -> None:
    credential = {"credentialType": kind, "clientId": "x", "clientSecret": "hush"}
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", credential))
    assert f"this one is {kind}" in told(caught.value, "hush")


@pytest.mark.parametrize("url", ["https://lake.blob.core.windows.net/", "https://lake.blob.core.windows.net/container"])
def test_a_url_without_a_blob_is_refused(cloud: Cloud, url: str) -> None:
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("", url=url))
    assert caught.value.summary == "The url names no blob"


def test_all_of_a_container_is_a_folder(cloud: Cloud, azurite: Azurite) -> None:
    whole = azure_cloud(azurite, "whole")
    whole.put("a.csv", ROWS)
    whole.put("b/c.csv", ROWS)
    facts = look(whole.intake(""))
    assert facts and list(facts["each"]) == ["a.csv", "b/c.csv"]


def test_a_service_principal_asks_for_a_token_with_its_secret(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Azurite takes tokens over TLS alone: what is seen here is that the token is asked for as Microsoft wants it, and sent on."""
    principal = {"credentialType": "azure_service_principal", "clientId": "app", "clientSecret": "hush-hush", "azureTenantId": "tenant"}
    token = b'{"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"}'
    with stranger(lambda asked: Answer(200, {"Content-Type": "application/json"}, token) if asked.method == "POST" else Answer(403)) as server:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", server.url)
        with pytest.raises(ScoringError) as caught:
            look(cloud.intake("in.csv", principal, url=f"{server.url}/lake/own/in.csv"))
    asked = server.asked[0]
    assert (asked.method, asked.path) == ("POST", "/tenant/oauth2/v2.0/token")
    assert {"client_id": "app", "client_secret": "hush-hush"}.items() <= dict(urllib.parse.parse_qsl(asked.body.decode())).items()
    sent = {name.lower(): value for name, value in server.asked[1].headers.items()}
    assert sent["authorization"] == "Bearer a-token" and server.asked[1].path == "/lake/own/in.csv"
    assert "Storage Blob Data Reader" in told(caught.value, "hush-hush", "a-token")
