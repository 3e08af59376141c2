"""How fast the pipeline scores, beside the bare library and Arrow's bare reader on the same rows in the same run. The rule here: ratios, no limits.

python tests/benchmarks/bench_scoring.py [--rows 300000] [--columns 20] [--trees 100] [--encoding shift_jis] [--bad]

With --encoding, the same rows are scored once more, with Japanese ids, in that encoding and in UTF-8. With --bad, once more with bad rows: 1 in 100.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from reconciler.engine.job import ScoringJob
from reconciler.engine.pipeline import score
from reconciler.options import Options

METADATA = "name: bench\ntype: inference\ntargetType: binary\ninferenceModel: {targetName: y, positiveClassLabel: '1', negativeClassLabel: '0'}\n"


@dataclass(frozen=True)
class Timing:
    what: str
    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Times the scoring pipeline.")
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--encoding")
    parser.add_argument("--bad", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench(Path(folder), args.rows, args.columns, args.trees)
        if args.encoding:
            compare(Path(folder), args.encoding)
        if args.bad:
            beside_bad(Path(folder))


def bench(folder: Path, rows: int, columns: int, trees: int) -> None:
    values = np.random.default_rng(0).normal(size=(rows, columns)).round(6)
    booster = make_model(folder, values[:20_000], trees)
    write_intake(folder / "in.csv", values)
    options = Options(passthrough_columns=["id"])
    job = ScoringJob(folder, folder / "in.csv", folder / "out.csv", options)
    pipeline = timed("pipeline: read, score, write", lambda: score(job, report=lambda progress: None, is_cancelled=lambda: False))
    predict = timed("bare LightGBM predict, all cores", lambda: booster.predict(values))
    typed = timed("bare pyarrow typed read, streamed", lambda: read_typed(folder / "in.csv"))
    print(f"{rows} rows x {columns} columns, {trees} trees, {(folder / 'in.csv').stat().st_size / 1e6:.0f} MB")
    for timing in (pipeline, predict, typed):
        print(f"{timing.what:36}{timing.wall:8.2f} s wall {timing.cpu:8.2f} s CPU {rows / timing.wall:12,.0f} rows/s")
    print(f"pipeline / predict        {pipeline.wall / predict.wall:6.2f} x wall {pipeline.cpu / predict.cpu:6.2f} x CPU")
    print(f"pipeline / typed read     {pipeline.wall / typed.wall:6.2f} x wall {pipeline.cpu / typed.cpu:6.2f} x CPU")


def compare(folder: Path, encoding: str) -> None:
    head, _, rows = (folder / "in.csv").read_text().partition("\n")
    text = head + "\n" + "".join(f"表ソ{row}\n" for row in rows.splitlines())
    timings = []
    for codec in ("utf-8", encoding):
        (folder / "encoded.csv").write_bytes(text.encode(codec))
        job = ScoringJob(folder, folder / "encoded.csv", folder / "out.csv", Options(passthrough_columns=["id"], csv_settings={"encoding": codec}))
        timings.append(timed(codec, lambda job=job: score(job, report=lambda progress: None, is_cancelled=lambda: False)))
    wall, cpu = timings[1].wall / timings[0].wall, timings[1].cpu / timings[0].cpu
    print(f"{encoding + ' / utf-8':26}{wall:6.2f} x wall {cpu:6.2f} x CPU")


def beside_bad(folder: Path) -> None:
    head, _, rows = (folder / "in.csv").read_bytes().decode("latin-1").partition("\n")
    lines = rows.splitlines()
    timings = []
    for text in (rows, "".join(f"{row}x\n" if number % 100 == 0 else f"{row}\n" for number, row in enumerate(lines))):
        (folder / "bad.csv").write_text(f"{head}\n{text}", encoding="latin-1")
        job = ScoringJob(folder, folder / "bad.csv", folder / "out.csv", Options(passthrough_columns=["id"]))
        timings.append(timed("", lambda job=job: score(job, report=lambda progress: None, is_cancelled=lambda: False)))
    print(f"1 bad row in 100 / none   {timings[1].wall / timings[0].wall:6.2f} x wall {timings[1].cpu / timings[0].cpu:6.2f} x CPU")


def make_model(folder: Path, values: NDArray[np.float64], trees: int) -> lightgbm.Booster:
    target = values[:, 0] * values[:, 1] + values[:, 2] > 0
    names = [f"x{index}" for index in range(values.shape[1])]
    booster = lightgbm.train({"objective": "binary", "verbosity": -1}, lightgbm.Dataset(values, target, feature_name=names), trees)
    booster.save_model(folder / "model.txt")
    (folder / "model-metadata.yaml").write_text(METADATA)
    return booster


def write_intake(path: Path, values: NDArray[np.float64]) -> None:
    columns = {"id": pa.array([f"{row:07d}" for row in range(len(values))])} | {f"x{index}": values[:, index] for index in range(values.shape[1])}
    pyarrow.csv.write_csv(pa.table(columns), path, pyarrow.csv.WriteOptions(quoting_style="none", quoting_header="none"))


def read_typed(path: Path) -> int:
    with pyarrow.csv.open_csv(path, pyarrow.csv.ReadOptions(block_size=4 << 20)) as reader:
        return sum(batch.num_rows for batch in reader)


def timed(what: str, run: Callable[[], object]) -> Timing:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Timing(what, time.perf_counter() - wall, time.process_time() - cpu)


if __name__ == "__main__":
    main()
