"""Makes a project in which every job was delivered: the ground for `bench_plan.py`. The rule here: the rows are those that an apply writes.

A script of its own, because a process's peak memory is counted as its child's too, and the benchmark measures its children.

python tests/benchmarks/plan_project.py FOLDER [--jobs 10000] [--form flat|for_each]
"""

import argparse
import json
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from reconciler.apply.deliver import staging_path
from reconciler.apply.request import embedded_body
from reconciler.digests import Digests
from reconciler.embedded import deployment_id
from reconciler.fingerprint import file_digest, short_id, value_digest
from reconciler.project import Project
from reconciler.refresh import model_digest
from reconciler.spec.instance import Instance
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.snapshot import row_from_run
from reconciler.state.store import Store, now, timestamp
from reconciler.version import VERSION
from reconciler.wanted import load_specs

MODEL = "specs/models/diabetes"
SOURCE = Path(__file__).parents[2] / MODEL
DEPLOYMENTS = f"deployments:\n  diabetes: {{local: {MODEL}}}\n"

JOB = """\
  job_KEY:
    description: What will be known of a patient after a year, part KEY
    tags: [monthly, "part-KEY"]
    deployment: diabetes
    intake_settings:
      type: localFile
      file: data/in/KEY.csv
    output_settings:
      type: localFile
      path: data/out/KEY.csv
    passthrough_columns: [patient_id]
    include_prediction_status: true
"""
FOR_EACH = "  job:\n    for_each: [KEYS]\n" + JOB.split("\n", 1)[1].replace("KEY", "${each.key}")

# The moves of a run that was delivered, as the history has them.
_LIFE = (Status.INTENDED, Status.SUBMITTED, Status.RUNNING, Status.SCORED, Status.DELIVERED)


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes a project in which every job is up to date.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--form", choices=("flat", "for_each"), default="flat")
    args = parser.parse_args()
    make_project(args.folder, args.jobs, args.form)


def make_project(root: Path, jobs: int, form: str) -> None:
    keys = [f"{number:06d}" for number in range(jobs)]
    for name in ("specs/models", "data/in", "data/out", "state"):
        (root / name).mkdir(parents=True)
    shutil.copytree(SOURCE, root / MODEL)
    write_files(root, keys)
    # In both forms the specs are the same but for their addresses, and only a for_each of 100,000 is read in seconds.
    spec = root / "specs" / "jobs.yaml"
    spec.write_text(DEPLOYMENTS + "jobs:\n" + FOR_EACH.replace("KEYS", ", ".join(f'"{key}"' for key in keys)))
    project = Project(root, root / "state" / "reconciler.db")
    instances = load_specs(project).instances
    if form == "flat":
        spec.write_text(DEPLOYMENTS + "jobs:\n" + "".join(JOB.replace("KEY", key) for key in keys))
    write_state(project, instances, [f"job.job_{key}" for key in keys] if form == "flat" else [instance.address for instance in instances])
    time.sleep(2.1)  # until every file is quiet: one that was just written would be read again by the next plan


def write_files(root: Path, keys: Sequence[str]) -> None:
    """One distinct intake and one distinct output a job."""
    for key in keys:
        (root / f"data/in/{key}.csv").write_text(f"patient_id,age,bmi\np{key},0.1,0.{key}\n")
        (root / f"data/out/{key}.csv").write_text(f"patient_id,target_PREDICTION\np{key},1{key}.5\n")


def write_state(project: Project, instances: Sequence[Instance], addresses: Sequence[str]) -> None:
    """What `Store` writes for an apply of everything, in one transaction, since 500,000 durable moves would take minutes."""
    model = model_digest(project.root, MODEL, Digests(project.root, {}))
    runs = [
        delivered_run(project, number, address, instance, model) for number, (address, instance) in enumerate(zip(addresses, instances, strict=True))
    ]
    with Store(project.state) as store:
        db = store.snapshot._db
        db.execute("BEGIN IMMEDIATE")
        insert(db, "runs", (row_from_run(run) for run in runs))
        insert(db, "instances", (instance_row(run, instance.metadata) for run, instance in zip(runs, instances, strict=True)))
        insert(db, "history", history_rows(runs))
        db.execute("UPDATE meta SET value = ? WHERE key = 'serial'", (str(len(runs) * len(_LIFE)),))
        db.execute("COMMIT")


def delivered_run(project: Project, number: int, address: str, instance: Instance, model: str) -> Run:
    assert instance.intake_file is not None
    assert instance.output_file is not None
    output = project.root / instance.output_file
    run_id, at = f"{number:024x}", timestamp(now())
    staging = staging_path(output, run_id)
    deployment = deployment_id(instance.spec["deployment"])
    return Run(
        id=run_id,
        workspace=project.workspace,
        address=address,
        status=Status.DELIVERED,
        spec=instance.spec,
        spec_digest=instance.digest,
        intake={"file": instance.intake_file},
        intake_digest=file_digest(project.root / instance.intake_file),
        model={"deployment": MODEL},
        model_digest=model,
        deployment=instance.deployment,
        deployment_id=deployment,
        request=embedded_body(instance.spec, deployment, project.root, staging),
        reasons=("never run",),
        intended_at=at,
        user="benchmark",
        host="benchmark",
        git_commit=None,
        tool_version=VERSION,
        staging=str(staging),
        job_id=short_id(run_id),
        submitted_at=at,
        started_at=at,
        ended_at=at,
        output=instance.output_file,
        output_digest=file_digest(output),
        output_bytes=output.stat().st_size,
        scored_rows=1,
        failed_rows=0,
        skipped_rows=0,
        status_details="",
    )


def instance_row(run: Run, metadata: dict[str, Any]) -> dict[str, Any]:
    known = {"workspace": run.workspace, "address": run.address, "current_run": run.id, "latest_run": run.id}
    return {**known, "metadata": json.dumps(metadata, ensure_ascii=False), "metadata_digest": value_digest(metadata)}


def history_rows(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    serial = 0
    for run in runs:
        for status in _LIFE:
            serial += 1
            where = {"workspace": run.workspace, "address": run.address, "run_id": run.id}
            yield {"serial": serial, "at": run.intended_at, **where, "kind": str(status), "detail": "{}"}


def insert(db: sqlite3.Connection, table: str, rows: Iterable[dict[str, Any]]) -> None:
    waiting = iter(rows)
    first = next(waiting)
    names = ", ".join(f":{name}" for name in first)
    db.executemany(f"INSERT INTO {table} ({', '.join(first)}) VALUES ({names})", chain([first], waiting))


if __name__ == "__main__":
    main()
