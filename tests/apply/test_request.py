"""The body of a submission, and how the job that it made is found again."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.schema import Job, echoed_spec, spec_problems
from reconciler.apply.request import embedded_body, is_job_of, output_place

SPEC = {
    "deployment": "models/wine",
    "intake": {"type": "localFile", "file": "data/wine.csv"},
    "output": {"type": "localFile", "path": "out/wine.csv"},
    "options": {"passthroughColumns": ["id"], "predictionThreshold": 0.4, "numConcurrent": 2},
}
ROOT, STAGING = Path("/project"), Path("/project/out/.wine.csv.run-1.part")
BODY = embedded_body(SPEC, "65f0" * 6, ROOT, STAGING)


def job(spec: dict[str, Any]) -> Job:
    return Job.model_validate({"id": "1", "status": "RUNNING", "links": {"self": ""}, "jobSpec": spec})


def test_body_is_the_spec_with_the_paths_of_this_machine() -> None:
    assert BODY == {
        "deploymentId": "65f0" * 6,
        "intakeSettings": {"type": "fileSystem", "path": "/project/data/wine.csv"},
        "outputSettings": {"type": "fileSystem", "path": "/project/out/.wine.csv.run-1.part"},
        "passthroughColumns": ["id"],
        "predictionThreshold": 0.4,
        "numConcurrent": 2,
    }


@pytest.mark.parametrize(
    ("made", "place"),
    [(None, "jdbc:crm.t_{{ current_run_time }}"), (datetime(2026, 10, 1, 9, 12, tzinfo=UTC), "jdbc:crm.t_20261001_091200")],
    ids=["not known", "known"],
)
def test_table_is_named_as_the_job_has_named_it(made: datetime | None, place: str) -> None:
    spec = {**SPEC, "output": {"type": "jdbc", "schema": "crm", "table": "t_{{ current_run_time }}"}}
    assert output_place(spec, made) == place


def test_body_is_lawful() -> None:
    assert list(spec_problems(BODY)) == []


def test_absolute_intake_stays_where_it_is() -> None:
    spec = {**SPEC, "intake": {"type": "localFile", "file": "/data/wine.csv"}}
    assert embedded_body(spec, "65f0" * 6, ROOT, STAGING)["intakeSettings"]["path"] == "/data/wine.csv"


def test_places_of_other_systems_are_sent_as_they_are() -> None:
    lake = {"type": "s3", "url": "s3://b/k", "credentialId": "lake"}
    down = embedded_body({**SPEC, "intake": lake}, "65f0" * 6, ROOT, STAGING)
    assert (down["intakeSettings"], down["outputSettings"]) == (lake, BODY["outputSettings"])
    up = embedded_body({**SPEC, "output": lake}, "65f0" * 6, ROOT, STAGING)
    assert (up["intakeSettings"], up["outputSettings"]) == (BODY["intakeSettings"], lake)


@pytest.mark.parametrize(
    ("output", "place"),
    [
        ({"type": "localFile", "path": "out/a.csv"}, "out/a.csv"),
        ({"type": "s3", "url": "s3://b/k", "credentialId": "lake"}, "s3://b/k"),
        ({"type": "jdbc", "dataStoreId": "crm", "schema": "public", "table": "t"}, "jdbc:public.t"),
        ({"type": "bigquery", "dataset": "d", "table": "t", "bucket": "b"}, "bigquery:d.t"),
    ],
)
def test_output_s_place_is_one_text(output: dict[str, Any], place: str) -> None:
    assert output_place({"output": output}) == place


def test_spec_without_options_needs_none() -> None:
    bare = {name: SPEC[name] for name in ("deployment", "intake", "output")}
    assert set(embedded_body(bare, "65f0" * 6, ROOT, STAGING)) == {"deploymentId", "intakeSettings", "outputSettings"}


def test_job_is_found_by_the_spec_that_the_service_shows() -> None:
    assert is_job_of(job(echoed_spec(BODY, num_concurrent=4)), BODY)
    assert is_job_of(job({**echoed_spec(BODY, num_concurrent=4), "aKeyOfALaterRelease": 1, "chunkSize": "fixed"}), BODY)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"deploymentId": "65f1" * 6}, id="another-deployment"),
        pytest.param({"intakeSettings": {"type": "fileSystem", "path": "/project/data/other.csv"}}, id="another-intake"),
        pytest.param({"outputSettings": {"type": "fileSystem", "path": "/project/out/.wine.csv.run-2.part"}}, id="another-run-of-this-job"),
        pytest.param({"predictionThreshold": 0.5}, id="another-option"),
        pytest.param({"intakeSettings": {"type": "carrierPigeon"}}, id="intake-that-we-do-not-know"),
        pytest.param({"intakeSettings": {}}, id="intake-without-a-type"),
        pytest.param({"intakeSettings": None}, id="no-intake"),
        pytest.param({"maxExplanations": "many"}, id="option-that-we-cannot-read"),
    ],
)
def test_other_job_is_not_taken_for_ours(other: dict[str, Any]) -> None:
    assert not is_job_of(job({**echoed_spec(BODY, num_concurrent=4), **other}), BODY)


def test_job_without_a_spec_is_not_taken_for_ours() -> None:
    assert not is_job_of(job({}), BODY)


SIGNED = {
    **BODY,
    "intakeSettings": {"type": "http", "url": "https://h/in.csv?${env.SAS}"},
    "outputSettings": {
        "type": "http",
        "url": "https://h/out?month=9&sig=${env.SIG}",
        "headers": {"Authorization": "Bearer ${env.T}", "X-Table": "t"},
    },
    "predictionInstance": {"hostName": "h", "apiKey": "${env.KEY}"},
}
SHOWN = {
    **BODY,
    "intakeSettings": {"type": "http", "url": "https://h/in.csv?sv=1&sig=s"},
    "outputSettings": {"type": "http", "url": "https://h/out?month=9&sig=[redacted]", "headers": {"Authorization": "[redacted]", "X-Table": "t"}},
    "predictionInstance": {"hostName": "h"},
}


def test_job_is_found_whatever_its_secrets_are_and_however_they_are_shown() -> None:
    assert is_job_of(job(echoed_spec(SIGNED, num_concurrent=4)), SIGNED)
    assert is_job_of(job(echoed_spec(SHOWN, num_concurrent=4)), SIGNED)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"intakeSettings": {"type": "http", "url": "https://h/other.csv?sv=1&sig=s"}}, id="another-intake"),
        pytest.param({"outputSettings": {**SHOWN["outputSettings"], "url": "https://h/out?month=8&sig=[redacted]"}}, id="another-month"),  # type: ignore[dict-item]
        pytest.param({"outputSettings": {**SHOWN["outputSettings"], "headers": {"X-Table": "u"}}}, id="another-header"),  # type: ignore[dict-item]
        pytest.param({"predictionInstance": {"hostName": "i"}}, id="another-host"),
        pytest.param({"predictionInstance": {"hostName": "h", "datarobotKey": "k"}}, id="another-key"),
    ],
)
def test_job_of_another_spec_with_secrets_is_not_taken_for_it(other: dict[str, Any]) -> None:
    assert not is_job_of(job(echoed_spec({**SHOWN, **other}, num_concurrent=4)), SIGNED)
