"""What is Google's own. The rule here: the credential goes the whole way, from the key to the token to the request."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from servers.clouds import Cloud, gcp_cloud, told
from servers.gcs import Gcs
from servers.process import free_port
from servers.stranger import Answer, Asked, Stranger, stranger

from reconciler.engine.connectors.connector import connector
from reconciler.engine.connectors.gcp import Url, parsed
from reconciler.engine.look import look
from reconciler.errors import ScoringError

ROWS = b"a,b\n1,2\n"


@pytest.fixture(scope="session")
def cloud(gcs: Gcs) -> Cloud:
    made = gcp_cloud(gcs, "own")
    made.put("in.csv", ROWS)
    return made


@pytest.fixture(scope="session")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


@pytest.fixture
def google() -> Iterator[Stranger]:
    """Google's server of tokens."""
    token = json.dumps({"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"}).encode()
    with stranger(lambda asked: Answer(200, {"Content-Type": "application/json"}, token)) as server:
        yield server


def account(private_key: str, token_uri: str) -> dict[str, Any]:
    key = {"type": "service_account", "project_id": "p", "private_key_id": "1", "client_email": "me@p.iam.gserviceaccount.com"}
    return {"credentialType": "gcp", "gcpKey": {**key, "private_key": private_key, "token_uri": token_uri}}


def test_storage_class_of_an_output_is_no_part_of_its_content(cloud: Cloud) -> None:
    names = [(look(place) or {}).keys() for place in (cloud.intake("in.csv"), cloud.output("in.csv"))]
    assert names == [{"generation", "metageneration"}, {"generation"}]


def test_a_service_account_gets_a_token_from_its_own_uri(cloud: Cloud, private_key: str, google: Stranger) -> None:
    credential = account(private_key, f"{google.url}/token")
    as_text = {**credential, "gcpKey": json.dumps(credential["gcpKey"])}
    for each in (credential, as_text):
        assert look(cloud.intake("in.csv", each)) == look(cloud.intake("in.csv"))
    assert {(asked.method, asked.path) for asked in google.asked} == {("POST", "/token")}


def test_the_token_goes_with_every_request(cloud: Cloud, private_key: str, google: Stranger) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(403, {"Content-Type": "application/json"}, b'{"error": {"code": 403, "message": "no a-token"}}')

    with stranger(answer) as store, pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", account(private_key, google.url), url=f"{store.url}/own/in.csv"))
    assert {asked.headers["authorization"] for asked in store.asked} == {"Bearer a-token"}
    assert "the permission to read it: storage.objects.get" in told(caught.value, "a-token", private_key)


def test_a_key_that_google_does_not_know_is_refused(cloud: Cloud, private_key: str) -> None:
    answer = Answer(400, {"Content-Type": "application/json"}, b'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}')
    with stranger(lambda asked: answer) as server:
        credential = account(private_key, server.url)
        place = cloud.output("out.csv", credential)
        for ask in (lambda: look(cloud.intake("in.csv", credential)), lambda: connector(place).open_sink(place)):
            with pytest.raises(ScoringError) as caught:
                ask()
            assert caught.value.summary == "The credential is refused" and "no token" in told(caught.value, private_key)


@pytest.mark.parametrize("broken", [{"private_key": "-----BEGIN PRIVATE KEY-----\nhush"}, {"client_email": None}, {"token_uri": None}])
def test_a_key_that_is_not_whole_is_refused(cloud: Cloud, private_key: str, broken: dict[str, str | None]) -> None:
    credential = account(private_key, "http://127.0.0.1:9")
    key = {name: value for name, value in {**credential["gcpKey"], **broken}.items() if value is not None}
    for given in (key, json.dumps(key)):
        with pytest.raises(ScoringError) as caught:
            look(cloud.intake("in.csv", {**credential, "gcpKey": given}))
        assert "not the JSON of a service account's key" in told(caught.value, private_key, "hush")


@pytest.mark.parametrize("given", ["[1]", '"hush"', "7", "null", 7])
def test_a_key_that_is_no_object_is_refused(cloud: Cloud, given: Any) -> None:
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", {"credentialType": "gcp", "gcpKey": given}))
    assert "not the JSON of a service account's key" in told(caught.value, "hush")


def test_a_credential_of_another_kind_is_named(cloud: Cloud) -> None:
    basic = {"credentialType": "basic", "user": "me", "password": "hush"}
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", basic))
    assert "this one is basic" in told(caught.value, "hush")


@pytest.mark.parametrize("status", [401, 403])
def test_a_bucket_that_is_not_public_needs_a_credential(cloud: Cloud, status: int) -> None:
    with stranger(lambda asked: Answer(status, {"Content-Type": "application/json"}, b"{}")) as store, pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", url=f"{store.url}/own/in.csv"))
    assert "not public, and no credential is named" in caught.value.detail


def test_google_s_own_variable_says_where_the_store_is(cloud: Cloud, gcs: Gcs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
    assert look(cloud.intake("in.csv", url="gs://own/in.csv")) == look(cloud.intake("in.csv"))


def test_an_endpoint_that_is_not_there_is_named(cloud: Cloud) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", url=f"{endpoint}/own/in.csv"))
    assert caught.value.summary == "Google Cloud Storage cannot be reached" and f"{endpoint}: nobody listens there" in caught.value.detail


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("gs://lake/a b/100%.csv", Url(None, "lake", "a b/100%.csv")),
        ("gs://lake/", Url(None, "lake", "/")),
        ("https://storage.googleapis.com/lake/a%20b/%C3%84.csv", Url(None, "lake", "a b/Ä.csv")),
        ("https://storage.cloud.google.com/lake/in.csv", Url(None, "lake", "in.csv")),
        ("https://lake.storage.googleapis.com/in.csv", Url(None, "lake", "in.csv")),
        ("https://storage-mine.p.googleapis.com/lake/in/", Url("https://storage-mine.p.googleapis.com", "lake", "in/")),
    ],
)
def test_a_url_is_read_as_google_writes_it(text: str, url: Url) -> None:
    assert parsed(text) == url


@pytest.mark.parametrize("text", ["gs://lake", "https://storage.googleapis.com/lake", "https://storage.googleapis.com/lake/x?X-Goog-Signature=hush"])
def test_a_url_that_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ScoringError) as caught:
        parsed(text)
    told(caught.value, "hush")
