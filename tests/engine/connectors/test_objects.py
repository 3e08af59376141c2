"""Object stores. The rule here: what holds for one of them holds for all, over a real socket and with real models."""

import dataclasses
import gc
import io
import itertools
import json
import random
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servers.azurite import azurite  # noqa: F401
from servers.clouds import Cloud, azure_cloud, gcp_cloud, s3_cloud
from servers.gcs import gcs  # noqa: F401
from servers.seaweed import seaweed  # noqa: F401

from reconciler.engine.connectors.connector import connector
from reconciler.engine.connectors.store import PART
from reconciler.engine.dialect import Dialect
from reconciler.engine.job import ScoringJob, Tally
from reconciler.engine.look import look
from reconciler.engine.pipeline import score
from reconciler.engine.place import Place
from reconciler.errors import ScoringError
from reconciler.options import Options

pytestmark = pytest.mark.xdist_group("objects")

MAKES = {"s3": ("seaweed", s3_cloud), "azure": ("azurite", azure_cloud), "gcp": ("gcs", gcp_cloud)}
NUMBERS = itertools.count()
ROWS = b'a,b,note\n1.5,2,x\n-1,0.5,"y, z"\n'
NASTY = "in put/Ärger & 100%/it's (new)+1.csv"


@pytest.fixture(params=MAKES)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    server, make = MAKES[request.param]
    return make(request.getfixturevalue(server), f"bucket-{next(NUMBERS)}")


Run = Callable[..., Tally]


@pytest.fixture
def run(regression: Path, tmp_path: Path) -> Run:
    def scored(intake: Place | Path, output: Place | Path, **options: Any) -> Tally:
        job = ScoringJob(regression, intake, output, Options(**options), tmp_path / "rejects.csv")
        return score(job, report=lambda progress: None, is_cancelled=lambda: False)

    return scored


@pytest.fixture
def expected(run: Run, tmp_path: Path) -> Callable[..., bytes]:
    """What a file of this machine with the same content becomes."""

    def scored(content: bytes, **options: Any) -> bytes:
        (tmp_path / "in.csv").write_bytes(content)
        run(tmp_path / "in.csv", tmp_path / "out.csv", **options)
        return (tmp_path / "out.csv").read_bytes()

    return scored


@pytest.mark.parametrize("key", ["in.csv", NASTY])
def test_an_object_is_scored_as_a_file_is(cloud: Cloud, run: Run, expected: Callable[..., bytes], key: str) -> None:
    cloud.put(key, ROWS)
    tally = run(cloud.intake(key), cloud.output(f"out/{key}"), passthrough_columns_set="all")
    assert cloud.get(f"out/{key}") == expected(ROWS, passthrough_columns_set="all")
    assert (tally.scored, tally.bytes_read, tally.bytes_written) == (2, len(ROWS), len(cloud.get(f"out/{key}")))


def text_of(caught: pytest.ExceptionInfo[ScoringError]) -> str:
    return f"{caught.value.summary}. {caught.value.detail}"


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=1000)
    return sink.getvalue()


def test_a_key_names_one_object_and_no_other(cloud: Cloud, run: Run) -> None:
    for key in ("data/in.csv", "data/in.csv.bak", "data/in.csv2/in.csv"):
        cloud.put(key, ROWS if key == "data/in.csv" else b"no,such\n")
    assert run(cloud.intake("data/in.csv"), cloud.output("out.csv")).scored == 2


def test_every_csv_under_a_folder_is_read_in_the_order_of_the_keys(cloud: Cloud, run: Run) -> None:
    for key in ("data/10.csv", "data/2.csv", "data/deep er/1.CSV", "data/_SUCCESS", "data/_temporary/0/x.csv", "data/.hidden.csv", "data/read.me"):
        cloud.put(key, f"a,b,note\n1,1,{key}\n".encode())
    cloud.put("data.csv", b"not,under\n")
    cloud.put("database/1.csv", b"not,under\n")
    tally = run(cloud.intake("data/"), cloud.output("out.csv"), passthrough_columns=["note"])
    assert [line.split(b",")[1] for line in cloud.get("out.csv").split(b"\n")[1:-1]] == [b"data/10.csv", b"data/2.csv", b"data/deep er/1.CSV"]
    assert tally.scored == 3


def test_parquet_goes_in_and_out(cloud: Cloud, run: Run) -> None:
    table = pa.table({"a": [0.5] * 5000, "b": [1.5] * 5000, "day": ["x", "y"] * 2500})
    for key in ("in/1.parquet", "in/2.parquet"):
        cloud.put(key, parquet(table))
    tally = run(cloud.intake("in/", format="parquet"), cloud.output("out.parquet", format="parquet"), passthrough_columns=["day"])
    scored = pq.read_table(io.BytesIO(cloud.get("out.parquet")))
    assert (tally.scored, scored.num_rows, scored.column_names) == (10_000, 10_000, ["y_PREDICTION", "day"])
    assert scored["day"].to_pylist() == ["x", "y"] * 5000


def test_the_dialect_of_the_job_is_that_of_the_object(cloud: Cloud, run: Run) -> None:
    cloud.put("in.csv", "a;b;note\n1;2;Ärger\n".encode("latin-1"))
    settings = {"delimiter": ";", "encoding": "latin-1"}
    run(cloud.intake("in.csv"), cloud.output("out.csv"), csv_settings=settings, passthrough_columns=["note"])
    assert "Ärger" in cloud.get("out.csv").decode("latin-1")


@pytest.mark.parametrize(
    ("key", "format", "content", "said"),
    [
        ("x.csv", "csv", parquet(pa.table({"a": [1.0]})), "is a Parquet file. Set format: parquet"),
        ("x.parquet", "parquet", ROWS, "is not a Parquet file. Set format: csv"),
        ("x.csv", "csv", b"", "has no header"),
    ],
)
def test_an_object_of_another_format_is_named(cloud: Cloud, run: Run, key: str, format: str, content: bytes, said: str) -> None:
    cloud.put(key, content)
    with pytest.raises(ScoringError) as caught:
        run(cloud.intake(key, format=format), cloud.output("out.csv"))
    assert said in text_of(caught) and key in text_of(caught)
    assert cloud.keys() == [key]


def test_a_header_that_begins_as_parquet_does_is_csv(cloud: Cloud, run: Run) -> None:
    cloud.put("in.csv", b"PAR1,a,b\n1,2,3\n")
    assert run(cloud.intake("in.csv"), cloud.output("out.csv")).scored == 1


def test_a_missing_object_is_named(cloud: Cloud, run: Run) -> None:
    for ask in (lambda: look(cloud.intake("no/such.csv")), lambda: run(cloud.intake("no/such.csv"), cloud.output("out.csv"))):
        with pytest.raises(ScoringError) as caught:
            ask()
        assert caught.value.summary == "The object does not exist" and "no/such.csv" in caught.value.detail


def test_a_folder_without_data_is_named(cloud: Cloud, run: Run) -> None:
    cloud.put("data/read.me", b"x")
    for ask in (lambda: look(cloud.intake("data/")), lambda: run(cloud.intake("data/"), cloud.output("out.csv"))):
        with pytest.raises(ScoringError) as caught:
            ask()
        assert "data/ has no object whose name ends in .csv" in text_of(caught)


def test_a_missing_bucket_is_found_before_the_first_row(cloud: Cloud, run: Run) -> None:
    cloud.put("in.csv", b"no,model,has,these\n")  # so that the output is not what is wrong first
    nowhere = dataclasses.replace(cloud, root=re.sub(r"[^/]+/$", "no-such-bucket/", cloud.root))
    for ask in (
        lambda: look(nowhere.intake("in.csv")),
        lambda: look(nowhere.intake("data/")),
        lambda: run(nowhere.intake("in.csv"), cloud.output("out.csv")),
        lambda: connector(nowhere.output("out.csv")).open_sink(nowhere.output("out.csv")),
    ):
        with pytest.raises(ScoringError) as caught:
            ask()
        assert caught.value.summary in ("The bucket does not exist", "The container does not exist"), text_of(caught)
        assert "no-such-bucket" in caught.value.detail


def test_nobody_sees_an_output_that_is_not_finished(cloud: Cloud) -> None:
    cloud.put("out.csv", b"of an earlier run")
    place = cloud.output("out.csv")
    for size in (0, 100, PART + 100):
        sink = connector(place).open_sink(place)
        for start in range(0, size, 1 << 20):
            sink.write(b"x" * min(1 << 20, size - start))
        sink.close()
        sink.close()
    gc.collect()
    assert cloud.get("out.csv") == b"of an earlier run"


def test_a_large_output_goes_in_parts(cloud: Cloud) -> None:
    place = cloud.output("out.csv")
    sink = connector(place).open_sink(place)
    content = random.Random(0).randbytes(PART + PART // 2)
    for start in range(0, len(content), 3 << 20):
        sink.write(content[start : start + (3 << 20)])
    sink.finish()
    sink.close()
    assert cloud.get("out.csv") == content


def test_an_object_that_changes_while_it_is_read_ends_the_job(cloud: Cloud, run: Run) -> None:
    place = cloud.intake("in.csv")
    cloud.put("in.csv", b"a,b\n" + b"1,2\n" * 2_000_000)
    with closing(connector(place).open_intake(place, Dialect.of(Options().csv_settings), lambda: False)) as intake:
        cloud.put("in.csv", b"a,b\n3,4\n")
        again = connector(place).open_intake(place, Dialect.of(Options().csv_settings), lambda: False)
        again.close()
        assert intake.header == ["a", "b"]
    parquet_place = cloud.intake("in.parquet", format="parquet")
    cloud.put("in.parquet", parquet(pa.table({"a": [1.0] * 100_000, "b": range(100_000)})))
    with closing(connector(parquet_place).open_intake(parquet_place, Dialect.of(Options().csv_settings), lambda: False)) as intake:
        cloud.put("in.parquet", parquet(pa.table({"a": [2.0] * 100_000, "b": range(100_000)})))
        with pytest.raises(ScoringError) as caught:
            list(intake.pieces(["b"], 1000, None, lambda: False))
    assert caught.value.summary == "The intake changed while it was read"


def test_what_is_seen_changes_with_the_content_and_only_then(cloud: Cloud) -> None:
    place, folder = cloud.intake("data/1.csv"), cloud.intake("data/")
    cloud.put("data/1.csv", ROWS)
    cloud.put("data/2.csv", ROWS)
    one, all_of_them = look(place), look(folder)
    assert one and all_of_them and json.loads(json.dumps([one, all_of_them])) == [one, all_of_them]
    assert (look(place), look(folder)) == (one, all_of_them)
    assert all_of_them["objects"] == 2 and all_of_them["each"]["data/1.csv"] == one
    cloud.put("data/other.txt", b"no data")
    assert look(folder) == all_of_them
    cloud.put("data/2.csv", ROWS + b"1,1,more\n")
    after = look(folder)
    assert after and look(place) == one
    assert after["digest"] != all_of_them["digest"]
    assert [key for key in after["each"] if after["each"][key] != all_of_them["each"][key]] == ["data/2.csv"]


def test_many_objects_are_few_facts(cloud: Cloud) -> None:
    for number in range(60):
        cloud.put(f"data/{number}.csv", ROWS)
    facts = look(cloud.intake("data/"))
    assert facts and facts.keys() == {"objects", "digest"} and facts["objects"] == 60
    cloud.put("data/7.csv", ROWS * 2)
    assert look(cloud.intake("data/")) != facts
