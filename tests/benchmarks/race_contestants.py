"""What runs in the race, each in a process of its own: `race_contestants.py NAME …`. The rule here: a contestant imports what it needs, no more.

A contestant is given the intake, the folder of a model and the output. All write the id and the probability of each row at the least.
"""

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COLUMNS = 15  # of numbers, behind an id
CHUNK = 100_000  # rows at once, of those that read in chunks
_TRAINED = 20_000
_BLOCK = 1 << 20
_NAMES = [f"x{index}" for index in range(COLUMNS)]
_DRUM_HOOKS = """
import lightgbm
import pandas as pd

def load_model(code_dir):
    return lightgbm.Booster(model_file=f"{code_dir}/model.txt")

def score(data, model, **kwargs):
    probability = model.predict(data[model.feature_name()])
    return pd.DataFrame({"1": probability, "0": 1 - probability})
"""


# What they run with


def make_intake(path: Path, rows: int) -> None:
    """Numbers of three decimals, 1 in 100 missing; ids with leading zeros."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv

    random = np.random.default_rng(0)
    schema = pa.schema([("id", pa.string()), *((name, pa.float64()) for name in _NAMES)])
    with csv.CSVWriter(path, schema, write_options=csv.WriteOptions(quoting_style="none", quoting_header="none")) as writer:
        for start in range(0, rows, CHUNK):
            count = min(CHUNK, rows - start)
            values = random.normal(size=(COLUMNS, count)).round(3)
            values[random.random(values.shape) < 0.01] = np.nan
            ids = pa.array([f"{row:08d}" for row in range(start, start + count)])
            writer.write_batch(pa.record_batch([ids, *(pa.array(column, from_pandas=True) for column in values)], schema=schema))


def make_model(folder: Path, intake: Path, trees: int) -> None:
    """For the engine, and the same model for MLflow and for DataRobot's drum."""
    import bench_scoring
    import mlflow.lightgbm
    import pandas as pd

    values = pd.read_csv(intake, usecols=_NAMES, nrows=_TRAINED).to_numpy()
    booster = bench_scoring.make_model(folder, values, trees)
    mlflow.lightgbm.save_model(booster, folder / "mlflow")
    (folder / "drum").mkdir()
    booster.save_model(folder / "drum" / "model.txt")
    (folder / "drum" / "custom.py").write_text(_DRUM_HOOKS)


# The contestants


def newlines(intake: Path, folder: Path, output: Path) -> None:
    with open(intake, "rb", buffering=0) as file:
        sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))


def typed(intake: Path, folder: Path, output: Path) -> None:
    import pyarrow as pa
    from pyarrow import csv

    types = {"id": pa.string()} | dict.fromkeys(_NAMES, pa.float64())
    with csv.open_csv(intake, csv.ReadOptions(block_size=4 << 20), convert_options=csv.ConvertOptions(column_types=types)) as reader:
        sum(batch.num_rows for batch in reader)


def engine(intake: Path, folder: Path, output: Path) -> None:
    from reconciler.engine.job import ScoringJob
    from reconciler.engine.pipeline import score
    from reconciler.options import Options

    job = ScoringJob(folder, intake, output, Options(passthrough_columns=["id"]))
    score(job, report=lambda progress: None, is_cancelled=lambda: False)


def pandas(intake: Path, folder: Path, output: Path) -> None:
    import lightgbm

    in_chunks(lightgbm.Booster(model_file=folder / "model.txt").predict, intake, output)


def mlflow(intake: Path, folder: Path, output: Path) -> None:
    from mlflow import pyfunc

    in_chunks(pyfunc.load_model(str(folder / "mlflow")).predict, intake, output)


def in_chunks(predict: Callable[[Any], Any], intake: Path, output: Path) -> None:
    import pandas as pd

    with open(output, "w", newline="") as file:
        for number, chunk in enumerate(pd.read_csv(intake, dtype={"id": str}, chunksize=CHUNK)):
            scored = pd.DataFrame({"id": chunk["id"], "probability": predict(chunk[_NAMES])})
            scored.to_csv(file, index=False, header=number == 0)


# Beside the race


def predict(intake: Path, folder: Path, output: Path) -> None:
    """Says the CPU seconds of the library's own predict alone, on all cores, for rows that are in memory."""
    import lightgbm
    from bench_scoring import timed
    from pyarrow import csv

    booster = lightgbm.Booster(model_file=folder / "model.txt")
    values = csv.read_csv(intake, convert_options=csv.ConvertOptions(include_columns=_NAMES)).to_pandas().to_numpy()
    print(timed("", lambda: booster.predict(values)).cpu)


def stages(intake: Path, folder: Path, output: Path) -> None:
    """Says the CPU seconds of reading, predicting and writing, by the engine's own rooms, one after the other in one thread."""
    from reconciler.engine.dialect import Dialect
    from reconciler.engine.features import Features
    from reconciler.engine.intakes import open_intake
    from reconciler.engine.job import ScoringJob
    from reconciler.engine.metadata import read_metadata
    from reconciler.engine.models.registry import load_model
    from reconciler.engine.outputs import open_output
    from reconciler.engine.scorer import Scorer
    from reconciler.options import Options

    options = Options(passthrough_columns=["id"])
    metadata, opened = read_metadata(folder, is_trusted=False), open_intake(intake, Dialect.of(options.csv_settings), lambda: False)
    model = _Clocked(load_model(metadata))
    scorer = Scorer(metadata, model, opened, ScoringJob(folder, intake, output, options), lambda: False)
    features = Features(model.features, opened)
    read = write = 0.0
    with open_output(output, scorer.form) as written:
        pieces, begin = scorer.pieces(), time.thread_time()
        while (piece := next(pieces, None)) is not None:
            rows = piece.read()
            cut = time.thread_time()
            features.read(rows.table)
            known = time.thread_time()
            written.write(scorer.block(_Read(rows)).content)
            end = time.thread_time()
            read += known - begin
            write += end - known - (known - cut)  # a block reads its features itself
            begin = end
        written.finish()
    opened.close()
    print(read, model.seconds, write - model.seconds)


@dataclass(frozen=True)
class _Read:
    """A piece that was read before."""

    rows: Any
    file: str | None = None

    def read(self) -> Any:
        return self.rows


class _Clocked:
    """A model, and the CPU seconds that it took."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.features, self.rows_at_once = model.features, model.rows_at_once
        self.seconds = 0.0

    def predict(self, rows: Any) -> Any:
        begin = time.thread_time()
        scores = self._model.predict(rows)
        self.seconds += time.thread_time() - begin
        return scores


def explained(intake: Path, folder: Path, output: Path) -> None:
    from reconciler.engine.job import ScoringJob
    from reconciler.engine.pipeline import score
    from reconciler.options import Options

    score(ScoringJob(folder, intake, output, Options(max_explanations=3)), report=lambda progress: None, is_cancelled=lambda: False)


def shap(intake: Path, folder: Path, output: Path) -> None:
    import lightgbm
    import pandas as pd
    from shap import TreeExplainer

    TreeExplainer(lightgbm.Booster(model_file=folder / "model.txt")).shap_values(pd.read_csv(intake)[_NAMES])


def encodings(intake: Path, folder: Path, output: Path) -> None:
    """Says what shift_jis costs beside UTF-8."""
    from bench_scoring import compare

    shutil.copy(intake, folder / "in.csv")
    compare(folder, "shift_jis")


if __name__ == "__main__":
    name, *words = sys.argv[1:]
    match name:
        case "make_intake":
            make_intake(Path(words[0]), int(words[1]))
        case "make_model":
            make_model(Path(words[0]), Path(words[1]), int(words[2]))
        case _:
            globals()[name](*map(Path, words))
