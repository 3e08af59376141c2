"""`credentials/`: every type and field, no secret in any answer, file, log or error."""

import json
import logging
import stat

import pytest

from reconciler.credential import TYPES
from reconciler.errors import ServiceError

KINDS = {
    "basic": ({"user": "secret-u", "password": "secret-p"}, {"snowflakeAccountName": "secret-a"}),
    "oauth": ({"token": "secret-t", "refreshToken": "secret-r"}, {}),
    "s3": ({"awsAccessKeyId": "secret-i", "awsSecretAccessKey": "secret-k"}, {"awsSessionToken": "secret-s"}),
    "azure": ({"azureConnectionString": "secret-c"}, {}),
    "gcp": ({"gcpKey": {"private_key": "secret-k", "client_email": "secret-e"}}, {}),
    "snowflake_key_pair_user_account": ({"user": "secret-u", "privateKeyStr": "secret-k"}, {"passphrase": "secret-p"}),
    "snowflake_oauth_user_account": (
        {"clientId": "secret-i", "clientSecret": "secret-s"},
        {"oauthIssuerType": "secret-t", "oauthIssuerUrl": "secret-u", "oauthScopes": ["secret-s"], "snowflakeAccountName": "secret-n"},
    ),
    "databricks_access_token_account": ({"databricksAccessToken": "secret-t"}, {}),
    "databricks_service_principal_account": ({"clientId": "secret-i", "clientSecret": "secret-s"}, {}),
    "azure_service_principal": ({"clientId": "secret-i", "clientSecret": "secret-s", "azureTenantId": "secret-t"}, {}),
    "adls_gen2_oauth": ({"clientId": "secret-i", "clientSecret": "secret-s", "oauthScopes": ["secret-o"]}, {}),
    "external_oauth_provider": ({"authenticationId": "secret-a"}, {}),
    "box_jwt": (
        {
            "clientId": "secret-i",
            "clientSecret": "secret-s",
            "enterpriseId": "secret-e",
            "publicKeyId": "secret-k",
            "privateKeyStr": "secret-p",
            "passphrase": "secret-w",
        },
        {},
    ),
    "tableau_access_token": ({"tokenName": "secret-n", "personalAccessToken": "secret-t"}, {}),
}
CONFIGURABLE = {
    "s3",
    "gcp",
    "snowflake_key_pair_user_account",
    "databricks_service_principal_account",
    "azure_service_principal",
    "adls_gen2_oauth",
}


def body(kind="basic", **more):
    return {"name": "lake", "credentialType": kind} | KINDS[kind][0] | more


def post(client, content):
    return client.request("POST", "credentials/", json=content)


@pytest.fixture
def stored(client):
    answer = post(client, body())
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_the_table_has_every_type():
    assert set(KINDS) == set(TYPES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_credential_of_each_type_is_kept_and_shown_without_its_secrets(client, service, kind):
    needed, optional = KINDS[kind]
    answer = post(client, body(kind, **optional))
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert {name: shown[name] for name in ("name", "credentialType", "description")} == {"name": "lake", "credentialType": kind, "description": ""}
    assert set(shown) == {"credentialId", "name", "credentialType", "description", "creationDate"}
    assert "secret" not in answer.text
    assert service.stores.credentials.secrets(shown["credentialId"]) == {"credentialType": kind} | needed | optional


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_needed_and_no_other_is_known(client, kind):
    for name in KINDS[kind][0]:
        answer = post(client, {key: value for key, value in body(kind).items() if key != name})
        assert answer.status_code == 422
        assert name in answer.text
    answer = post(client, body(kind, passwort="secret-x"))
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["passwort"])
    assert "secret" not in answer.text


@pytest.mark.parametrize("kind", sorted(CONFIGURABLE))
def test_a_shared_configuration_stands_for_the_secrets(client, kind):
    assert post(client, {"name": "both", "credentialType": kind, "configId": "6" * 24} | KINDS[kind][0]).status_code == 422
    assert post(client, {"name": "one", "credentialType": kind, "configId": "6" * 24}).status_code == 201


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"credentialType": "basic", "user": "u", "password": "p"}, "name"),
        (body(name=""), "name"),
        (body(name=3), "name"),
        (body(description=3), "description"),
        (body(password=""), "password"),
        (body(password=["secret"]), "password"),
        (body("gcp", gcpKey="secret"), "gcpKey"),
        (body("adls_gen2_oauth", oauthScopes="secret"), "oauthScopes"),
        ({"name": "a", "credentialType": "secret-type"}, "credentialType"),
        ({"name": "a"}, "credentialType"),
    ],
)
def test_what_is_wrong_is_said_by_field_and_never_repeated(client, content, field):
    answer = post(client, content)
    assert (answer.status_code, list(answer.json()["errors"])) == (422, [field]), answer.text
    assert "secret" not in answer.text.replace("clientSecret", "")


def test_a_null_is_a_missing_field(client):
    assert post(client, body(description=None, snowflakeAccountName=None)).json()["description"] == ""


def test_get_list_and_delete(client, stored):
    other = post(client, body("s3", name="other")).json()
    path = f"credentials/{stored['credentialId']}/"
    assert client.get(path).json() == stored
    page = client.get("credentials/").json()
    assert (page["count"], page["totalCount"], page["next"], page["data"]) == (2, 2, None, [stored, other])
    assert client.get("credentials/?types=s3").json()["data"] == [other]
    assert client.get(client.get("credentials/?limit=1").json()["next"]).json()["data"] == [other]
    assert client.request("DELETE", path).status_code == 204
    assert [client.request(method, path).status_code for method in ("GET", "DELETE")] == [404, 404]
    assert client.request("PATCH", path, json={}).status_code == 404


def test_a_name_is_taken_once(client, stored):
    assert post(client, body("azure")).status_code == 409
    other = post(client, body("azure", name="other")).json()["credentialId"]
    assert client.request("PATCH", f"credentials/{other}/", json={"name": "lake"}).status_code == 409
    assert client.request("PATCH", f"credentials/{stored['credentialId']}/", json={"name": "lake"}).status_code == 200


def test_an_update_replaces_what_it_gives(client, service, stored):
    path = f"credentials/{stored['credentialId']}/"
    described = client.request("PATCH", path, json={"description": "the lake", "password": "secret-2"})
    assert (described.status_code, described.json()) == (200, stored | {"description": "the lake"})
    assert service.stores.credentials.secrets(stored["credentialId"]) == {"credentialType": "basic", "user": "secret-u", "password": "secret-2"}
    # As the client documents it: a new name without a description clears the description.
    assert client.request("PATCH", path, json={"name": "sea"}).json() == stored | {"name": "sea", "description": ""}
    for change in ({"credentialType": "azure", "azureConnectionString": "x"}, {"awsAccessKeyId": "x"}, {"password": 3}):
        assert client.request("PATCH", path, json=change).status_code == 422


def test_a_credential_in_use_by_a_definition_stays(client, service, stored, house):
    # No intake with a credential is served yet, so the definition is written as a later release would.
    spec = {"deploymentId": "d", "intakeSettings": {"type": "s3", "credentialId": stored["credentialId"]}, "outputSettings": {"type": "localFile"}}
    service.stores.definitions.create({"name": "nightly"} | spec, lambda given: given, "me")
    answer = client.request("DELETE", f"credentials/{stored['credentialId']}/")
    assert (answer.status_code, "nightly" in answer.text) == (409, True)


def test_no_file_and_no_log_holds_a_secret(house, client_of, caplog):
    caplog.set_level(logging.DEBUG)
    with house.service() as service:
        client = client_of(service)
        for kind in KINDS:
            client.request("POST", "credentials/", json=body(kind, name=kind))
        first = client.get("credentials/").json()["data"][0]["credentialId"]
        client.request("PATCH", f"credentials/{first}/", json={"password": "secret-2"})
        files = [path for path in house.storage.rglob("*") if path.is_file()]
        assert {"service.db", "service.db-wal", "credentials.key"} <= {path.name for path in files}
        assert [path.name for path in files if b"secret-" in path.read_bytes()] == []
    assert [path.name for path in house.storage.rglob("*") if path.is_file() and b"secret-" in path.read_bytes()] == []
    assert "secret-" not in caplog.text


def test_the_key_is_made_once_for_its_owner_alone_and_outlives_a_restart(house, client_of):
    key = house.storage / "credentials.key"
    with house.service() as service:
        assert not key.exists()
        made = client_of(service).request("POST", "credentials/", json=body()).json()["credentialId"]
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with house.service() as service:
        assert service.stores.credentials.secrets(made)["password"] == "secret-p"
    assert [path.name for path in house.storage.glob("credentials.key*")] == ["credentials.key"]


def test_another_key_opens_nothing(house, client_of):
    with house.service() as service:
        client = client_of(service)
        made = client.request("POST", "credentials/", json=body()).json()["credentialId"]
        (house.storage / "credentials.key").unlink()
        client.request("POST", "credentials/", json=body(name="other"))
        with pytest.raises(ServiceError, match="decrypted"):
            service.stores.credentials.secrets(made)
        answer = client.request("PATCH", f"credentials/{made}/", json={"description": "x"})
        assert (answer.status_code, json.loads(answer.text)["message"]) == (500, "internal error; the service's log says more")
