"""The bodies that client and service share."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.api.schema import TARGETS, Job, JobSpec, echoed_spec, request_core, spec_problems
from reconciler.options import PACE
from reconciler.settings import INTAKES, OUTPUTS, SYNONYMS

ID = "65f0" * 6
BODY: dict[str, Any] = {"deploymentId": ID}
S3 = {"type": "s3", "url": "s3://lake/rows.csv"}

# Values that are lawful together; each may be the API's default, or null.
OPTIONS: dict[str, list[Any]] = {
    "batchJobType": ["prediction", "monitoring"],
    "csvSettings": [{}, {"delimiter": ","}, {"delimiter": ";", "encoding": "latin_1"}, {"encoding": "UTF8"}],
    "numConcurrent": [1, 8, None],
    "chunkSize": ["auto", "fixed", 4096],
    "abortOnError": [True, False],
    "passthroughColumns": [["id"], [], None],
    "columnNamesRemapping": [{}, {"a": "b", "c": None}, [{"inputName": "a", "outputName": "b"}], {"a": False}],
    "includeProbabilitiesClasses": [[], ["yes"]],
    "predictionThreshold": [0, 0.5, 1, None],
    "maxExplanations": [1, 3],
    "thresholdHigh": [1, 0.5, None],
    "predictionInstance": [{"hostName": "a.example.com"}, {"hostName": "a.example.com", "sslEnabled": True, "apiKey": None}, None],
    "timeseriesSettings": [{"type": "forecast"}, {"type": "forecast", "forecastPoint": "2026-01-01"}, {"type": "training"}, None],
    "intakeSettings": [{"type": "localFile"}, S3, {**S3, "credentialId": ID, "format": "csv"}, {"type": "dataset", "datasetId": ID}],
    "outputSettings": [
        {"type": "localFile"},
        {**S3, "serverSideEncryption": {"algorithm": "AES256"}},
        {"type": "http", "url": "http://a/", "method": "POST"},
    ],
}
bodies = st.fixed_dictionaries(
    {"deploymentId": st.just(ID), "maxExplanations": st.sampled_from(OPTIONS["maxExplanations"])},
    optional={name: st.sampled_from(values) for name, values in OPTIONS.items() if name != "maxExplanations"},
)
PROFILE = settings(derandomize=True, deadline=None, max_examples=60)


@PROFILE
@given(bodies)
def test_echo_of_a_body_has_its_core(body: dict[str, Any]) -> None:
    assert list(spec_problems(body)) == []
    assert request_core(echoed_spec(body, num_concurrent=4)) == request_core(body)


@PROFILE
@given(bodies)
def test_echo_is_lawful_and_its_own_echo(body: dict[str, Any]) -> None:
    echo = echoed_spec(body, num_concurrent=4)
    assert list(spec_problems(echo)) == []
    assert echoed_spec(echo, num_concurrent=8) == echo


@PROFILE
@given(bodies, st.sampled_from(sorted(OPTIONS)))
def test_leaving_out_null_or_pace_changes_no_core(body: dict[str, Any], name: str) -> None:
    without = {key: value for key, value in body.items() if value is not None and key not in PACE}
    assert request_core(without) == request_core(body)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"maxExplanations": 3}, {"maxExplanations": 4}, id="option"),
        pytest.param({"abortOnError": False}, {}, id="not-the-default"),
        pytest.param({"columnNamesRemapping": {"a": None}}, {}, id="dropped-column"),
        pytest.param({"intakeSettings": S3}, {"intakeSettings": {**S3, "url": "s3://lake/other.csv"}}, id="intake"),
        pytest.param({"intakeSettings": S3}, {"outputSettings": S3}, id="side"),
    ],
)
def test_what_changes_a_prediction_or_its_place_changes_the_core(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert request_core({**BODY, **one}) != request_core({**BODY, **other})


def test_echo_has_the_defaults_and_no_nulls() -> None:
    echo = echoed_spec(BODY, num_concurrent=4)
    assert (echo["numConcurrent"], echo["chunkSize"], echo["abortOnError"]) == (4, "auto", True)
    assert echo["csvSettings"] == {"delimiter": ",", "quotechar": '"', "encoding": "utf-8"}
    assert echo["intakeSettings"] == {"type": "localFile", "async": True, "multipart": False}
    assert None not in echo.values()
    assert echoed_spec({**BODY, "numConcurrent": 2}, num_concurrent=4)["numConcurrent"] == 2


def test_core_passes_over_keys_of_a_later_release() -> None:
    assert request_core({**BODY, "aNewKey": 1, "intakeSettings": {**S3, "aNewKey": 1}}) == request_core({**BODY, "intakeSettings": S3})


@pytest.mark.parametrize(
    "spec", [{"maxExplanations": "many"}, {"intakeSettings": {"type": "pigeon"}}, {"intakeSettings": {}}, {"outputSettings": S3 | {"url": 1}}]
)
def test_spec_that_cannot_be_read_has_no_core(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"validation error|unknown type"):
        request_core({**BODY, **spec})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({}, [(("deploymentId",), "exactly one of")], id="no-target"),
        pytest.param({**BODY, "modelId": ID}, [(("deploymentId",), "exactly one of")], id="two-targets"),
        pytest.param({**BODY, "maxExplanation": 3}, [(("maxExplanation",), "Extra inputs are not permitted")], id="unknown-key"),
        pytest.param({**BODY, "maxExplanations": "3"}, [(("maxExplanations",), "Input should be a valid integer")], id="text-for-a-number"),
        pytest.param({**BODY, "abortOnError": 1}, [(("abortOnError",), "Input should be a valid boolean")], id="number-for-a-boolean"),
        pytest.param(
            {**BODY, "csvSettings": {"encoding": "klingon"}}, [(("csvSettings", "encoding"), "'klingon' is not a known encoding")], id="encoding"
        ),
        pytest.param({**BODY, "intakeSettings": "s3"}, [(("intakeSettings",), "Input should be a valid dictionary")], id="intake-that-is-no-block"),
        pytest.param({**BODY, "intakeSettings": {}}, [(("intakeSettings", "type"), "None is not one of: localFile, s3")], id="no-type"),
        pytest.param({**BODY, "outputSettings": {"type": "dss"}}, [(("outputSettings", "type"), "'dss' is not one of")], id="type-of-intakes-only"),
        pytest.param({**BODY, "intakeSettings": {"type": ["s3"]}}, [(("intakeSettings", "type"), "['s3'] is not one of")], id="type-that-is-no-text"),
        pytest.param(
            {**BODY, "intake_settings": {"type": "pigeon"}},
            [(("intakeSettings", "type"), "'pigeon' is not one of")],
            id="intake-in-the-other-spelling",
        ),
        pytest.param(
            {**BODY, "intakeSettings": {"type": "s3", "url": "lake/x"}}, [(("intakeSettings", "url"), "String should match pattern")], id="url"
        ),
        pytest.param(
            {**BODY, "outputSettings": {**S3, "partitionColumns": ["a"]}},
            [(("outputSettings", "partitionColumns"), "partition_columns need a directory")],
            id="rule-of-an-output",
        ),
        pytest.param(
            {**BODY, "passthroughColumns": ["a"], "passthroughColumnsSet": "all"}, [(("passthroughColumns",), "passthrough_columns and")], id="rule"
        ),
        pytest.param(
            {"thresholdLow": 1, "intakeSettings": {"type": "x"}},
            [(("maxExplanations",), "thresholds"), (("deploymentId",), "exactly one of"), (("intakeSettings", "type"), "'x' is not one of")],
            id="every-problem-at-once",
        ),
    ],
)
def test_every_problem_of_a_body_is_told_with_its_place(body: dict[str, Any], expected: list[tuple[tuple[str, ...], str]]) -> None:
    found = list(spec_problems(body))
    assert [where for where, _ in found] == [where for where, _ in expected]
    for (_, sentence), (_, beginning) in zip(found, expected, strict=True):
        assert sentence.startswith(beginning)


@pytest.mark.parametrize("target", ["deploymentId", "modelId", "modelPackageId"])
def test_one_target_is_enough(target: str) -> None:
    assert list(spec_problems({target: ID})) == []


def test_both_spellings_of_a_key_are_read() -> None:
    assert JobSpec.model_validate({"max_explanations": 3}) == JobSpec.model_validate({"maxExplanations": 3})


def test_other_spelling_of_a_type_is_the_same_type() -> None:
    intake = {"dataset": "d", "table": "t"}
    assert set(SYNONYMS.values()) <= set(INTAKES) & set(OUTPUTS)
    assert list(spec_problems({**BODY, "intakeSettings": {"type": "bigQuery", **intake}})) == []
    assert echoed_spec({**BODY, "intakeSettings": {"type": "bigQuery", **intake}}, 4)["intakeSettings"]["type"] == "bigquery"


def test_targets_are_fields_of_a_job_spec() -> None:
    assert set(TARGETS) <= set(JobSpec.model_fields)


@pytest.mark.parametrize(
    ("status", "is_terminal"), [("INITIALIZING", False), ("RUNNING", False), ("COMPLETED", True), ("ABORTED", True), ("FAILED", True)]
)
def test_job_knows_whether_it_has_ended(status: str, is_terminal: bool) -> None:
    assert Job.model_validate({"id": "1", "status": status, "links": {"self": ""}}).is_terminal is is_terminal
