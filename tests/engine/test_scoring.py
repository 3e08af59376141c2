"""The whole way from intake to output. The rule here: what is written is what the model library gives, for every row."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnxruntime
import pytest

from reconciler.errors import ScoringError

Scored = Callable[..., bytes]
Bad = Callable[..., str]


def table(content: bytes | Path) -> tuple[list[str], list[dict[str, str]]]:
    text = (content.read_bytes() if isinstance(content, Path) else content).decode()
    reader = csv.DictReader(io.StringIO(text, newline=""))
    rows = list(reader)
    return list(reader.fieldnames or ()), rows


def features(path: Path, names: list[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([[float(row[name]) for name in names] for row in table(path)[1]])


def test_every_binary_row_is_the_librarys(specs: Path, scored: Scored) -> None:
    booster = lightgbm.Booster(model_file=specs / "models/breast_cancer/model.txt")
    expected = booster.predict(features(specs / "data/breast_cancer.csv", booster.feature_name()))
    names, rows = table(scored(specs / "models/breast_cancer", specs / "data/breast_cancer.csv", passthrough_columns=["patient_id"]))
    positive, negative = "diagnosis_malignant_PREDICTION", "diagnosis_benign_PREDICTION"
    assert names == [positive, negative, "diagnosis_PREDICTION", "THRESHOLD", "POSITIVE_CLASS", "patient_id"]
    assert [float(row[positive]) for row in rows] == list(expected)
    assert [float(row[negative]) for row in rows] == list(1 - expected)
    assert [row["diagnosis_PREDICTION"] for row in rows] == ["malignant" if p >= 0.5 else "benign" for p in expected]
    assert {(row["THRESHOLD"], row["POSITIVE_CLASS"]) for row in rows} == {("0.5", "malignant")}
    assert [row["patient_id"] for row in rows] == [row["patient_id"] for row in table(specs / "data/breast_cancer.csv")[1]]


def test_every_multiclass_row_is_the_librarys(specs: Path, scored: Scored) -> None:
    session = onnxruntime.InferenceSession(specs / "models/wine/model.onnx")
    names = json.loads(session.get_modelmeta().custom_metadata_map["feature_names"])
    values = features(specs / "data/wine.csv", names).astype(np.float32)
    labels, probabilities = session.run(None, {session.get_inputs()[0].name: values})
    header, rows = table(scored(specs / "models/wine", specs / "data/wine.csv"))
    # The model's own order is alphabetical, the metadata's is not.
    classes = ["barolo", "grignolino", "barbera"]
    assert header == [*(f"cultivar_{label}_PREDICTION" for label in classes), "cultivar_PREDICTION"]
    assert [row["cultivar_PREDICTION"] for row in rows] == list(labels)
    for place, label in enumerate(sorted(classes)):
        assert [float(row[f"cultivar_{label}_PREDICTION"]) for row in rows] == [float(p) for p in probabilities[:, place]]


@pytest.mark.parametrize("month", ["2026-09", "2026-10"])
def test_every_regression_row_is_the_librarys(specs: Path, scored: Scored, month: str) -> None:
    booster = lightgbm.Booster(model_file=specs / "models/diabetes/model.txt")
    intake = specs / "data/diabetes" / f"{month}.csv"
    header, rows = table(scored(specs / "models/diabetes", intake))
    assert header == ["progression_PREDICTION"]
    assert [float(row["progression_PREDICTION"]) for row in rows] == list(booster.predict(features(intake, booster.feature_name())))


def test_order_of_columns_and_other_columns_change_nothing(specs: Path, scored: Scored, tmp_path: Path) -> None:
    header, rows = table(specs / "data/breast_cancer.csv")
    shuffled = tmp_path / "shuffled.csv"
    with open(shuffled, "w", newline="") as file:
        writer = csv.DictWriter(file, ["note", *reversed(header)])
        writer.writeheader()
        writer.writerows(row | {"note": "a, b"} for row in rows)
    assert scored(specs / "models/breast_cancer", shuffled) == scored(specs / "models/breast_cancer", specs / "data/breast_cancer.csv")


def test_an_intake_of_many_blocks_keeps_its_order(regression: Path, scored: Scored) -> None:
    rows = 120_000
    values = np.random.default_rng(1).normal(size=(rows, 2))
    padding = "x" * 60
    content = "id,a,b,pad\n" + "".join(f"{row:06d},{a!r},{b!r},{padding}\n" for row, (a, b) in enumerate(values.tolist()))
    _, found = table(scored(regression, content, passthrough_columns=["id"]))
    assert [row["id"] for row in found] == [f"{row:06d}" for row in range(rows)]
    expected = lightgbm.Booster(model_file=regression / "model.txt").predict(values)
    assert [float(row["y_PREDICTION"]) for row in found] == list(expected)


def test_scoring_twice_gives_the_same_bytes(specs: Path, scored: Scored) -> None:
    once = scored(specs / "models/wine", specs / "data/wine.csv", passthrough_columns_set="all")
    assert scored(specs / "models/wine", specs / "data/wine.csv", passthrough_columns_set="all") == once


def test_a_header_without_rows_gives_a_header(regression: Path, scored: Scored) -> None:
    assert scored(regression, "a,b") == scored(regression, "a,b\n") == b"y_PREDICTION\n"


def test_the_same_file_for_intake_and_output_is_refused_and_kept(regression: Path, scored: Scored, bad: Bad, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ScoringError) as caught:
        scored(regression, tmp_path / "out.csv")
    assert "the same file" in bad(caught)
    assert (tmp_path / "out.csv").read_text() == "a,b\n1,2\n"


def test_a_missing_intake_is_named(regression: Path, scored: Scored, bad: Bad, tmp_path: Path) -> None:
    with pytest.raises(ScoringError) as caught:
        scored(regression, tmp_path / "none.csv")
    assert "none.csv is not a file" in bad(caught)


def test_all_refused_options_are_named(regression: Path, scored: Scored, bad: Bad) -> None:
    with pytest.raises(ScoringError) as caught:
        scored(regression, "a,b\n1,2\n", max_ngram_explanations=3, batch_job_type="monitoring", prediction_threshold=0.1)
    assert all(field in bad(caught) for field in ("max_ngram_explanations", "batch_job_type", "prediction_threshold"))
