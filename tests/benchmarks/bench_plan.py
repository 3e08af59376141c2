"""What a plan costs when nothing changed, cold and warm, beside the bare interpreter, the bare stats and the bare YAML in the same run.

The rule here: ratios, no limits. Cold: the runs are recorded, but every spec is parsed and every file is read. Warm: the plan after that.

python tests/benchmarks/bench_plan.py [--jobs 1 10000] [--forms flat for_each] [--repeat 5]

`--jobs 100000` takes about three minutes and 4 GB, nearly all of it for the cold plan of 100,000 jobs that are written out.
"""

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[2]
MAKER = Path(__file__).with_name("plan_project.py")
PLAN = (sys.executable, "-m", "reconciler", "plan", "-detailed-exitcode", "-no-color")

# Bounds: each prints the CPU seconds of its loop alone.
STATS = """
import os, sys, time
paths = [os.path.join(folder, name) for folder in ("data/in", "data/out") for name in os.listdir(folder)]
began = time.process_time()
for path in paths:
    os.stat(path)
print(time.process_time() - began)
"""
PARSE = """
import time, yaml
began = time.process_time()
with open("specs/jobs.yaml", encoding="utf-8") as file:
    yaml.load(file, Loader=yaml.CSafeLoader)
print(time.process_time() - began)
"""


@dataclass(frozen=True)
class Cost:
    """Of one child alone."""

    cpu: float
    peak_mb: float
    output: str


def main() -> None:
    parser = argparse.ArgumentParser(description="Times plans that find nothing to do.")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 10_000])
    parser.add_argument("--forms", nargs="+", choices=("flat", "for_each"), default=["flat", "for_each"])
    parser.add_argument("--repeat", type=int, default=5, help="warm plans to take the median of")
    args = parser.parse_args()
    print(f"{'':44}{'CPU s':>10}{'MB':>8}{'us/job':>10}  ratio")
    with tempfile.TemporaryDirectory() as compiled:
        # As an installed tool finds itself: compiled, whatever the environment says.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = compiled
        run((sys.executable, "-m", "compileall", "-q", "reconciler"), SOURCE)
        for jobs in args.jobs:
            for form in args.forms:
                with tempfile.TemporaryDirectory() as folder:
                    bench(Path(folder), jobs, form, args.repeat)


def bench(root: Path, jobs: int, form: str, repeat: int) -> None:
    made = run((sys.executable, str(MAKER), str(root), "--jobs", str(jobs), "--form", form), Path.cwd())
    title = f"{jobs} {'job' if jobs == 1 else 'jobs'}, {form}"
    print(f"{title} (made in {made.cpu:.1f} s CPU)")
    cold = plan(root, jobs)
    warm = median([plan(root, jobs) for _ in range(repeat)])
    bare = median([run((sys.executable, "-c", "pass"), root) for _ in range(repeat)])
    stats, parse = bound(STATS, root, repeat), bound(PARSE, root, 1)
    show("cold plan", cold, jobs, f"{cold.cpu / parse.cpu:.2f} x CSafeLoader on the same file")
    show(f"warm plan, median of {repeat}", warm, jobs, f"{warm.cpu / bare.cpu:.2f} x python -c pass; {beyond(warm, bare, stats)}")
    show("python -c pass", bare, jobs)
    show(f"os.stat of the {2 * jobs} files, the loop alone", stats, jobs)
    show("yaml.CSafeLoader of the spec, alone", parse, jobs)
    print(f"  state {(root / 'state/reconciler.db').stat().st_size / 1e6:.1f} MB, kept {kept(root)}\n", flush=True)


def plan(root: Path, jobs: int) -> Cost:
    """A plan that must find nothing to do. Raises SystemExit when it does."""
    cost = run(PLAN, root)
    expected = f"No changes. {'All 1 job is' if jobs == 1 else f'All {jobs} jobs are'} up to date.\n"
    if cost.output != expected:
        raise SystemExit(f"The plan said {cost.output!r}; expected {expected!r}.")
    return cost


def run(command: Sequence[str], folder: Path) -> Cost:
    """The cost of one process, as the kernel counts it. Raises SystemExit when it fails.

    The peak of a process includes what its parent held when it began, so this script imports nothing heavy.
    """
    child = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with exit code {child.returncode}: {output}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RECONCILER_")} | {"PYTHONPATH": str(SOURCE)}


def bound(code: str, folder: Path, repeat: int) -> Cost:
    costs = [run((sys.executable, "-c", code), folder) for _ in range(repeat)]
    return median([Cost(float(cost.output), cost.peak_mb, "") for cost in costs])


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(statistics.median(cost.cpu for cost in costs), max(cost.peak_mb for cost in costs), costs[0].output)


def beyond(warm: Cost, bare: Cost, stats: Cost) -> str:
    """How many times the bare stats a plan takes on top of the interpreter."""
    return f"beyond it {(warm.cpu - bare.cpu) / stats.cpu:.2f} x the bare stats" if stats.cpu > 0.001 else "too few files to compare"


def show(what: str, cost: Cost, jobs: int, ratio: str = "") -> None:
    print(f"  {what:42}{cost.cpu:10.3f}{cost.peak_mb:8.0f}{cost.cpu / jobs * 1e6:10.1f}  {ratio}".rstrip())


def kept(root: Path) -> str:
    """How many digests and parsed instances the plans have left for the next one."""
    with sqlite3.connect(root / "state/reconciler.db") as db:
        witnesses, instances = (db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("witnesses", "configured_instances"))
    return f"{witnesses} digests, {instances} instances"


if __name__ == "__main__":
    main()
