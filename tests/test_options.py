"""The job options: names in both spellings, strict types, and the rules between fields."""

from typing import Any

import pytest
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from reconciler.options import _RULES, PACE, Options, broken_rules

# Each rule broken, each next to it kept: the options, the field that is shown, a word of the sentence.
BROKEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "two-ways-to-pass-columns-through": (
        {"passthrough_columns": ["id"], "passthrough_columns_set": "all"},
        "passthrough_columns",
        "exclude each other",
    ),
    "thresholds-crossed": ({"threshold_low": 0.9, "threshold_high": 0.1, "max_explanations": 1}, "threshold_low", "above threshold_high"),
    "two-ways-to-choose-classes": (
        {"explanation_num_top_classes": 2, "explanation_class_names": ["a"]},
        "explanation_num_top_classes",
        "exclude each other",
    ),
    "classes-without-probabilities": (
        {"include_probabilities_classes": ["a"], "include_probabilities": False},
        "include_probabilities_classes",
        "needs include_probabilities",
    ),
    "threshold-without-explanations": ({"threshold_high": 0.5}, "max_explanations", "need max_explanations above 0"),
    "algorithm-without-explanations": ({"explanation_algorithm": "shap"}, "max_explanations", "need max_explanations above 0"),
    "delimiter-that-quotes": ({"csv_settings": {"delimiter": '"'}}, "csv_settings", "same character"),
    "start-without-end": (
        {"timeseries_settings": {"type": "historical", "predictions_start_date": "2026-01-01"}},
        "timeseries_settings",
        "need each other",
    ),
    "end-without-start": (
        {"timeseries_settings": {"type": "historical", "predictions_end_date": "2026-01-01"}},
        "timeseries_settings",
        "need each other",
    ),
    "monitoring-settings-of-a-prediction": ({"monitoring_columns": {"a": "b"}}, "monitoring_columns", "need batch_job_type: monitoring"),
}
KEPT: dict[str, dict[str, Any]] = {
    "nothing-said": {},
    "columns-by-name": {"passthrough_columns": []},
    "every-column": {"passthrough_columns_set": "all"},
    "thresholds-that-meet": {"threshold_low": 0.5, "threshold_high": 0.5, "max_explanations": 1},
    "one-threshold": {"threshold_low": 0.9, "max_explanations": 1},
    "classes-with-probabilities": {"include_probabilities_classes": ["a"]},
    "no-probabilities": {"include_probabilities": False},
    "other-quotes": {"csv_settings": {"delimiter": '"', "quotechar": "'"}},
    "whole-history": {"timeseries_settings": {"type": "historical"}},
    "history-with-both-ends": {
        "timeseries_settings": {"type": "historical", "predictions_start_date": "2026-01-01", "predictions_end_date": "2026-02-01"}
    },
    "forecast": {"timeseries_settings": {"type": "forecast", "forecast_point": "2026-01-01"}},
    "monitoring": {"batch_job_type": "monitoring", "monitoring_columns": {"a": "b"}},
}


@pytest.mark.parametrize(("given", "field", "words"), [pytest.param(*case, id=name) for name, case in BROKEN.items()])
def test_broken_rule_is_told_once_at_its_field(given: dict[str, Any], field: str, words: str) -> None:
    ((shown, sentence),) = broken_rules(Options.model_validate(given))
    assert shown == field
    assert words in sentence


@pytest.mark.parametrize("given", [pytest.param(given, id=name) for name, given in KEPT.items()])
def test_options_that_go_together_break_no_rule(given: dict[str, Any]) -> None:
    assert list(broken_rules(Options.model_validate(given))) == []


def test_every_rule_has_a_case_that_breaks_it() -> None:
    broken = {sentence for given, _, _ in BROKEN.values() for _, sentence in broken_rules(Options.model_validate(given))}
    assert broken == {sentence for _, _, sentence in _RULES}


def test_rule_is_shown_at_the_field_that_was_written() -> None:
    written = Options.model_validate({"monitoring_output_settings": {}})
    assert [field for field, _ in broken_rules(written)] == ["monitoring_output_settings"]


def test_every_broken_rule_is_told() -> None:
    given = {"threshold_high": 0.5, "passthrough_columns": [], "passthrough_columns_set": "all"}
    assert [field for field, _ in broken_rules(Options.model_validate(given))] == ["passthrough_columns", "max_explanations"]


@pytest.mark.parametrize("name", sorted(Options.model_fields))
def test_option_is_read_in_both_spellings(name: str) -> None:
    value = Options.model_fields[name].get_default(call_default_factory=True)
    assert Options.model_validate({name: value}) == Options.model_validate({to_camel(name): value})


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"max_explanation": 3}, id="unknown-key"),
        pytest.param({"max_explanations": "3"}, id="text-for-a-number"),
        pytest.param({"max_explanations": 3.0}, id="float-for-an-integer"),
        pytest.param({"max_explanations": True}, id="boolean-for-a-number"),
        pytest.param({"max_explanations": -1}, id="below-the-limit"),
        pytest.param({"max_explanations": 101}, id="above-the-limit"),
        pytest.param({"abort_on_error": "yes"}, id="text-for-a-boolean"),
        pytest.param({"abort_on_error": 1}, id="number-for-a-boolean"),
        pytest.param({"abort_on_error": None}, id="null-where-the-api-knows-none"),
        pytest.param({"prediction_threshold": 1.1}, id="no-probability"),
        pytest.param({"prediction_threshold": "0.5"}, id="text-for-a-float"),
        pytest.param({"chunk_size": 19}, id="chunk-too-small"),
        pytest.param({"chunk_size": 41_943_041}, id="chunk-too-big"),
        pytest.param({"chunk_size": "big"}, id="chunk-by-an-unknown-word"),
        pytest.param({"num_concurrent": 0}, id="nobody-at-work"),
        pytest.param({"passthrough_columns": "id"}, id="text-for-a-list"),
        pytest.param({"passthrough_columns": [1]}, id="number-for-a-column"),
        pytest.param({"passthrough_columns_set": "some"}, id="unknown-set"),
        pytest.param({"csv_settings": {"delimiter": ";;"}}, id="two-characters"),
        pytest.param({"csv_settings": {"delimiter": ""}}, id="no-character"),
        pytest.param({"csv_settings": {"encoding": "klingon"}}, id="unknown-encoding"),
        pytest.param({"csv_settings": {"quote": '"'}}, id="unknown-key-in-a-block"),
        pytest.param({"column_names_remapping": {"a": 1}}, id="column-renamed-to-a-number"),
        pytest.param({"column_names_remapping": [{"inputName": "a", "name": "b"}]}, id="pair-with-an-unknown-key"),
        pytest.param({"explanation_class_names": ["a"] * 11}, id="too-many-classes"),
        pytest.param({"explanation_num_top_classes": 0}, id="no-classes"),
        pytest.param({"timeseries_settings": {"forecast_point": "2026-01-01"}}, id="series-without-a-type"),
        pytest.param({"pinned_model_id": ""}, id="empty-id"),
        pytest.param({"pinned_model_id": True}, id="boolean-for-an-id"),
    ],
)
def test_value_of_the_wrong_kind_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(given)


@pytest.mark.parametrize(
    ("given", "wire"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"abort_on_error": True, "max_explanations": 0, "chunk_size": "auto"}, {}, id="the-defaults"),
        pytest.param({"prediction_threshold": None}, {}, id="null"),
        pytest.param({"prediction_threshold": 1}, {"predictionThreshold": 1}, id="integer-for-a-float"),
        pytest.param({"csv_settings": {"delimiter": ",", "encoding": "UTF8"}}, {}, id="default-in-other-words"),
        pytest.param({"csv_settings": {"delimiter": "tab"}}, {"csvSettings": {"delimiter": "tab"}}, id="only-what-differs-of-a-block"),
        pytest.param({"column_names_remapping": {"a": False, "b": "c"}}, {"columnNamesRemapping": {"a": None, "b": "c"}}, id="dropped-column"),
        pytest.param(
            {"columnNamesRemapping": [{"inputName": "a", "outputName": "b"}, {"inputName": "c"}]},
            {"columnNamesRemapping": {"a": "b", "c": None}},
            id="remapping-as-pairs",
        ),
        pytest.param({"pinned_model_id": 123}, {"pinnedModelId": "123"}, id="id-of-digits"),
    ],
)
def test_wire_has_what_differs_from_the_default(given: dict[str, Any], wire: dict[str, Any]) -> None:
    assert Options.model_validate(given).wire() == wire


def test_pace_names_options() -> None:
    assert {to_camel(name) for name in Options.model_fields} >= PACE
