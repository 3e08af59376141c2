"""`datasets/` and `status/`: streamed forms, versions, filters, soft deletion, and scoring a version's file."""

import asyncio
import re
import resource
import tracemalloc

import pytest

from reconciler.service.app import create_app
from reconciler.service.dataset_file import RowCounter

CSV = b"copy,b\n1,2\n3,4\n"


def send(client, content=CSV, path="datasets/fromFile/", name="customers.csv", **fields):
    return client.request("POST", path, files={"file": (name, content)}, data=fields)


@pytest.fixture
def added(client):
    answer = send(client)
    assert answer.status_code == 202, answer.text
    return answer.json()


def dataset(client, added):
    return client.get(f"datasets/{added['catalogId']}/").json()


def test_a_file_becomes_a_dataset(client):
    answer = send(client, categories=["PREDICTION"])
    added = answer.json()
    assert (answer.status_code, set(added)) == (202, {"catalogId", "catalogVersionId", "statusId"})
    assert answer.headers["location"] == f"http://reconciler.local/api/v2/status/{added['statusId']}/"
    status = client.get(f"status/{added['statusId']}/")
    assert (status.status_code, status.json()["status"]) == (303, "COMPLETED")
    assert status.headers["location"] == f"http://reconciler.local/api/v2/datasets/{added['catalogId']}/"
    shown = client.get(status.headers["location"]).json()
    expected = {
        "datasetId": added["catalogId"],
        "versionId": added["catalogVersionId"],
        "name": "customers.csv",
        "categories": ["PREDICTION"],
        "datasetSize": len(CSV),
        "rowCount": 2,
        "isLatestVersion": True,
        "isSnapshot": True,
        "processingState": "COMPLETED",
        "error": "",
    }
    assert {name: shown[name] for name in expected} == expected
    file = client.get(f"datasets/{added['catalogId']}/file/")
    assert (file.content, file.headers["content-type"].partition(";")[0]) == (CSV, "text/csv")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/cron.d/x", "..", "a\\..\\b.csv", "größe \u202e.csv", "", "x" * 1000])
def test_a_name_is_only_a_name(house, client, name):
    before = {path for path in house.folder.rglob("*") if house.storage not in path.parents}
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n\r\n' + CSV + b"\r\n--x--\r\n"
    answer = client.request("POST", "datasets/fromFile/", content=form, headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 202, answer.text
    shown = dataset(client, answer.json())
    assert 0 < len(shown["name"]) <= 255
    assert {path for path in house.folder.rglob("*") if house.storage not in path.parents} == before
    assert [path.name for path in (house.storage / "datasets").iterdir()] == [f"{answer.json()['catalogVersionId']}.csv"]


def form(*parts, end=b"--x--\r\n"):
    return b"".join(b"--x\r\nContent-Disposition: form-data; " + head + b"\r\n\r\n" + content + b"\r\n" for head, content in parts) + end


FILE = (b'name="file"; filename="a.csv"', CSV)
BAD_FORMS = {
    "no file": form((b'name="categories"', b"PREDICTION")),
    "two files": form(FILE, FILE),
    "unknown field": form(FILE, (b'name="password"', b"x")),
    "unknown category": form(FILE, (b'name="categories"', b"x")),
    "cut off": form(FILE, end=b"")[:-30],
    "cut off between parts": form(FILE, end=b""),
    "no form": b"a,b\n1,2\n",
    "long field": form(FILE, (b'name="categories"', b"x" * 20_000)),
    "long header": form((b'name="file"; filename="' + b"x" * 20_000 + b'"', CSV)),
    "many fields": form(FILE, *[(b'name="categories"', b"PREDICTION")] * 30),
    "no disposition": b"--x\r\nA: b\r\n\r\n1\r\n--x--\r\n",
    "empty": b"",
}


@pytest.mark.parametrize("content", BAD_FORMS.values(), ids=list(BAD_FORMS))
def test_what_is_no_whole_form_is_refused_and_leaves_nothing(house, client, content):
    answer = client.request("POST", "datasets/fromFile/", content=content, headers={"content-type": "multipart/form-data; boundary=x"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/json"), answer.text
    assert list((house.storage / "datasets").iterdir()) == []
    assert client.get("datasets/").json()["totalCount"] == 0


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "text/csv", ""])
def test_another_body_is_refused(client, kind):
    assert client.request("POST", "datasets/fromFile/", content=b"{}", headers={"content-type": kind}).status_code == 422


ERRORS = {"empty": b"", "blank": b"\n\r\n", "parquet": b"PAR1" + b"\0" * 9, "zip": b"PK\x03\x04abc", "utf-16": "a,b\n1,2\n".encode("utf-16")}


@pytest.mark.parametrize("content", ERRORS.values(), ids=list(ERRORS))
def test_a_file_that_is_no_csv_ends_in_an_error_that_its_status_tells(house, client, content):
    added = send(client, content).json()
    status = client.get(f"status/{added['statusId']}/")
    assert (status.status_code, status.json()["status"]) == (200, "ERROR")
    shown = dataset(client, added)
    assert (shown["processingState"], shown["error"]) == ("ERROR", status.json()["message"])
    assert client.get("datasets/?filterFailed=true").json()["data"] == []
    assert len(client.get("datasets/?filterFailed=false").json()["data"]) == 1
    spec = house.spec("a", intakeSettings={"type": "dataset", "datasetId": added["catalogId"]})
    answer = client.request("POST", "batchPredictions/", json=spec)
    assert (answer.status_code, list(answer.json()["errors"]["intakeSettings"])) == (422, ["datasetId"])


ROWS = {
    b"a\n1\n2\n": 2,
    b"a\n1\n2": 2,
    b"a\r\n1\r\n2\r\n": 2,
    b"a\n": 0,
    b"a": 0,
    b"\n\na\n\n1\r\n\r\n": 1,
    b'a,b\n"x\ny",2\n3,"""q""\n"\n': 2,
    b'a\n"' + b"\n" * 100 + b'"\n': 1,
    b"": 0,
}


@pytest.mark.parametrize(("text", "rows"), ROWS.items())
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_rows_are_counted_whatever_the_blocks(text, rows, size):
    counter = RowCounter()
    for start in range(0, len(text), size):
        counter.add(text[start : start + size])
    assert counter.rows == rows


def test_a_large_file_takes_little_memory(client):
    """Through the ASGI app alone, where the body comes in blocks of the sender's choice."""
    block, blocks = b"12345678,12345678\n" * 4000, 300

    async def body():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\na,b\n'
        for _ in range(blocks):
            yield block
        yield b"\r\n--x--\r\n"

    tracemalloc.start()
    answer = client.request("POST", "datasets/fromFile/", content=body(), headers={"content-type": "multipart/form-data; boundary=x"})
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.status_code == 202
    assert dataset(client, answer.json())["rowCount"] == 4000 * blocks
    assert most < 10 * len(block), f"{most:,} bytes for a file of {len(block) * blocks:,}"


def test_versions(client, added):
    path = f"datasets/{added['catalogId']}/"
    first = dataset(client, added)
    second = send(client, CSV + b"5,6\n", f"{path}versions/fromFile/", "new.csv").json()
    assert second["catalogId"] == added["catalogId"]
    latest = dataset(client, added)
    assert (latest["versionId"], latest["rowCount"], latest["name"]) == (second["catalogVersionId"], 3, "customers.csv")
    old = client.get(f"{path}versions/{first['versionId']}/").json()
    assert old == first | {"isLatestVersion": False}
    assert [version["versionId"] for version in client.get(f"{path}versions/").json()["data"]] == [latest["versionId"], first["versionId"]]
    ascending = client.get(f"{path}versions/?orderBy=created&limit=1").json()
    assert ([version["versionId"] for version in ascending["data"]], ascending["totalCount"]) == ([first["versionId"]], 2)
    assert client.get(f"{path}versions/{first['versionId']}/file/").content == CSV
    assert client.get(f"{path}file/").content == CSV + b"5,6\n"
    assert client.get(f"status/{added['statusId']}/").headers["location"].endswith(f"versions/{first['versionId']}/")
    assert client.get(f"{path}versions/nope/").status_code == 404
    assert send(client, CSV, "datasets/nope/versions/fromFile/").status_code == 404


def test_lists_have_pages_orders_and_filters(client):
    ids = [
        send(client, name=f"{number}.csv", categories=[category]).json()["catalogId"] for number, category in enumerate(["TRAINING", "PREDICTION"])
    ]

    def listed(query):
        return [one["datasetId"] for one in client.get(f"datasets/{query}").json()["data"]]

    assert listed("") == ids[::-1]
    assert listed("?orderBy=created") == ids
    assert listed("?category=TRAINING") == ids[:1]
    assert listed("?limit=1&offset=1") == ids[:1]
    assert client.get("datasets/?category=nope").status_code == 422
    assert client.get("datasets/?limit=1").json()["next"].endswith("/api/v2/datasets/?offset=1&limit=1")


def test_deletion_is_soft(client, added):
    path = f"datasets/{added['catalogId']}/"
    assert client.request("DELETE", path).status_code == 204
    assert [client.get(at).status_code for at in (path, f"{path}file/", f"{path}versions/", f"{path}versions/{added['catalogVersionId']}/")] == [
        410
    ] * 4
    assert client.request("DELETE", path).status_code == 410
    assert client.request("PATCH", path, json={"name": "x"}).status_code == 410
    assert client.get("datasets/").json()["data"] == []
    assert [client.request("PATCH", f"{path}deleted/").status_code for _ in range(2)] == [204, 204]
    assert client.get(f"{path}file/").content == CSV
    assert client.request("DELETE", "datasets/nope/").status_code == client.request("PATCH", "datasets/nope/deleted/").status_code == 404


def test_name_and_categories_change(client, added):
    path = f"datasets/{added['catalogId']}/"
    changed = client.request("PATCH", path, json={"name": "../x", "categories": ["PREDICTION"]}).json()
    assert (changed["name"], changed["categories"]) == ("../x", ["PREDICTION"])
    assert client.request("PATCH", path, json={"categories": []}).json()["name"] == "../x"
    for bad in ({"name": ""}, {"categories": ["x"]}, {"categories": "PREDICTION"}, {"colour": 1}):
        assert client.request("PATCH", path, json=bad).status_code == 422


def test_a_dataset_is_scored_its_latest_version_or_the_one_that_is_named(house, client, submit, added):
    send(client, b"copy\n5\n", f"datasets/{added['catalogId']}/versions/fromFile/")
    intake = {"type": "dataset", "datasetId": added["catalogId"]}
    latest = client.until(submit(house.spec("a", intakeSettings=intake)), "COMPLETED", "ABORTED")
    assert (latest["status"], latest["intakeDatasetDisplayName"]) == ("COMPLETED", "customers.csv"), latest["statusDetails"]
    assert house.output("a").read_text() == "copy\n5"
    assert latest["jobSpec"]["intakeSettings"]["datasetId"] == added["catalogId"]
    client.until(submit(house.spec("b", intakeSettings=intake | {"datasetVersionId": added["catalogVersionId"]})), "COMPLETED")
    assert house.output("b").read_text() == CSV.decode().strip()


def test_a_waiting_job_keeps_the_version_it_was_given(house, client, submit, added):
    held = submit(house.spec("hold", "hold"))
    waiting = submit(house.spec("a", intakeSettings={"type": "dataset", "datasetId": added["catalogId"]}))
    send(client, b"copy\n5\n", f"datasets/{added['catalogId']}/versions/fromFile/")
    client.request("DELETE", f"datasets/{added['catalogId']}/")
    house.scorer.gate.set()
    client.until(held, "COMPLETED")
    client.until(waiting, "COMPLETED")
    assert house.output("a").read_text() == CSV.decode().strip()


@pytest.mark.parametrize("field", ["datasetId", "datasetVersionId"])
def test_a_dataset_that_is_not_there_is_refused_by_its_field(house, client, added, field):
    intake = {"type": "dataset", "datasetId": added["catalogId"]} | {field: "f" * 24}
    answer = client.request("POST", "batchPredictions/", json=house.spec("a", intakeSettings=intake))
    assert (answer.status_code, list(answer.json()["errors"]["intakeSettings"])) == (422, [field])


def test_datasets_survive_a_restart_and_half_files_do_not(house, client_of):
    with house.service() as service:
        added = send(client_of(service)).json()
    folder = house.storage / "datasets"
    (folder / "half.part").write_bytes(b"x")
    (folder / f"{'f' * 24}.csv").write_bytes(b"never stored")
    with house.service() as service:
        assert client_of(service).get(f"datasets/{added['catalogId']}/file/").content == CSV
        assert [path.name for path in folder.iterdir()] == [f"{added['catalogVersionId']}.csv"]


def test_a_client_that_vanishes_leaves_nothing(house, service, caplog):
    begun = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\na,b\n'
    messages = iter([{"type": "http.request", "body": begun, "more_body": True}, {"type": "http.disconnect"}])
    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    path = "/api/v2/datasets/fromFile/"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}

    async def receive():
        return next(messages)

    async def send(message):
        pass

    asyncio.run(create_app(service)(scope, receive, send))
    assert list((house.storage / "datasets").iterdir()) == []
    assert caplog.text == ""


def test_ids_are_24_hex_digits(added):
    assert all(re.fullmatch(r"[0-9a-f]{24}", value) for value in added.values())


def test_a_disk_that_is_full_is_said_and_leaves_nothing(house, client):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, hard[1]))  # Python ignores SIGXFSZ, so a longer file is an OSError
    try:
        answer = send(client, CSV * 400_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, hard)
    assert (answer.status_code, "cannot be stored" in answer.json()["message"]) == (507, True), answer.text
    assert list((house.storage / "datasets").iterdir()) == []
    assert send(client).status_code == 202
