"""Rows that fail, as the service shows them: counted, named in the log up to a cap, all of them in a file that is kept for a while."""

import csv
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.embedded import tolerance
from reconciler.engine.job import TOLERANCE, Tolerance
from reconciler.errors import Refused
from reconciler.fingerprint import short_id
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.service import Service

SPECS = Path(__file__).parents[2] / "specs"


@pytest.fixture
def real(tmp_path, client_of):
    models = [LocalDeployment(short_id("wine"), "wine", SPECS / "models" / "wine")]
    with Service(tmp_path / "storage", Registry(models)) as service:
        yield client_of(service)


@pytest.fixture
def ended(real, tmp_path):
    def run(rows, **options):
        (tmp_path / "in.csv").write_bytes((SPECS / "data" / "wine.csv").read_bytes() + rows)
        body = {
            "deploymentId": short_id("wine"),
            "intakeSettings": {"type": "fileSystem", "path": str(tmp_path / "in.csv")},
            "outputSettings": {"type": "fileSystem", "path": str(tmp_path / "out.csv")},
        }
        created = real.request("POST", "batchPredictions/", json=body | options)
        assert created.status_code == 202, created.text
        return real.until(created.json()["id"], "COMPLETED", "ABORTED")

    return run


def counts(job):
    return job["status"], job["scoredRows"], job["failedRows"], job["skippedRows"]


def test_a_failed_row_is_counted_and_named_in_the_log(ended, tmp_path):
    job = ended(b"ragged,row\n")
    assert counts(job) == ("COMPLETED", 178, 1, 0)
    rejects = tmp_path / "storage" / "rejects" / f"{job['id']}.csv"
    assert job["logs"][3:-1] == [
        "Row not scored: line 180: the row has 2 fields where the header has 14 fields",
        f"1 of 179 rows were not scored; each is named, with its reason, in {rejects}",
    ]
    assert job["statusDetails"].startswith("Job done processing")
    assert list(csv.reader(rejects.read_text().splitlines()))[1] == ["180", "", "the row has 2 fields where the header has 14 fields", "ragged,row"]


def test_the_log_names_some_and_the_file_all(ended, tmp_path):
    job = ended(b"ragged,row\n" * 80)
    assert sum(entry.startswith("Row not scored") for entry in job["logs"]) == 20
    assert len((tmp_path / "storage" / "rejects" / f"{job['id']}.csv").read_text().splitlines()) == 81


def test_too_many_failed_rows_abort_the_job_with_its_counts(ended, tmp_path):
    job = ended(b"ragged,row\n" * 200)
    assert counts(job) == ("ABORTED", 178, 200, 0)
    assert "Too many rows failed" in job["statusDetails"]
    assert "Row not scored: line 180: the row has 2 fields where the header has 14 fields" in job["logs"]
    assert not (tmp_path / "out.csv").exists()
    assert len((tmp_path / "storage" / "rejects" / f"{job['id']}.csv").read_text().splitlines()) == 201


def test_a_job_that_is_not_to_abort_goes_on(ended, tmp_path):
    job = ended(b"ragged,row\n" * 200, abortOnError=False, includePredictionStatus=True)
    assert counts(job) == ("COMPLETED", 178, 200, 0)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 379


def test_a_caller_who_uploads_is_told_no_path(real):
    created = real.request("POST", "batchPredictions/", json={"deploymentId": short_id("wine")}).json()
    content = (SPECS / "data" / "wine.csv").read_bytes() + b"ragged,row\n"
    upload = created["links"]["csvUpload"].partition("/api/v2/")[2]
    assert real.request("PUT", upload, content=content, headers={"Content-Type": "text/csv"}).status_code == 202
    job = real.until(created["id"], "COMPLETED")
    assert job["logs"][-2] == f"1 of 179 rows were not scored; each is named, with its reason, in rejects/{job['id']}.csv of the service's storage"


def test_no_file_is_left_when_every_row_is_scored(ended, tmp_path):
    assert counts(ended(b"")) == ("COMPLETED", 178, 0, 0)
    assert not list((tmp_path / "storage" / "rejects").iterdir())


def test_the_file_is_kept_as_long_as_results_are(tmp_path):
    rejects = tmp_path / "storage" / "rejects"
    rejects.mkdir(parents=True)
    for name, hours in (("old", 49), ("young", 47)):
        (rejects / f"{name}.csv").write_text("line\n")
        os.utime(rejects / f"{name}.csv", (time.time(), time.time() - 3600 * hours))
    with Service(tmp_path / "storage", Registry([]), retention=timedelta(hours=48)):
        until = time.monotonic() + 120  # the sweeper looks as soon as it starts
        while (rejects / "old.csv").exists() and time.monotonic() < until:
            time.sleep(0.01)
    assert [path.name for path in rejects.iterdir()] == ["young.csv"]


def test_a_job_may_be_pinned_to_the_model_that_is_served(ended, real):
    served = real.get(f"deployments/{short_id('wine')}/").json()["model"]["id"]
    assert counts(ended(b"", pinnedModelId=served)) == ("COMPLETED", 178, 0, 0)


def test_a_job_that_is_pinned_to_another_model_is_refused(real):
    answer = real.request("POST", "batchPredictions/", json={"deploymentId": short_id("wine"), "pinnedModelId": "5" * 24})
    assert answer.status_code == 422
    assert "serves the model" in answer.json()["errors"]["pinnedModelId"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, TOLERANCE),
        ({"RECONCILER_FAILED_ROWS": "0"}, Tolerance(0, TOLERANCE.share)),
        ({"RECONCILER_FAILED_ROWS": " 5 ", "RECONCILER_FAILED_SHARE": "0.25"}, Tolerance(5, 0.25)),
    ],
)
def test_how_many_rows_may_fail_is_a_setting(environment, expected):
    assert tolerance(environment) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [("RECONCILER_FAILED_ROWS", "-1"), ("RECONCILER_FAILED_ROWS", "0.5"), ("RECONCILER_FAILED_SHARE", "2"), ("RECONCILER_FAILED_SHARE", "nan")],
)
def test_a_setting_that_is_no_number_is_refused(name, text):
    with pytest.raises(Refused, match=name):
        tolerance({name: text})
