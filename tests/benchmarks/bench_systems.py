"""How fast rows come from a system and go to it, beside its client library's bare transfer in the same run. The rule here: ratios, no limits.

python tests/benchmarks/bench_systems.py [--rows 1000000] [--columns 20] [--systems s3 azure gcp]

Each measurement is a process of its own, so that its memory is its own: it is taken with a fifth of the rows as well, and should not differ.
`in` reads every value of a table as the engine does; `out` writes it from Arrow. A new system is one entry of SYSTEMS.
"""

import argparse
import contextlib
import pickle
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pyarrow as pa
import pyarrow.csv
from servers.azurite import running_azurite
from servers.clouds import Cloud, azure_cloud, gcp_cloud, s3_cloud
from servers.gcs import running_gcs
from servers.seaweed import running_seaweed

from reconciler.engine.connectors.connector import connector
from reconciler.engine.connectors.rooms import takes_rows
from reconciler.engine.dialect import Dialect
from reconciler.engine.output import CsvForm
from reconciler.engine.place import Place
from reconciler.options import CsvSettings

DIALECT = Dialect.of(CsvSettings())
KEY, RESULT = "in.csv", "out.csv"


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


def bare_obstore_read(store: Any) -> int:
    import obstore

    return sum(len(block) for block in obstore.get(store, KEY).stream(2 << 20))


def bare_obstore_write(store: Any, path: Path) -> None:
    import obstore

    obstore.put(store, RESULT, path, chunk_size=16 << 20, max_concurrency=2)


def bare_google_read(server: Any, bucket: str) -> int:
    with server.client().bucket(bucket).blob(KEY).open("rb", chunk_size=8 << 20, raw_download=True) as file:
        return sum(len(block) for block in iter(partial(file.read, 2 << 20), b""))


def bare_google_write(server: Any, bucket: str, path: Path) -> None:
    server.client().bucket(bucket).blob(RESULT, chunk_size=16 << 20).upload_from_filename(path)


@contextmanager
def obstore_bench(running: Callable[[Path], AbstractContextManager[Any]], make: Callable[[Any, str], Cloud]) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        cloud = make(server, "bench")
        store = server.store("bench")
        fill = partial(_put, cloud)
        yield Bench(cloud.intake(KEY), cloud.output(RESULT), fill, partial(bare_obstore_read, store), partial(bare_obstore_write, store))


@contextmanager
def google_bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder, running_gcs(Path(folder)) as server:
        cloud = gcp_cloud(server, "bench")
        bare = partial(bare_google_read, server, "bench"), partial(bare_google_write, server, "bench")
        yield Bench(cloud.intake(KEY), cloud.output(RESULT), partial(_put, cloud), *bare)


def _put(cloud: Cloud, path: Path) -> None:
    cloud.put(KEY, path.read_bytes())


SYSTEMS: Mapping[str, Callable[[], AbstractContextManager[Bench]]] = {
    "s3": partial(obstore_bench, running_seaweed, s3_cloud),
    "azure": partial(obstore_bench, running_azurite, azure_cloud),
    "gcp": google_bench,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Times intakes and outputs.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), choices=list(SYSTEMS))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = {rows: write_table(Path(folder), rows, args.columns) for rows in (args.rows // 5, args.rows)}
        print(f"{args.rows} rows x {args.columns} columns, {paths[args.rows].stat().st_size / 1e6:.0f} MB")
        for name in args.systems:
            with SYSTEMS[name]() as bench:
                show(name, args.rows, {rows: measure(bench, path) for rows, path in paths.items()})


def measure(bench: Bench, path: Path) -> dict[str, Measured]:
    bench.fill(path)
    works = {
        "in": partial(read, bench.intake),
        "in, bare": bench.bare_read,
        "out": partial(write, bench.output, path),
        "out, bare": partial(bench.bare_write, path),
    }
    return {what: in_a_process(work) for what, work in works.items()}


def show(name: str, rows: int, measured: Mapping[int, Mapping[str, Measured]]) -> None:
    few, all_rows = measured[rows // 5], measured[rows]
    for what, (seconds, peak) in all_rows.items():
        memory = f"{few[what].peak_mb:6.0f} MB with a fifth, {peak:6.0f} MB with all"
        print(f"{name:10}{what:10}{seconds:8.2f} s {rows / seconds:12,.0f} rows/s {memory}")
    for what in ("in", "out"):
        print(f"{name:10}{what} / bare {all_rows[what].seconds / all_rows[f'{what}, bare'].seconds:6.2f} x wall")


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
    done = subprocess.run([sys.executable, __file__, "--measure"], input=pickle.dumps(work), stdout=subprocess.PIPE, check=True)
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
