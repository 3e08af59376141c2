"""What is Azure's own. The rule here: a real server says no, and what it says is put into words without the signature it was asked with."""

import base64
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import obstore
import pytest
from servers.azurite import Azurite, running_azurite
from servers.certificates import own_authority
from servers.clouds import Cloud, azure_cloud, told
from servers.entra import running_entra
from servers.process import free_port
from servers.stranger import Answer, Asked, stranger

from reconciler.engine.connectors.azure import account_of
from reconciler.engine.connectors.connector import connector
from reconciler.engine.look import look
from reconciler.errors import ScoringError, Unreachable

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


def write(cloud: Cloud, credential: Mapping[str, Any], **settings: Any) -> None:
    place = cloud.output("out.csv", credential, **settings)
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


def test_a_credential_of_another_kind_is_named(cloud: Cloud) -> None:
    credential = {"credentialType": "databricks_service_principal_account", "clientId": "x", "clientSecret": "hush"}
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", credential))
    assert "this one is databricks" in told(caught.value, "hush")


@pytest.mark.parametrize("host", ["other.blob.core.windows.net", "other.blob.core.chinacloudapi.cn", "lakes.blob.core.windows.net"])
def test_a_connection_string_of_another_account_than_the_urls_is_refused(cloud: Cloud, host: str) -> None:
    for text in ("AccountName=lake;AccountKey=c2VjcmV0", "BlobEndpoint=https://lake.blob.core.windows.net/;SharedAccessSignature=sig=c2VjcmV0"):
        with pytest.raises(ScoringError, match="of another account") as caught:
            look(cloud.intake("in.csv", connected(text), url=f"https://{host}/own/in.csv"))
        assert host in told(caught.value, "c2VjcmV0") and "https://lake.blob.core.windows.net" in caught.value.detail


@pytest.mark.parametrize("url", ["https://lake.blob.core.windows.net/", "https://lake.blob.core.windows.net/container"])
def test_a_url_without_a_blob_is_refused(cloud: Cloud, url: str) -> None:
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("", url=url))
    assert caught.value.summary == "The url names no blob"


@pytest.mark.parametrize("key", ["a//in.csv", "/in.csv", "a/../in.csv", "./in.csv", "a%2F%2Fin.csv"])
def test_a_key_that_the_library_would_change_is_refused(cloud: Cloud, key: str) -> None:
    for ask in (lambda: look(cloud.intake("", url=f"{cloud.root}{key}")), lambda: write(cloud, cloud.credential, url=f"{cloud.root}{key}")):
        with pytest.raises(ScoringError) as caught:
            ask()
        assert caught.value.summary == "The key cannot be used"


@pytest.mark.parametrize("kind", ["azure", "adls_gen2_oauth"])
def test_an_account_that_does_not_answer_is_out_of_reach(cloud: Cloud, kind: str) -> None:
    account = f"http://127.0.0.1:{free_port()}/devstoreaccount1"
    written = connected(f"AccountName=a;AccountKey=AAAA;BlobEndpoint={account}") | {"clientId": "us", "clientSecret": "hush-hush"}
    credential = {name: written[name] for name in (("azureConnectionString",) if kind == "azure" else ("clientId", "clientSecret"))}
    with pytest.raises(Unreachable) as caught:
        look(cloud.intake("", {**credential, "credentialType": kind}, url=f"{account}/own/in.csv"))
    assert account in told(caught.value, "hush-hush", "AAAA")


def test_a_key_in_a_folder_that_cannot_be_used_is_named(azurite: Azurite) -> None:
    cloud = azure_cloud(azurite, "odd")
    cloud.put("in/a.csv", ROWS)
    put = urllib.request.Request(f"{cloud.url('in//b.csv')}?{azurite.sas()}", ROWS, {"x-ms-blob-type": "BlockBlob"}, method="PUT")
    with urllib.request.urlopen(put, timeout=30):
        pass
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("in/"))
    assert caught.value.summary == "The key cannot be used" and f"{cloud.url('in//b.csv')}: " in caught.value.detail


def test_a_key_that_begins_with_a_slash_is_named_as_it_is(cloud: Cloud) -> None:
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("/in.csv"))
    assert f"{cloud.root}/in.csv: " in caught.value.detail


def test_all_of_a_container_is_a_folder(cloud: Cloud, azurite: Azurite) -> None:
    whole = azure_cloud(azurite, "whole")
    whole.put("a.csv", ROWS)
    whole.put("b/c.csv", ROWS)
    facts = look(whole.intake(""))
    assert facts and list(facts["each"]) == ["a.csv", "b/c.csv"]


TENANT = "8d1a3b4c-0000-4000-8000-0123456789ab"
APPLICATION = {"clientId": "app", "clientSecret": "hush-hush"}
TOKEN = Answer(200, {"Content-Type": "application/json"}, b'{"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"}')


def entra(asked: Asked) -> Answer:
    """Microsoft's, of tokens and of storage, on one address. Azurite takes tokens over TLS alone, and challenges nobody."""
    if asked.method == "POST":
        form = dict(urllib.parse.parse_qsl(asked.body.decode()))
        wanted = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "hush-hush", "scope": "https://storage.azure.com/.default"}
        return TOKEN if asked.path == f"/{TENANT}/oauth2/v2.0/token" and form.items() >= wanted.items() else Answer(400, {}, b"{}")
    if "Authorization" not in {name.title() for name in asked.headers}:
        challenge = f"Bearer authorization_uri=https://login.evil.example/{TENANT}/oauth2/authorize resource_id=https://storage.azure.com"
        return Answer(401, {"WWW-Authenticate": challenge})
    moment = {"Last-Modified": "Sun, 22 Nov 2026 04:00:00 GMT", "ETag": '"1"', "Content-Length": "8"}
    return Answer(200, moment) if dict(asked.headers.items()).get("authorization", "") == "Bearer a-token" else Answer(403)


@pytest.mark.parametrize(
    ("credential", "challenges"),
    [
        ({"credentialType": "azure_service_principal", "azureTenantId": TENANT, **APPLICATION}, 0),
        ({"credentialType": "adls_gen2_oauth", "oauthScopes": ["https://storage.azure.com/user_impersonation"], **APPLICATION}, 1),
    ],
    ids=["service-principal", "adls"],
)
def test_an_application_asks_for_a_token_with_its_secret(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, credential: Mapping[str, Any], challenges: int
) -> None:
    with stranger(entra) as server:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", server.url)
        assert look(cloud.intake("in.csv", credential, url=f"{server.url}/lake/own/in.csv"))
    asked = [(each.method, each.path) for each in server.asked]
    assert asked == [("GET", "/lake/?comp=list")] * challenges + [("POST", f"/{TENANT}/oauth2/v2.0/token"), ("HEAD", "/lake/own/in.csv")]
    assert all("hush" not in str(each.headers) for each in server.asked)


def test_an_application_reads_and_writes_with_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Azurite looks at the token: for whom it is, from whom, and until when."""
    own_authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    (tmp_path / "blobs").mkdir()
    with running_entra(tmp_path / "here.pem") as entra, running_azurite(tmp_path / "blobs", tmp_path / "here.pem") as server:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", entra.url)
        headers = {"x-ms-version": "2021-12-02", "Authorization": f"Bearer {entra.token()}", "Content-Length": "0"}
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/own?restype=container", method="PUT", headers=headers)).close()
        lake = Cloud("azure", server.url, f"{server.url}/own/", print, bytes.fromhex, list, print, entra.credential)
        write(lake, entra.credential)
        facts = look(lake.intake("out.csv"))
        assert facts and facts["size"] == len(ROWS)
        wrong = {**entra.credential, "clientSecret": entra.secret[::-1]}
        with pytest.raises(ScoringError) as caught:
            look(lake.intake("out.csv", wrong))
        assert caught.value.summary == "The credential is refused" and "clientSecret" in told(caught.value, wrong["clientSecret"])


def test_an_application_that_is_refused_is_told_what_it_needs(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    with stranger(lambda asked: TOKEN if asked.method == "POST" else Answer(403)) as server:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", server.url)
        principal = {"credentialType": "azure_service_principal", "azureTenantId": TENANT, **APPLICATION}
        with pytest.raises(ScoringError) as caught:
            look(cloud.intake("in.csv", principal, url=f"{server.url}/lake/own/in.csv"))
        assert "Storage Blob Data Reader" in told(caught.value, "hush-hush", "a-token")
        with pytest.raises(ScoringError, match="tenant of the account is not known") as caught:
            look(cloud.intake("in.csv", {"credentialType": "adls_gen2_oauth", **APPLICATION}, url=f"{server.url}/lake/own/in.csv"))
        assert "azure_service_principal" in told(caught.value, "hush-hush")
    with pytest.raises(ScoringError, match="Azure cannot be reached"):
        look(cloud.intake("in.csv", {"credentialType": "adls_gen2_oauth", **APPLICATION}, url=f"{server.url}/lake/own/in.csv"))


@pytest.mark.parametrize(
    ("host", "authority"),
    [("windows.net", None), ("chinacloudapi.cn", "https://login.chinacloudapi.cn"), ("usgovcloudapi.net", "https://login.microsoftonline.us")],
)
def test_a_national_cloud_has_an_authority_of_its_own(cloud: Cloud, host: str, authority: str | None) -> None:
    place = cloud.intake("in.csv", {"credentialType": "azure_service_principal", "azureTenantId": TENANT, **APPLICATION})
    assert account_of(place, f"https://lake.blob.core.{host}").access.get("authority_host") == authority
