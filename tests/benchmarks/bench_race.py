"""The engine beside its peers, each alone in a process of its own, on the same file with the same model. The rule here: ratios, no limits.

python tests/benchmarks/bench_race.py [--rows 10000000] [--trees 100 500] [--peer-rows N] [--explained 20000]

What a process needs to start is told by the best of three with 1,000 rows; rates are of the rows behind these. Most peers get fewer rows than the
engine: it is their rate that is compared. DataRobot's `drum` and `shap` are installed once, in environments of their own. 10 million rows need 3 GB.
"""

import argparse
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path

# Nothing heavy is imported here: a process is born with the peak memory of its parent.
FEW = 1_000
CONTESTANTS = Path(__file__).with_name("race_contestants.py")
LINE = "{:34}{:>12}{:>9}{:>9}{:>9}{:>13}{:>10}{:>9}{:>10}{:>10}"


@dataclass(frozen=True)
class Course:
    """`sizes` are the rows of each intake, `NAME.csv` in `folder`; `model` is the folder of a model; `drum` an environment."""

    folder: Path
    model: Path
    drum: Path
    sizes: dict[str, int]

    @property
    def output(self) -> Path:
        return self.model / "out.csv"

    def intake(self, name: str) -> Path:
        return self.folder / f"{name}.csv"


@dataclass(frozen=True)
class Contestant:
    """`intake` is the name of one; `column` that of the probabilities in the output, if there is one."""

    what: str
    command: Callable[[Course, Path], Sequence[str | Path]]
    intake: str
    column: str | None = None


@dataclass(frozen=True)
class Usage:
    wall: float
    cpu: float  # of its children too
    peak: float  # MB
    said: str


@dataclass(frozen=True)
class Result:
    rows: int
    start: Usage
    all: Usage

    @property
    def rate(self) -> float:
        return (self.rows - FEW) / max(self.all.wall - self.start.wall, 1e-3)

    @property
    def cpu(self) -> float:
        """Seconds for 1 million rows."""
        return max(self.all.cpu - self.start.cpu, 1e-3) / (self.rows - FEW) * 1e6


def contestant(name: str, python: str | Path = sys.executable) -> Callable[[Course, Path], Sequence[str | Path]]:
    return lambda course, intake: [python, CONTESTANTS, name, intake, course.model, course.output]


def drum_score(course: Course, intake: Path) -> Sequence[str | Path]:
    files = ["--code-dir", course.model / "drum", "--input", intake, "--output", course.output]
    labels = ["--positive-class-label", "1", "--negative-class-label", "0"]
    return [course.drum / "bin/python", course.drum / "bin/drum", "score", *files, "--target-type", "binary", *labels]


OURS = Contestant("the engine", contestant("engine"), "all", "y_1_PREDICTION")
RACE = (
    OURS,
    Contestant("counting newlines", contestant("newlines"), "all"),
    Contestant("pyarrow's typed parse", contestant("typed"), "all"),
    Contestant("pandas in chunks", contestant("pandas"), "peers", "probability"),
    Contestant("MLflow's pyfunc in chunks", contestant("mlflow"), "peers", "probability"),
    Contestant("DataRobot's drum score", drum_score, "peers", "1"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="The engine beside its peers.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--trees", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--peer-rows", type=int, help="rows for pandas, MLflow, drum and the bare predict")
    parser.add_argument("--explained", type=int, default=20 * FEW, help="rows for the explanations")
    args = parser.parse_args()
    peer_rows = args.peer_rows or min(args.rows, max(args.rows // 5, 500 * FEW))
    sizes = {"all": args.rows, "tenth": args.rows // 10, "peers": peer_rows, "explained": args.explained, "few": FEW}
    if min(sizes.values()) < FEW or min(sizes["peers"], sizes["explained"]) == FEW:
        parser.error(f"too few rows: each part of them needs more than {FEW:,}")
    # As Ctrl-C does: what runs is ended, and the folder removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.perf_counter()
    drum, shap = environments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_intakes(folder, sizes)
        courses = [make_course(folder, trees, drum, sizes) for trees in args.trees]
        for trees, course in zip(args.trees, courses, strict=True):
            print(f"\n{trees} trees")
            race(course)
        print(f"\nBeside the race, {args.trees[0]} trees")
        memory(courses[0])
        explanations(courses[0], shap)
        print(run([sys.executable, CONTESTANTS, "encodings", courses[0].intake("peers"), courses[0].model, courses[0].output]).said, end="")
    say(f"the race took {time.perf_counter() - began:,.0f} s")


def environments() -> tuple[Path, Path]:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from servers.environment import environment

    say("installing drum and shap, unless they are there")
    same = f"lightgbm=={version('lightgbm')}"
    return environment("drum", "datarobot-drum", same), environment("shap", "shap", same)


def make_intakes(folder: Path, sizes: dict[str, int]) -> None:
    say(f"writing {sizes['all']:,} rows")
    run([sys.executable, CONTESTANTS, "make_intake", folder / "all.csv", str(sizes["all"])])
    for name, rows in sizes.items():
        if name != "all":
            with open(folder / "all.csv", "rb") as whole, open(folder / f"{name}.csv", "wb") as part:
                part.writelines(islice(whole, rows + 1))
    size = (folder / "all.csv").stat().st_size / 1e6
    print(f"{sizes['all']:,} rows x 16 columns, {size:,.0f} MB, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)


def make_course(folder: Path, trees: int, drum: Path, sizes: dict[str, int]) -> Course:
    model = folder / f"{trees} trees"
    model.mkdir()
    say(f"training {trees} trees")
    run([sys.executable, CONTESTANTS, "make_model", model, folder / "all.csv", str(trees)])
    return Course(folder, model, drum, sizes)


def race(course: Course) -> None:
    print(LINE.format("", "rows", "start s", "wall s", "CPU s", "rows/s", "CPU s/1M", "peak MB", "CPU/ours", "rate/ours"), flush=True)
    ours, expected = None, None
    for each in RACE:
        result = measured(each, course)
        ours = ours or result
        figures = [f"{value:,.1f}" for value in (result.start.wall, result.all.wall, result.all.cpu)]
        ratios = [f"{result.cpu:,.2f}", f"{result.all.peak:,.0f}", f"{result.cpu / ours.cpu:,.2f}", f"{result.rate / ours.rate:,.2f}"]
        print(LINE.format(each.what, f"{result.rows:,}", *figures, f"{result.rate:,.0f}", *ratios), flush=True)
        if each.column:
            said = probabilities(course.output, each.column)
            expected = expected or said
            if len(said) != FEW or max(abs(one - other) for one, other in zip(said, expected, strict=True)) > 1e-9:
                print("  its probabilities are others than ours")
        course.output.unlink(missing_ok=True)
    assert ours
    shares(course, ours)


def shares(course: Course, ours: Result) -> None:
    bare = float(run([*contestant("predict")(course, course.intake("peers"))]).said) / course.sizes["peers"] * 1e6
    print(f"LightGBM's own predict, in memory: {bare:.2f} s of CPU for 1 M rows, {bare / ours.cpu:.0%} of ours")
    print(f"all the rest of ours: {ours.cpu - bare:.2f} s of CPU for 1 M rows (expected: under 4)")
    seconds = [float(word) for word in run([*contestant("stages")(course, course.intake("tenth"))]).said.split()]
    parts = [f"{name} {each / sum(seconds):.0%}" for name, each in zip(("read", "predict", "write"), seconds, strict=True)]
    print(f"stages of ours, each alone in one thread: {', '.join(parts)}", flush=True)


def memory(course: Course) -> None:
    tenth, whole = (run(OURS.command(course, course.intake(name))).peak for name in ("tenth", "all"))
    sizes = f"{course.sizes['tenth']:,} and {course.sizes['all']:,} rows"
    print(f"peak memory of ours at {sizes}: {tenth:.0f} and {whole:.0f} MB, {whole / tenth:.2f} x (expected: within 1.10, under 400 MB)", flush=True)


def explanations(course: Course, shap: Path) -> None:
    ours, theirs = (measured(each, course) for each in (
        Contestant("", contestant("explained"), "explained"),
        Contestant("", contestant("shap", shap / "bin/python"), "explained"),
    ))  # fmt: skip
    rates = f"{ours.rate:,.0f} rows/s, shap.TreeExplainer {theirs.rate:,.0f}"
    print(f"explained rows of ours: {rates}, {theirs.cpu / ours.cpu:.2f} x the CPU of ours (bench_explanations.py has more)", flush=True)


def measured(each: Contestant, course: Course) -> Result:
    say(each.what or "explanations")
    start = min((run(each.command(course, course.intake("few"))) for _ in range(3)), key=lambda usage: usage.wall)
    return Result(course.sizes[each.intake], start, run(each.command(course, course.intake(each.intake))))


def run(command: Sequence[str | Path]) -> Usage:
    """What the process and its children took; it has to end well."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as wrong:
        begin = time.perf_counter()
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=said, stderr=wrong)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (said, wrong):
            file.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{said.read()}{wrong.read()}")
        return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3, said.read())


def probabilities(output: Path, column: str) -> list[float]:
    """Of the first rows."""
    with open(output, newline="") as file:
        return [float(row[column]) for row in islice(csv.DictReader(file), FEW)]


def say(what: str) -> None:
    """To whoever waits."""
    print(f"  … {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
