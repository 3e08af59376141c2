"""`externalDataStores/` and `externalDataDrivers/`: kept and shown as given, unique names; and what a database says when it is asked."""

import pytest

URL = "jdbc:postgresql://localhost:5432/crm"
STORE = {"type": "jdbc", "canonicalName": "crm", "params": {"driverId": "6" * 24, "jdbcUrl": URL}}
DRIVER = {"className": "org.postgresql.Driver", "canonicalName": "PostgreSQL", "baseNames": [], "localJarUrls": []}


def post(client, path, body):
    return client.request("POST", path, json=body)


@pytest.fixture
def store(client):
    answer = post(client, "externalDataStores/", STORE)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def driver(client):
    answer = post(client, "externalDataDrivers/", DRIVER)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_store_is_shown_as_it_was_given(client, store):
    assert store["params"] == {"driverId": "6" * 24, "connectorId": None, "jdbcUrl": URL, "fields": None}
    assert (store["type"], store["canonicalName"], store["role"]) == ("jdbc", "crm", "OWNER")
    assert client.get(f"externalDataStores/{store['id']}/?substituteUrlParameters=True").json() == store


def test_a_driver_is_shown_as_it_was_given(client, driver):
    assert (driver["className"], driver["canonicalName"], driver["type"], driver["baseNames"]) == ("org.postgresql.Driver", "PostgreSQL", "jdbc", [])
    assert client.get(f"externalDataDrivers/{driver['id']}/").json() == driver


def test_a_native_driver_is_named_by_its_database(client):
    assert post(client, "externalDataDrivers/", {"type": "dr-database-v1", "databaseDriver": "bigquery-v1"}).json()["canonicalName"] == "bigquery-v1"


@pytest.mark.parametrize(
    "change",
    [
        {"type": "odbc"},
        {"canonicalName": ""},
        {"params": {}},
        {"params": None},
        {"params": {"jdbcUrl": "postgresql://localhost"}},
        {"params": {"fields": [{"id": "a"}]}},
        {"colour": "red"},
    ],
    ids=repr,
)
def test_what_is_no_store(client, change):
    answer = post(client, "externalDataStores/", STORE | change)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/json")


@pytest.mark.parametrize("change", [{"className": None}, {"localJarUrls": ["x"]}, {"type": "dr-database-v1"}, {"colour": "red"}], ids=repr)
def test_what_is_no_driver(client, change):
    assert post(client, "externalDataDrivers/", DRIVER | change).status_code == 422


def test_lists_filter_by_type_and_name(client, store):
    fields = [{"id": "project", "name": "Project", "value": "p"}]
    other = post(client, "externalDataStores/", {"type": "dr-database-v1", "canonicalName": "Warehouse", "params": {"fields": fields}}).json()

    def names(query):
        return [one["canonicalName"] for one in client.get(f"externalDataStores/{query}").json()["data"]]

    assert names("") == names("?type=all") == ["crm", "Warehouse"]
    assert names("?type=jdbc") == ["crm"]
    assert names("?name=WARE") == ["Warehouse"]
    assert names("?limit=1&offset=1&dataType=all&substituteUrlParameters=True") == ["Warehouse"]
    assert other["params"]["fields"] == fields
    assert client.get("externalDataDrivers/?type=jdbc").json()["data"] == []


@pytest.mark.parametrize("path", ["externalDataStores", "externalDataDrivers"])
def test_update_and_delete(client, path):
    first = post(client, f"{path}/", STORE if path.endswith("Stores") else DRIVER).json()
    other = post(client, f"{path}/", (STORE if path.endswith("Stores") else DRIVER) | {"canonicalName": "other"}).json()
    place = f"{path}/{first['id']}/"
    changed = client.request("PATCH", place, json={"canonicalName": "renamed"}).json()
    assert changed == first | {"canonicalName": "renamed", "updated": changed["updated"]}
    assert client.request("PATCH", place, json={"canonicalName": "other"}).status_code == 409
    assert post(client, f"{path}/", (STORE if path.endswith("Stores") else DRIVER) | {"canonicalName": "other"}).status_code == 409
    assert client.request("PATCH", place, json={"type": "dr-database-v1", "databaseDriver": "x"}).status_code == 422
    assert client.request("DELETE", place).status_code == 204
    assert [client.request(method, place, json={}).status_code for method in ("GET", "PATCH", "DELETE")] == [404] * 3
    assert [one["id"] for one in client.get(f"{path}/").json()["data"]] == [other["id"]]


def test_the_credentials_that_a_store_can_be_opened_with(client, store):
    basic = post(client, "credentials/", {"name": "crm", "credentialType": "basic", "user": "me", "password": "mine"}).json()
    assert post(client, "credentials/", {"name": "cloud", "credentialType": "azure", "azureConnectionString": "c"}).status_code == 201
    page = client.get(f"externalDataStores/{store['id']}/credentials/?limit=1").json()
    assert (page["data"], page["totalCount"], page["next"]) == ([basic], 1, None)
    assert client.get("externalDataStores/nope/credentials/").status_code == 404
    assert client.get(f"externalDataStores/{store['id']}/credentials/?colour=red").status_code == 422


ACTIONS = pytest.mark.parametrize("action", ["test", "schemas", "tables"])


@ACTIONS
def test_what_nobody_can_reach_says_so_without_the_password(client, action):
    closed = STORE | {"params": {"jdbcUrl": "jdbc:postgresql://127.0.0.1:1/crm"}}
    store = post(client, "externalDataStores/", closed).json()
    answer = post(client, f"externalDataStores/{store['id']}/{action}/", {"user": "me", "password": "sesame-open"})
    assert (answer.status_code, "sesame-open" in answer.text) == (422, False), answer.text
    assert post(client, f"externalDataStores/nope/{action}/", {}).status_code == 404


@ACTIONS
def test_a_database_that_is_not_served_is_refused(client, action):
    store = post(client, "externalDataStores/", STORE | {"params": {"jdbcUrl": "jdbc:oracle:thin:@localhost"}}).json()
    answer = post(client, f"externalDataStores/{store['id']}/{action}/", {})
    assert (answer.status_code, "jdbc:postgresql:" in answer.json()["message"]) == (422, True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user": 3}, "user"),
        ({"passwort": "sesame-open"}, "passwort"),
        ({"credentialId": "7" * 24}, "credentialId"),
        ({"credentialData": {"credentialType": "basic", "user": "me", "passwort": "sesame-open"}}, "credentialData"),
        ({"useKerberos": True}, "useKerberos"),
    ],
    ids=["type", "unknown", "no credential", "no fields of one", "kerberos"],
)
def test_what_opens_no_data_store(client, store, body, field):
    answer = post(client, f"externalDataStores/{store['id']}/test/", body)
    assert (answer.status_code, list(answer.json()["errors"]), "sesame-open" in answer.text) == (422, [field], False)
