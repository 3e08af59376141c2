"""The shipped examples. The rule here: their script makes them again."""

import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.engine.job import ScoringJob
from reconciler.engine.metadata import read_metadata
from reconciler.engine.pipeline import score
from reconciler.options import Options

EXAMPLES = [
    ("breast_cancer", "breast_cancer.csv", "diagnosis_malignant_PREDICTION"),
    ("wine", "wine.csv", "cultivar_grignolino_PREDICTION"),
    ("diabetes", "diabetes/2026-09.csv", "progression_PREDICTION"),
    ("diabetes", "diabetes/2026-10.csv", "progression_PREDICTION"),
]


@pytest.fixture(scope="module")
def remade(specs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("remade")
    subprocess.run([sys.executable, specs / "models/make.py", "--into", into], check=True, capture_output=True)
    return into


def predictions(model: Path, intake: Path, output: Path, column: str) -> list[float]:
    score(ScoringJob(model, intake, output, Options()), report=lambda progress: None, is_cancelled=lambda: False)
    header, *rows = (line.split(",") for line in output.read_text().splitlines())
    return [float(row[header.index(column)]) for row in rows]


@pytest.mark.parametrize(("model", "data", "column"), EXAMPLES)
def test_the_script_makes_the_shipped_models(specs: Path, remade: Path, tmp_path: Path, model: str, data: str, column: str) -> None:
    assert (remade / "data" / data).read_bytes() == (specs / "data" / data).read_bytes()
    shipped = predictions(specs / "models" / model, specs / "data" / data, tmp_path / "shipped.csv", column)
    again = predictions(remade / "models" / model, specs / "data" / data, tmp_path / "again.csv", column)
    assert again == pytest.approx(shipped, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("model", ["breast_cancer", "wine", "diabetes"])
def test_a_shipped_model_is_small(specs: Path, model: str) -> None:
    assert read_metadata(specs / "models" / model).artifact.stat().st_size < 150_000
