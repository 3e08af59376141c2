"""Plans of a workspace with an endpoint: the real service on a loopback socket, a project elsewhere that names it."""

import http.server
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from house import REPOSITORY, Reconciler
from program import Program, project, serving
from served import Wire

from reconciler.fingerprint import file_digest
from reconciler.plan.action import Action, Reason
from reconciler.plan.plan import Plan
from reconciler.planning import explain, make_plan
from reconciler.project import Project
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.store import Store
from reconciler.view.plan import reason_text, side_fields

WINE = """\
workspaces:
  prod: {{endpoint: "{endpoint}"}}
deployments:
  wine: {{local: specs/models/wine, prod: "{wine}"}}
jobs:
  wine:
    deployment: wine
    intake_settings: {intake}
    output_settings: {{type: localFile, path: out/wine.csv}}
    passthrough_columns: [bottle_id]
    max_explanations: 0
"""
LOCAL = "{type: localFile, file: data/wine.csv}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The service over the shipped models and a second one for wines."""
    folder = project(tmp_path_factory.mktemp("served"))
    shutil.copytree(folder / "specs/models/wine", folder / "specs/models/wine_2")
    (folder / "specs/wine_2.yaml").write_text("deployments: {wine_2: {local: specs/models/wine_2}}\n")
    (folder / "specs/models/wine_2/README.md").write_text("The vintage of 2026.\n")
    with serving(folder) as running:
        yield running


def endpoint_of(served: Program) -> str:
    return str(served.document["endpoint"])


@pytest.fixture
def root(tmp_path: Path, served: Program, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, in which the official client's variables name the server's token."""
    for name in [name for name in os.environ if name.startswith("DATAROBOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATAROBOT_API_TOKEN", served.token)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs").mkdir()
    (tmp_path / "data").mkdir()
    shutil.copy(REPOSITORY / "specs/data/wine.csv", "data/wine.csv")
    return tmp_path


@pytest.fixture
def write(root: Path, served: Program) -> Callable[..., None]:
    """Writes the specs: one job on the server, with what is different about it."""

    def writer(intake: str = LOCAL, endpoint: str | None = None, wine: str | None = None, more: str = "") -> None:
        named = {"endpoint": endpoint or endpoint_of(served), "wine": wine or served.deployments["wine"]}
        (root / "specs/jobs.yaml").write_text(WINE.format(intake=intake, **named) + more)

    return writer


def plan(reconciler: Reconciler, *options: str) -> dict[str, Any]:
    said = reconciler("plan", "-workspace=prod", "-json", *options)
    assert said.code == 0, said.err
    return dict(json.loads(said.out))


def test_plan_shows_what_would_be_submitted(write: Callable[..., None], served: Program, reconciler: Reconciler) -> None:
    write()
    document = plan(reconciler)
    (change,) = document["resource_changes"]
    assert (change["action"], change["reasons"]) == ("submit", ["never run"])
    after = change["change"]["after"]
    assert after["deployment"] == served.deployments["wine"]
    assert after["intake_settings"] == {"type": "localFile", "file": "data/wine.csv"}
    assert after["passthrough_columns"] == ["bottle_id"]
    assert after["intake_content"].startswith("blake3:")
    assert after["model"].startswith("blake3:")
    assert document["endpoint"] == endpoint_of(served)
    assert document["notes"] == []


def test_unknown_deployment_is_told_with_file_and_line(write: Callable[..., None], reconciler: Reconciler) -> None:
    write(wine="616d01a8ddbd17fc2c75caf4")
    said = reconciler("plan", "-workspace=prod")
    assert said.code == 1
    assert "There is no such deployment" in said.err
    assert "There is no deployment 616d01a8ddbd17fc2c75caf4 at the workspace's endpoint" in " ".join(said.err.split())
    assert "on specs/jobs.yaml line 6" in said.err


def test_wrong_token_is_one_clear_error(write: Callable[..., None], reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch) -> None:
    write()
    monkeypatch.setenv("DATAROBOT_API_TOKEN", "s3cr3t")
    said = reconciler("plan", "-workspace=prod")
    assert (said.code, said.out, said.err.count("\nError: ")) == (1, "", 1)
    assert "401" in said.err
    assert "s3cr3t" not in said.err


class _Website(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        body = b"<!doctype html><title>Welcome</title>"
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("status", [200, 404])
def test_website_is_one_clear_error(write: Callable[..., None], reconciler: Reconciler, status: int) -> None:
    website = type("Website", (_Website,), {"status": status})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), website) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        write(endpoint=f"http://127.0.0.1:{server.server_port}/api/v2")
        said = reconciler("plan", "-workspace=prod")
        server.shutdown()
    assert (said.code, said.out, said.err.count("\nError: ")) == (1, "", 1)
    assert "There is no such deployment" not in said.err


def planned(root: Path) -> Plan:
    return make_plan(Project(root, root / "state/reconciler.db", "prod"))


def reasons(root: Path) -> list[str]:
    return [str(reason) for change in planned(root).changes for reason in change.reasons]


def record(root: Path) -> None:
    """Writes down what the plan wants as delivered, as an apply would once the service had scored it."""
    with Store(root / "state/reconciler.db") as store, store.locked("test"):
        for number, change in enumerate(planned(root).changes):
            assert change.after is not None
            fingerprint, output = change.after.fingerprint, change.output_file
            digest = None if output is None else delivered(root / output)
            run = Run(
                id=f"{change.address}-{store.snapshot.serial}-{number}",
                workspace="prod",
                address=change.address,
                status=Status.INTENDED,
                spec=change.after.spec,
                spec_digest=fingerprint.spec,
                intake={"file": change.intake_file},
                intake_digest=fingerprint.intake,
                model={"deployment": change.after.spec.get("deployment")},
                model_digest=fingerprint.model,
                deployment=change.deployment,
                deployment_id=change.after.spec.get("deployment", ""),
                request={},
                reasons=tuple(change.reasons),
                intended_at=f"2026-11-21T00:00:{store.snapshot.serial:02d}Z",
                user="ada",
                host="laptop",
                git_commit=None,
                tool_version="0.1.0",
                output=output or change.after.spec["output"].get("url"),
            )
            store.intend(run, change.after.metadata)
            for status in (Status.SUBMITTED, Status.SCORED):
                run = store.move(run, status, output_digest=digest)
            store.move(run, Status.DELIVERED)


def delivered(path: Path) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text("bottle_id,cultivar_PREDICTION\n")
    return file_digest(path)


def test_what_was_delivered_is_up_to_date_until_its_rows_or_its_output_change(write: Callable[..., None], root: Path) -> None:
    write()
    record(root)
    assert (reasons(root), planned(root).unchanged) == ([], 1)
    (root / "out/wine.csv").unlink()
    assert reasons(root) == ["output missing"]
    with (root / "data/wine.csv").open("a") as file:
        file.write("\n")
    assert reasons(root) == ["intake changed", "output missing"]


def test_replaced_model_is_seen_also_by_a_remembered_plan(write: Callable[..., None], root: Path, served: Program) -> None:
    write()
    record(root)
    assert reasons(root) == []
    other = served.http.get(f"deployments/{served.deployments['wine_2']}/").json()["model"]["id"]
    answer = served.http.patch(f"deployments/{served.deployments['wine']}/model/", json={"modelId": other, "reason": "ACCURACY"})
    assert answer.status_code == 202, answer.text
    assert reasons(root) == ["model replaced"]


def test_remembered_plan_asks_about_each_deployment_once(write: Callable[..., None], root: Path, served: Program) -> None:
    with Wire(served.port) as wire:
        job = "    deployment: wine\n    intake_settings: {type: localFile, file: data/wine.csv}\n"
        more = "".join(f"  w{n}:\n{job}    output_settings: {{type: localFile, path: out/{n}.csv}}\n" for n in range(5))
        write(endpoint=wire.endpoint, more=more)
        record(root)
        seen = len(wire.lines)
        assert planned(root).unchanged == 6  # decided anew, and remembered
        assert planned(root).unchanged == 6
        assert wire.lines[seen:] == [f"GET deployments/{served.deployments['wine']}/"] * 2


def test_server_that_is_down_is_one_clear_error_also_where_a_plan_is_remembered(
    write: Callable[..., None], root: Path, served: Program, reconciler: Reconciler
) -> None:
    with Wire(served.port) as wire:
        write(endpoint=wire.endpoint)
        record(root)
        assert reasons(root) == []
    said = reconciler("plan", "-workspace=prod")
    assert (said.code, said.out, said.err.count("\nError: ")) == (1, "", 1)
    assert "Traceback" not in said.err


def dataset_of(served: Program, text: str, dataset_id: str = "") -> str:
    path = f"datasets/{dataset_id}/versions/fromFile/" if dataset_id else "datasets/fromFile/"
    answer = served.http.post(path, files={"file": ("wine.csv", text.encode())})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["catalogId"])


def test_dataset_reruns_with_its_next_version(write: Callable[..., None], root: Path, served: Program) -> None:
    dataset = dataset_of(served, "alcohol\n1\n")
    write(intake=f"{{type: dataset, dataset_id: {dataset}}}")
    assert planned(root).notes == ()
    record(root)
    assert reasons(root) == []
    dataset_of(served, "alcohol\n2\n", dataset)
    (change,) = planned(root).changes
    assert reason_text(change.reasons[0], change) == f"intake changed: dataset {dataset}"


def test_dataset_of_a_given_version_is_not_asked_about(write: Callable[..., None], root: Path, served: Program) -> None:
    with Wire(served.port) as wire:
        write(endpoint=wire.endpoint, intake="{type: dataset, dataset_id: d, dataset_version_id: v}")
        record(root)
        assert reasons(root) == []
        assert [line for line in wire.lines if "datasets" in line] == []
        write(endpoint=wire.endpoint, intake="{type: dataset, dataset_id: d, dataset_version_id: w}")
        assert reasons(root) == ["spec changed", "intake changed"]


def test_unknown_dataset_is_told_with_file_and_line(write: Callable[..., None], reconciler: Reconciler) -> None:
    write(intake="{type: dataset, dataset_id: 616d01a8ddbd17fc2c75caf4}")
    said = reconciler("plan", "-workspace=prod")
    assert said.code == 1
    assert "There is no such dataset" in said.err
    assert "on specs/jobs.yaml line 6" in said.err


S3 = '{type: s3, url: "s3://lake/wine.csv", credential_id: 6166c01ee91fb6641ecd28bd}'


@pytest.mark.parametrize(
    ("line", "after"),
    [
        pytest.param("", [], id="kept by default"),
        pytest.param("    on_unknown: keep\n", [], id="kept"),
        pytest.param("    on_unknown: rerun\n", ["intake unknown"], id="rerun"),
    ],
)
def test_intake_that_cannot_be_looked_at_is_kept_or_rerun_and_told(
    write: Callable[..., None], root: Path, reconciler: Reconciler, line: str, after: list[str]
) -> None:
    write(intake=S3, more=line)
    record(root)
    assert reasons(root) == after
    document = plan(reconciler)
    (note,) = document["notes"]
    assert (note["severity"], note["address"], note["range"]["start"]["line"]) == ("warning", "job.wine", 6)
    assert "intake_version" in note["detail"]
    said = reconciler("plan", "-workspace=prod").out
    assert "Warning: An intake cannot be looked at" in said
    assert ("rerun" in said.split("Warning")[0]) is bool(after)


def test_intake_version_is_the_fingerprint_of_what_cannot_be_looked_at(write: Callable[..., None], root: Path) -> None:
    write(intake=S3, more="    intake_version: 2026-10\n")
    digest = spec_digest_of(root)
    assert planned(root).notes == ()
    record(root)
    assert reasons(root) == []
    write(intake=S3, more="    intake_version: 2026-11\n")
    assert reasons(root) == ["intake changed"]
    assert spec_digest_of(root) == digest


def test_job_reruns_with_the_one_that_writes_its_rows_to_the_cloud(write: Callable[..., None], root: Path, served: Program) -> None:
    first = f"    output_settings: {S3}\n"
    second = f"  next:\n    deployment: wine\n    depends_on: [wine]\n    intake_settings: {S3}\n"
    second += "    output_settings: {type: localFile, path: out/n.csv}\n"
    write(more=second)
    path = root / "specs/jobs.yaml"
    path.write_text(path.read_text().replace("    output_settings: {type: localFile, path: out/wine.csv}\n", first))
    record(root)
    assert reasons(root) == []
    path.write_text(path.read_text().replace("passthrough_columns: [bottle_id]", "passthrough_columns: [alcohol]"))
    assert {change.address: change.reasons for change in planned(root).changes} == {
        "job.wine": (Reason.SPEC_CHANGED,),
        "job.next": (Reason.UPSTREAM_RERUNS,),
    }


def test_real_apply_leaves_nothing_to_plan(write: Callable[..., None], root: Path, reconciler: Reconciler) -> None:
    write()
    assert reconciler("apply", "-workspace=prod", "-auto-approve").code == 0
    said = reconciler("plan", "-workspace=prod", "-detailed-exitcode")
    assert (said.code, said.out) == (0, "No changes. All 1 job is up to date.\n")
    with (root / "data/wine.csv").open("a") as file:
        file.write("\n")
    assert reasons(root) == ["intake changed"]


def spec_digest_of(root: Path) -> str:
    after = explain(Project(root, root / "state/reconciler.db", "prod"), "job.wine").after
    assert after is not None
    return after.fingerprint.spec


@pytest.mark.parametrize("key", ["model_id", "model_package_id"])
def test_model_that_is_pinned_by_an_id_is_not_asked_about(write: Callable[..., None], root: Path, served: Program, key: str) -> None:
    with Wire(served.port) as wire:
        write(endpoint=wire.endpoint)
        path = root / "specs/jobs.yaml"
        path.write_text(path.read_text().replace("    deployment: wine\n", f"    {key}: 616d01a8ddbd17fc2c75caf4\n"))
        (change,) = planned(root).changes
        assert wire.lines == []
    assert change.after is not None
    wire_key = {"model_id": "modelId", "model_package_id": "modelPackageId"}[key]
    assert change.after.spec[wire_key] == "616d01a8ddbd17fc2c75caf4"
    shown = side_fields(change.after, change)
    assert shown[key] == "616d01a8ddbd17fc2c75caf4"
    assert "deployment" not in shown


def test_timeouts_and_retries_are_updated_in_place(write: Callable[..., None], root: Path) -> None:
    write(more="    timeouts: {queue: 30m}\n")
    record(root)
    write(more="    timeouts: {queue: 30m, total: 2h}\n    retries: 2\n")
    (change,) = planned(root).changes
    assert (change.action, change.reasons) == (Action.UPDATE, (Reason.METADATA_CHANGED,))
    assert change.after is not None
    assert change.after.metadata == {"timeouts": {"queue": "30m", "total": "2h"}, "retries": 2}


def test_token_never_enters_the_state(write: Callable[..., None], root: Path, served: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    write()
    path = root / "specs/jobs.yaml"
    path.write_text(path.read_text().replace("prod: {endpoint", 'prod: {token: "${env.OURS}", endpoint'))
    monkeypatch.setenv("OURS", served.token)
    record(root)
    assert reasons(root) == []
    assert planned(root).endpoint == {"endpoint": endpoint_of(served), "token": "${env.OURS}"}
    assert not any(served.token.encode() in file.read_bytes() for file in (root / "state").iterdir())


def test_local_workspace_of_the_same_specs_needs_no_endpoint(write: Callable[..., None], root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(endpoint="http://127.0.0.1:9/api/v2")
    shutil.copytree(REPOSITORY / "specs/models", root / "specs/models")
    monkeypatch.delenv("DATAROBOT_API_TOKEN")
    made = make_plan(Project(root, root / "state/reconciler.db"))
    assert [change.address for change in made.changes] == ["job.wine"]
    assert made.endpoint is None
