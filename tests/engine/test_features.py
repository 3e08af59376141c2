"""Columns into features. The rule here: a value is a number, missing, or an error that names it."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow as pa
import pytest

from reconciler.engine.features import numbers
from reconciler.errors import ScoringError

Scored = Callable[..., bytes]
Bad = Callable[..., str]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1.0),
        (" 1.5 ", 1.5),
        ("+2", 2.0),
        ("1e5", 1e5),
        ("-.5", -0.5),
        ("1e400", float("inf")),
        ("inf", float("inf")),
        ("True", 1.0),
        ("false", 0.0),
        (None, None),
        ("", None),
        ("NA", None),
        (" null ", None),
        ("None", None),
    ],
)
def test_texts_are_numbers_or_missing(text: str | None, number: float | None) -> None:
    assert numbers(pa.array([text, "x"[:0]], pa.string()))[0].as_py() == number
    assert numbers(pa.array(["3", text], pa.string()))[1].as_py() == number


def test_nan_is_missing() -> None:
    assert np.isnan(numbers(pa.array(["NaN", None, "nan", "NA"])).to_numpy(zero_copy_only=False)).all()


@pytest.mark.parametrize("text", ["x", "1,5", "0x10", "1_0", "-", "1 2", "12-03-2026"])
def test_what_is_no_number_is_located(regression: Path, scored: Scored, text: str) -> None:
    content = scored(regression, f'note,a,b\n"two\nlines",1,NA\n\nx,2,3\nx,4,"{text}"\n', include_prediction_status=True)
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [row["prediction_status"] for row in rows] == ["OK", "OK", f"line 6, column b: {text!r} is not a number"]
    assert [row["y_PREDICTION"] == "" for row in rows] == [False, False, True]


def test_the_first_bad_value_of_a_long_file_is_the_one_named(regression: Path, scored: Scored, bad: Bad) -> None:
    good = "1,2\n" * 20_000
    with pytest.raises(ScoringError) as caught:
        scored(regression, f"a,b\n{good}" + "1,first\n" * 20_000 + "second,2\n")
    assert "line 20002, column b: 'first'" in bad(caught)


def test_all_missing_columns_are_named_with_their_neighbours(specs: Path, scored: Scored, bad: Bad, tmp_path: Path) -> None:
    with pytest.raises(ScoringError) as caught:
        scored(specs / "models/diabetes", "age,sex,bmi,bp,s1,s2,s3,s4,S5x,agee\n1,1,1,1,1,1,1,1,1,1\n")
    assert "lacks s5, s6" in bad(caught) or "lacks s5 (it has" in bad(caught)
    assert "s6" in bad(caught)
    assert not (tmp_path / "out.csv").exists()


def test_a_near_name_is_suggested(specs: Path, scored: Scored, bad: Bad) -> None:
    header = (specs / "data/wine.csv").read_text().splitlines()[0].replace("alcohol", "Alcohol")
    with pytest.raises(ScoringError) as caught:
        scored(specs / "models/wine", header + "\n")
    assert "lacks alcohol (it has Alcohol)" in bad(caught)


def test_spaces_match_the_underscores_that_lightgbm_writes(tmp_path: Path, scored: Scored) -> None:
    values = np.random.default_rng(0).normal(size=(100, 2))
    data = lightgbm.Dataset(values, values[:, 0], feature_name=["mean_radius", "b"])
    lightgbm.train({"verbosity": -1, "num_threads": 1}, data, 3).save_model(tmp_path / "model.txt")
    (tmp_path / "model-metadata.yaml").write_text("targetType: regression\ninferenceModel: {targetName: t}\n")
    assert scored(tmp_path, "b,mean radius\n1,2\n") == scored(tmp_path, "b,mean_radius\n1,2\n")
