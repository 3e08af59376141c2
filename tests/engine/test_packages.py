"""Heavy packages. The rule here: nobody waits for them who does not score, and nobody who lacks them sees a traceback."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from reconciler.engine.artifact import FAMILIES
from reconciler.engine.models import registry
from reconciler.engine.models.registry import ROOMS
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
    what = "The scoring engine" if extra == "engine" else "A package"
    assert said == f"{what} is not installed The package {package} is missing. Run: {install(extra)}"


@pytest.mark.parametrize(
    ("package", "file", "content", "extra"),
    [
        ("xgboost", "model.ubj", b"", "xgboost"),
        ("catboost", "model.cbm", b"", "catboost"),
        ("skops", "model.skops", b"", "sklearn"),
        ("joblib", "model.pkl", b"", "sklearn"),
        ("pandas", "custom.py", b"", "sklearn"),
        ("mlflow", "MLmodel", b"flavors: {python_function: {loader_module: x}}", "mlflow"),
    ],
)
def test_each_family_names_its_own_extra(tmp_path: Path, package: str, file: str, content: bytes, extra: str) -> None:
    (tmp_path / file).write_bytes(content)
    (tmp_path / "model-metadata.yaml").write_text("targetType: regression\ninferenceModel: {targetName: t}\n")
    code = f"""
import sys
from pathlib import Path
sys.modules[{package!r}] = None
from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.registry import load_model
from reconciler.errors import ScoringError
try:
    load_model(read_metadata(Path({str(tmp_path)!r}), is_trusted=True))
except ScoringError as error:
    print(error.detail)
"""
    assert python(code).endswith(f" is missing. Run: {install(extra)}")


def test_each_family_has_a_room() -> None:
    assert set(ROOMS) == set(FAMILIES)
    assert all((Path(registry.__file__).parent / f"{room}.py").is_file() for room in ROOMS.values())


def test_each_extra_is_one_of_the_project() -> None:
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {family.extra for family in FAMILIES} <= set(extras)


def test_a_missing_library_is_a_sentence() -> None:
    with pytest.raises(ScoringError) as caught, engine_packages():
        raise OSError("libgomp.so.1: cannot open shared object file")
    assert "libgomp.so.1" in caught.value.detail


def test_a_missing_module_of_ours_is_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError), engine_packages():
        raise ModuleNotFoundError("no", name="reconciler.engine.no")
