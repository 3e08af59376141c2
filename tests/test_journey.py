"""From YAML to output and back: what a user does, on the shipped specs, with real models, real files and a real state."""

import csv
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pyarrow.csv
import pyarrow.parquet
import pytest
from house import Reconciler, child, remote_jobs, run_bound_by_permissions

from reconciler.state.lifecycle import Status
from reconciler.state.snapshot import open_snapshot
from reconciler.state.store import Store

JOBS = Path("specs/jobs.yaml")
NO_CHANGES = "No changes. All 4 jobs are up to date.\n"


@pytest.fixture
def applied(project: Path, reconciler: Reconciler) -> Path:
    """The project after its first apply, and after a plan that has found nothing to do and remembers it."""
    assert reconciler("apply", "-auto-approve").code == 0
    assert reconciler("plan", "-detailed-exitcode").code == 0
    return project


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new))


def planned(reconciler: Reconciler) -> dict[str, tuple[str, list[str]]]:
    """Action and reasons of every change, by address."""
    changes = json.loads(reconciler("plan", "-json").out)["resource_changes"]
    return {change["address"]: (change["action"], change["reasons"]) for change in changes}


def test_the_first_apply_scores_everything_and_the_second_plan_is_one_line(project: Path, reconciler: Reconciler) -> None:
    said = reconciler("apply", "-auto-approve")
    assert said.code == 0
    assert "Plan: 4 to submit, 0 to rerun, 0 unchanged." in said.out
    assert "Apply complete! 4 scored, 0 failed, 0 unchanged." in said.out
    plan = reconciler("plan", "-detailed-exitcode")
    assert (plan.code, plan.out, plan.err) == (0, NO_CHANGES, "")
    again = reconciler("apply", "-auto-approve")
    assert again.out.endswith("Apply complete! 0 scored, 0 failed, 4 unchanged.\n")
    assert len(remote_jobs(project)) == 4


def test_there_is_something_to_do_before_the_first_apply(project: Path, reconciler: Reconciler) -> None:
    assert reconciler("plan", "--detailed-exitcode").code == 2
    assert reconciler("plan").code == 0


def test_a_plan_refuses_what_the_model_does_not_have(project: Path, reconciler: Reconciler) -> None:
    asked = "    passthrough_columns_set: all\n    max_explanations: 2\n    explanation_class_names: [barbera, merlot]\n"
    edit(JOBS, "    passthrough_columns_set: all\n", asked)
    said = reconciler("plan")
    assert said.code == 1
    assert "The model has no class merlot; its classes are barolo, grignolino, barbera." in said.err
    assert "explanation_class_names: [barbera, merlot]" in said.err
    edit(JOBS, "merlot", "barolo")
    assert reconciler("apply", "-auto-approve").code == 0
    with open("state/predictions/wine.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["CLASS_1"], row["CLASS_2"]) for row in rows} == {("barbera", "barolo")}


def test_a_plan_asks_the_model_again_that_says_something_else_now(applied: Path, reconciler: Reconciler) -> None:
    edit(JOBS, "    prediction_threshold: 0.4\n", "    include_probabilities_classes: [malignant]\n")
    assert reconciler("plan").code == 0
    edit(Path("specs/models/breast_cancer/model-metadata.yaml"), "malignant", "bad")
    said = reconciler("plan")
    assert said.code == 1
    assert "The model has no class malignant; its classes are bad, benign." in said.err
    edit(Path("specs/models/breast_cancer/model-metadata.yaml"), "bad", "malignant")
    assert reconciler("plan").code == 0


def test_a_plan_asks_no_model_that_cannot_be_read(project: Path, reconciler: Reconciler) -> None:
    edit(
        JOBS,
        "    passthrough_columns_set: all\n",
        "    passthrough_columns_set: all\n    max_explanations: 2\n    explanation_class_names: [merlot]\n",
    )
    Path("specs/models/wine/model-metadata.yaml").write_text("targetType: wrong")
    assert "merlot" not in reconciler("plan").err


def test_a_touched_input_plans_nothing(applied: Path, reconciler: Reconciler) -> None:
    for path in applied.rglob("specs/data/**/*.csv"):
        os.utime(path)
    assert reconciler("plan").out == NO_CHANGES


def test_one_byte_of_an_input_reruns_just_its_job_and_names_the_intake(applied: Path, reconciler: Reconciler) -> None:
    edit(Path("specs/data/diabetes/2026-10.csv"), "0220,55.0", "0220,56.0")
    assert planned(reconciler) == {'job.diabetes["2026-10"]': ("rerun", ["intake changed"])}
    assert "# (intake changed: specs/data/diabetes/2026-10.csv)" in reconciler("plan").out
    assert "Apply complete! 1 scored, 0 failed, 3 unchanged." in reconciler("apply", "-auto-approve").out
    assert reconciler("plan").out == NO_CHANGES


def test_what_a_limited_plan_has_seen_is_news_for_the_next_whole_one(applied: Path, reconciler: Reconciler) -> None:
    time.sleep(2.1)  # quiet files: their digests are kept, by either plan
    assert reconciler("plan").out == NO_CHANGES
    edit(Path("specs/data/wine.csv"), "B-001,14.23", "B-001,13.23")
    time.sleep(2.1)
    assert "1 to rerun" in reconciler("plan", "-target=job.wine").out
    assert planned(reconciler) == {"job.wine": ("rerun", ["intake changed"])}


def test_a_file_added_to_a_model_folder_is_a_replaced_model(applied: Path, reconciler: Reconciler) -> None:
    Path("specs/models/wine/README.md").write_text("Made of Italian wines.\n")
    assert planned(reconciler) == {"job.wine": ("rerun", ["model replaced"])}


def test_a_replaced_model_reruns_just_its_jobs_and_names_the_model(applied: Path, reconciler: Reconciler) -> None:
    with Path("specs/models/diabetes/model.txt").open("a") as file:
        file.write("\n")
    reason = ("rerun", ["model replaced"])
    assert planned(reconciler) == {'job.diabetes["2026-09"]': reason, 'job.diabetes["2026-10"]': reason}
    assert reconciler("plan").out.count("# (model replaced: diabetes)") == 2


def test_a_deleted_output_reruns_its_job_and_names_the_output(applied: Path, reconciler: Reconciler) -> None:
    Path("state/predictions/wine.csv").unlink()
    assert planned(reconciler) == {"job.wine": ("rerun", ["output missing"])}
    assert "# (output missing: state/predictions/wine.csv)" in reconciler("plan").out


def test_an_altered_output_reruns_its_job(applied: Path, reconciler: Reconciler) -> None:
    with Path("state/predictions/wine.csv").open("a") as file:
        file.write("x\n")
    assert planned(reconciler) == {"job.wine": ("rerun", ["output altered"])}


def test_a_changed_option_reruns_its_job_and_names_the_field(applied: Path, reconciler: Reconciler) -> None:
    edit(JOBS, "prediction_threshold: 0.4", "prediction_threshold: 0.45")
    plan = reconciler("plan", "-no-color").out
    assert "# (spec changed: prediction_threshold)" in plan
    assert re.search(r"^      ~ prediction_threshold = 0\.4 -> 0\.45$", plan, re.MULTILINE)
    assert "# (9 unchanged attributes hidden)" in plan
    assert "Plan: 0 to submit, 1 to rerun, 3 unchanged." in plan


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("    deployment: wine\n", "    deployment: 'wine' # the same\n", id="quotes and a comment"),
        pytest.param("{type: localFile, file: specs/data/wine.csv}", "{file: ./specs/data/wine.csv, type: localFile}", id="key order and ./"),
        pytest.param("prediction_threshold: 0.4", "prediction_threshold: 0.40", id="0.40 for 0.4"),
        pytest.param("prediction_threshold: 0.4", "predictionThreshold: 0.4", id="the wire's spelling"),
        pytest.param("passthrough_columns_set: all", "passthrough_columns_set: all\n    max_explanations: 0", id="a default written out"),
        pytest.param("passthrough_columns_set: all", "passthrough_columns_set: all\n    csv_settings: {encoding: UTF-8}", id="a nested default"),
        pytest.param("passthrough_columns_set: all", "passthrough_columns_set: all\n    num_concurrent: 3", id="pace"),
    ],
)
def test_what_means_the_same_plans_nothing(old: str, new: str, applied: Path, reconciler: Reconciler) -> None:
    edit(JOBS, old, new)
    assert reconciler("plan").out == NO_CHANGES


def test_a_description_is_updated_in_place_and_nothing_is_submitted(applied: Path, reconciler: Reconciler) -> None:
    edit(JOBS, "The cultivar that a wine was made of", "The grape")
    assert planned(reconciler) == {"job.wine": ("update", ["metadata changed"])}
    assert "Apply complete! 0 scored, 1 updated, 0 failed, 3 unchanged." in reconciler("apply", "-auto-approve").out
    assert 'description    = "The grape"' in reconciler("state", "show", "wine").out
    assert len(remote_jobs(applied)) == 4


def test_an_undeclared_job_is_forgotten_and_its_history_stays(applied: Path, reconciler: Reconciler) -> None:
    text = JOBS.read_text()
    JOBS.write_text(text[: text.index("  wine:")] + text[text.index("  diabetes:") :])
    assert planned(reconciler) == {"job.wine": ("forget", ["not declared"])}
    assert "Apply complete! 0 scored, 1 forgotten, 0 failed, 3 unchanged." in reconciler("apply", "-auto-approve").out
    assert "job.wine" not in reconciler("state", "list").out
    assert Path("state/predictions/wine.csv").exists()
    assert "forgotten" in reconciler("history", "wine").out


def test_one_failure_stops_no_other_job_and_is_retried_when_it_is_repaired(project: Path, reconciler: Reconciler) -> None:
    wine = Path("specs/data/wine.csv")
    right = wine.read_bytes()
    wine.write_bytes(right + b'"never closed\n')
    said = reconciler("apply", "-auto-approve")
    assert said.code == 1
    assert "Apply incomplete: 3 scored, 1 failed, 0 unchanged." in said.out
    assert "line 180" in said.err
    assert "Traceback" not in said.err
    assert planned(reconciler) == {"job.wine": ("submit", ["last run aborted"])}
    wine.write_bytes(right)
    assert reconciler("apply", "-auto-approve").code == 0
    assert reconciler("plan").out == NO_CHANGES


def test_a_row_that_fails_is_a_warning_and_is_named_where_the_warning_says(project: Path, reconciler: Reconciler) -> None:
    wine = Path("specs/data/wine.csv")
    wine.write_bytes(wine.read_bytes() + b"ragged,row\n")
    said = reconciler("apply", "-auto-approve")
    assert (said.code, "Apply complete! 4 scored, 0 failed, 0 unchanged." in said.out) == (0, True)
    told = " ".join(said.err.split())
    assert "Warning: Some rows were not scored with job.wine" in told
    assert "Row not scored: line 180: the row has 2 fields where the header has 14 fields 1 of 179 rows were not scored" in told
    rejects = Path(told.partition("with its reason, in ")[2].split()[0])
    assert rejects.read_text().splitlines()[1:] == ['180,,the row has 2 fields where the header has 14 fields,"ragged,row"']
    run = json.loads(reconciler("state", "show", "wine", "-json").out)
    assert (run["scored_rows"], run["failed_rows"], run["skipped_rows"]) == (178, 1, 0)
    assert len(Path("state/predictions/wine.csv").read_text().splitlines()) == 180
    assert reconciler("plan").out == NO_CHANGES


def test_a_job_reads_and_writes_parquet_by_the_names_of_its_files(project: Path, reconciler: Reconciler) -> None:
    pyarrow.parquet.write_table(pyarrow.csv.read_csv("specs/data/wine.csv"), "specs/data/wine.parquet")
    edit(JOBS, "file: specs/data/wine.csv", "file: specs/data/wine.parquet")
    edit(JOBS, "outputs}/wine.csv", "outputs}/wine.parquet")
    assert reconciler("apply", "-auto-approve").code == 0
    table = pyarrow.parquet.read_table("state/predictions/wine.parquet")
    assert (table.num_rows, str(table.schema.field("alcohol").type)) == (178, "double")
    assert reconciler("plan").out == NO_CHANGES


def test_a_failed_rerun_leaves_the_previous_output_in_place(applied: Path, reconciler: Reconciler) -> None:
    before = Path("state/predictions/wine.csv").read_bytes()
    Path("specs/data/wine.csv").write_text("bottle_id,alcohol\nB-001,14.2\n")
    assert reconciler("apply", "-auto-approve").code == 1
    assert Path("state/predictions/wine.csv").read_bytes() == before
    assert not list(applied.rglob("*.part"))
    assert planned(reconciler) == {"job.wine": ("rerun", ["intake changed", "last run aborted"])}
    assert reconciler("output", "-raw", "wine").out == "state/predictions/wine.csv\n"


def test_a_job_that_reads_another_jobs_output_waits_for_it(project: Path, reconciler: Reconciler) -> None:
    with JOBS.open("a") as file:
        file.write(
            "  wine_again:\n    deployment: wine\n"
            '    intake_settings: {type: localFile, file: "${job.wine.output}"}\n'
            "    output_settings: {type: localFile, path: state/predictions/wine_again.csv}\n"
        )
    assert planned(reconciler)["job.wine_again"] == ("submit", ["never run", "upstream reruns"])
    assert reconciler("apply", "-auto-approve").code == 0
    assert reconciler("plan").out == "No changes. All 5 jobs are up to date.\n"
    edit(Path("specs/data/wine.csv"), "B-001,14.23", "B-001,13.23")
    assert planned(reconciler) == {"job.wine": ("rerun", ["intake changed"]), "job.wine_again": ("rerun", ["upstream reruns"])}
    assert "(known after the upstream job)" in reconciler("plan").out
    assert "Apply complete! 2 scored, 0 failed, 3 unchanged." in reconciler("apply", "-auto-approve").out
    Path("state/predictions/wine.csv").unlink()
    assert "Apply complete! 1 scored, 0 failed, 4 unchanged." in reconciler("apply", "-auto-approve").out  # the upstream wrote the same


def test_a_failed_upstream_skips_what_reads_its_output(project: Path, reconciler: Reconciler) -> None:
    with JOBS.open("a") as file:
        file.write(
            "  wine_again:\n    deployment: wine\n"
            '    intake_settings: {type: localFile, file: "${job.wine.output}"}\n'
            "    output_settings: {type: localFile, path: state/predictions/wine_again.csv}\n"
        )
    Path("specs/data/wine.csv").write_text("")
    said = reconciler("apply", "-auto-approve")
    assert "Apply incomplete: 3 scored, 1 failed, 1 skipped, 0 unchanged." in said.out
    assert "job.wine, which it depends on, was not scored." in said.err


def test_every_fact_of_a_run_is_recorded(applied: Path, reconciler: Reconciler) -> None:
    run = json.loads(reconciler("state", "show", "wine", "-json").out)
    assert (run["status"], run["scored_rows"], run["failed_rows"], run["skipped_rows"]) == ("delivered", 178, 0, 0)
    assert run["output"] == "state/predictions/wine.csv"
    assert run["output_bytes"] == Path(run["output"]).stat().st_size
    assert run["output_digest"].startswith("blake3:")
    assert run["user"] and run["host"] and run["tool_version"] and run["job_id"]
    assert run["intended_at"] < run["submitted_at"] < run["ended_at"]
    with open_snapshot(Path("state/reconciler.db")) as state:
        kinds = [event.kind for event in state.history("local", "job.wine") if event.kind != "running"]
    assert kinds == ["intended", "submitted", "scored", "delivered"]


def test_what_is_read_is_the_same_as_text_and_as_json(applied: Path, reconciler: Reconciler) -> None:
    outputs = json.loads(reconciler("output", "-json").out)
    assert list(outputs) == ["job.breast_cancer", 'job.diabetes["2026-09"]', 'job.diabetes["2026-10"]', "job.wine"]
    assert reconciler("state", "list").out.splitlines() == list(outputs)
    assert all(path in reconciler("output").out for path in outputs.values())
    runs = json.loads(reconciler("show", "-json").out)
    assert [run["address"] for run in runs] == list(outputs)
    assert all(run["output_digest"] in reconciler("show").out for run in runs)
    assert json.loads(reconciler("show", runs[0]["id"], "-json").out) == runs[0]
    events = json.loads(reconciler("history", "-json").out)
    assert [event["serial"] for event in events] == list(range(1, len(events) + 1))


def test_why_names_every_component(applied: Path, reconciler: Reconciler) -> None:
    assert reconciler("why", "job.wine").out.startswith("# job.wine is up to date\n")
    edit(Path("specs/data/wine.csv"), "B-001,14.23", "B-001,13.23")
    why = reconciler("why", "job.wine").out
    assert why.startswith("# job.wine must be rerun\n")
    assert [line.split()[:2] for line in why.splitlines() if line.startswith("    ")][:4] == [
        ["spec", "unchanged"],
        ["intake", "changed"],
        ["model", "unchanged"],
        ["output", "unchanged"],
    ]


def test_an_address_that_is_not_known_is_refused_with_the_nearest(applied: Path, reconciler: Reconciler) -> None:
    for command in (["why", "wime"], ["state", "show", "wime"], ["output", "wime"], ["history", "wime"], ["plan", "-target", "job.wime"]):
        said = reconciler(*command)
        assert said.code == 1
        assert "Did you mean job.wine?" in " ".join(said.err.split())


def test_an_address_is_refused_in_the_name_of_what_took_it(applied: Path, reconciler: Reconciler) -> None:
    assert 'why takes job.NAME or job.NAME["key"].' in reconciler("why", "wime").err
    assert '-target takes job.NAME or job.NAME["key"].' in reconciler("plan", "-target=job.wime").err


def test_a_variables_file_that_gives_no_value_is_refused(project: Path, reconciler: Reconciler) -> None:
    Path("v.yaml").write_text("outputs:\n")  # it would be the text "null"
    said = reconciler("plan", "-var-file=v.yaml")
    assert (said.code, said.out) == (1, "")
    assert "v.yaml gives no value to outputs" in said.err


def test_a_working_folder_that_is_gone_is_told(tmp_path: Path, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    said = reconciler("plan")
    assert said.code == 1
    assert "The working folder no longer exists" in said.err


def test_replace_reruns_and_target_limits(applied: Path, reconciler: Reconciler) -> None:
    said = reconciler("plan", "-replace=job.wine")
    assert "# (requested)" in said.out
    for path in Path("state/predictions").rglob("*.csv"):
        path.unlink()
    said = reconciler("apply", "-auto-approve", "-target", "job.diabetes")
    assert "Apply complete! 2 scored, 0 failed, 0 unchanged." in said.out
    assert "-target limits this plan" in said.out
    assert set(planned(reconciler)) == {"job.breast_cancer", "job.wine"}


def test_a_variable_of_the_environment_counts_less_and_is_nobodys_when_it_is_not_declared(
    project: Path, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_VAR_outputs", "elsewhere")
    monkeypatch.setenv("RECONCILER_VAR_not_declared", "x")
    assert '"elsewhere/wine.csv"' in reconciler("plan").out
    assert '"there/wine.csv"' in reconciler("plan", "-var=outputs=there").out
    said = reconciler("plan", "-var=output=there")
    assert said.code == 1
    assert 'Did you mean "outputs"?' in said.err


def test_without_a_terminal_and_without_approval_an_apply_refuses(project: Path, reconciler: Reconciler) -> None:
    said = subprocess.run([sys.executable, "-m", "reconciler", "apply"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert "-auto-approve" in said.stderr
    assert remote_jobs(project) == []


@pytest.mark.parametrize(("answer", "code", "ending"), [("yes", 0, "Apply complete!"), ("y", 1, "Apply cancelled"), ("", 1, "Apply cancelled")])
def test_only_the_word_yes_approves(answer: str, code: int, ending: str, project: Path, reconciler: Reconciler) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "reconciler", "apply", "-no-color"]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        os.close(theirs)
        os.write(ours, f"{answer}\n".encode())
        said, _ = process.communicate()
    os.close(ours)
    assert process.returncode == code
    assert "Only 'yes' will be accepted to approve." in said
    assert ending in said


def test_an_apply_waits_for_nobody_and_names_who_holds_the_lock(applied: Path, reconciler: Reconciler) -> None:
    Path("state/predictions/wine.csv").unlink()
    with Store(Path("state/reconciler.db")) as other, other.locked("apply"):
        said = reconciler("apply", "-auto-approve")
        assert said.code == 1
        assert "The state is locked" in said.err
        assert f"PID:     {os.getpid()}" in said.err
        assert planned(reconciler) == {"job.wine": ("rerun", ["output missing"])}  # readers never wait
    assert reconciler("apply", "-auto-approve").code == 0


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM], ids=lambda stop: stop.name)
def test_an_interrupted_apply_goes_on_when_it_is_run_again(stop: signal.Signals, project: Path, reconciler: Reconciler) -> None:
    wine = Path("specs/data/wine.csv")
    header, rows = wine.read_text().split("\n", 1)
    wine.write_text(f"{header}\n{rows * 10_000}")  # long enough to be interrupted on any machine
    with child("-m", "reconciler", "apply", "-auto-approve", "-target=job.wine", cwd=project) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Submitted" in line:
                process.send_signal(stop)
                break
        said = process.stdout.read()
    assert process.returncode == 1
    assert "Interrupted" in said
    assert "Traceback" not in said
    edit(JOBS, "The cultivar that a wine was made of", "The grape")
    assert planned(reconciler)["job.wine"] == ("resume", ["interrupted"])
    assert reconciler("apply", "-auto-approve").code == 0
    assert reconciler("plan").out == NO_CHANGES  # the new description was taken over together with the run
    with open_snapshot(Path("state/reconciler.db")) as state:
        assert [run.status for run in state.runs("local", "job.wine")] == [Status.DELIVERED]
    assert [status for path, status in remote_jobs(project) if "wine" in path] == ["COMPLETED"]


def test_no_secret_is_written_or_said(project: Path, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_SECRET", "s3cr3t-from-the-environment")
    Path("specs/credentials.yaml").write_text(
        "credentials:\n  lake: {local: {type: s3, aws_access_key_id: AKIA-PLAIN, aws_secret_access_key: pl41n-s3cr3t, token: '${env.LAKE_SECRET}'}}\n"
        "data_stores:\n  crm: {local: {jdbc_url: 'jdbc:postgresql://u:p4ssw0rd@localhost/crm'}}\n"
    )
    said = [reconciler(*command) for command in (["plan"], ["plan", "-json"], ["apply", "-auto-approve"], ["history"], ["show", "-json"])]
    edit(Path("specs/credentials.yaml"), "type: s3", "type: s4, tpye: s3")
    said.append(reconciler("validate"))
    written = b"".join(path.read_bytes() for path in Path("state").rglob("*") if path.is_file())
    for secret in ("s3cr3t-from-the-environment", "pl41n-s3cr3t", "p4ssw0rd", "AKIA-PLAIN"):
        assert secret.encode() not in written
        assert not any(secret in item.out + item.err for item in said)


def test_who_may_only_read_the_state_sees_the_plan_and_the_records(applied: Path) -> None:
    for journal in Path("state").glob("reconciler.db-*"):
        journal.unlink()  # a reader's, empty
    Path("state").chmod(0o555)
    try:
        assert run_bound_by_permissions("plan", cwd=applied) == (0, NO_CHANGES, "")
        assert "job.wine" in run_bound_by_permissions("output", cwd=applied).out
        said = run_bound_by_permissions("apply", "-auto-approve", "-replace=job.wine", cwd=applied)
        assert said.code == 1
        assert "cannot be written" in said.out
    finally:
        Path("state").chmod(0o755)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("specs/deployments.yaml", "on specs/deployments.yaml"),
        ("specs/more", "on specs/more"),
        ("specs/models/wine/more", "specs/models/wine/more: Permission denied"),
        ("specs/data/wine.csv", "specs/data/wine.csv: Permission denied"),
        ("state/reconciler.db", "The state state/reconciler.db cannot be read"),
    ],
    ids=["spec", "folder-of-specs", "folder-of-a-model", "intake", "state"],
)
def test_what_may_not_be_read_is_named_and_is_never_taken_for_gone(path: str, told: str, applied: Path) -> None:
    if not Path(path).exists():
        Path(path).mkdir()
    Path(path).chmod(0o000)
    try:
        said = run_bound_by_permissions("plan", cwd=applied)
    finally:
        Path(path).chmod(0o755)
    assert said.code == 1
    assert told in said.out
    assert "Traceback" not in said.out
    assert "Plan:" not in said.out


def test_an_absolute_path_means_the_same_file_when_the_project_and_its_state_are_copied(
    applied: Path, tmp_path_factory: pytest.TempPathFactory, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(JOBS, "file: specs/data/wine.csv", f"file: {applied / 'specs/data/wine.csv'}")
    assert reconciler("plan").out == NO_CHANGES
    copy = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(applied, copy)
    monkeypatch.chdir(copy)
    with Path("specs/data/wine.csv").open("a") as file:
        file.write("\n")
    assert reconciler("plan").out == NO_CHANGES  # what the spec names is still the first project's file


def test_predictions_equal_those_of_the_models_own_library(applied: Path) -> None:
    import lightgbm
    import onnxruntime

    for job, data in (("breast_cancer", "breast_cancer"), ("diabetes/2026-09", "diabetes/2026-09"), ("diabetes/2026-10", "diabetes/2026-10")):
        booster = lightgbm.Booster(model_file=f"specs/models/{job.split('/')[0]}/model.txt")
        expected = booster.predict(features(data, booster.feature_name()))
        column = "diagnosis_malignant_PREDICTION" if job == "breast_cancer" else "progression_PREDICTION"
        assert numpy.array_equal(numbers(job, column), expected)
    session = onnxruntime.InferenceSession("specs/models/wine/model.onnx")
    names = json.loads(session.get_modelmeta().custom_metadata_map["feature_names"])
    label, scores = session.run(None, {session.get_inputs()[0].name: features("wine", names).astype(numpy.float32)})
    for index, cultivar in enumerate(sorted(("barolo", "grignolino", "barbera"))):  # the model's own order
        assert numpy.array_equal(numbers("wine", f"cultivar_{cultivar}_PREDICTION").astype(numpy.float32), numpy.asarray(scores)[:, index])
    assert column_of("wine", "cultivar_PREDICTION") == [str(item) for item in label]


def column_of(job: str, name: str) -> list[str]:
    with Path(f"state/predictions/{job}.csv").open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def numbers(job: str, name: str) -> "numpy.ndarray":
    return numpy.array([float(value) for value in column_of(job, name)])


def features(data: str, names: list[str]) -> "numpy.ndarray":
    with Path(f"specs/data/{data}.csv").open(newline="") as file:
        return numpy.array([[float(row[name]) for name in names] for row in csv.DictReader(file)])


def test_a_second_project_is_scored_to_the_same_bytes(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    shutil.copytree("specs", other / "specs")
    process = subprocess.run([sys.executable, "-m", "reconciler", f"-chdir={other}", "apply", "-auto-approve"], capture_output=True, check=False)
    assert process.returncode == 0, process.stderr
    for path in Path("state/predictions").rglob("*.csv"):
        assert (other / path).read_bytes() == path.read_bytes()
