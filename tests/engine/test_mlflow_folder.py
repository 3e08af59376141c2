"""MLflow's folders. The rule here: saved by MLflow itself; the native flavors are read without it, python_function only with trust."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import table
import xgboost
import yaml
from skl2onnx import to_onnx
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from reconciler.engine.artifact import PICKLE
from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.registry import load_model
from reconciler.errors import ModelError, ScoringError

with warnings.catch_warnings():
    # MLflow warns about its own types while it is imported, and advises while it saves.
    warnings.simplefilter("ignore")
    import mlflow.catboost
    import mlflow.lightgbm
    import mlflow.onnx
    import mlflow.pyfunc
    import mlflow.sklearn
    import mlflow.xgboost
    from mlflow.models import infer_signature

pytestmark = pytest.mark.filterwarnings("ignore")
Scored = Callable[..., bytes]
NUMBERS = ["x", "z"]
TRAIN, ROWS = table.training()[NUMBERS].fillna(0), table.unseen()[NUMBERS].fillna(0)
TARGET = table.target(table.training())
SAVING: dict[str, Any] = {"pip_requirements": [], "metadata": {"targetType": "regression", "inferenceModel": {"targetName": "t"}}}


def lightgbm_saved(folder: Path) -> Any:
    model = lightgbm.train({"verbosity": -1, "num_threads": 1, "seed": 1}, lightgbm.Dataset(TRAIN, TARGET), 5)
    mlflow.lightgbm.save_model(model, folder, **SAVING)
    return model.predict(ROWS)


def xgboost_saved(folder: Path) -> Any:
    model = xgboost.XGBRegressor(n_estimators=5, n_jobs=1).fit(TRAIN, TARGET)
    mlflow.xgboost.save_model(model, folder, **SAVING)
    return model.predict(ROWS).astype(float)


def catboost_saved(folder: Path) -> Any:
    model = catboost.CatBoostRegressor(iterations=5, verbose=0, allow_writing_files=False, thread_count=1).fit(TRAIN, TARGET)
    mlflow.catboost.save_model(model, folder, **SAVING)
    return model.predict(ROWS)


def skops_saved(folder: Path) -> Any:
    model = LinearRegression().fit(TRAIN, TARGET)
    mlflow.sklearn.save_model(model, folder, serialization_format="skops", **SAVING)
    return model.predict(ROWS)


def onnx_saved(folder: Path) -> Any:
    model = LinearRegression().fit(TRAIN, TARGET)
    graph = to_onnx(model, TRAIN.to_numpy()[:1], target_opset=17)
    mlflow.onnx.save_model(graph, folder, signature=infer_signature(TRAIN, TARGET), **SAVING)
    return model.predict(ROWS)


SAVED = [lightgbm_saved, xgboost_saved, catboost_saved, skops_saved, onnx_saved]


@pytest.mark.parametrize("saved", SAVED)
def test_a_native_flavor_scores_as_its_library(tmp_path: Path, scored: Scored, saved: Callable[[Path], Any]) -> None:
    wanted = saved(tmp_path / "model")
    assert table.numbers(scored(tmp_path / "model", table.as_csv(ROWS))) == pytest.approx(wanted.tolist(), rel=1e-9)


def test_native_flavors_do_not_import_mlflow(tmp_path: Path) -> None:
    code = """
import sys
import warnings
from pathlib import Path
from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.registry import load_model
for folder in sys.argv[1:]:
    load_model(read_metadata(Path(folder)))
print("mlflow" in sys.modules)
"""
    folders = [tmp_path / saved.__name__ for saved in SAVED]
    for saved, folder in zip(SAVED, folders, strict=True):
        saved(folder)
    done = subprocess.run([sys.executable, "-c", code, *map(str, folders)], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_metadata_file_comes_before_that_of_mlflow(tmp_path: Path) -> None:
    skops_saved(tmp_path / "model")
    assert read_metadata(tmp_path / "model").target_name == "t"
    (tmp_path / "model/model-metadata.yaml").write_text("targetType: regression\ninferenceModel: {targetName: other}\n")
    assert read_metadata(tmp_path / "model").target_name == "other"


def test_a_pickled_flavor_needs_trust(tmp_path: Path, scored: Scored) -> None:
    model = LinearRegression().fit(TRAIN, TARGET)
    mlflow.sklearn.save_model(model, tmp_path / "model", serialization_format="cloudpickle", **SAVING)
    with pytest.raises(ModelError) as caught:
        read_metadata(tmp_path / "model")
    assert "trust: true" in caught.value.detail
    assert read_metadata(tmp_path / "model", is_trusted=True).family is PICKLE
    output = scored(tmp_path / "model", table.as_csv(ROWS), is_trusted=True)
    assert table.numbers(output) == pytest.approx(model.predict(ROWS).tolist(), rel=1e-12)


def test_the_signature_says_which_columns_are_text(tmp_path: Path, scored: Scored) -> None:
    """`10` is a category here, and OneHotEncoder alone would not say of what type."""
    train = pd.DataFrame({"color": ["red", "10", "red"]})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LinearRegression()).fit(train, [1.0, 2.0, 1.0])
    mlflow.sklearn.save_model(model, tmp_path / "model", serialization_format="skops", signature=infer_signature(train, [1.0]), **SAVING)
    output = scored(tmp_path / "model", "color\n10\nred\npurple\n")
    assert table.numbers(output) == pytest.approx(model.predict(pd.DataFrame({"color": ["10", "red", "purple"]})).tolist(), rel=1e-12)


class Doubling(mlflow.pyfunc.PythonModel):
    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        kinds = [str(kind) for kind in model_input.dtypes]
        assert kinds[:2] == ["float64", "int64"], kinds
        return model_input["x"].fillna(0) * 2 + model_input["level"] + (model_input["color"] == "red")


class Classes(mlflow.pyfunc.PythonModel):
    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        p = 1 / (2 + model_input["z"].fillna(0).abs())
        return pd.DataFrame({"high": p, "low": 1 - p - p / 2, "mid": p / 2})


def python_function(folder: Path, model: Any, **more: Any) -> Path:
    mlflow.pyfunc.save_model(folder, python_model=model, **{**SAVING, **more})
    return folder


def test_a_python_function_scores_as_mlflow_has_it(tmp_path: Path, scored: Scored) -> None:
    rows = table.unseen()[["x", "level", "color"]]
    rows["color"] = rows.color.fillna("none").astype(object)
    folder = python_function(tmp_path / "model", Doubling(), signature=infer_signature(rows, rows.x.fillna(0)))
    with pytest.raises(ModelError, match="is not trusted"):
        read_metadata(folder)
    output = scored(folder, table.as_csv(rows), is_trusted=True)
    assert table.numbers(output) == mlflow.pyfunc.load_model(str(folder)).predict(rows).tolist()


def test_a_python_function_without_a_signature_gets_every_column(tmp_path: Path, scored: Scored) -> None:
    rows = table.unseen()
    metadata = {"targetType": "multiclass", "inferenceModel": {"targetName": "t", "classLabels": ["low", "mid", "high"]}}
    folder = python_function(tmp_path / "model", Classes(), metadata=metadata)
    output = scored(folder, table.as_csv(rows), is_trusted=True)
    wanted = Classes().predict(None, rows)
    assert {label: table.numbers(output, f"t_{label}_PREDICTION") for label in wanted} == {label: list(wanted[label]) for label in wanted}


def test_what_mlflow_refuses_is_a_sentence(tmp_path: Path, scored: Scored) -> None:
    rows = table.unseen()[["x", "level", "color"]].assign(color="red")
    folder = python_function(tmp_path / "model", Doubling(), signature=infer_signature(rows, rows.x.fillna(0)))
    with pytest.raises(ScoringError) as caught:
        scored(folder, "x,level,color\n1,,red\n", is_trusted=True)
    assert "Incompatible input types for column level" in caught.value.detail


GOOD = "flavors: {sklearn: {pickled_model: model.skops}}\nmetadata: {targetType: regression, inferenceModel: {targetName: t}}\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is not a mapping"),
        ("a: [", "cannot be read"),
        ("flavors: 3\n", "has no flavors"),
        ("flavors: {spark: {model_data: sparkml}}\n", "its flavors are spark; the engine reads lightgbm"),
        (GOOD.replace("model.skops", "../other/model.skops"), "is not in the model's folder"),
        (GOOD.replace("model.skops", "/etc/passwd"), "is not in the model's folder"),
        (GOOD, "it names model.skops, and there is no such file"),
        (GOOD.replace("model.skops", "model.pkl") + "signature: {inputs: '[{]'}\n", "there is no such file"),
    ],
)
def test_a_broken_folder_is_explained(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "MLmodel").write_text(content)
    with pytest.raises(ModelError) as caught:
        read_metadata(tmp_path)
    assert sentence in caught.value.detail
    assert "MLmodel" in caught.value.detail


def test_a_folder_without_a_target_says_where_to_write_it(tmp_path: Path) -> None:
    skops_saved(tmp_path / "model")
    document = yaml.safe_load((tmp_path / "model/MLmodel").read_text())
    del document["metadata"]
    (tmp_path / "model/MLmodel").write_text(yaml.safe_dump(document))
    with pytest.raises(ModelError) as caught:
        read_metadata(tmp_path / "model")
    assert "holds no model-metadata.yaml" in caught.value.detail


def test_a_damaged_python_function_is_refused(tmp_path: Path) -> None:
    folder = python_function(tmp_path / "model", Classes())
    (folder / "python_model.pkl").write_bytes(b"\x80\x04")
    with pytest.raises(ModelError, match="The MLflow model cannot be loaded"):
        load_model(read_metadata(folder, is_trusted=True))


def test_rows_as_pandas_reads_them_keep_their_number(tmp_path: Path, scored: Scored) -> None:
    """A line of which nothing is left is a row too."""
    class_of = python_function(tmp_path / "model", Ones())
    assert len(table.numbers(scored(class_of, 'a\n1\n""\n2\n', is_trusted=True))) == 3


class Ones(mlflow.pyfunc.PythonModel):
    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return np.ones(len(model_input))
