"""The service over the real engine and the example models: the whole way from a request to a scored file."""

import csv
from pathlib import Path

import pytest

from reconciler.fingerprint import short_id
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.service import Service

SPECS = Path(__file__).parents[2] / "specs"


@pytest.fixture
def real(tmp_path, client_of):
    models = [LocalDeployment(short_id(folder.name), folder.name, folder) for folder in sorted((SPECS / "models").iterdir()) if folder.is_dir()]
    with Service(tmp_path / "storage", Registry(models)) as service:
        yield client_of(service)


def body(tmp_path, intake, **options):
    return {
        "deploymentId": short_id("breast_cancer"),
        "intakeSettings": {"type": "fileSystem", "path": str(intake)},
        "outputSettings": {"type": "fileSystem", "path": str(tmp_path / "scored.csv")},
    } | options


def test_every_example_model_is_an_active_deployment(real):
    shown = real.get("deployments/").json()["data"]
    assert shown
    assert {deployment["status"] for deployment in shown} == {"active"}


def test_a_file_is_scored(real, tmp_path):
    intake = SPECS / "data" / "breast_cancer.csv"
    created = real.request("POST", "batchPredictions/", json=body(tmp_path, intake, passthroughColumnsSet="all"))
    assert created.status_code == 202, created.text
    job = real.until(created.json()["id"], "COMPLETED", "ABORTED")
    assert job["status"] == "COMPLETED", job["statusDetails"]
    with open(intake) as given, open(tmp_path / "scored.csv") as scored:
        rows = list(csv.DictReader(scored))
        assert len(rows) == len(list(csv.DictReader(given))) == job["scoredRows"]
    assert (job["jobIntakeSize"], job["jobOutputSize"]) == (intake.stat().st_size, (tmp_path / "scored.csv").stat().st_size)
    assert job["percentageCompleted"] == 100.0


def test_an_intake_that_is_not_there_aborts_the_job_with_its_path(real, tmp_path):
    created = real.request("POST", "batchPredictions/", json=body(tmp_path, tmp_path / "missing.csv"))
    job = real.until(created.json()["id"], "COMPLETED", "ABORTED")
    assert job["status"] == "ABORTED"
    assert "missing.csv" in job["statusDetails"]
    assert not (tmp_path / "scored.csv").exists()


def test_an_option_that_does_not_fit_the_model_is_refused(real, tmp_path):
    answer = real.request("POST", "batchPredictions/", json=body(tmp_path, "/a.csv", deploymentId=short_id("diabetes"), predictionThreshold=0.3))
    assert (answer.status_code, list(answer.json()["errors"])) == (422, ["predictionThreshold"])
