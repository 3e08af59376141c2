"""Instances that get in each other's way."""

from collections.abc import Callable

import pytest

from reconciler.diagnostic import Diagnostic
from reconciler.spec.loader import Configuration

LOCAL_OUTPUT = "{type: localFile, path: out/b.csv}"
LOCAL_INTAKE = "{type: localFile, file: data/b.csv}"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("{type: localFile, path: out/x.csv}", "{type: localFile, path: ./out/y/../x.csv}", id="one path"),
        pytest.param("{type: s3, url: 's3://b/x.csv'}", "{type: s3, url: 's3://b/x.csv', format: csv}", id="one url"),
        pytest.param(
            "{type: s3, url: 's3://b/x.csv', endpoint_url: 'https://s3.example'}",
            "{type: s3, url: 's3://b/x.csv', endpoint_url: 'https://s3.example/'}",
            id="one url of one server",
        ),
        pytest.param(
            "{type: jdbc, data_store_id: w, table: t, statement_type: insert}",
            "{type: jdbc, data_store: w, table: t, statement_type: insert}",
            id="one table",
        ),
        pytest.param(
            "{type: jdbc, data_store: w, table: t, statement_type: insert}",
            "{type: jdbc, data_store: also_w, table: t, statement_type: insert}",
            id="one table of a database with two names",
        ),
        pytest.param("{type: bigquery, dataset: d, table: t}", "{type: bigQuery, dataset: d, table: t}", id="one BigQuery table"),
        pytest.param("{type: gcp, url: 'gs://b/x.csv'}", "{type: gcp, url: 'https://storage.googleapis.com/b/x.csv'}", id="one object of Google's"),
        pytest.param(
            "{type: s3, url: 's3://b/x/', format: parquet, partition_columns: [a]}",
            "{type: s3, url: 's3://b/x/', format: parquet, partition_columns: [b]}",
            id="one folder of partitions",
        ),
    ],
)
def test_two_jobs_may_not_write_one_place(
    refused: Callable[..., tuple[Diagnostic, ...]], head: str, job: Callable[..., str], first: str, second: str
) -> None:
    text = head.replace("warehouse:", "w: {local: &w {jdbc_url: 'jdbc:postgresql://w/w'}}\n  also_w: {local: *w}\n  warehouse:")
    text += job("a", replace={"{type: localFile, path: out/a.csv}": first}) + job("b", replace={LOCAL_OUTPUT: second})

    (diagnostic,) = refused(text)

    assert (diagnostic.summary, diagnostic.address) == ("Same output", "job.b")
    assert "job.a (specs/jobs.yaml line" in diagnostic.detail


PARTITIONED = "{{type: s3, url: 's3://b/x/{}', format: parquet, partition_columns: [a]}}"


@pytest.mark.parametrize("inner", [PARTITIONED.format("a=1/"), PARTITIONED.format("a=1/b=2/"), "{type: s3, url: 's3://b/x/a=1/b.csv'}"])
def test_nothing_is_written_into_the_partitions_of_another_job(
    refused: Callable[..., tuple[Diagnostic, ...]], head: str, job: Callable[..., str], inner: str
) -> None:
    text = head + job("a", replace={LOCAL_OUTPUT.replace("b.csv", "a.csv"): PARTITIONED.format("")}) + job("b", replace={LOCAL_OUTPUT: inner})

    (diagnostic,) = refused(text)

    assert (diagnostic.summary, diagnostic.address) == ("Output in another one's partitions", "job.b")
    assert "job.a (specs/jobs.yaml line" in diagnostic.detail


@pytest.mark.parametrize(
    ("replace", "summary", "said"),
    [
        pytest.param({"out/b.csv": "data/b.csv"}, "Output is the intake", "overwrite", id="its own intake"),
        pytest.param({"out/b.csv": "specs/jobs.yaml"}, "Output is a specification", "specs/jobs.yaml", id="a specification"),
        pytest.param({"data/b.csv": "./out/a.csv"}, "Missing dependency", "${job.a.output}", id="another job's output"),
        pytest.param({"out/b.csv": "data/c.csv"}, "Missing dependency", "${job.b.output}", id="another job's intake"),
    ],
)
def test_a_place_is_read_only_after_it_is_written(
    refused: Callable[..., tuple[Diagnostic, ...]], head: str, job: Callable[..., str], replace: dict[str, str], summary: str, said: str
) -> None:
    (diagnostic,) = refused(head + job("a") + job("b", replace=replace) + job("c"))

    assert diagnostic.summary == summary
    assert said in diagnostic.detail


def test_a_table_is_waited_for_by_depends_on(refused: Callable[..., tuple[Diagnostic, ...]], head: str, job: Callable[..., str]) -> None:
    text = head + job("a", replace={"{type: localFile, path: out/a.csv}": "{type: bigquery, dataset: d, table: t}"})

    (diagnostic,) = refused(text + job("b", replace={LOCAL_INTAKE: "{type: bigquery, dataset: d, table: t}"}))

    assert "depends_on: ['job.a']" in diagnostic.detail


@pytest.mark.parametrize("lines", [("depends_on: [a]",), ("depends_on: ['job.a']",)])
def test_a_declared_dependency_is_enough(loaded: Callable[..., Configuration], head: str, job: Callable[..., str], lines: tuple[str, ...]) -> None:
    assert len(loaded(head + job("a") + job("b", *lines, replace={"data/b.csv": "out/a.csv"})).instances) == 2


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param("{type: s3, url: 's3://b/x.csv'}", "{type: s3, url: 's3://b/y.csv'}", id="two urls"),
        pytest.param("{type: s3, url: 's3://b/x.csv'}", "{type: s3, url: 's3://b/x.csv', endpoint_url: 'https://s3.example'}", id="two servers"),
        pytest.param(PARTITIONED.format(""), PARTITIONED.format("more/"), id="a folder that is no partition of another"),
        pytest.param(PARTITIONED.format("a=1/"), PARTITIONED.format("a=11/"), id="two partitions"),
        pytest.param(
            "{type: jdbc, data_store: v, table: t, statement_type: insert}",
            "{type: jdbc, data_store: warehouse, table: t, statement_type: insert}",
            id="one table in two stores",
        ),
        pytest.param(
            "{type: tableau, data_source_id: x}", "{type: tableau, data_source_id: x, url: 'https://t'}", id="places that cannot be compared"
        ),
    ],
)
def test_different_places_do_not_collide(loaded: Callable[..., Configuration], head: str, job: Callable[..., str], a: str, b: str) -> None:
    text = head.replace("warehouse:", "v: {local: {jdbc_url: 'jdbc:postgresql://v/v'}}\n  warehouse:")
    text += job("a", replace={"{type: localFile, path: out/a.csv}": a}) + job("b", replace={LOCAL_OUTPUT: b})

    assert len(loaded(text).instances) == 2


@pytest.mark.parametrize(("output", "format"), [("{type: s3, url: 's3://b/x/in/a.csv'}", "csv"), (PARTITIONED.format("in/"), "parquet")])
def test_what_reads_a_folder_waits_for_who_writes_into_it(
    refused: Callable[..., tuple[Diagnostic, ...]],
    loaded: Callable[..., Configuration],
    head: str,
    job: Callable[..., str],
    output: str,
    format: str,
) -> None:
    folder = f"{{type: s3, url: 's3://b/x/', format: {format}}}"
    text = head + job("a", replace={"{type: localFile, path: out/a.csv}": output})

    (diagnostic,) = refused(text + job("b", replace={LOCAL_INTAKE: folder}))

    assert (diagnostic.summary, diagnostic.address) == ("Missing dependency", "job.b")
    assert "Something in this folder is written by job.a" in diagnostic.detail and "depends_on: ['job.a']" in diagnostic.detail
    assert len(loaded(text + job("b", "depends_on: [a]", replace={LOCAL_INTAKE: folder})).instances) == 2


def test_a_job_does_not_write_into_the_folder_that_it_reads(
    refused: Callable[..., tuple[Diagnostic, ...]], loaded: Callable[..., Configuration], head: str, job: Callable[..., str]
) -> None:
    def text(name: str) -> str:
        sides = {"{type: localFile, file: data/a.csv}": "{type: s3, url: 's3://b/in/'}"}
        return head + job("a", replace={**sides, "{type: localFile, path: out/a.csv}": f"{{type: s3, url: 's3://b/in/{name}'}}"})

    (diagnostic,) = refused(text("scores/x.csv"))

    assert (diagnostic.summary, diagnostic.address) == ("Output is the intake", "job.a")
    for hidden in ("_scores/x.csv", ".x.csv", "x.txt"):
        assert len(loaded(text(hidden)).instances) == 1
