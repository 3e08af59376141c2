"""Memory. The rule here: it does not grow with the rows."""

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import resource, sys
from pathlib import Path
from reconciler.engine.job import ScoringJob
from reconciler.engine.pipeline import score
from reconciler.options import Options
options = Options(passthrough_columns_set="all", max_explanations=int(sys.argv[3]))
job = ScoringJob(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[2] + ".out"), options)
tally = score(job, report=lambda progress: None, is_cancelled=lambda: False)
print(tally.scored, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(folder: Path, intake: Path, rows: int, explanations: int) -> int:
    with open(intake, "w") as file:
        file.write("a,b,note\n")
        for _ in range(rows // 10_000):
            file.write('1.25,-2.5,"some text, quoted, of forty characters"\n' * 10_000)
    done = subprocess.run([sys.executable, "-c", CODE, folder, intake, str(explanations)], capture_output=True, text=True, check=True)
    scored, kilobytes = map(int, done.stdout.split())
    assert scored == rows
    return kilobytes


@pytest.mark.parametrize(
    ("rows", "explanations"),
    [
        pytest.param(250_000, 0, id="scored"),  # and then 100 MB
        pytest.param(10_000, 2, id="explained"),
    ],
)
def test_eight_times_the_rows_take_no_more_memory(regression: Path, tmp_path: Path, rows: int, explanations: int) -> None:
    small = peak(regression, tmp_path / "small.csv", rows, explanations)
    large = peak(regression, tmp_path / "large.csv", 8 * rows, explanations)
    assert large < 1.1 * small
