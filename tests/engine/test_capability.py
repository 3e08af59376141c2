"""Which options are served. The rule here: the tables know every option."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.engine.capability import REFUSED, SERVED, WITHOUT_EFFECT, model_refusals, refusals
from reconciler.engine.metadata import read_metadata
from reconciler.options import Options

ASKED: dict[str, Any] = {
    "batch_job_type": "monitoring",
    "prediction_instance": {"host_name": "h"},
    "secondary_datasets_config_id": "s",
    "timeseries_settings": {"type": "forecast"},
    "monitoring_batch_prefix": "p",
    "monitoring_aggregation": {},
    "monitoring_columns": {},
    "monitoring_output_settings": {},
}


def test_every_option_is_in_one_table() -> None:
    tables = [*SERVED, *WITHOUT_EFFECT, *REFUSED]
    assert sorted(tables) == sorted(Options.model_fields)


@pytest.mark.parametrize("field", REFUSED)
def test_what_is_not_served_is_refused(field: str) -> None:
    assert list(refusals(Options(**{field: ASKED[field]}))) == [(field, REFUSED[field])]


def test_defaults_are_served() -> None:
    assert list(refusals(Options(), "Regression")) == []


def test_options_of_pace_are_accepted() -> None:
    options = Options(num_concurrent=3, chunk_size=1000, skip_drift_tracking=True, disable_row_level_error_handling=True, abort_on_error=False)
    assert list(refusals(options)) == []


def test_asking_for_nothing_is_accepted() -> None:
    assert list(refusals(Options(prediction_warning_enabled=False, max_ngram_explanations=0, explanation_class_names=[]))) == []


@pytest.mark.parametrize(
    ("target_type", "options", "fields"),
    [
        ("Binary", {"prediction_threshold": 0.2}, []),
        ("Multiclass", {"prediction_threshold": 0.2}, ["prediction_threshold"]),
        ("Regression", {"prediction_threshold": 0.2}, ["prediction_threshold"]),
        ("Regression", {"include_probabilities_classes": ["a"]}, ["include_probabilities_classes"]),
        ("Multiclass", {"include_probabilities_classes": ["a"]}, []),
        ("Multilabel", {"prediction_threshold": 0.2}, ["prediction_threshold"]),
        ("Multilabel", {"include_probabilities_classes": ["a"]}, []),
        ("Clustering", {"include_probabilities_classes": ["a"]}, []),
        ("Anomaly", {"include_probabilities_classes": ["a"]}, ["include_probabilities_classes"]),
        ("TextGeneration", {"include_probabilities_classes": ["a"]}, ["include_probabilities_classes"]),
        ("Regression", {"prediction_warning_enabled": True}, []),
        ("Binary", {"prediction_warning_enabled": True}, ["prediction_warning_enabled"]),
        ("Multiclass", {"prediction_warning_enabled": False}, []),
        ("Anomaly", {"prediction_warning_enabled": True}, ["prediction_warning_enabled"]),
        ("Multilabel", {"prediction_warning_enabled": True}, ["prediction_warning_enabled"]),
        ("Clustering", {"prediction_warning_enabled": True}, ["prediction_warning_enabled"]),
        ("TextGeneration", {"prediction_warning_enabled": True}, ["prediction_warning_enabled"]),
        ("Multiclass", {"max_explanations": 3, "threshold_low": 0.1}, []),
        ("Multiclass", {"max_explanations": 3, "explanation_num_top_classes": 2}, []),
        ("Multiclass", {"max_explanations": 3, "explanation_class_names": ["a"], "explanation_algorithm": "xemp"}, []),
        ("Multiclass", {"explanation_class_names": ["a"]}, ["explanation_class_names"]),
        (None, {"explanation_num_top_classes": 1}, ["explanation_num_top_classes"]),
        ("Binary", {"max_explanations": 3, "explanation_num_top_classes": 1}, ["explanation_num_top_classes"]),
        ("Regression", {"max_explanations": 3, "explanation_class_names": ["a"]}, ["explanation_class_names"]),
        ("Multiclass", {"max_explanations": 3, "max_ngram_explanations": 5}, []),
        ("Multiclass", {"max_ngram_explanations": 5}, ["max_ngram_explanations"]),
        ("Anomaly", {"max_explanations": 3}, []),
        ("TextGeneration", {"max_explanations": 3}, ["max_explanations"]),
        ("Binary", {"max_explanations": 3, "threshold_high": 0.5, "threshold_low": 0.1, "explanation_algorithm": "shap"}, []),
        ("Regression", {"max_explanations": 3}, []),
        ("Regression", {"max_explanations": 3, "explanation_algorithm": "xemp"}, []),
    ],
)
def test_what_does_not_fit_the_model_is_refused(target_type: str | None, options: dict[str, Any], fields: list[str]) -> None:
    assert [field for field, _ in refusals(Options(**options), target_type)] == fields


@pytest.mark.parametrize(
    ("target_type", "labels", "names", "refused"),
    [
        ("Multiclass", ("a", "b", "c"), ["a", "c"], {}),
        ("Multiclass", ("a", "b", "c"), ["a", "A", "d"], {"explanation_class_names": "The model has no class A, d; its classes are a, b, c."}),
        ("Multiclass", ("a", "b", "c"), None, {}),
        ("Binary", ("a", "b"), ["d"], {"explanation_class_names": "Only a model of several classes"}),
        ("Clustering", ("a", "b"), ["d"], {"explanation_class_names": "The model has no class d; its classes are a, b."}),
    ],
)
def test_classes_that_are_explained_are_those_of_the_model(
    specs: Path, target_type: str, labels: tuple[str, ...], names: list[str] | None, refused: dict[str, str]
) -> None:
    metadata = replace(read_metadata(specs / "models/diabetes"), target_type=target_type, class_labels=labels)
    found = dict(model_refusals(Options(max_explanations=1, explanation_class_names=names), metadata))
    assert found.keys() == refused.keys()
    assert all(sentence in found[field] for field, sentence in refused.items())


@pytest.mark.parametrize(
    ("target_type", "labels", "names", "is_refused"),
    [
        ("Binary", ("a", "b"), ["b"], False),
        ("Binary", ("a", "b"), ["b", "d"], True),
        ("Multiclass", ("a", "b", "c"), ["A"], True),
        ("Multilabel", ("a", "b"), ["d"], True),
        ("Clustering", ("a", "b"), ["d"], True),
    ],
)
def test_classes_that_are_shown_are_those_of_the_model(
    specs: Path, target_type: str, labels: tuple[str, ...], names: list[str], is_refused: bool
) -> None:
    metadata = replace(read_metadata(specs / "models/diabetes"), target_type=target_type, class_labels=labels)
    found = dict(model_refusals(Options(include_probabilities_classes=names), metadata))
    assert found.keys() == ({"include_probabilities_classes"} if is_refused else set())


@pytest.mark.parametrize(
    "settings",
    [
        {"delimiter": "¦"},
        {"quotechar": "\n"},
        {"delimiter": "\0"},
        {"delimiter": "tab", "quotechar": "\t"},
        {"encoding": "base64"},
    ],
)
def test_a_dialect_that_cannot_be_read_is_refused(settings: dict[str, str]) -> None:
    assert [field for field, _ in refusals(Options(csv_settings=settings))] == ["csv_settings"]
