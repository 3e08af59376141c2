"""DataRobot's custom models. The rule here: real custom.py files, their hooks called as DRUM calls them, and only with trust."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import table
import xgboost
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from reconciler.engine.job import ScoringJob
from reconciler.engine.metadata import read_metadata
from reconciler.engine.models.registry import load_model
from reconciler.engine.pipeline import score
from reconciler.errors import ModelError, ScoringError
from reconciler.options import Options

Scored = Callable[..., bytes]
NUMBERS = ["x", "z"]


def folder_for(folder: Path, code: str, target_type: str = "regression", **inference: Any) -> Path:
    (folder / "custom.py").write_text(code)
    return table.folder_for(folder, target_type, **inference)


def read(content: str) -> pd.DataFrame:
    """The rows as DRUM gives them to the hooks."""
    return pd.read_csv(io.StringIO(content))


HOOKS = """
import pandas as pd
calls = []
def init(code_dir, **kwargs):
    calls.append("init")
def load_model(code_dir):
    calls.append("load_model")
    return {"dir": code_dir, "factor": 3}
def transform(data, model):
    return data.assign(x=data.x.fillna(0) * model["factor"])
def score(data, model, **kwargs):
    assert calls == ["init", "load_model"] and kwargs == {}, (calls, kwargs)
    return pd.DataFrame({"Predictions": data.x + data.z.fillna(0)})
def post_process(predictions, model):
    return predictions + 1
"""


def test_the_hooks_are_called_in_order(tmp_path: Path, scored: Scored) -> None:
    content = table.as_csv(table.unseen())
    output = scored(folder_for(tmp_path, HOOKS), content, is_trusted=True)
    rows = read(content)
    assert table.numbers(output) == ((rows.x.fillna(0) * 3 + rows.z.fillna(0)) + 1).tolist()


def test_a_model_of_texts_is_asked_for_few_rows_at_once(tmp_path: Path, scored: Scored) -> None:
    """One that takes seconds for a row shall show its progress, and not keep an abort waiting."""
    code = "import pandas as pd\ndef load_model(code_dir): return 1\n"
    code += "def score(data, model, **kwargs): return pd.DataFrame({'t': [f'{len(data)} rows'] * len(data)})\n"
    output = scored(folder_for(tmp_path, code, "textgeneration"), "a\n" + "1\n" * 100, is_trusted=True)
    assert table.column(output, "t_PREDICTION") == ["16 rows"] * 96 + ["4 rows"] * 4


def test_the_hooks_see_every_column_as_pandas_reads_it(tmp_path: Path, scored: Scored) -> None:
    code = """
import pandas as pd
def load_model(code_dir): return 1
def score(data, model, **kwargs):
    return pd.DataFrame({"y": [" ".join(f"{name}:{kind}" for name, kind in data.dtypes.items())] * len(data)})
"""
    content = table.as_csv(table.unseen())
    output = scored(folder_for(tmp_path, code, "textgeneration"), content, is_trusted=True)
    assert set(table.column(output, "t_PREDICTION")) == {" ".join(f"{name}:{kind}" for name, kind in read(content).dtypes.items())}


def test_the_metadata_may_name_the_columns(tmp_path: Path, scored: Scored) -> None:
    code = """
import pandas as pd
def load_model(code_dir): return 1
def score(data, model, **kwargs): return pd.DataFrame({"y": [float(",".join(data.columns) == "z,x")] * len(data)})
"""
    output = scored(folder_for(tmp_path, code, feature_names=["z", "x"]), table.as_csv(table.unseen()), is_trusted=True)
    assert set(table.numbers(output)) == {1.0}


def test_classes_are_met_by_label(tmp_path: Path, scored: Scored) -> None:
    code = """
import numpy as np, pandas as pd
def load_model(code_dir): return 1
def score(data, model, **kwargs):
    assert kwargs == {"class_labels": ["low", "mid", "high"]}
    p = 1 / (2 + data.z.fillna(0).abs())
    return pd.DataFrame({"more": "x", "high": p, "low": 1 - p - p / 2, "mid": p / 2})
"""
    content = table.as_csv(table.unseen())
    output = scored(folder_for(tmp_path, code, "multiclass"), content, is_trusted=True)
    p = 1 / (2 + read(content).z.fillna(0).abs())
    wanted = {"low": 1 - p - p / 2, "mid": p / 2, "high": p}
    assert {label: table.numbers(output, f"t_{label}_PREDICTION") for label in wanted} == {label: list(each) for label, each in wanted.items()}


@pytest.mark.parametrize("answer", ['{"no": 1 - p, "yes": p}', '{"whatever": p}'])
def test_a_binary_model_gives_both_classes_or_the_positive_one(tmp_path: Path, scored: Scored, answer: str) -> None:
    code = f"""
import pandas as pd
def load_model(code_dir): return 1
def score(data, model, positive_class_label, negative_class_label):
    assert (positive_class_label, negative_class_label) == ("yes", "no")
    p = 1 / (2 + data.z.fillna(0).abs())
    return pd.DataFrame({answer})
"""
    content = table.as_csv(table.unseen())
    output = scored(folder_for(tmp_path, code, "binary"), content, is_trusted=True)
    assert table.numbers(output, "t_yes_PREDICTION") == (1 / (2 + read(content).z.fillna(0).abs())).tolist()


@pytest.mark.parametrize(
    ("target_type", "answer", "column", "wanted"),
    [
        ("anomaly", '{"Predictions": [2.5] * len(data)}', "ANOMALY_SCORE", "2.5"),
        ("textgeneration", '{"t": ["a, \\"b\\""] * len(data), "citations": 1}', "t_PREDICTION", 'a, "b"'),
        ("clustering", '{"low": 0.0, "mid": 1.0, "high": [0.0] * len(data)}', "PREDICTION", "mid"),
        ("multilabel", '{"low": 0.9, "mid": 0.2, "high": [0.7] * len(data)}', "t_high_DECISION", "True"),
    ],
)
def test_every_target_type_has_its_columns(tmp_path: Path, scored: Scored, target_type: str, answer: str, column: str, wanted: str) -> None:
    code = f"import pandas as pd\ndef load_model(code_dir): return 1\ndef score(data, model, **kwargs): return pd.DataFrame({answer})\n"
    output = scored(folder_for(tmp_path, code, target_type), table.as_csv(table.unseen()), is_trusted=True)
    assert set(table.column(output, column)) == {wanted}


def test_a_score_that_is_no_probability_fails_its_row(tmp_path: Path, scored: Scored) -> None:
    code = "def load_model(code_dir): return 1\ndef score(data, model, **kwargs): return data.x\n"
    output = scored(folder_for(tmp_path, code, "binary"), "x\n0.5\n1.5\n", is_trusted=True, include_prediction_status=True)
    assert table.column(output, "prediction_status") == ["OK", "line 3: the model gave 1.5, which is no probability"]


LABELLED = """
import pandas as pd
def load_model(code_dir): return 1
def score(data, model, **kwargs): return pd.DataFrame({"low": 0.25, "mid": 0.5, "high": [0.25] * len(data)})
"""


@pytest.mark.parametrize(
    ("target_type", "answer", "texts"),
    [
        ("regression", '{"Predictions": [2.5] * len(data)}', set()),
        ("binary", '{"yes": [0.5] * len(data)}', {"t_PREDICTION", "POSITIVE_CLASS"}),
        ("multiclass", '{"low": 0.0, "mid": 1.0, "high": [0.0] * len(data)}', {"t_PREDICTION"}),
        ("multilabel", '{"low": 0.9, "mid": 0.2, "high": [0.7] * len(data)}', {"t_low_DECISION", "t_mid_DECISION", "t_high_DECISION"}),
        ("clustering", '{"low": 0.0, "mid": 1.0, "high": [0.0] * len(data)}', {"PREDICTION"}),
        ("anomaly", '{"Predictions": [2.5] * len(data)}', set()),
        ("textgeneration", '{"t": ["a"] * len(data)}', {"t_PREDICTION"}),
    ],
)
def test_numbers_are_numbers_where_columns_have_types(tmp_path: Path, target_type: str, answer: str, texts: set[str]) -> None:
    code = f"import pandas as pd\ndef load_model(code_dir): return 1\ndef score(data, model, **kwargs): return pd.DataFrame({answer})\n"
    (tmp_path / "in.csv").write_text("x\n1\n2\n")
    job = ScoringJob(folder_for(tmp_path, code, target_type), tmp_path / "in.csv", tmp_path / "out.parquet", Options(), is_trusted=True)
    score(job, report=lambda progress: None, is_cancelled=lambda: False)
    schema = pq.read_schema(tmp_path / "out.parquet")
    assert {field.name: str(field.type) for field in schema} == {name: "string" if name in texts else "double" for name in schema.names}


@pytest.mark.parametrize(
    ("target_type", "options", "header"),
    [
        ("clustering", {}, "low_PREDICTION,mid_PREDICTION,high_PREDICTION,PREDICTION"),
        ("clustering", {"include_probabilities": False}, "PREDICTION"),
        ("clustering", {"include_probabilities_classes": ["mid"]}, "mid_PREDICTION,PREDICTION"),
        ("multilabel", {"include_probabilities_classes": ["mid"]}, "t_mid_PROBABILITY,t_mid_THRESHOLD,t_mid_DECISION"),
        ("multilabel", {"include_probabilities_classes": ["mid"], "include_probabilities": False}, "t_mid_THRESHOLD,t_mid_DECISION"),
    ],
)
def test_the_classes_shown_are_those_asked_for(tmp_path: Path, scored: Scored, target_type: str, options: dict[str, Any], header: str) -> None:
    output = scored(folder_for(tmp_path, LABELLED, target_type), "x\n1\n", is_trusted=True, **options)
    assert output.decode().splitlines()[0] == header


def test_without_score_the_model_predicts_itself(tmp_path: Path, scored: Scored) -> None:
    train = table.training()
    model = LogisticRegression().fit(train[NUMBERS].fillna(0), table.yes_or_no(table.target(train)))
    joblib.dump(model, tmp_path / "model.pkl")
    code = f"def transform(data, model): return data[{NUMBERS}].fillna(0)\n"
    content = table.as_csv(table.unseen())
    output = scored(folder_for(tmp_path, code, "binary"), content, is_trusted=True)
    assert table.numbers(output, "t_yes_PREDICTION") == pytest.approx(model.predict_proba(read(content)[NUMBERS].fillna(0))[:, 1].tolist(), rel=1e-12)


def test_folders_may_have_modules_of_the_same_name(tmp_path: Path, scored: Scored) -> None:
    """Each imports its own, and what was changed on the disk since."""
    code = """
import pandas as pd
import rates
def load_model(code_dir): return 1
def score(data, model, **kwargs): return pd.DataFrame({"y": [rates.RATE] * len(data)})
"""
    for name, rate in (("a", 1.5), ("b", 20.5), ("a", 300.25)):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "rates.py").write_text(f"RATE = {rate}\n")
        assert set(table.numbers(scored(folder_for(folder, code), "x\n1\n2\n", is_trusted=True))) == {rate}


def test_without_trust_nothing_runs(tmp_path: Path) -> None:
    folder = folder_for(tmp_path, "raise SystemExit('ran')")
    with pytest.raises(ModelError) as caught:
        read_metadata(folder)
    assert "to load custom.py (custom.py) is to run the code" in caught.value.detail
    assert "deployments: {NAME: {local: {model: FOLDER, trust: true}}}" in caught.value.detail


LOADS = "import pandas as pd\ndef load_model(code_dir): return 1\n"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("def (", "importing it raised SyntaxError"),
        ("raise SystemExit('no')", "importing it raised SystemExit: no"),
        ("import not_there", "importing it raised ModuleNotFoundError"),
        ("def load_model(code_dir): return None", "load_model gave None"),
        ("def load_model(code_dir): raise OSError('gone')", "loading the model raised OSError: gone"),
        ("", "there must be one model file (*.pkl, *.joblib) beside it; found none"),
        (LOADS, "it is a int, which has no predict"),
        (LOADS + "def chat(a, b): pass", "it has chat, which this engine does not call"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_explained(tmp_path: Path, code: str, sentence: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(read_metadata(folder_for(tmp_path, code), is_trusted=True))
    assert sentence in caught.value.detail


@pytest.mark.parametrize(
    ("target_type", "answer", "sentence"),
    [
        ("regression", "1 / 0", "ZeroDivisionError: division by zero"),
        ("regression", "pd.DataFrame({'a': [1.0], 'b': 2})", "it must give one column, or one named t; its columns are a, b"),
        ("regression", "pd.DataFrame({'a': ['many']})", "it gave something else than numbers"),
        ("regression", "pd.DataFrame({'a': [1.0, 2.0]})", "It gave 2 predictions for 1 rows"),
        ("regression", "object()", "it gave object, which is no table"),
        ("multiclass", "pd.DataFrame([[0.5, 0.25, 0.25]])", "it must give a column for each of low, mid, high; its columns are 0, 1, 2"),
        ("binary", "pd.DataFrame([[0.5, 0.5]])", "or one column with the probability of the positive class"),
        ("binary", "pd.DataFrame({'yes': [1.5], 'no': -0.5})", "the model gave 1.5"),
        ("textgeneration", "pd.DataFrame({'t': [None]})", "the model gave None"),
    ],
)
def test_an_answer_that_cannot_be_is_explained(tmp_path: Path, scored: Scored, target_type: str, answer: str, sentence: str) -> None:
    code = LOADS + f"def score(data, model, **kwargs): return {answer}\n"
    with pytest.raises(ScoringError) as caught:
        scored(folder_for(tmp_path, code, target_type), "x\n1\n", is_trusted=True)
    assert sentence in caught.value.detail


def test_a_pickle_beside_it_is_the_model(tmp_path: Path, scored: Scored) -> None:
    model = Ridge().fit(pd.DataFrame({"x": [1.0, 2.0]}), [2.0, 4.0])
    joblib.dump(model, tmp_path / "model.joblib")
    output = scored(folder_for(tmp_path, "# no hooks\n"), "x\n1\n2\n", is_trusted=True)
    assert table.numbers(output) == pytest.approx(np.asarray(model.predict(pd.DataFrame({"x": [1, 2]}))).tolist())


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=5, n_jobs=1, verbosity=-1), id="LightGBM"),
        pytest.param(xgboost.XGBRegressor(n_estimators=5, n_jobs=1, enable_categorical=True), id="XGBoost"),
        pytest.param(HistGradientBoostingRegressor(max_iter=5, categorical_features="from_dtype"), id="histograms"),
        pytest.param(make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge()), id="one hot"),
    ],
)
def test_a_models_own_predict_gets_the_columns_that_it_was_trained_on(tmp_path: Path, scored: Scored, estimator: Any) -> None:
    """Of texts that look like numbers; a batch of rows need not have any that does not."""
    kind = pd.CategoricalDtype(["07", "1.10", "red"])
    code = pd.Series(["07", "1.10", "red", "07"] * 25)
    estimator.fit(pd.DataFrame({"code": code.astype(kind), "x": np.arange(100) % 3}), code.map({"07": 1.0, "1.10": 5.0, "red": 9.0}))
    joblib.dump(estimator, tmp_path / "model.pkl")
    given = pd.DataFrame({"code": pd.Categorical(["07", "1.10", None][: 2 if "Pipeline" in str(estimator) else 3], dtype=kind), "x": 1})
    content = table.as_csv(given.assign(code=given.code.astype(object)))
    output = scored(folder_for(tmp_path, "", "regression"), content, is_trusted=True)
    assert table.numbers(output) == estimator.predict(given).astype(float).tolist()


def test_a_booster_beside_the_hooks_scores_as_itself(tmp_path: Path, scored: Scored) -> None:
    rows = table.training()[["x", "z"]]
    booster = xgboost.train({"nthread": 1, "objective": "binary:logistic"}, xgboost.DMatrix(rows, table.target(table.training()) > 0), 5)
    joblib.dump(booster, tmp_path / "model.pkl")
    given = table.unseen()[["x", "z"]]
    output = scored(folder_for(tmp_path, "", "binary"), table.as_csv(given), is_trusted=True)
    assert table.numbers(output, "t_yes_PREDICTION") == booster.predict(xgboost.DMatrix(given)).astype(float).tolist()


def test_a_text_needs_a_hook(tmp_path: Path) -> None:
    joblib.dump(Ridge().fit([[1.0]], [1.0]), tmp_path / "model.pkl")
    with pytest.raises(ModelError) as caught:
        load_model(read_metadata(folder_for(tmp_path, "", "textgeneration"), is_trusted=True))
    assert "score(data, model, **kwargs)" in caught.value.detail
