"""What is S3's own. The rule here: a real server says no, and what it says is put into words."""

import base64
import json
import os
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from typing import Any

import obstore
import pytest
from servers.clouds import Cloud, s3_cloud, told
from servers.process import free_port
from servers.seaweed import Seaweed
from servers.stranger import Answer, Asked, stranger

from reconciler.engine.connectors.connector import connector
from reconciler.engine.connectors.s3 import bucket_region, locate
from reconciler.engine.connectors.store import PART
from reconciler.engine.look import look
from reconciler.errors import ScoringError
from reconciler.settings import S3Output

KEY = base64.b64encode(bytes(range(32))).decode()
ROWS = b"a,b\n1,2\n"


@pytest.fixture(scope="session")
def cloud(seaweed: Seaweed) -> Cloud:
    made = s3_cloud(seaweed, "own")
    made.put("in.csv", ROWS)
    return made


def write(cloud: Cloud, credential: Mapping[str, Any] | None = None, **settings: Any) -> None:
    place = cloud.output("out.csv", credential, **settings)
    sink = connector(place).open_sink(place)
    try:
        sink.write(ROWS)
        sink.finish()
    finally:
        sink.close()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"awsSecretAccessKey": "a-wrong-secret"}, "The credential is refused. s3://own/in.csv: The awsSecretAccessKey is not the one"),
        ({"awsAccessKeyId": "AKIANOBODY"}, "The credential is refused. s3://own/in.csv: The awsAccessKeyId is not known"),
        ({"awsSecretAccessKey": None}, "The credential does not fit"),
    ],
)
def test_a_wrong_credential_is_named_by_its_field(cloud: Cloud, changed: Mapping[str, str | None], said: str) -> None:
    wrong = {name: value for name, value in {**cloud.credential, **changed}.items() if value is not None}
    secrets = [str(value) for name, value in wrong.items() if name == "awsSecretAccessKey"]
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", wrong))
    assert said in told(caught.value, *secrets)
    with pytest.raises(ScoringError) as caught:
        write(cloud, wrong)  # before the first byte: see open_sink
    assert caught.value.summary in said


def test_a_credential_that_may_not_write_is_told_the_permission(cloud: Cloud, seaweed: Seaweed) -> None:
    reader = {"credentialType": "s3", "awsAccessKeyId": seaweed.reader[0], "awsSecretAccessKey": seaweed.reader[1]}
    assert look(cloud.intake("in.csv", reader))
    with pytest.raises(ScoringError) as caught:
        write(cloud, reader)
    assert "Access is denied" in told(caught.value, seaweed.reader[1]) and "to write it: s3:PutObject" in caught.value.detail


def test_without_a_credential_nothing_is_signed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", cloud.credential["awsAccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", cloud.credential["awsSecretAccessKey"])
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", {}))
    assert "not public, and no credential is named" in caught.value.detail


def test_a_session_token_of_the_environment_is_not_mixed_with_the_jobs_keys(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-somebody-else")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert look(cloud.intake("in.csv"))


def test_an_endpoint_that_is_not_there_is_named(cloud: Cloud) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake("in.csv", endpointUrl=endpoint))
    assert caught.value.summary == "S3 cannot be reached" and f"{endpoint}: nobody listens there" in caught.value.detail


@pytest.mark.parametrize("key", ["a//b.csv", "/b.csv", "a/../b.csv", "a\nb.csv"])
def test_a_key_that_the_library_would_change_is_refused(cloud: Cloud, key: str) -> None:
    with pytest.raises(ScoringError) as caught:
        look(cloud.intake(key))
    assert caught.value.summary == "The key cannot be used"


def headers_of(seaweed: Seaweed, key: str) -> Mapping[str, str]:
    with urllib.request.urlopen(obstore.sign(seaweed.store("own"), "GET", key, timedelta(minutes=1))) as answer:
        return dict(answer.headers.items())


def test_an_output_is_encrypted_as_its_settings_say(cloud: Cloud, seaweed: Seaweed) -> None:
    write(cloud)
    assert "x-amz-server-side-encryption" not in {name.lower() for name in headers_of(seaweed, "out.csv")}
    write(cloud, serverSideEncryption={"algorithm": "AES256"})
    assert {name.lower(): value for name, value in headers_of(seaweed, "out.csv").items()}["x-amz-server-side-encryption"] == "AES256"
    write(cloud, serverSideEncryption={"customerAlgorithm": "AES256", "customerKey": KEY})
    with pytest.raises(urllib.error.HTTPError) as caught:
        headers_of(seaweed, "out.csv")
    with caught.value as answer:
        assert answer.code == 400  # nobody reads it without the key


def test_the_key_of_a_key_management_service_is_passed_on(cloud: Cloud) -> None:
    """SeaweedFS has no such service: a server that keeps what it was asked stands for one."""
    with stranger(lambda asked: Answer(200, {"ETag": '"1"'}) if asked.method == "PUT" else Answer(404)) as server:
        write(cloud, endpointUrl=server.url, serverSideEncryption={"algorithm": "aws:kms", "kmsKeyId": "arn:aws:kms:eu-west-1:1:key/abc"})
    (put,) = [asked for asked in server.asked if asked.method == "PUT"]
    sent = {name.lower(): value for name, value in put.headers.items()}
    assert (sent["x-amz-server-side-encryption"], sent["x-amz-server-side-encryption-aws-kms-key-id"]) == (
        "aws:kms",
        "arn:aws:kms:eu-west-1:1:key/abc",
    )


CONTEXT = base64.b64encode(b'{"team": "scoring"}').decode()
IN_CONTEXT = {"algorithm": "aws:kms", "kmsKeyId": "arn:aws:kms:eu-west-1:1:key/abc", "kmsEncryptionContext": CONTEXT}
_BEGUN = b"<InitiateMultipartUploadResult><UploadId>up</UploadId></InitiateMultipartUploadResult>"


def takes(asked: Asked) -> Answer:
    """As S3 does. An encryption that comes with anything but the beginning of an object, or unsigned, is refused."""
    begins = (asked.method == "PUT" and "partNumber" not in asked.path) or (asked.method == "POST" and "uploads" in asked.path)
    encryption = [name.lower() for name in asked.headers if name.lower().startswith("x-amz-server-side-encryption")]
    signed = asked.headers.get("Authorization", "").partition("SignedHeaders=")[2].partition(",")[0].split(";")
    if bool(encryption) != begins or not set(encryption) <= set(signed):
        return Answer(400, body=b"<Error><Code>InvalidArgument</Code></Error>")
    if asked.method in ("GET", "HEAD"):
        return Answer(404, body=b"<Error><Code>NoSuchKey</Code></Error>")
    return Answer(
        200, {"ETag": '"1"'}, _BEGUN if asked.method == "POST" and begins else b"<CompleteMultipartUploadResult/>" * (asked.method == "POST")
    )


@pytest.mark.parametrize(("size", "methods"), [(3, ["PUT"]), (2 * PART + 1, ["POST", "PUT", "PUT", "PUT", "POST"])], ids=["small", "in-parts"])
def test_a_context_of_the_encryption_is_passed_on_with_the_beginning_of_an_object(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, size: int, methods: list[str]
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody's")
    content = os.urandom(size)
    with stranger(takes) as server:
        place = cloud.output("a b.csv", endpointUrl=server.url, serverSideEncryption=IN_CONTEXT)
        with closing(connector(place).open_sink(place)) as sink:
            for start in range(0, size, 1 << 20):
                sink.write(content[start : start + (1 << 20)])
            sink.finish()
    asked = [each for each in server.asked if each.method in ("PUT", "POST", "DELETE")]
    assert [each.method for each in asked] == methods
    sent = {name.lower(): value for name, value in asked[0].headers.items()}
    assert json.loads(base64.b64decode(sent["x-amz-server-side-encryption-context"])) == {"team": "scoring"}
    assert sent["x-amz-server-side-encryption-aws-kms-key-id"] == IN_CONTEXT["kmsKeyId"]
    assert b"".join(each.body for each in asked if each.method == "PUT") == content
    assert {each.path.partition("?")[0] for each in asked} == {"/own/a%20b.csv"}


def test_an_object_in_a_context_that_is_not_finished_is_taken_back(cloud: Cloud) -> None:
    with stranger(takes) as server:
        place = cloud.output("out.csv", endpointUrl=server.url, serverSideEncryption=IN_CONTEXT)
        with closing(connector(place).open_sink(place)) as sink:
            sink.write(bytes(PART + 1))
    assert [(each.method, "uploadId=up" in each.path) for each in server.asked][-1] == ("DELETE", True)


def test_a_server_without_keys_says_no_to_a_context(cloud: Cloud) -> None:
    """SeaweedFS takes the signature, and has no key management service."""
    place = cloud.output("new.csv", serverSideEncryption=IN_CONTEXT)
    with closing(connector(place).open_sink(place)) as sink, pytest.raises(ScoringError) as caught:
        sink.write(b"x")
        sink.finish()
    assert "s3://own/new.csv" in told(caught.value, CONTEXT)
    wrong = cloud.output("new.csv", {**cloud.credential, "awsSecretAccessKey": "wr0ng"}, serverSideEncryption=IN_CONTEXT)
    with pytest.raises(ScoringError, match="The credential is refused"):
        connector(wrong).open_sink(wrong)


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_SERVER_SIDE_ENCRYPTION": "aws:kms", "AWS_SSE_KMS_KEY_ID": "theirs", "AWS_SSE_BUCKET_KEY_ENABLED": "true"},
        {"AWS_SERVER_SIDE_ENCRYPTION": "sse-c", "AWS_SSE_CUSTOMER_KEY_BASE64": KEY},
        {"AWS_SSE_CUSTOMER_KEY_BASE64": KEY},
        {"AWS_S3_EXPRESS": "true"},
    ],
    ids=["kms", "customer-key", "customer-key-alone", "express"],
)
def test_the_machines_own_encryption_is_not_taken(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with stranger(lambda asked: Answer(200, {"ETag": '"1"'}) if asked.method == "PUT" else Answer(404)) as server:
        write(cloud, endpointUrl=server.url)
    assert [name for each in server.asked for name in each.headers if "encryption" in name.lower() or "bucket-key" in name.lower()] == []


def test_a_variable_that_holds_a_customers_key_stays_for_the_job_that_names_it(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SSE_CUSTOMER_KEY_BASE64", KEY)
    look(cloud.intake("in.csv"))
    assert os.environ["AWS_SSE_CUSTOMER_KEY_BASE64"] == KEY


@pytest.mark.parametrize("settings", [{}, {"serverSideEncryption": IN_CONTEXT}], ids=["object", "object-in-context"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true"),
        ("AWS_REQUEST_PAYER", "true"),
        ("AWS_UNSIGNED_PAYLOAD", "true"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_DEFAULTS_MODE", "none-of-botocores"),
    ],
)
def test_the_machines_own_way_to_s3_is_not_taken(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, settings: dict[str, Any]
) -> None:
    monkeypatch.setenv(variable, value)
    with stranger(takes if settings else lambda asked: Answer(200, {"ETag": '"1"'}) if asked.method == "PUT" else Answer(404)) as server:
        write(cloud, endpointUrl=server.url, **settings)
    (sent,) = [each for each in server.asked if each.method == "PUT"]
    headers = {name.lower(): content for name, content in sent.headers.items()}
    assert sent.path.partition("?")[0] == "/own/out.csv"
    assert "x-amz-request-payer" not in headers and headers["x-amz-content-sha256"] != "UNSIGNED-PAYLOAD"


def test_without_an_endpoint_the_machines_own_is_not_taken(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "nowhere-1")
    with stranger(lambda asked: Answer(404)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        with pytest.raises(ScoringError, match="S3 cannot be reached"):
            look(cloud.intake("in.csv", endpointUrl=None))
    assert server.asked == []


@pytest.mark.parametrize(
    ("encryption", "said"),
    [
        ({"algorithm": "ROT13"}, "the algorithm is ROT13"),
        ({"algorithm": "aws:kms", "kmsEncryptionContext": "not base64"}, "the base64 of a JSON object"),
        ({"algorithm": "aws:kms", "kmsEncryptionContext": "WzFd"}, "the base64 of a JSON object"),
        ({"algorithm": "AES256", "kmsEncryptionContext": "e30="}, "belongs to the algorithm aws:kms"),
        ({"algorithm": "AES256", "kmsKeyId": "abc"}, "kmsKeyId belongs to"),
        ({"algorithm": "AES256", "customerKey": KEY}, "excludes algorithm"),
        ({"customerKey": "c2hvcnQtc2VjcmV0"}, "base64 of 32 bytes"),
        ({"customerAlgorithm": "AES256"}, "base64 of 32 bytes"),
    ],
)
def test_an_encryption_that_cannot_be_passed_on_is_refused_before_the_first_row(cloud: Cloud, encryption: dict[str, str], said: str) -> None:
    place = cloud.output("out.csv", serverSideEncryption=encryption)
    assert isinstance(place.settings, S3Output)
    with pytest.raises(ScoringError) as caught:
        connector(place).open_sink(place)
    assert said in told(caught.value, KEY, "c2hvcnQtc2VjcmV0")


def test_the_version_of_an_object_says_all(cloud: Cloud) -> None:
    """The bucket of the test server keeps no versions: a server that says what AWS says stands for one."""
    moment = {"Last-Modified": "Sun, 22 Nov 2026 04:00:00 GMT", "ETag": '"1"', "x-amz-version-id": "3sL4kqtJlcpXroDTDmJ"}
    with stranger(lambda asked: Answer(200, moment | {"Content-Length": "8"})) as server:
        assert look(cloud.intake("in.csv", endpointUrl=server.url)) == {"version": "3sL4kqtJlcpXroDTDmJ"}


@pytest.mark.parametrize(
    ("status", "header", "region"), [(301, "eu-central-1", "eu-central-1"), (403, "us-west-2", "us-west-2"), (404, None, "us-east-1")]
)
def test_aws_tells_the_region_of_a_bucket(status: int, header: str | None, region: str) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(status, {"x-amz-bucket-region": header} if header else {})

    with stranger(answer) as server:
        assert bucket_region("lake", server.url) == region
    assert [(asked.method, asked.path) for asked in server.asked] == [("HEAD", "/lake")]


def test_a_region_that_cannot_be_asked_for_is_left_to_the_next_request() -> None:
    assert bucket_region("lake", f"http://127.0.0.1:{free_port()}") == "us-east-1"


def test_a_region_is_not_known_to_what_does_not_speak_http_nor_of_what_is_no_bucket() -> None:
    with stranger(lambda asked: Answer(404)) as server:
        assert bucket_region("my lake", server.url) == "us-east-1"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_greet, args=(listening,), daemon=True).start()
        assert bucket_region("lake", f"http://127.0.0.1:{listening.getsockname()[1]}") == "us-east-1"


def _greet(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(b"220 mail ready\r\n")


def test_an_endpoint_that_does_not_speak_s3_is_named(cloud: Cloud) -> None:
    page = Answer(200, {"Content-Type": "text/html"}, b"Please log in")
    with stranger(lambda asked: page) as server, pytest.raises(ScoringError) as caught:
        look(cloud.intake("some/", endpointUrl=server.url))
    assert caught.value.summary == "S3 is not understood" and server.url in caught.value.detail


def test_looks_at_one_bucket_share_a_client(cloud: Cloud) -> None:
    """With the same keys; with others there is another one."""
    first, second = (locate(cloud.intake(key)).store for key in ("a.csv", "b.csv"))
    other = locate(cloud.intake("a.csv", {**cloud.credential, "awsSecretAccessKey": "another"})).store
    assert first is second
    assert other is not first
