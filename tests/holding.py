"""A process that holds the lock of a state and does what it is told. Run as a program: `python holding.py STATE`.

Each line on stdin is a step; each answer is one line of JSON.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

from reconciler.errors import ReconcilerError
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.store import Store


def new_run(run_id: str, address: str = "job.wine") -> Run:
    return Run(
        id=run_id,
        workspace="local",
        address=address,
        status=Status.INTENDED,
        spec={},
        spec_digest="blake3:spec",
        intake={"file": "data/wine.csv"},
        intake_digest="blake3:intake",
        model={"deployment": "models/wine"},
        model_digest="blake3:model",
        deployment="wine",
        deployment_id="0" * 24,
        request={"deploymentId": "0" * 24},
        reasons=("never run",),
        intended_at=f"2026-11-21T00:00:00.{run_id}",
        user="ada",
        host="laptop",
        git_commit=None,
        tool_version="0.1.0",
        output="out/wine.csv",
    )


def answer(**fields: Any) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def step(store: Store, name: str, *words: str) -> None:
    match name:
        case "intend":
            store.intend(new_run(words[0]), {})
        case "submit":
            run = store.snapshot.run(words[0])
            assert run is not None
            store.move(run, Status.SUBMITTED, job_id=words[1])
        case "reserve":
            store.reserve(int(words[0]))
        case "beat":
            store.beat()
        case "fill":
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(words[0]), resource.RLIM_INFINITY))
        case _:
            raise ValueError(name)


def main(path: Path) -> None:
    try:
        with Store(path, patience_s=0.1) as store, store.locked("test") as lock:
            answer(held=lock.holder, fence=lock.fence, notes=lock.notes)
            for line in sys.stdin:
                try:
                    step(store, *line.split())
                    answer(done=line.strip())
                except ReconcilerError as error:
                    answer(error=type(error).__name__, summary=error.summary, detail=error.detail)
                    if line.startswith("submit"):
                        raise
    except ReconcilerError as error:
        answer(error=type(error).__name__, summary=error.summary, detail=error.detail)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
