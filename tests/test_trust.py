"""Models that hold code, from the spec to the output. The rule here: the code leaves a mark when it runs, so nothing has to be believed."""

import json
from pathlib import Path
from typing import Any

import pytest
from house import Reconciler
from program import LOCAL, serving

CODE = """
from pathlib import Path
import pandas as pd
Path(__file__).with_name(".ran").touch()
def load_model(code_dir): return 2
def score(data, model, **kwargs): return pd.DataFrame({"Predictions": data.x * model})
"""
SPECS = """
deployments: {{doubling: {{local: {binding}}}}}
jobs:
  doubled:
    deployment: doubling
    intake_settings: {{type: localFile, file: rows.csv}}
    output_settings: {{type: localFile, path: doubled.csv}}
"""
TRUSTED = "{model: models/doubling, trust: true}"


def project(folder: Path, binding: str) -> Path:
    for name in ("specs", "models/doubling"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "models/doubling/custom.py").write_text(CODE)
    (folder / "models/doubling/model-metadata.yaml").write_text("targetType: regression\ninferenceModel: {targetName: y}\n")
    (folder / "rows.csv").write_text("x,other\n1,a\n2.5,b\n")
    bind(folder, binding)
    return folder


def bind(folder: Path, binding: str) -> None:
    (folder / "specs/jobs.yaml").write_text(SPECS.format(binding=binding))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("binding", ["models/doubling", "{model: models/doubling}", "{model: models/doubling, trust: false}"])
def test_without_trust_apply_says_what_to_write_and_runs_nothing(home: Path, reconciler: Reconciler, binding: str) -> None:
    project(home, binding)
    said = reconciler("apply", "-auto-approve")
    assert said.code == 1
    assert "trust: true" in said.out + said.err
    assert not (home / "models/doubling/.ran").exists()
    assert not (home / "doubled.csv").exists()


def test_with_trust_it_is_scored_once(home: Path, reconciler: Reconciler) -> None:
    project(home, "models/doubling")
    assert reconciler("apply", "-auto-approve").code == 1
    bind(home, TRUSTED)
    assert reconciler("apply", "-auto-approve").code == 0
    assert (home / "doubled.csv").read_text() == "y_PREDICTION\n2.0\n5.0\n"
    assert (home / "models/doubling/.ran").exists()
    assert reconciler("plan", "-detailed-exitcode").code == 0


@pytest.mark.parametrize("binding", [TRUSTED, "models/doubling"])
def test_a_plan_refuses_what_a_model_with_code_does_not_have_and_runs_nothing(home: Path, reconciler: Reconciler, binding: str) -> None:
    project(home, binding)
    with (home / "specs/jobs.yaml").open("a") as file:
        file.write("    prediction_threshold: 0.5\n    max_explanations: 1\n    max_ngram_explanations: all\n")
    said = reconciler("plan")
    assert said.code == 1
    assert "Only a binary model has a threshold" in said.err
    assert "List them as textFeatures" in " ".join(said.err.split())
    assert not (home / "models/doubling/.ran").exists()


def test_taking_trust_back_changes_no_job(home: Path, reconciler: Reconciler) -> None:
    project(home, TRUSTED)
    assert reconciler("apply", "-auto-approve").code == 0
    bind(home, "models/doubling")
    assert reconciler("plan", "-detailed-exitcode").code == 0


def test_a_plan_that_was_kept_keeps_its_trust(home: Path, reconciler: Reconciler) -> None:
    """The second command reads the configuration that the first one has kept, not the YAML."""
    project(home, TRUSTED)
    assert json.loads(reconciler("plan", "-json").out)["resource_changes"]
    assert reconciler("apply", "-auto-approve").code == 0


def score(program: Any, name: str) -> Any:
    body = {"deploymentId": program.deployments[name], "intakeSettings": LOCAL, "outputSettings": LOCAL}
    return program.http.post("batchPredictions/", json=body)


def test_serve_trusts_what_the_specs_trust(tmp_path: Path) -> None:
    with serving(project(tmp_path / "with", TRUSTED)) as program:
        job = score(program, "doubling").json()["id"]
        program.upload(job, b"x\n4\n")
        program.until(job, "COMPLETED")
        assert program.download(job).text == "y_PREDICTION\n8.0\n"
    with serving(project(tmp_path / "without", "models/doubling")) as program:
        answer = score(program, "doubling")
        assert answer.status_code == 422
        assert "trust: true" in answer.text
    assert not (tmp_path / "without/models/doubling/.ran").exists()
