"""How fast rows come from a system and go to it, beside its client library's bare transfer in the same run. The rule here: ratios, no limits.

python tests/benchmarks/bench_systems.py [--rows 1000000] [--columns 20] [--systems s3 postgresql]

Each measurement is a process of its own, so that its memory is its own and none of a server's: it is taken with a quarter of the rows as well, and
should not differ. Of `bare` it may: a library that is asked for nothing holds what it likes.
`in` reads every value of a table as the engine does; `out` writes it from Arrow, or from a CSV file where the library alone takes one. A new system
is one entry of SYSTEMS. Servers that are emulators (all but PostgreSQL, S3 and the web server) are slow: a ratio near 1 says no more than that.
"""

import argparse
import contextlib
import os
import pickle
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parents[1]))

import bare
import numpy as np
import pyarrow as pa
import pyarrow.csv
from servers.azurite import running_azurite
from servers.bigquery import running_bigquery
from servers.clouds import Cloud, azure_cloud, gcp_cloud, s3_cloud
from servers.gcs import running_gcs
from servers.postgres import PASSWORD, USER, postgres_server
from servers.seaweed import running_seaweed
from servers.snowflake import running_snowflake
from servers.synapse import running_synapse
from servers.web import page, running_web, status

from reconciler.engine.connectors.connector import connector
from reconciler.engine.connectors.rooms import takes_rows
from reconciler.engine.dialect import Dialect
from reconciler.engine.output import CsvForm
from reconciler.engine.place import Place
from reconciler.options import CsvSettings
from reconciler.settings import INTAKES, OUTPUTS, BigQueryIntake, BigQueryOutput, HttpIntake, HttpOutput

DIALECT = Dialect.of(CsvSettings())
JOB = "65f0c0ffee65f0c0ffee65f0"
_POOL = "ARROW_DEFAULT_MEMORY_POOL"  # which Snowflake's library sets where it is imported


@dataclass(frozen=True)
class Bench:
    """`fill` puts the table of a CSV file where `intake` says; `bare_read` and `bare_write` (of a file) are the library alone.

    Those two are done in another process, so they are functions of a module with arguments that can be pickled.
    """

    intake: Place
    output: Place
    fill: Callable[[Path], object]
    bare_read: Callable[[], object]
    bare_write: Callable[[Path], object]


class Measured(NamedTuple):
    seconds: float
    peak_mb: float


@contextmanager
def obstore_bench(running: Callable[[Path], AbstractContextManager[Any]], make: Callable[[Any, str], Cloud]) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        cloud = make(server, "bench")
        store = server.store("bench")
        yield _of_cloud(cloud, partial(bare.obstore_read, store), partial(bare.obstore_write, store))


@contextmanager
def google_bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder, running_gcs(Path(folder)) as server:
        cloud = gcp_cloud(server, "bench")
        yield _of_cloud(cloud, partial(bare.google_read, server, "bench"), partial(bare.google_write, server, "bench"))


def _of_cloud(cloud: Cloud, read: Callable[[], object], write: Callable[[Path], object]) -> Bench:
    return Bench(cloud.intake(bare.KEY), cloud.output(bare.RESULT), lambda path: cloud.put(bare.KEY, path.read_bytes()), read, write)


@contextmanager
def http_bench() -> Iterator[Bench]:
    with running_web() as web:
        source, target = f"{web.url}/{bare.KEY}", web.serve(f"/{bare.RESULT}", status(201))

        def fill(path: Path) -> None:
            web.seen.clear()  # what was sent before
            web.serve(f"/{bare.KEY}", page(path.read_bytes(), ETag=f'"{path.name}"'))

        intake, output = HttpIntake(type="http", url=source), HttpOutput(type="http", url=target, method="PUT")
        yield Bench(Place(intake), Place(output, job=JOB), fill, partial(bare.http_read, source), partial(bare.http_write, target))


@contextmanager
def postgres_bench() -> Iterator[Bench]:
    with postgres_server() as server:
        uri = f"postgresql://{quote(USER)}:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/{server.database}"

        def fill(path: Path) -> None:
            with server.connect() as connection:
                connection.execute(f'DROP TABLE IF EXISTS "{bare.SCORED}"')
            bare.postgres_write(uri, path, bare.TABLE)

        opened = {"credential": {"credentialType": "basic", "user": USER, "password": PASSWORD}, "data_store": {"jdbcUrl": server.url()}}
        yield _of_tables("jdbc", opened, fill, partial(bare.postgres_read, uri), partial(bare.postgres_write, uri))


@contextmanager
def snowflake_bench(**stage: str) -> Iterator[Bench]:
    """Without a stage a result comes in chunks, of 16 MB as we ask for them, and of 160 MB as the bare library does not ask."""
    with tempfile.TemporaryDirectory() as folder, running_seaweed(Path(folder)) as lake, running_snowflake(Path(folder), lake) as server:

        def fill(path: Path) -> None:
            server.run(f'DROP TABLE IF EXISTS "{bare.SCORED}"')  # as it is written, so in lower case
            bare.snowflake_write(server, path, bare.TABLE)

        opened = {"credential": server.credential, "data_store": {"jdbcUrl": server.url}, "storage_credential": lake.credential}
        yield _of_tables("snowflake", opened, fill, partial(bare.snowflake_read, server), partial(bare.snowflake_write, server), **stage)


@contextmanager
def synapse_bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder, running_azurite(Path(folder)) as blobs, running_synapse(blobs, Path(folder)) as server:

        def fill(path: Path) -> None:
            server.run(f"IF OBJECT_ID(N'[{bare.SCORED}]') IS NOT NULL DROP TABLE [{bare.SCORED}]")
            bare.synapse_write(server, path, bare.TABLE)

        opened = {"credential": server.credential, "data_store": server.data_store}
        yield _of_tables("synapse", opened, fill, partial(bare.synapse_read, server), partial(bare.synapse_write, server))


def _of_tables(
    type: str, opened: dict[str, Any], fill: Callable[[Path], object], read: Callable[[], object], write: Callable[[Path], object], **through: str
) -> Bench:
    intake = INTAKES[type].model_validate({"type": type, "dataStoreId": "d", "table": bare.TABLE, **through})
    target = {"type": type, "dataStoreId": "d", "table": bare.SCORED, "statementType": "insert", "createTableIfNotExists": True, **through}
    return Bench(Place(intake, job=JOB, **opened), Place(OUTPUTS[type].model_validate(target), job=JOB, **opened), fill, read, write)


@contextmanager
def bigquery_bench(bucket: str | None = None) -> Iterator[Bench]:
    """In through the Storage API or the bucket, out through a bucket. The emulator extracts to one file, where BigQuery has several."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_bigquery(folder, stack.enter_context(running_gcs(folder))))
        os.environ.update(server.variables)
        client = server.client()
        client.create_dataset("bench")
        server.gcs.bucket("bench")

        def fill(path: Path) -> None:
            client.delete_table(f"bench.{bare.SCORED}", not_found_ok=True)
            bare.bigquery_write(server, "bench", "bench", path, bare.TABLE)

        intake = BigQueryIntake(type="bigquery", dataset="bench", table=bare.TABLE, bucket=bucket)
        output = BigQueryOutput(type="bigquery", dataset="bench", table=bare.SCORED, bucket="bench")
        read, write = partial(bare.bigquery_read, server, "bench"), partial(bare.bigquery_write, server, "bench", "bench")
        yield Bench(Place(intake, job=JOB), Place(output, job=JOB), fill, read, write)


SYSTEMS: Mapping[str, Callable[[], AbstractContextManager[Bench]]] = {
    "s3": partial(obstore_bench, running_seaweed, s3_cloud),
    "azure": partial(obstore_bench, running_azurite, azure_cloud),
    "gcp": google_bench,
    "http": http_bench,
    "postgresql": postgres_bench,
    "snowflake": snowflake_bench,
    "snowflake-stage": partial(snowflake_bench, externalStage="LAKE"),
    "synapse": synapse_bench,
    "bigquery": bigquery_bench,
    "bigquery-bucket": partial(bigquery_bench, "bench"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Times intakes and outputs.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), choices=list(SYSTEMS))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = {rows: write_table(Path(folder), rows, args.columns) for rows in (args.rows // 4, args.rows)}
        print(f"{args.rows} rows x {args.columns} columns, {paths[args.rows].stat().st_size / 1e6:.0f} MB")
        for name in args.systems:
            with SYSTEMS[name]() as bench:
                show(name, args.rows, {rows: measure(bench, path) for rows, path in paths.items()})


def measure(bench: Bench, path: Path) -> dict[str, Measured]:
    """Each size is another job's: what a job has written under its id is not written twice."""
    bench.fill(path)
    works = {
        "in": partial(read, bench.intake),
        "in, bare": bench.bare_read,
        "out": partial(write, replace(bench.output, job=f"{bench.output.job}_{path.stem}"), path),
        "out, bare": partial(bench.bare_write, path),
    }
    return {what: in_a_process(work) for what, work in works.items()}


def show(name: str, rows: int, measured: Mapping[int, Mapping[str, Measured]]) -> None:
    few, all_rows = measured[rows // 4], measured[rows]
    for what, (seconds, peak) in all_rows.items():
        memory = f"{few[what].peak_mb:6.0f} MB at {rows // 4:,} rows, {peak:6.0f} MB at {rows:,}: {peak / few[what].peak_mb:5.2f} x"
        print(f"{name:16}{what:10}{seconds:8.2f} s {rows / seconds:12,.0f} rows/s  peak {memory}")
    for what in ("in", "out"):
        print(f"{name:16}{what} / bare {all_rows[what].seconds / all_rows[f'{what}, bare'].seconds:6.2f} x wall")


def read(place: Place) -> int:
    with closing(connector(place).open_intake(place, DIALECT, lambda: False)) as intake:
        return sum(piece.read().count for piece in intake.pieces(intake.header, 10_000, None, lambda: False))


def write(place: Place, path: Path) -> None:
    room = connector(place)
    options = pyarrow.csv.ReadOptions(block_size=1 << 20)
    with pyarrow.csv.open_csv(path, options) as table:
        form = CsvForm(table.schema.names, DIALECT)
        with room.open_output(place, table.schema) if takes_rows(place) else form.open(room.open_sink(place)) as output:
            rows = 0
            for batch in table:
                output.write(batch if takes_rows(place) else form.block(batch.columns))
                rows += batch.num_rows
            output.finish()
    if takes_rows(place):
        room.settle(place, rows)


def write_table(folder: Path, rows: int, columns: int) -> Path:
    path = folder / f"{rows}.csv"
    random = np.random.default_rng(0)
    schema = pa.schema([("id", pa.string()), *((f"x{index}", pa.float64()) for index in range(columns - 1))])
    with pyarrow.csv.CSVWriter(path, schema) as writer:
        for start in range(0, rows, 50_000):
            count = min(50_000, rows - start)
            ids = pa.array([f"{row:07d}" for row in range(start, start + count)])
            writer.write_batch(pa.record_batch([ids, *random.normal(size=(columns - 1, count)).round(6)], schema=schema))
    return path


def in_a_process(work: Callable[[], object]) -> Measured:
    ours = {name: value for name, value in os.environ.items() if name != _POOL}
    done = subprocess.run([sys.executable, __file__, "--measure"], input=pickle.dumps(work), stdout=subprocess.PIPE, env=ours, check=True)
    return Measured(*map(float, done.stdout.split()))


def measured_here() -> None:
    work = pickle.loads(sys.stdin.buffer.read())
    began = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        work()
    seconds = time.perf_counter() - began
    # Not what getrusage says: that begins with the peak of the process that started this one.
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    print(seconds, int(peak[1]) / 1024 if peak else float("nan"))


if __name__ == "__main__":
    measured_here() if "--measure" in sys.argv else main()
