"""Heavy packages. The rule here: nobody waits for them who does not score, and nobody who lacks them sees a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.engine.packages import engine_packages, install
from reconciler.errors import ScoringError

HEAVY = ("numpy", "pandas", "pyarrow", "lightgbm", "xgboost", "catboost", "sklearn", "mlflow", "onnx", "onnxruntime")
LIGHT = ("job", "artifact", "mlflow_folder", "metadata", "capability", "dialect", "pipeline", "models.registry")


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_rooms_around_the_engine_import_nothing_heavy() -> None:
    modules = ", ".join(f"reconciler.engine.{name}" for name in LIGHT if name != "models.registry")
    assert python(f"import sys, {modules}\nprint([name for name in {HEAVY} if name in sys.modules])") == "[]"


@pytest.mark.parametrize(
    ("package", "model", "extra"),
    [("pyarrow", "diabetes", "engine"), ("lightgbm", "diabetes", "lightgbm"), ("onnxruntime", "wine", "onnx"), ("onnx", "wine", "onnx")],
)
def test_a_missing_package_is_a_sentence_with_the_command(specs: Path, tmp_path: Path, package: str, model: str, extra: str) -> None:
    intake = next((specs / "data").rglob("2026-09.csv")) if model == "diabetes" else specs / "data/wine.csv"
    code = f"""
import sys
from pathlib import Path
sys.modules[{package!r}] = None
from reconciler.engine.job import ScoringJob
from reconciler.engine.pipeline import score
from reconciler.errors import ScoringError
from reconciler.options import Options
try:
    job = ScoringJob(Path({str(specs / "models" / model)!r}), Path({str(intake)!r}), Path({str(tmp_path / "out.csv")!r}), Options())
    score(job, report=print, is_cancelled=lambda: False)
except ScoringError as error:
    print(error.summary, error.detail)
"""
    said = python(code)
    assert said == f"The scoring engine is not installed The package {package} is missing. Run: {install(extra)}"


def test_a_missing_library_is_a_sentence() -> None:
    with pytest.raises(ScoringError) as caught, engine_packages():
        raise OSError("libgomp.so.1: cannot open shared object file")
    assert "libgomp.so.1" in caught.value.detail


def test_a_missing_module_of_ours_is_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError), engine_packages():
        raise ModuleNotFoundError("no", name="reconciler.engine.no")
