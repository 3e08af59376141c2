"""Jobs that are killed before one of their steps, and scored again. Run as a program: `killed_bigquery.py MODEL DATASET BUCKET KEY FOLDER`.

A step is a request over HTTP or the renaming of our note, as Python's audit hooks tell of it. One job is left alone, and shows its steps; then there
is a death before the first of each kind that changes something, and one after our note and after the load; with RECONCILER_KILL_ROUNDS, before every
step.
Each job is a process of its own. Prints, for each, the table that it wrote and the step before which it was killed.
"""

import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightgbm

from reconciler.engine import scoring
from reconciler.engine.connectors import bigquery
from reconciler.engine.job import ScoringJob
from reconciler.engine.models import lightgbm_model
from reconciler.engine.pipeline import score
from reconciler.engine.place import Place
from reconciler.options import Options
from reconciler.settings import BigQueryIntake, BigQueryOutput

assert all((bigquery, lightgbm, lightgbm_model, scoring))  # imported before the first fork, which is once
CHANGES = re.compile(r"POST /(bigquery|upload)|DELETE|rename")
DONE = re.compile(r"POST /bigquery|rename")  # what must not be done twice, or be forgotten


def watch(steps: Path, last: int) -> None:
    """Writes down every step of this process, and ends it before the last one."""
    count = 0

    def hook(event: str, arguments: Sequence[Any]) -> None:
        nonlocal count
        if event == "http.client.send" and (head := re.match(rb"[A-Z]+ /[^ ?]*", bytes(arguments[1]))):
            line = head[0].decode()
        elif event == "os.rename" and str(arguments[1]).endswith(".staged.json"):
            line = "rename"
        else:
            return
        with open(steps, "a") as file:
            file.write(f"{line}\n")
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def scored(folder: str, dataset: str, bucket: str, key: str, name: str, rejects: Path) -> None:
    credential = json.loads(Path(key).read_text())
    intake = Place(BigQueryIntake(type="bigquery", dataset=dataset, table="customers", bucket=bucket), credential, job=name)
    output = Place(BigQueryOutput(type="bigquery", dataset=dataset, table=name, bucket=bucket), credential, job=name)
    job = ScoringJob(Path(folder), intake, output, Options(passthrough_columns=["id"]), rejects)
    score(job, report=lambda progress: None, is_cancelled=lambda: False)


def in_process(*acts: Callable[[], None]) -> int:
    """How a child that does so ends, as `waitpid` says."""
    child = os.fork()
    if child == 0:
        for act in acts:
            act()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def deaths(steps: Sequence[str]) -> list[int]:
    """Counted from 1."""
    changing = [(number, step) for number, step in enumerate(steps, 1) if CHANGES.match(step)]
    first = {step: number for number, step in reversed(changing)}
    last = {step: number for number, step in changing if DONE.match(step)}
    return sorted({*first.values(), *(number + 1 for number in last.values())})


def main(model: str, dataset: str, bucket: str, key: str, folder: str) -> None:
    def job(name: str) -> Callable[[], None]:
        return partial(scored, model, dataset, bucket, key, name, Path(folder) / f"{name}.csv")

    log = Path(folder) / "steps"
    assert in_process(partial(watch, log, 0), job("left_alone")) == 0
    steps = log.read_text().splitlines()
    for last in range(1, len(steps) + 1) if "RECONCILER_KILL_ROUNDS" in os.environ else deaths(steps):
        name = f"killed_{last}"
        assert in_process(partial(watch, log, last), job(name)) == signal.SIGKILL
        assert in_process(job(name)) == 0
        print(name, steps[last - 1], sep="\t", flush=True)
    assert in_process(job("left_alone")) == 0  # all was done, and nobody knew
    print("left_alone", "the end", sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:])
