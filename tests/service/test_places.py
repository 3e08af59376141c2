"""Jobs whose rows are in another system, as the service keeps and runs them. The rule here: only the scorer is a stand-in."""

import json
import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest
from service.live import wait_for
from service.test_systems import STORES

from reconciler.engine.job import Progress, Tally
from reconciler.engine.place import Place
from reconciler.errors import Cancelled, ScoringError

SECRET = "sesame-open-the-door"
S3 = {"name": "lake", "credentialType": "s3", "awsAccessKeyId": "AKIALAKE", "awsSecretAccessKey": SECRET}
BASIC = {"name": "crm", "credentialType": "basic", "user": "me", "password": SECRET}


class Clerk:
    """Notes what it is given; then does what the test says."""

    def __init__(self):
        self.given = []
        self.gate = threading.Event()
        self.does = lambda job, is_cancelled: None

    def __call__(self, job, *, report, is_cancelled):
        self.given.append(job)
        report(Progress(1, 10, 0, 5))
        self.does(job, is_cancelled)
        return Tally(2, 0, 0, 20, 10)

    def waits(self, job, is_cancelled):
        while not self.gate.wait(0.002):
            if is_cancelled():
                raise Cancelled("The job was aborted")

    def stages_and_waits(self, job, is_cancelled):
        job.note_file.write_text("{}")
        self.waits(job, is_cancelled)


class Shelf:
    def credential(self, id):
        if id != "lake":
            raise ScoringError("No such credential", f"nothing in the specs is called {id}")
        return {"credentialType": "s3", "awsAccessKeyId": "ours", "awsSecretAccessKey": SECRET}

    def opened(self, settings):
        return settings

    def data_store(self, id):
        if id != "crm":
            raise ScoringError("No such data store", f"nothing in the specs is called {id}")
        return {"jdbcUrl": STORES["jdbc"]}


@pytest.fixture
def clerk():
    return Clerk()


@pytest.fixture
def place(house, clerk, client_of):
    """A service with this clerk, spoken to by its client."""
    with house.service(score=clerk) as service:
        yield client_of(service)


def post(client, path, body):
    answer = client.request("POST", path, json=body)
    assert answer.status_code in (201, 202), answer.text
    return answer.json()


def spec(house, intake=None, output=None, **options):
    given = house.spec("a")
    return given | {"intakeSettings": intake or given["intakeSettings"], "outputSettings": output or given["outputSettings"]} | options


def submit(client, *args, **options):
    return post(client, "batchPredictions/", spec(*args, **options))["id"]


def lake(client):
    return post(client, "credentials/", S3)["credentialId"]


def crm(client, name="crm", kind="jdbc"):
    return post(client, "externalDataStores/", {"type": "jdbc", "canonicalName": name, "params": {"jdbcUrl": STORES[kind]}})["id"]


def table(store, name="scores", **more):
    return {"type": "jdbc", "dataStoreId": store, "table": name, "statementType": "insert"} | more


def test_the_scorer_is_given_the_place_and_what_opens_it(house, place, clerk):
    key, store = lake(place), crm(place)
    user = post(place, "credentials/", BASIC)["credentialId"]
    intake = {"type": "s3", "url": "s3://lake/rows.csv", "credentialId": key, "endpointUrl": "http://localhost:9"}
    job_id = submit(place, house, intake, table(store, credentialId=user))
    assert place.until(job_id, "COMPLETED", "ABORTED")["status"] == "COMPLETED"
    (given,) = clerk.given
    assert isinstance(given.intake, Place)
    assert (given.intake.settings.url, given.intake.settings.endpoint_url, given.intake.job) == (intake["url"], intake["endpointUrl"], job_id)
    assert given.intake.credential == {name: value for name, value in S3.items() if name != "name"}
    assert (given.output.settings.table, given.output.credential["password"], given.output.job) == ("scores", SECRET, job_id)
    assert given.output.data_store["jdbcUrl"] == STORES["jdbc"]
    assert given.note_file == house.storage / "rejects" / f"{job_id}.staged.json"


def test_keys_of_the_owner_come_before_those_of_the_api(house, clerk, client_of):
    with house.service(score=clerk, keys=Shelf()) as service:
        client = client_of(service)
        theirs = lake(client)
        for key, seen in (("lake", "ours"), (theirs, "AKIALAKE")):
            job_id = submit(client, house, {"type": "s3", "url": "s3://lake/rows.csv", "credentialId": key}, table("crm"))
            assert client.until(job_id, "COMPLETED", "ABORTED")["status"] == "COMPLETED"
            assert clerk.given[-1].intake.credential["awsAccessKeyId"] == seen
        answer = client.request("POST", "batchPredictions/", json=spec(house, {"type": "s3", "url": "s3://b/i.csv", "credentialId": "sea"}))
        assert answer.json()["errors"]["intakeSettings"]["credentialId"] == "nothing in the specs is called sea"


def test_progress_is_unknown_until_the_end_where_the_size_is(house, place, clerk):
    clerk.does = clerk.waits
    job_id = submit(place, house, {"type": "http", "url": "http://localhost:9/rows.csv"})
    wait_for(lambda: place.job(job_id)["jobIntakeSize"])
    running = place.job(job_id)
    clerk.gate.set()
    ended = place.until(job_id, "COMPLETED")
    shown = [(job["percentageCompleted"], job["jobIntakeSize"], job["jobOutputSize"], job["links"]["download"]) for job in (running, ended)]
    assert shown == [(0.0, 10, 5, None), (100.0, 20, 10, None)]


@pytest.mark.parametrize(
    ("intake", "name"),
    [
        ({"type": "s3", "url": "s3://lake/2026/rows.csv"}, "rows.csv"),
        ({"type": "s3", "url": "s3://lake/2026/"}, "2026"),
        ({"type": "http", "url": "http://localhost:9/rows.csv?signature=secret"}, "rows.csv"),
        ({"type": "http", "url": "http://localhost:9"}, "localhost:9"),
        ({"type": "jdbc", "dataStoreId": "crm", "table": "customers"}, "customers"),
        ({"type": "jdbc", "dataStoreId": "crm", "query": "SELECT 1"}, None),
        ({"type": "bigquery", "dataset": "crm", "table": "customers"}, "customers"),
    ],
    ids=lambda value: value.get("url", "") + value.get("type", "") if isinstance(value, dict) else "",
)
def test_an_intake_has_a_name_to_show(house, clerk, client_of, intake, name):
    with house.service(score=clerk, keys=Shelf()) as service:
        made = post(client_of(service), "batchPredictions/", spec(house, intake))
    assert made["intakeDatasetDisplayName"] == name


def test_a_credential_that_went_while_the_job_waited_ends_it(house, place, clerk):
    clerk.does = clerk.waits
    key = lake(place)
    first = submit(place, house)
    second = submit(place, house, {"type": "s3", "url": "s3://lake/rows.csv", "credentialId": key}, {"type": "localFile"})
    place.until(first, "RUNNING")
    assert place.request("DELETE", f"credentials/{key}/").status_code == 204
    clerk.gate.set()
    ended = place.until(second, "COMPLETED", "ABORTED")
    assert (ended["status"], ended["statusDetails"]) == ("ABORTED", f"The credential is not there: there is no credential {key}.")
    assert len(clerk.given) == 1


def test_two_jobs_do_not_write_to_one_place_at_once(house, place, clerk):
    clerk.does = clerk.waits
    store, twin = crm(place), crm(place, "the same")
    pairs = [
        ({"type": "s3", "url": "s3://lake/o.csv"}, {"type": "s3", "url": "s3://lake/o.csv", "format": "parquet"}, "url"),
        ({"type": "gcp", "url": "gs://lake/o.csv"}, {"type": "gcp", "url": "https://storage.googleapis.com/lake/o.csv"}, "url"),
        (table(store), table(twin), "table"),
        ({"type": "http", "url": "http://localhost:9/o?sig=1", "method": "PUT"}, {"type": "http", "url": "http://localhost:9/o?sig=1"}, "url"),
    ]
    for output, same, field in pairs:
        first = submit(place, house, output=output)
        answer = place.request("POST", "batchPredictions/", json=spec(house, output=same))
        assert (answer.status_code, list(answer.json()["errors"]["outputSettings"])) == (422, [field])
        assert first in answer.json()["message"]
        assert "sig=1" not in answer.text
    for other in (table(store, "others"), {"type": "s3", "url": "s3://lake/o.csv", "endpointUrl": "http://localhost:9"}):
        submit(place, house, output=other)
    clerk.gate.set()


def test_templates_are_filled_in_from_the_times_of_the_job(house, clerk, client_of):
    now = [datetime(2026, 10, 1, 9, 12, tzinfo=UTC)]
    with house.service(score=clerk, clock=lambda: now[0]) as service:
        client = client_of(service)
        store = crm(client)
        query = "SELECT * FROM t WHERE {{ last_completed_run_time }} < at AND at <= '{{ current_run_time }}'"
        body = spec(house, {"type": "jdbc", "dataStoreId": store, "query": query}, table(store, "scores_{{ current_run_timestamp }}"))
        definition = post(client, "batchPredictionJobDefinitions/", body)["id"]
        for _ in range(2):
            made = post(client, "batchPredictions/fromJobDefinition/", {"jobDefinitionId": definition})
            assert made["jobSpec"]["intakeSettings"]["query"] == query
            client.until(made["id"], "COMPLETED")
            now[0] += timedelta(days=1)
    first, second = ((job.intake.settings.query, job.output.settings.table) for job in clerk.given)
    assert first == ("SELECT * FROM t WHERE '1900-01-01T00:00:00' < at AND at <= '2026-10-01T09:12:00'", "scores_1790845920")
    assert second == ("SELECT * FROM t WHERE '2026-10-01T09:12:00' < at AND at <= '2026-10-02T09:12:00'", "scores_1790932320")


def test_a_job_that_is_scored_again_writes_to_the_same_table(house, client_of):
    clerk, later = Clerk(), Clerk()
    clerk.does = clerk.waits
    now = [datetime(2026, 10, 1, 9, 12, tzinfo=UTC)]
    with house.service(score=clerk, clock=lambda: now[0]) as service:
        client = client_of(service)
        job_id = submit(client, house, output=table(crm(client), "scores_{{ current_run_time }}"))
        client.until(job_id, "RUNNING")
        wait_for(lambda: clerk.given)
    now[0] += timedelta(hours=1)
    with house.service(score=later, clock=lambda: now[0]) as service:
        client_of(service).until(job_id, "COMPLETED")
    assert [job.output.settings.table for job in (*clerk.given, *later.given)] == ["scores_20261001_091200"] * 2


@pytest.fixture
def staged(house, client_of):
    """A job whose scores were staged when its service stopped, and its note."""
    clerk = Clerk()
    clerk.does = clerk.stages_and_waits
    with house.service(score=clerk, keys=Shelf()) as service:
        client = client_of(service)
        job_id = submit(client, house, output=table("crm"))
        note = house.storage / "rejects" / f"{job_id}.staged.json"
        wait_for(note.exists)
    assert note.exists()
    return job_id, note


def test_the_note_of_a_job_lasts_until_it_has_ended(house, client_of, clerk, staged):
    job_id, note = staged
    seen = []
    clerk.does = lambda job, is_cancelled: seen.append(job.note_file.exists())
    later = datetime.now(UTC) + timedelta(days=30)
    with house.service(score=clerk, keys=Shelf(), clock=lambda: later) as service:
        client_of(service).until(job_id, "COMPLETED")
    assert seen == [True]
    assert not note.exists()


def test_the_note_of_a_job_that_has_ended_goes_at_the_next_start(house, client_of, clerk, staged):
    job_id, note = staged
    with house.service(score=clerk, keys=Shelf()) as service:
        client_of(service).until(job_id, "COMPLETED")
    note.write_text("{}")
    (stranger := note.with_name(f"{'f' * 24}.staged.json")).write_text("{}")
    with house.service(score=clerk):
        assert (note.exists(), stranger.exists()) == (False, False)


def test_a_job_that_is_deleted_between_its_two_steps_ends_without_the_second(house, client_of, clerk, staged):
    """It waits for its turn, for what it has staged is to be removed; then it ends, and was not scored again."""
    job_id, note = staged
    with house.service(workers=0, score=clerk, keys=Shelf()) as service:
        client = client_of(service)
        assert client.request("DELETE", f"batchPredictions/{job_id}/").status_code == 202
        assert (client.job(job_id)["status"], note.exists()) == ("INITIALIZING", True)
    with house.service(score=clerk, keys=Shelf()) as service:
        ended = client_of(service).until(job_id, "COMPLETED", "ABORTED")
    assert (ended["status"], clerk.given, note.exists()) == ("ABORTED", [], False)
    assert any("abort requested" in line for line in ended["logs"])


def test_what_is_written_already_is_not_said_to_be_aborted(house, place, clerk):
    clerk.does = lambda job, is_cancelled: clerk.waits(job, lambda: False)
    job_id = submit(place, house, output=table(crm(place)))
    place.until(job_id, "RUNNING")
    assert place.request("DELETE", f"batchPredictions/{job_id}/").status_code == 202
    clerk.gate.set()
    ended = place.until(job_id, "COMPLETED", "ABORTED")
    assert (ended["status"], ended["scoredRows"]) == ("COMPLETED", 2)


def test_no_secret_is_ever_shown_or_written(house, clerk, client_of, caplog):
    caplog.set_level(logging.DEBUG)

    def tells(job, is_cancelled):
        if isinstance(job.intake, Place) and job.intake.settings.url.endswith("bug.csv"):
            raise RuntimeError(f"connect(secret={SECRET!r}) failed")
        raise ScoringError("No access", f"postgresql://me:{SECRET}@localhost refuses.")

    clerk.does = tells
    with house.service(score=clerk) as service:
        client = client_of(service)
        key, store = lake(client), crm(client)
        user = post(client, "credentials/", BASIC)["credentialId"]
        for name in ("a.csv", "bug.csv"):
            job_id = submit(client, house, {"type": "s3", "url": f"s3://lake/{name}", "credentialId": key}, table(store, name, credentialId=user))
            ended = client.until(job_id, "ABORTED")
            assert "[secret]" in ended["statusDetails"]
        paths = ["batchPredictions/", "credentials/", "externalDataStores/", f"credentials/{key}/", f"externalDataStores/{store}/credentials/"]
        answers = [client.get(path).text for path in paths]
        reached = client.request("POST", f"externalDataStores/{store}/tables/", json={"user": "me", "password": SECRET})
        answers += [reached.text, json.dumps(ended)]
    assert "[secret]" in caplog.text
    assert SECRET not in caplog.text + "".join(answers)
    files = [path for path in house.storage.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
