"""BigQuery over real sockets. The rule here: what the emulator cannot do is said where it matters, with what was checked instead.

The emulator knows no permissions, so that only the credential itself is refused; extracts, streams and loads are real, and so are the files between.
"""

import json
import select
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from faults import Fault, Instead, Proxy, cut_download, cut_upload, drop, hang_up
from google.cloud import bigquery as google
from google.cloud.storage import Bucket
from servers.bigquery import BigQuery
from servers.google_keys import Keys, running_keys
from servers.process import free_port

from reconciler.engine.connectors import bigquery as room
from reconciler.engine.dialect import Dialect
from reconciler.engine.job import ScoringJob, Tally
from reconciler.engine.look import look
from reconciler.engine.pipeline import score
from reconciler.engine.place import Place
from reconciler.errors import Cancelled, ScoringError
from reconciler.options import Options
from reconciler.settings import BigQueryIntake, BigQueryOutput

BUCKET = "transfer"


@pytest.fixture(scope="session")
def keys() -> Iterator[Keys]:
    with running_keys() as keys:
        yield keys


@pytest.fixture(scope="session")
def credential(keys: Keys) -> Mapping[str, Any]:
    return {"credentialType": "gcp", "gcpKey": keys.account()}


@pytest.fixture(scope="session")
def bucket(bigquery: BigQuery) -> Bucket:
    return bigquery.gcs.bucket(BUCKET)


@pytest.fixture
def client(bigquery: BigQuery, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> google.Client:
    """With the endpoints in the environment."""
    for name, value in bigquery.variables.items():
        monkeypatch.setenv(name, value)
    return bigquery.client()


@pytest.fixture
def dataset(client: google.Client) -> str:
    name = f"d{uuid.uuid4().hex[:10]}"
    client.create_dataset(name)
    return name


@pytest.fixture
def made(client: google.Client, dataset: str) -> Callable[..., str]:
    """A table of columns with these types and rows, as SQL writes them; gives its name."""

    def make(columns: str, *rows: str, name: str = "customers") -> str:
        fields = [google.SchemaField(*column.split(":")[0].rsplit(" ", 1), *column.split(":")[1:]) for column in columns.split(", ")]
        client.create_table(google.Table(f"project.{dataset}.{name}", fields))
        if rows:
            client.query_and_wait(f"INSERT INTO `{dataset}.{name}` VALUES {', '.join(rows)}")
        return name

    return make


@pytest.fixture
def intake(dataset: str, credential: Mapping[str, Any]) -> Callable[..., Place]:
    def place(table: str, *, bucket: str | None = BUCKET, job: str = "", probe: str | None = None, in_dataset: str = dataset) -> Place:
        settings = BigQueryIntake(type="bigquery", dataset=in_dataset, table=table, bucket=bucket)
        return Place(settings, credential, job=job or uuid.uuid4().hex, probe=probe)

    return place


@pytest.fixture
def output(dataset: str, credential: Mapping[str, Any]) -> Callable[..., Place]:
    def place(table: str = "scores", *, bucket: str | None = BUCKET, job: str = "", in_dataset: str = dataset) -> Place:
        return Place(BigQueryOutput(type="bigquery", dataset=in_dataset, table=table, bucket=bucket), credential, job=job or uuid.uuid4().hex)

    return place


@pytest.fixture
def run(regression: Path, tmp_path: Path) -> Callable[..., Tally]:
    def run(intake: Path | Place, output: Path | Place, is_cancelled: Callable[[], bool] = lambda: False, **options: Any) -> Tally:
        job = ScoringJob(regression, intake, output, Options(**options), tmp_path / "rejects.csv")
        try:
            return score(job, report=lambda progress: None, is_cancelled=is_cancelled)
        finally:
            job.note_file.unlink(missing_ok=True)

    return run


def rows(client: google.Client, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in client.query_and_wait(sql)]


def read(place: Place) -> pa.Table:
    with closing(room.open_intake(place, Dialect(), lambda: False)) as intake:
        pieces = [piece.read().table for piece in intake.pieces(intake.header, 1000, None, lambda: False)]
        return pa.Table.from_batches(pieces, pa.schema(list(zip(intake.header, intake.types, strict=True))))


def files(bucket: Bucket) -> list[str]:
    return [blob.name for blob in bucket.list_blobs()]


@pytest.mark.parametrize("through", [BUCKET, None], ids=["extracted", "streamed"])
def test_a_table_is_scored_into_a_table(
    client: google.Client, dataset: str, bucket: Bucket, made: Callable[..., str], intake: Any, output: Any, run: Any, through: str | None
) -> None:
    made("id INT64, a FLOAT64, b NUMERIC", "(1, 0.5, 0.25)", "(2, -0.5, NULL)", "(3, NULL, 1)")
    tally = run(intake("customers", bucket=through), output(), passthrough_columns=["id"])
    assert (tally.scored, tally.failed) == (3, 0)
    assert tally.bytes_read > 0
    assert tally.bytes_written > 0
    assert [id for id, _ in rows(client, f"SELECT id, y_PREDICTION FROM {dataset}.scores WHERE y_PREDICTION IS NOT NULL ORDER BY id")] == [1, 2, 3]
    assert {field.name: field.field_type for field in client.get_table(f"{dataset}.scores").schema}["y_PREDICTION"] == "FLOAT"
    assert files(bucket) == []


ODD = "Kunden 2026-é"
TYPES = "i INT64, f FLOAT64, n NUMERIC, big BIGNUMERIC, b BOOL, s STRING, raw BYTES, d DATE, t TIME, ts TIMESTAMP, dt DATETIME, g GEOGRAPHY"
ROW = (
    "(7, 0.5, NUMERIC '1.25', BIGNUMERIC '2.5', TRUE, 'é\"', b'xy', DATE '2026-10-01', TIME '01:02:03', "
    "TIMESTAMP '2026-10-01 01:02:03 UTC', DATETIME '2026-10-01 01:02:03', ST_GEOGPOINT(1, 2))"
)
READ = [
    *(pa.int64(), pa.float64(), pa.float64(), pa.float64(), pa.bool_(), pa.string(), pa.binary(), pa.date32(), pa.time64("us")),
    *(pa.timestamp("us", "UTC"), pa.timestamp("us"), pa.string()),
]


def test_both_ways_of_reading_give_the_same_types_and_values(made: Callable[..., str], intake: Any) -> None:
    # The emulator extracts GEOGRAPHY in DuckDB's own form, not as text; so that column is read by the Storage API alone.
    table = made(TYPES.removesuffix(", g GEOGRAPHY"), ROW.replace(", ST_GEOGPOINT(1, 2)", ""), name=ODD)
    extracted, streamed = read(intake(table)), read(intake(table, bucket=None))
    assert extracted.schema.types == streamed.schema.types == READ[:-1]
    assert extracted.to_pylist() == streamed.to_pylist()
    assert {name: extracted[name][0].as_py() for name in ("n", "big", "s", "raw")} == {"n": 1.25, "big": 2.5, "s": 'é"', "raw": b"xy"}


def test_columns_that_parquet_would_change_are_streamed(made: Callable[..., str], intake: Any) -> None:
    made("a INT64, j JSON, l STRING:REPEATED, g GEOGRAPHY", "(1, JSON '{\"x\": 1}', ['p', 'q'], ST_GEOGPOINT(1, 2))")
    [row] = read(intake("customers")).to_pylist()
    assert row["l"] == ["p", "q"]
    assert row["j"].replace(" ", "") == '{"x":1}'
    assert row["g"].startswith("POINT")


def test_a_view_is_read_through_a_query(client: google.Client, dataset: str, made: Callable[..., str], intake: Any) -> None:
    made("a INT64", "(1)", "(2)")
    client.query_and_wait(f"CREATE VIEW {dataset}.twice AS SELECT 2 * a AS a FROM {dataset}.customers")
    assert sorted(read(intake("twice"))["a"].to_pylist()) == [2, 4]
    assert look(intake("twice")) is None


@pytest.mark.parametrize("through", [BUCKET, None], ids=["extracted", "streamed"])
def test_a_table_without_rows_makes_a_table_without_rows(
    client: google.Client, dataset: str, made: Callable[..., str], intake: Any, output: Any, run: Any, through: str | None
) -> None:
    made("a FLOAT64, b FLOAT64")
    assert run(intake("customers", bucket=through), output()).scored == 0
    assert client.get_table(f"{dataset}.scores").num_rows == 0


def test_an_extract_that_was_left_is_not_read(client: google.Client, dataset: str, bucket: Bucket, made: Callable[..., str], intake: Any) -> None:
    made("a INT64", "(1)")
    config = google.ExtractJobConfig(destination_format="PARQUET")
    for attempt in ("", "_2"):
        left = f"gs://{BUCKET}/reconciler_left/extract{attempt or '_1'}/*.parquet"
        client.extract_table(f"{dataset}.customers", left, job_id=f"reconciler_left_extract{attempt}", job_config=config).result()
    client.query_and_wait(f"UPDATE {dataset}.customers SET a = 2 WHERE TRUE")
    assert read(intake("customers", job="left"))["a"].to_pylist() == [2]
    assert files(bucket) == []


def test_a_dataset_of_another_project_is_named_with_it(
    client: google.Client, dataset: str, made: Callable[..., str], intake: Any, output: Any, run: Any
) -> None:
    made("a FLOAT64, b FLOAT64", "(1, 2)")
    run(intake("customers", in_dataset=f"project.{dataset}"), output("a scores é", in_dataset=f"project.{dataset}"))
    assert client.get_table(f"project.{dataset}.a scores é").num_rows == 1


CSV = "a,b,n,flag,day,at,price\n1,2,7,true,2026-10-01,2026-10-01 01:02:03+02:00,1.10\n3,4,,False,,2026-10-01,\n"
TARGET = "N INT64, flag BOOL, day DATE, at TIMESTAMP, price NUMERIC, Y_PREDICTION FLOAT64, note STRING"


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text(CSV)
    return path


def test_text_becomes_what_the_table_has(client: google.Client, dataset: str, csv: Path, made: Callable[..., str], output: Any, run: Any) -> None:
    made(TARGET, "(0, NULL, NULL, NULL, NULL, NULL, 'here before')", name="scores")
    run(csv, output(), passthrough_columns=["n", "flag", "day", "at", "price"])
    found = rows(client, f"SELECT N, flag, CAST(day AS STRING), CAST(at AS STRING), price, note FROM {dataset}.scores ORDER BY at DESC")
    assert found == [
        (None, False, None, "2026-10-01 00:00:00+00", None, None),
        (7, True, "2026-10-01", "2026-09-30 23:02:03+00", Decimal("1.1"), None),
        (0, None, None, None, None, "here before"),
    ]


REFUSED = {
    "a-column-it-lacks": ("n INT64, Y_PREDICTION FLOAT64", "The table lacks columns", "has no column price"),
    "a-value-that-is-no-number": ("n INT64, price INT64, Y_PREDICTION FLOAT64", "A value does not fit its column", "INTEGER, and row 1 has '1.10'"),
    "a-value-that-is-missing": ("n INT64:REQUIRED, price STRING, Y_PREDICTION FLOAT64", "A value is missing", "the column n is REQUIRED, and row 2"),
    "a-column-it-requires": ("n INT64, price STRING, Y_PREDICTION FLOAT64, k STRING:REQUIRED", "The output lacks columns", "requires a value for k"),
    "a-column-of-lists": ("n INT64:REPEATED, price STRING, Y_PREDICTION FLOAT64", "The table has columns of other types", "n (REPEATED)"),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "summary", "detail"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_the_table_is_named(
    client: google.Client,
    dataset: str,
    bucket: Bucket,
    csv: Path,
    made: Callable[..., str],
    output: Any,
    run: Any,
    columns: str,
    summary: str,
    detail: str,
) -> None:
    made(columns, name="scores")
    with pytest.raises(ScoringError) as caught:
        run(csv, output(), passthrough_columns=["n", "price"])
    assert caught.value.summary == summary
    assert detail in caught.value.detail
    assert f"BigQuery table project.{dataset}.scores" in caught.value.detail
    assert client.get_table(f"{dataset}.scores").num_rows == 0
    assert files(bucket) == []


@pytest.mark.parametrize("name", ["y.1", "a b\n", "_PARTITIONTIME", "x" * 301, "(y)"])
def test_a_name_that_bigquery_does_not_take_is_refused_before_the_first_row(csv: Path, output: Any, run: Any, name: str) -> None:
    with pytest.raises(ScoringError, match="does not take the names"):
        run(csv, output(), column_names_remapping={"y_PREDICTION": name})


def test_an_output_without_a_bucket_is_refused(csv: Path, client: google.Client, output: Any, run: Any) -> None:
    with pytest.raises(ScoringError, match="needs a bucket"):
        run(csv, output(bucket=None))


def test_scores_are_not_loaded_into_a_view(client: google.Client, dataset: str, csv: Path, output: Any, run: Any) -> None:
    client.query_and_wait(f"CREATE VIEW {dataset}.scores AS SELECT 1 AS y_PREDICTION")
    with pytest.raises(ScoringError) as caught:
        run(csv, output())
    assert "is of type VIEW" in caught.value.detail


def staged(output: Place, count: int = 3) -> int:
    schema = pa.schema([("a", pa.int64())])
    with room.open_output(output, schema) as opened:
        opened.write(pa.record_batch([pa.array(range(count))], schema))
        opened.finish()
    return count


def test_a_second_settle_finds_it_done(client: google.Client, dataset: str, bucket: Bucket, output: Any) -> None:
    place = output(job="twice")
    assert staged(place) == len(files(bucket)) + 2
    room.settle(place, 3)
    room.settle(place, 3)
    room.discard(place)
    assert client.get_table(f"{dataset}.scores").num_rows == 3
    assert files(bucket) == []


def test_files_that_a_killed_process_left_are_not_loaded(client: google.Client, dataset: str, bucket: Bucket, output: Any) -> None:
    place = output(job="longer")
    staged(place)
    [part] = bucket.list_blobs()
    bucket.copy_blob(part, bucket, part.name.replace("000000", "000001"))
    staged(place)
    room.settle(place, 3)
    room.discard(place)
    assert client.get_table(f"{dataset}.scores").num_rows == 3


def test_a_load_of_other_rows_than_were_staged_is_an_error(output: Any, client: google.Client) -> None:
    place = output()
    staged(place)
    with pytest.raises(ScoringError, match="BigQuery has not loaded every row"):
        room.settle(place, 4)
    room.discard(place)


def test_a_load_that_failed_is_tried_under_the_next_name(client: google.Client, dataset: str, output: Any) -> None:
    config = google.LoadJobConfig(source_format="PARQUET")
    for job_id in ("reconciler_failed_load", "reconciler_failed_load_2"):
        with pytest.raises(Exception, match=r"nothing\.parquet"):
            client.load_table_from_uri(f"gs://{BUCKET}/nothing.parquet", f"{dataset}.scores", job_id=job_id, job_config=config).result()
    staged(output(job="failed"))
    room.settle(output(job="failed"), 3)
    assert client.get_job("reconciler_failed_load_3").output_rows == 3
    room.settle(output(job="failed"), 3)
    room.discard(output(job="failed"))
    assert client.get_table(f"{dataset}.scores").num_rows == 3


def test_a_load_that_bigquery_refuses_leaves_nothing(
    client: google.Client, dataset: str, bucket: Bucket, made: Callable[..., str], output: Any
) -> None:
    place = output()
    staged(place)
    made("other INT64", name="scores")  # in the meantime
    with pytest.raises(ScoringError) as caught:
        room.settle(place, 3)
    assert caught.value.summary == "BigQuery has not loaded the scores"
    room.discard(place)
    room.discard(place)
    assert dataset in caught.value.detail
    assert client.get_table(f"{dataset}.scores").num_rows == 0
    assert files(bucket) == []


def test_an_abort_leaves_nothing(
    client: google.Client, dataset: str, bucket: Bucket, made: Callable[..., str], intake: Any, output: Any, run: Any
) -> None:
    made("a FLOAT64, b FLOAT64", "(1, 2)")
    with pytest.raises(Cancelled):
        run(intake("customers"), output(), is_cancelled=lambda: True)
    assert files(bucket) == []
    assert [table.table_id for table in client.list_tables(dataset)] == ["customers"]


def test_a_look_tells_one_content_from_another(client: google.Client, dataset: str, made: Callable[..., str], intake: Any) -> None:
    # The emulator's etag and lastModifiedTime stand still when rows change; BigQuery's move, and here the number of rows has to tell.
    made("a INT64", "(1)")
    before = look(intake("customers"))
    assert before is not None
    assert before.keys() == {"etag", "lastModifiedTime", "numRows"}
    assert look(intake("customers", bucket=None)) == before
    client.query_and_wait(f"INSERT INTO {dataset}.customers VALUES (2)")
    assert look(intake("customers")) == {**before, "numRows": 2}
    table = client.get_table(f"{dataset}.customers")
    table.description = "changed"
    client.update_table(table, ["description"])
    after = look(intake("customers"))
    assert after is not None
    assert after["etag"] != before["etag"]
    assert after["lastModifiedTime"] != before["lastModifiedTime"]


def test_a_probe_tells_what_the_table_cannot(client: google.Client, dataset: str, made: Callable[..., str], intake: Any) -> None:
    made("a INT64, d DATE", "(1, DATE '2026-10-01')")
    probed = intake("customers", probe="SELECT COUNT(*), SUM(a), MAX(d) FROM customers")
    assert look(probed) == {"probe": [[1, 1, "2026-10-01"]]}
    client.query_and_wait(f"UPDATE {dataset}.customers SET a = 5 WHERE TRUE")
    assert look(probed) == {"probe": [[1, 5, "2026-10-01"]]}
    with pytest.raises(ScoringError, match="The probe gives too many rows"):
        look(intake("customers", probe="SELECT * FROM UNNEST(GENERATE_ARRAY(1, 1001))"))
    with pytest.raises(ScoringError) as caught:
        look(intake("customers", probe="SELECT nope FROM customers"))
    assert "nope" in caught.value.detail


def spoken(error: ScoringError) -> str:
    return f"{error.summary}. {error.detail}"


BAD = {
    "table": (lambda intake, output: look(intake("nope")), "BigQuery does not have it", "nope"),
    "table-to-read": (lambda intake, output: read(intake("nope")), "BigQuery does not have it", "nope"),
    "dataset": (lambda intake, output: look(intake("t", in_dataset="nowhere")), "BigQuery does not have it", "nowhere"),
    "dataset-to-write-to": (lambda intake, output: staged(output(in_dataset="nowhere")), "BigQuery does not have it", "nowhere"),
    "bucket-to-read-through": (
        lambda intake, output: read(intake("customers", bucket="no-such-bucket")),
        "The bucket does not exist",
        "no-such-bucket",
    ),
    "bucket-to-write-to": (lambda intake, output: staged(output(bucket="no-such-bucket")), "The bucket does not exist", "no-such-bucket"),
}


@pytest.mark.parametrize(("act", "summary", "named"), BAD.values(), ids=BAD)
def test_what_is_not_there_is_named(
    made: Callable[..., str], intake: Any, output: Any, act: Callable[[Any, Any], object], summary: str, named: str
) -> None:
    made("a INT64", "(1)")
    with pytest.raises(ScoringError) as caught:
        act(intake, output)
    assert caught.value.summary == summary
    assert named in caught.value.detail


def credentials(keys: Keys) -> Iterator[tuple[Mapping[str, Any], str]]:
    key = Keys(keys.token_uri).account()  # which the endpoint does not know
    yield {"credentialType": "gcp", "gcpKey": key}, "BigQuery refuses the credential"
    yield {"credentialType": "gcp", "gcpKey": {**key, "private_key": key["private_key"][:200]}}, "private_key of its gcpKey cannot be read"
    yield {"credentialType": "gcp", "gcpKey": {"private_key": key["private_key"]}}, "lacks client_email, project_id, token_uri"
    yield {"credentialType": "gcp", "gcpKey": key["private_key"]}, "whose gcpKey is the JSON of a key"
    yield {"credentialType": "basic", "user": "u", "password": "secret"}, "whose gcpKey is the JSON of a key"


def test_a_wrong_credential_is_refused_and_never_shown(client: google.Client, keys: Keys, made: Callable[..., str], intake: Any) -> None:
    made("a INT64", "(1)")
    for credential, said in credentials(keys):
        settings = intake("customers").settings
        with pytest.raises(ScoringError) as caught:
            look(Place(settings, credential))
        assert said in spoken(caught.value)
        assert "PRIVATE" not in spoken(caught.value)
        assert "secret" not in spoken(caught.value)


def test_the_machines_own_credential_is_not_taken(made: Callable[..., str], intake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made("a INT64", "(1)")
    settings = intake("customers").settings
    assert look(Place(settings)) is not None  # the emulator asks for none
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST")
    with pytest.raises(ScoringError, match="BigQuery needs a credential"):
        look(Place(settings))


def test_a_key_may_be_text(client: google.Client, made: Callable[..., str], intake: Any, credential: Mapping[str, Any]) -> None:
    made("a INT64", "(1)")
    assert look(Place(intake("customers").settings, {"credentialType": "gcp", "gcpKey": json.dumps(credential["gcpKey"])})) is not None


def test_what_breaks_off_or_is_not_there_ends_in_a_sentence(
    bigquery: BigQuery,
    client: google.Client,
    dataset: str,
    made: Callable[..., str],
    intake: Any,
    output: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All at once, for each is tried again for a while."""
    made("a INT64", "(1)")
    client.query_and_wait(f"CREATE TABLE {dataset}.many AS SELECT a FROM UNNEST(GENERATE_ARRAY(1, 1000000)) AS a")
    cut = [Fault("GET", "/download/storage/.*", cut_download, times=None), Fault("PUT", "/upload/storage/.*", cut_upload, times=None)]
    with (
        Proxy(port(bigquery.rest), [Fault("GET", ".*", hang_up, times=None)]) as silent,
        Proxy(port(bigquery.gcs.url), cut) as cutting,
        Severing(int(bigquery.grpc.partition(":")[2]), 1 << 20) as severing,
        ThreadPoolExecutor(8) as pool,
    ):
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{silent.port}")
        ends = {"BigQuery table project.": pool.submit(look, intake("customers"))}
        silent.wait_for("GET", ".*")
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery.rest)
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{cutting.port}")
        ends["/extract_1/000000000000.parquet"] = pool.submit(read, intake("customers"))
        ends["/load/part-000000.parquet"] = pool.submit(staged, output())
        cutting.wait_for("GET", "/download/storage/.*")
        cutting.wait_for("PUT", "/upload/storage/.*")
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", f"127.0.0.1:{severing.port}")
        ends[".many: no answer came"] = pool.submit(read, intake("many", bucket=None))
        assert severing.is_cut.wait(60)
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
        ends[".customers: no answer came"] = pool.submit(read, intake("customers", bucket=None))
        for named, end in ends.items():
            with pytest.raises(ScoringError, match="cannot be reached") as caught:
                end.result()
            assert named in caught.value.detail


def port(url: str) -> int:
    return int(url.rpartition(":")[2])


class Severing:
    """A way to a server that is gone, once so many bytes of answers have come along it; or that stands still then, for half a minute."""

    def __init__(self, target: int, limit: int, *, stands_still: bool = False) -> None:
        self.is_cut = threading.Event()
        self.has_ended = threading.Event()
        self._left = threading.Event()
        self._stands_still = stands_still
        self._target = target
        self._limit = limit
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._pass_on)

    def __enter__(self) -> "Severing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def _pass_on(self) -> None:
        client, _ = self._listening.accept()
        self._listening.close()
        passed = 0
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            while passed < self._limit:
                for ready in select.select([client, server], [], [])[0]:
                    content = ready.recv(1 << 16)
                    passed += len(content) if ready is server else 0
                    (client if ready is server else server).sendall(content)
            if self._stands_still:
                self.is_cut.set()
                self._left.wait(30)
        self.is_cut.set()
        self.has_ended.set()


def test_an_abort_does_not_wait_for_a_stream_that_stands_still(
    bigquery: BigQuery,
    client: google.Client,
    dataset: str,
    bucket: Bucket,
    intake: Any,
    output: Any,
    run: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.query_and_wait(f"CREATE TABLE {dataset}.many AS SELECT a, a AS b FROM UNNEST(GENERATE_ARRAY(1, 300000)) AS a")
    with Severing(int(bigquery.grpc.partition(":")[2]), 1 << 20, stands_still=True) as still:
        monkeypatch.setenv("BIGQUERY_STORAGE_EMULATOR_HOST", f"127.0.0.1:{still.port}")
        with pytest.raises(Cancelled):
            run(intake("many", bucket=None), output(), is_cancelled=still.is_cut.is_set)
        assert not still.has_ended.is_set()
    assert files(bucket) == []


DENIED = b'{"error": {"code": 403, "message": "Access Denied: User does not have bigquery.jobs.create permission in project x.", "errors": []}}'


def test_a_permission_that_lacks_is_named(
    bigquery: BigQuery,
    client: google.Client,
    made: Callable[..., str],
    intake: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The emulator gives everything to everybody; so this is what BigQuery answers, word for word, on the way.
    made("a INT64", "(1)")
    with Proxy(port(bigquery.rest), [Fault("POST", ".*/jobs", Instead(403, body=DENIED))]) as proxy:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(ScoringError) as caught:
            read(intake("customers"))
    assert caught.value.summary == "BigQuery refuses access"
    assert "bigquery.jobs.create" in caught.value.detail
    assert "http" not in caught.value.detail


@pytest.mark.parametrize("name", ["extract", "load"])
def test_a_job_whose_answer_is_lost_is_not_run_twice(
    bigquery: BigQuery,
    client: google.Client,
    dataset: str,
    bucket: Bucket,
    made: Callable[..., str],
    intake: Any,
    output: Any,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    made("a INT64", "(1)")
    with Proxy(port(bigquery.rest), [Fault("POST", ".*/jobs", drop)]) as proxy:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{proxy.port}")
        if name == "extract":
            assert read(intake("customers"))["a"].to_pylist() == [1]
        else:
            place = output()
            room.settle(place, staged(place))
            room.discard(place)
            assert client.get_table(f"{dataset}.scores").num_rows == 3
        assert proxy.hits == [1]
    assert files(bucket) == []


def test_a_job_killed_at_any_step_leaves_no_duplicate_row(
    bigquery: BigQuery,
    client: google.Client,
    dataset: str,
    bucket: Bucket,
    made: Callable[..., str],
    credential: Mapping[str, Any],
    regression: Path,
    tmp_path: Path,
) -> None:
    """Of those that change something: the extract, the upload, our note, the load, the end. It is then scored again."""
    made("id INT64, a FLOAT64, b FLOAT64", "(1, 1, 2)", "(2, 3, 4)")
    key = tmp_path / "key.json"
    key.write_text(json.dumps(credential))
    program = Path(__file__).parents[2] / "killed_bigquery.py"
    done = subprocess.run([sys.executable, program, regression, dataset, BUCKET, key, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    deaths = [line.split("\t") for line in done.stdout.splitlines()]
    steps = " ".join(what for _, what in deaths)
    for step in ("POST /upload/storage", "rename", "POST /bigquery/v2/projects/project/jobs", "DELETE /storage", "the end"):
        assert step in steps
    for table, what in deaths:
        assert rows(client, f"SELECT id, COUNT(*) FROM {dataset}.{table} GROUP BY id ORDER BY id") == [(1, 1), (2, 1)], what
    assert files(bucket) == []
