"""The output's columns. The rule here: each option does what the API says, or the job does not begin."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import ScoringError

Scored = Callable[..., bytes]
INTAKE = 'id,a,b,note\n007,1,2,"x,y"\n1.10,0,0,\n12345678901234567890,-1,5,""\n1e400,1,1,plain\n'


def header(content: bytes) -> list[str]:
    return next(csv.reader(content.decode().splitlines()))


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        ({}, ["y_1_PREDICTION", "y_0.0_PREDICTION", "y_PREDICTION", "THRESHOLD", "POSITIVE_CLASS"]),
        ({"include_probabilities": False}, ["y_PREDICTION", "THRESHOLD", "POSITIVE_CLASS"]),
        ({"include_probabilities_classes": ["0.0"]}, ["y_0.0_PREDICTION", "y_PREDICTION", "THRESHOLD", "POSITIVE_CLASS"]),
        (
            {"include_probabilities": False, "include_prediction_status": True, "passthrough_columns": ["note", "id"]},
            ["y_PREDICTION", "THRESHOLD", "POSITIVE_CLASS", "prediction_status", "note", "id"],
        ),
        (
            {"include_probabilities": False, "passthrough_columns_set": "all"},
            ["y_PREDICTION", "THRESHOLD", "POSITIVE_CLASS", "id", "a", "b", "note"],
        ),
        (
            {"column_names_remapping": {"y_PREDICTION": "churned", "THRESHOLD": None, "unknown": "u", "POSITIVE_CLASS": None}},
            ["y_1_PREDICTION", "y_0.0_PREDICTION", "churned"],
        ),
        (
            {
                "column_names_remapping": [
                    {"inputName": "y_PREDICTION", "outputName": "churned"},
                    {"inputName": "THRESHOLD", "outputName": None},
                    {"inputName": "id", "outputName": "customer"},
                ],
                "include_probabilities": False,
                "passthrough_columns": ["id"],
            },
            ["churned", "POSITIVE_CLASS", "customer"],
        ),
    ],
)
def test_options_decide_the_columns(binary: Path, scored: Scored, options: dict[str, Any], columns: list[str]) -> None:
    assert header(scored(binary, INTAKE, **options)) == columns


def test_passed_through_values_are_the_sources(binary: Path, scored: Scored) -> None:
    drop = {"y_PREDICTION": None, "THRESHOLD": None, "POSITIVE_CLASS": None}
    content = scored(binary, INTAKE, include_probabilities=False, passthrough_columns_set="all", column_names_remapping=drop)
    assert content.decode() == INTAKE


def test_a_quoted_line_end_passes_through(regression: Path, scored: Scored) -> None:
    content = scored(regression, 'a,b,t\r\n1,2,"x\r\ny ""q"""\r\n', passthrough_columns=["t"], column_names_remapping={"y_PREDICTION": None})
    assert content == b't\n"x\r\ny ""q"""\n'


def test_the_only_column_is_never_a_blank_line(regression: Path, scored: Scored) -> None:
    content = scored(regression, "a,b,t\n1,2,\n1,2,x\n", passthrough_columns=["t"], column_names_remapping={"y_PREDICTION": None})
    assert content == b't\n""\nx\n'


@pytest.mark.parametrize(("threshold", "label"), [(None, "0.25"), (0.75, "0.75"), (1.0, "1.0"), (0.0, "0.0")])
def test_the_threshold_is_the_jobs_or_the_models(binary: Path, scored: Scored, threshold: float | None, label: str) -> None:
    rows = list(csv.DictReader(scored(binary, INTAKE, prediction_threshold=threshold).decode().splitlines()))
    assert {row["THRESHOLD"] for row in rows} == {label}
    assert all((row["y_PREDICTION"] == "1") == (float(row["y_1_PREDICTION"]) >= float(label)) for row in rows)


def test_status_is_ok(regression: Path, scored: Scored) -> None:
    rows = csv.DictReader(scored(regression, INTAKE, include_prediction_status=True).decode().splitlines())
    assert [row["prediction_status"] for row in rows] == ["OK"] * 4


@pytest.mark.parametrize(
    ("intake", "options", "sentence"),
    [
        (INTAKE, {"include_probabilities_classes": ["2"]}, "The model has no class 2; its classes are 1, 0.0"),
        (INTAKE, {"passthrough_columns": ["id", "nope"]}, "passthrough_columns names nope; the intake has id, a, b, note"),
        ("a,b,THRESHOLD\n1,2,3\n", {"passthrough_columns_set": "all"}, "would have THRESHOLD more than once"),
        (INTAKE, {"column_names_remapping": {"THRESHOLD": "POSITIVE_CLASS"}}, "would have POSITIVE_CLASS more than once"),
        (
            INTAKE,
            {"include_probabilities": False, "column_names_remapping": {"y_PREDICTION": None, "THRESHOLD": None, "POSITIVE_CLASS": None}},
            "drops every column",
        ),
    ],
)
def test_what_cannot_be_is_said_before_the_first_row(
    binary: Path, scored: Scored, bad: Callable[..., str], tmp_path: Path, intake: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ScoringError) as caught:
        scored(binary, intake, **options)
    assert sentence in bad(caught)
    assert not (tmp_path / "out.csv").exists()
