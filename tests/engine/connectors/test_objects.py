"""Object stores. The rule here: what holds for one of them holds for all, over a real socket and with real models."""

import dataclasses
import datetime
import gc
import io
import itertools
import json
import pickle
import random
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from servers.clouds import Cloud, azure_cloud, gcp_cloud, s3_cloud
from servers.wire import Cut, Wire

from reconciler.engine.connectors.connector import connector
from reconciler.engine.connectors.store import PART
from reconciler.engine.dialect import Dialect
from reconciler.engine.job import ScoringJob, Tally
from reconciler.engine.look import look
from reconciler.engine.pipeline import score
from reconciler.engine.place import Place
from reconciler.errors import Cancelled, ScoringError
from reconciler.options import Options

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
        job = ScoringJob(regression, intake, output, Options(**options), tmp_path / f"rejects-{next(NUMBERS)}.csv")
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


COUNT = 400_000  # of rows: long enough for a report in their middle
LONG = b"a,b\n" + b"1.25,2.5\n" * COUNT


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
    assert cloud.listed() == [key]


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


# Folders of partitions


def hive(cloud: Cloud) -> dict[str, pa.Table]:
    return {key: pq.read_table(io.BytesIO(cloud.get(key))) for key in cloud.listed() if key.startswith("out/")}


def folder(cloud: Cloud, *columns: str, key: str = "out/") -> Place:
    return cloud.output(key, format="parquet", partitionColumns=list(columns))


PARTITIONED = 'a,b,day,country\n1,1,"2026-11-22 x/y=%1",DE\n2,2,,"Ä ö"\n3,3,"2026-11-22 x/y=%1",DE\n4,4,"",FR\n'.encode()


def test_a_folder_is_laid_out_as_hive_does(cloud: Cloud, run: Run) -> None:
    cloud.put("in.csv", PARTITIONED)
    tally = run(cloud.intake("in.csv"), folder(cloud, "day", "country"), passthrough_columns_set="all")
    found = hive(cloud)
    assert list(found) == [
        "out/day=2026-11-22 x%2Fy%3D%251/country=DE/reconciler.parquet",
        "out/day=__HIVE_DEFAULT_PARTITION__/country=FR/reconciler.parquet",
        "out/day=__HIVE_DEFAULT_PARTITION__/country=Ä ö/reconciler.parquet",
    ]
    assert [table["a"].to_pylist() for table in found.values()] == [["1", "3"], ["4"], ["2"]]
    assert all(table.column_names == ["y_PREDICTION", "a", "b"] for table in found.values())
    assert tally.bytes_written == sum(len(cloud.get(key)) for key in found)


def test_arrow_reads_the_folder_as_it_was_written(cloud: Cloud, run: Run, tmp_path: Path) -> None:
    cloud.put("in.csv", PARTITIONED)
    run(cloud.intake("in.csv"), folder(cloud, "day", "country"), passthrough_columns_set="all")
    for key in hive(cloud):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(cloud.get(key))
    table = pyarrow.dataset.dataset(tmp_path / "out", format="parquet", partitioning="hive").to_table().sort_by("a")
    assert table["day"].to_pylist() == ["2026-11-22 x/y=%1", None, "2026-11-22 x/y=%1", None]
    assert table["country"].to_pylist() == ["DE", "Ä ö", "DE", "FR"]


def test_a_rerun_writes_the_same_names_and_removes_what_it_has_no_rows_for(cloud: Cloud, run: Run) -> None:
    others = ["out/country=DE/mine.parquet", "out/reconciler.parquet", "out/plain/reconciler.parquet", "outside/country=XX/reconciler.parquet"]
    for key in others:
        cloud.put(key, b"somebody else's")
    cloud.put("in.csv", PARTITIONED)
    run(cloud.intake("in.csv"), folder(cloud, "country"), passthrough_columns_set="all")
    first = cloud.listed()
    run(cloud.intake("in.csv"), folder(cloud, "country"), passthrough_columns_set="all")
    assert cloud.listed() == first
    cloud.put("in.csv", b"a,b,day,country\n1,1,2,DE\n1,1,2,IT\n")
    run(cloud.intake("in.csv"), folder(cloud, "country"), passthrough_columns_set="all")
    written = ["out/country=DE/reconciler.parquet", "out/country=IT/reconciler.parquet"]
    assert cloud.listed() == sorted(["in.csv", *others, *written])


@pytest.mark.parametrize(
    ("options", "folders", "kept"),
    [
        pytest.param({}, "day={}/country={}", [], id="not passed through"),
        pytest.param({"passthrough_columns": ["country", "a"]}, "day={}/country={}", ["a"], id="passed through in part"),
        pytest.param({"passthrough_columns_set": "all", "column_names_remapping": {"day": "on"}}, "on={}/country={}", ["a", "b"], id="renamed"),
        pytest.param({"passthrough_columns_set": "all", "column_names_remapping": {"country": None}}, "day={}/country={}", ["a", "b"], id="dropped"),
    ],
)
def test_a_partition_column_is_named_as_the_intake_has_it(cloud: Cloud, run: Run, options: dict[str, Any], folders: str, kept: list[str]) -> None:
    cloud.put("in.csv", b"a,b,day,country\n1,1,22,DE\n2,2,22,FR\n3,3,22,DE\n")
    run(cloud.intake("in.csv"), folder(cloud, "day", "country"), **options)
    found = hive(cloud)
    assert list(found) == [f"out/{folders.format(22, country)}/reconciler.parquet" for country in ("DE", "FR")]
    assert [table.num_rows for table in found.values()] == [2, 1]
    assert all(table.column_names == ["y_PREDICTION", *kept] for table in found.values())


def test_a_partition_column_may_be_one_of_the_output(cloud: Cloud, run: Run) -> None:
    cloud.put("in.csv", b"a,b,day\n1,1,22\n2,2,23\n")
    run(cloud.intake("in.csv"), folder(cloud, "on"), passthrough_columns=["a", "day"], column_names_remapping={"day": "on"})
    assert list(hive(cloud)) == ["out/on=22/reconciler.parquet", "out/on=23/reconciler.parquet"]


def test_partition_columns_that_are_nowhere_are_found_before_the_first_row(cloud: Cloud, run: Run) -> None:
    cloud.put("in.csv", PARTITIONED)
    for columns, passed, said in (
        (["day", "land"], ["day"], "partition_columns names land, not in the intake; the output has y_PREDICTION, day"),
        (["day", "day"], ["day"], "names day more than once"),
        (["y_PREDICTION"], [], "names every column of the output"),
    ):
        with pytest.raises(ScoringError) as caught:
            run(cloud.intake("in.csv"), folder(cloud, *columns), passthrough_columns=passed)
        assert said in text_of(caught)
    assert cloud.listed() == ["in.csv"]


def test_a_job_that_fails_leaves_the_folder_as_it_was(cloud: Cloud, run: Run) -> None:
    cloud.put("in.csv", PARTITIONED)
    run(cloud.intake("in.csv"), folder(cloud, "country"), passthrough_columns_set="all")
    before = {key: cloud.get(key) for key in cloud.listed()}
    cloud.put("bad.csv", PARTITIONED + b'1,1,"never closed,DE\n')
    with pytest.raises(ScoringError):
        run(cloud.intake("bad.csv"), folder(cloud, "country"), passthrough_columns_set="all")
    assert {key: cloud.get(key) for key in before} == before and set(cloud.listed()) == {*before, "bad.csv"}


def test_rows_that_a_killed_process_has_left_on_the_disk_are_removed(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = cloud.output("out/", format="parquet", partition_columns=["day"])
    schema = pa.schema([("day", pa.string()), ("x", pa.int64())])
    connector(place).open_output(place, schema)  # and never left
    connector(place).open_output(dataclasses.replace(place, job="another"), schema)
    with connector(place).open_output(place, schema):
        (mine,) = tmp_path.glob(f"reconciler-{place.job}-*")
        assert mine.stat().st_mode & 0o077 == 0
    assert [found.name[:18] for found in tmp_path.iterdir()] == ["reconciler-another"]
    connector(place).discard(dataclasses.replace(place, job="another"))  # it is deleted, and never scored again
    assert list(tmp_path.iterdir()) == []


def test_no_rows_make_no_files(cloud: Cloud, run: Run) -> None:
    cloud.put("in.csv", b"a,b,day\n")
    cloud.put("out/day=1/reconciler.parquet", b"of an earlier run")
    assert run(cloud.intake("in.csv"), folder(cloud, "day"), passthrough_columns_set="all").scored == 0
    assert cloud.listed() == ["in.csv"]


def test_many_partitions_and_types_keep_every_row(cloud: Cloud, run: Run) -> None:
    count = 20_000
    days = [datetime.date(2026, 1, 1) + datetime.timedelta(days=number % 30) for number in range(count)]
    columns = {"a": range(count), "b": [0.5] * count, "day": days, "kind": pa.array(["x", "y", None, ""] * (count // 4)).dictionary_encode()}
    cloud.put("in.parquet", parquet(pa.table(columns)))
    run(cloud.intake("in.parquet", format="parquet"), folder(cloud, "day", "kind"), passthrough_columns_set="all")
    found = hive(cloud)
    kinds = ["x", "y", "__HIVE_DEFAULT_PARTITION__", "__HIVE_DEFAULT_PARTITION__"]
    assert found.keys() == {f"out/day=2026-01-{number % 30 + 1:02}/kind={kinds[number % 4]}/reconciler.parquet" for number in range(60)}
    assert sorted(number for table in found.values() for number in table["a"].to_pylist()) == list(range(count))
    assert all(table["a"].to_pylist() == sorted(table["a"].to_pylist()) for table in found.values())


# Trouble


def test_an_aborted_job_leaves_what_was_there(cloud: Cloud, regression: Path, tmp_path: Path) -> None:
    cloud.put("in.csv", LONG + LONG[4:] * 3)
    cloud.put("out.csv", b"of an earlier run")
    with Wire(cloud.server, Cut("down", 3 * len(LONG), is_silent=True)) as wire:
        job = ScoringJob(regression, cloud.through(wire).intake("in.csv"), cloud.output("out.csv"), Options(), tmp_path / "rejects.csv")
        with pytest.raises(Cancelled):
            score(job, report=lambda progress: None, is_cancelled=wire.is_cut.is_set)
    assert cloud.get("out.csv") == b"of an earlier run"


KILLED = f"""
import os, pickle, signal, sys
from pathlib import Path
from reconciler.engine.job import ScoringJob
from reconciler.engine.pipeline import score
from reconciler.options import Options

def report(progress):
    if 0 < progress.rows < {COUNT}:
        os.kill(os.getpid(), signal.SIGKILL)

folder, intake, output, rejects = pickle.loads(sys.stdin.buffer.read())
score(ScoringJob(folder, intake, output, Options(passthrough_columns_set="all"), rejects), report=report, is_cancelled=lambda: False)
"""


@pytest.mark.parametrize(("cloud", "is_folder"), [("s3", False), ("azure", False), ("gcp", False), ("s3", True)], indirect=["cloud"])
def test_a_killed_job_leaves_what_was_there_and_can_be_scored_again(
    cloud: Cloud, regression: Path, run: Run, expected: Callable[..., bytes], tmp_path: Path, is_folder: bool
) -> None:
    cloud.put("in.csv", LONG)
    earlier = "out/b=2.5/reconciler.parquet" if is_folder else "out.csv"
    cloud.put(earlier, b"of an earlier run")
    output = folder(cloud, "b") if is_folder else cloud.output("out.csv")
    given = pickle.dumps((regression, cloud.intake("in.csv"), output, tmp_path / "rejects.csv"))
    killed = subprocess.run([sys.executable, "-c", KILLED], input=given, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert cloud.get(earlier) == b"of an earlier run" and cloud.listed() == ["in.csv", earlier]
    assert run(cloud.intake("in.csv"), output, passthrough_columns_set="all").scored == COUNT
    if is_folder:
        assert pq.read_table(io.BytesIO(cloud.get(earlier))).num_rows == COUNT
    else:
        assert cloud.get(earlier) == expected(LONG, passthrough_columns_set="all")


def test_a_connection_that_is_cut_once_in_the_middle_costs_no_row(cloud: Cloud, run: Run, expected: Callable[..., bytes]) -> None:
    cloud.put("in.csv", LONG)
    with Wire(cloud.server, Cut("down", len(LONG) // 2, is_once=True)) as wire:
        assert run(cloud.through(wire).intake("in.csv"), cloud.output("out.csv")).scored == COUNT
        assert wire.is_cut.is_set()
    assert cloud.get("out.csv") == expected(LONG)


@pytest.mark.parametrize("cloud", ["s3", "gcp"], indirect=True)  # that of Azure is S3's
def test_an_intake_that_is_cut_off_ends_the_job(cloud: Cloud, run: Run) -> None:
    cloud.put("in.csv", LONG)
    cloud.put("out.csv", b"of an earlier run")
    with Wire(cloud.server, Cut("down", len(LONG) // 2)) as wire, pytest.raises(ScoringError) as caught:
        run(cloud.through(wire).intake("in.csv"), cloud.output("out.csv"))
    assert caught.value.summary.endswith("cannot be reached") and wire.netloc in caught.value.detail
    assert cloud.get("out.csv") == b"of an earlier run"


@pytest.mark.parametrize("cloud", ["azure", "gcp"], indirect=True)
def test_an_output_that_is_cut_off_leaves_what_was_there(cloud: Cloud, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(LONG)
    cloud.put("out.csv", b"of an earlier run")
    with Wire(cloud.server, Cut("up", 1 << 20)) as wire, pytest.raises(ScoringError) as caught:
        run(tmp_path / "in.csv", cloud.through(wire).output("out.csv"), passthrough_columns_set="all")
    assert caught.value.summary.endswith("cannot be reached"), text_of(caught)
    gc.collect()
    assert cloud.get("out.csv") == b"of an earlier run"


def test_an_abort_waits_for_no_upload(cloud: Cloud, regression: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(LONG + LONG[4:] * 3)
    cloud.put("out.csv", b"of an earlier run")
    with Wire(cloud.server, Cut("up", 1 << 20, is_silent=True)) as wire:
        output = cloud.through(wire).output("out.csv")
        job = ScoringJob(regression, tmp_path / "in.csv", output, Options(passthrough_columns_set="all"), tmp_path / "rejects.csv")
        with pytest.raises(Cancelled):
            score(job, report=lambda progress: None, is_cancelled=wire.is_cut.is_set)
    gc.collect()
    assert cloud.get("out.csv") == b"of an earlier run"
