"""What the engine's tests share: a tiny model, and a way to score a text. The rule here: real models and real files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from reconciler.engine.job import ScoringJob, Tally
from reconciler.engine.pipeline import score
from reconciler.options import Options

SPECS = Path(__file__).parents[2] / "specs"
REGRESSION = "name: tiny\ntype: inference\ntargetType: Regression\ninferenceModel: {targetName: y}\n"
BINARY = """
name: tiny
type: inference
targetType: Binary
inferenceModel: {targetName: y, positiveClassLabel: "1", negativeClassLabel: 0.0, predictionThreshold: 0.25}
"""


@pytest.fixture(scope="session")
def specs() -> Path:
    return SPECS


def trained(folder: Path, metadata: str, objective: str) -> Path:
    """A model of the two features `a` and `b`."""
    values = np.random.default_rng(0).normal(size=(200, 2))
    target = values[:, 0] > 0 if objective == "binary" else values[:, 0] - values[:, 1]
    data = lightgbm.Dataset(values, target, feature_name=["a", "b"])
    booster = lightgbm.train({"objective": objective, "verbosity": -1, "num_threads": 1, "num_leaves": 4}, data, num_boost_round=5)
    booster.save_model(folder / "model.txt")
    (folder / "model-metadata.yaml").write_text(metadata)
    return folder


@pytest.fixture(scope="session")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("regression"), REGRESSION, "regression")


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("binary"), BINARY, "binary")


@pytest.fixture
def scored(tmp_path: Path) -> Callable[..., bytes]:
    """Scores the text (or bytes, or file) with the model in the folder, under the options; gives the output's bytes."""

    def run(folder: Path, content: str | bytes | Path, *, is_trusted: bool = False, **options: Any) -> bytes:
        intake = content if isinstance(content, Path) else tmp_path / "in.csv"
        if not isinstance(content, Path):
            intake.write_bytes(content.encode() if isinstance(content, str) else content)
        job = ScoringJob(folder, intake, tmp_path / "out.csv", Options(**options), is_trusted=is_trusted)
        tally = finish(job)
        assert tally.bytes_written == job.output.stat().st_size
        assert tally.bytes_read == intake.stat().st_size
        return job.output.read_bytes()

    return run


def finish(job: ScoringJob) -> Tally:
    return score(job, report=lambda progress: None, is_cancelled=lambda: False)


@pytest.fixture
def bad() -> Callable[..., str]:
    """The summary and detail of an error, as one text."""
    return lambda caught: f"{caught.value.summary}. {caught.value.detail}"
