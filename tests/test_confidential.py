"""Secrets in settings: where they stand, and that no byte that is kept or said has one. The whole program, both workspaces, a real web server."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from house import REPOSITORY, Reconciler
from program import Program, project, serving
from servers.web import Web, page, status

from reconciler import confidential
from reconciler.confidential import REDACTED
from reconciler.service.secret_box import SecretBox

WINES = (REPOSITORY / "specs/data/wine.csv").read_bytes()
SECRETS = {"SIG": "s1gnature-of-the-intake", "SAS": "st=2026&sig=s1gnature-of-the-output", "TOKEN": "t0ken-of-the-output"}
Kept = Callable[[], bytes]
LEAKS = ("s1gnature-of-the-intake", "s1gnature-of-the-output", "t0ken-of-the-output")
JOB = """\
workspaces: {{prod: {{endpoint: "{endpoint}"}}}}
deployments: {{wine: {{local: specs/models/wine, prod: "{wine}"}}}}
jobs:
  wine:
    deployment: wine
    intake_settings: {{type: http, url: "{url}/in.csv?month=9&sig=${{env.SIG}}"}}
    output_settings:
      type: http
      url: "{url}/out?${{env.SAS}}"
      headers: {{Authorization: "Bearer ${{env.TOKEN}}", X-Table: wines}}
    passthrough_columns: [bottle_id]
"""


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"url": "https://h/a?month=9&sig=S&X-Amz-Signature=S"}, {"url": "https://h/a?month=9&sig=[redacted]&X-Amz-Signature=[redacted]"}),
        ({"url": "https://me:S@h/a"}, {"url": "https://me:[redacted]@h/a"}),
        ({"url": "s3://lake/token/in.csv"}, {"url": "s3://lake/token/in.csv"}),
        ({"headers": {"authorization": "S", "X-Api-Key": "S"}}, {"headers": {"authorization": REDACTED, "X-Api-Key": REDACTED}}),
        ({"headers": {"Content-Type": "text/csv", "Idempotency-Key": "1"}}, {"headers": {"Content-Type": "text/csv", "Idempotency-Key": "1"}}),
        ({"serverSideEncryption": {"customerKey": "S", "kmsKeyId": "k"}}, {"serverSideEncryption": {"customerKey": REDACTED, "kmsKeyId": "k"}}),
        ({"prediction_instance": {"host_name": "h", "api_key": "S"}}, {"prediction_instance": {"host_name": "h", "api_key": REDACTED}}),
        ({"columnNamesRemapping": {"apiKey": "a", "url": "b"}}, {"columnNamesRemapping": {"apiKey": "a", "url": "b"}}),
        ({"jdbcUrl": "jdbc:sqlserver://h;user=u;password={S;S};x=1"}, {"jdbcUrl": "jdbc:sqlserver://h;user=u;password=[redacted];x=1"}),
        ({"jdbcUrl": "jdbc:postgresql://h/d?password=S S;S/S,S&x=1"}, {"jdbcUrl": "jdbc:postgresql://h/d?password=[redacted]&x=1"}),
        ({"jdbcUrl": "jdbc:teradata://h/USER=u,PASSWORD=S,TMODE=ANSI"}, {"jdbcUrl": "jdbc:teradata://h/USER=u,PASSWORD=[redacted],TMODE=ANSI"}),
        ({"url": "s3://lake/key=1/token=2/in.csv"}, {"url": "s3://lake/key=1/token=2/in.csv"}),
        ({"fields": [{"name": "password", "value": "S"}]}, {"fields": [{"name": "password", "value": REDACTED}]}),
    ],
    ids=lambda value: next(iter(value)),
)
def test_what_is_secret_is_known_by_its_name(settings: dict[str, Any], shown: dict[str, Any]) -> None:
    assert confidential.redacted(settings) == shown
    assert bool(confidential.redacted_fields(settings)) == (settings != shown)


@pytest.mark.parametrize("url", ["jdbc:sqlserver://h;password=a?token=b;x=1", "jdbc:postgresql://u:p@h/d?password=a&token=b", "jdbc:x"])
def test_what_is_sealed_is_opened_as_it_was(tmp_path: Path, url: str) -> None:
    box = SecretBox(tmp_path / "key")
    sealed = box.sealed({"jdbcUrl": url})
    if url != "jdbc:x":
        assert "=a" not in sealed["jdbcUrl"] and ":p@" not in sealed["jdbcUrl"]
    assert box.opened(box.sealed(sealed)) == {"jdbcUrl": url}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with serving(project(tmp_path_factory.mktemp("served"))) as running:
        yield running


@pytest.fixture
def kept_there(served: Program) -> Callable[[], bytes]:
    """Every byte that the server has written."""
    return lambda: bytes_in(Path(served.document["token_file"]).parent) + served.stderr.encode()


@pytest.fixture
def root(tmp_path: Path, served: Program, web: Web, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, secret in {**SECRETS, "DATAROBOT_API_TOKEN": served.token}.items():
        monkeypatch.setenv(name, secret)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPOSITORY / "specs/models/wine", tmp_path / "specs/models/wine")
    text = JOB.format(endpoint=served.document["endpoint"], wine=served.deployments["wine"], url=web.url)
    (tmp_path / "specs/jobs.yaml").write_text(text)
    web.serve("/in.csv", page(WINES, ETag='"1"'))
    web.serve("/out", status(201))
    return tmp_path


def bytes_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def check_sent(web: Web, method: str = "POST") -> None:
    """Whoever scores asks for the rows, and sends the scores, with the secrets."""
    assert {seen.path for seen in web.asked("GET")} == {f"/in.csv?month=9&sig={SECRETS['SIG']}"}
    (sent,) = web.asked(method)
    assert sent.path == f"/out?{SECRETS['SAS']}"
    assert (sent.headers["Authorization"], sent.headers["X-Table"]) == (f"Bearer {SECRETS['TOKEN']}", "wines")
    assert sent.body.count(b"\n") == WINES.count(b"\n")


@pytest.mark.parametrize("workspace", ["local", "prod"])
def test_secrets_of_a_job_are_sent_and_in_no_byte_that_is_kept_or_said(
    root: Path, web: Web, served: Program, kept_there: Kept, reconciler: Reconciler, workspace: str
) -> None:
    chosen = f"-workspace={workspace}"
    said = [reconciler("plan", chosen, "-json"), reconciler("plan", chosen, "-verbose"), reconciler("apply", chosen, "-auto-approve")]
    assert [one.code for one in said] == [0, 0, 0], said
    check_sent(web)
    assert reconciler("plan", chosen, "-detailed-exitcode").code == 0
    said += [reconciler(command, chosen, "-json") for command in ("show", "history", "output")] + [reconciler("why", chosen, "job.wine")]
    kept = bytes_in(root) + b"".join(f"{one.out}{one.err}".encode() for one in said)
    kept += kept_there() + served.http.get("batchPredictions/").content
    assert b"${env.TOKEN}" in kept
    assert [leak for leak in LEAKS if leak.encode() in kept] == []


def test_another_secret_is_no_reason_to_rerun(root: Path, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reconciler("apply", "-auto-approve").code == 0
    monkeypatch.setenv("SIG", "another-signature")
    assert reconciler("plan", "-detailed-exitcode").code == 0


@pytest.mark.parametrize("workspace", ["local", "prod"])
def test_a_secret_that_is_not_there_is_named(root: Path, web: Web, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch, workspace: str) -> None:
    monkeypatch.delenv("TOKEN")
    said = reconciler("apply", "-auto-approve", f"-workspace={workspace}", "-no-color")
    assert said.code == 1
    text = " ".join((said.out + said.err).replace("│", " ").split())
    assert "headers.Authorization is ${env.TOKEN}. The environment has no TOKEN: set it." in text
    assert web.asked("POST") == []
    assert [leak for leak in LEAKS if leak in text] == []


def test_a_job_of_the_api_shows_its_secrets_to_nobody_and_uses_them(web: Web, served: Program, kept_there: Kept) -> None:
    intake = {"type": "http", "url": f"{web.serve('/in.csv', page(WINES))}?month=9&sig={SECRETS['SIG']}"}
    output = {"type": "http", "url": f"{web.serve('/out', status(201))}?{SECRETS['SAS']}", "headers": {"Authorization": f"Bearer {SECRETS['TOKEN']}"}}
    output["headers"]["X-Table"] = "wines"  # type: ignore[index]
    made = served.job(served.create(intake, output))
    assert made["jobSpec"]["redactedFields"] == ["intakeSettings.url", "outputSettings.url", "outputSettings.headers.Authorization"]
    assert made["jobSpec"]["intakeSettings"]["url"] == f"{web.url}/in.csv?month=9&sig={REDACTED}"
    assert made["jobSpec"]["outputSettings"]["headers"] == {"Authorization": REDACTED, "X-Table": "wines"}
    assert served.until(made["id"], "COMPLETED", "ABORTED")["status"] == "COMPLETED"
    check_sent(web)
    again = served.http.post("batchPredictions/fromExisting/", json={"predictionJobId": made["id"]}).json()
    assert served.until(again["id"], "COMPLETED", "ABORTED")["status"] == "COMPLETED"
    first, second = web.asked("POST")
    assert (first.path, first.headers["Authorization"]) == (second.path, second.headers["Authorization"])
    assert [leak for leak in LEAKS if leak.encode() in kept_there() + json.dumps([made, again]).encode()] == []


def test_a_request_is_known_again_without_its_secret(web: Web, served: Program) -> None:
    """No digest of a secret is kept, by which one could be guessed."""
    url = web.serve("/in.csv", page(WINES))
    body = {"deploymentId": served.deployments["wine"], "intakeSettings": {"type": "http", "url": f"{url}?sig=1"}}
    first = served.http.post("batchPredictions/", json=body, headers={"Idempotency-Key": "once"}).json()
    body["intakeSettings"]["url"] = f"{url}?sig=2"  # type: ignore[index]
    assert served.http.post("batchPredictions/", json=body, headers={"Idempotency-Key": "once"}).json()["id"] == first["id"]
    served.until(first["id"], "COMPLETED", "ABORTED")


def test_a_definition_keeps_its_secrets_for_its_runs(web: Web, served: Program, kept_there: Kept) -> None:
    intake = {"type": "http", "url": f"{web.serve('/in.csv', page(WINES))}?month=9&sig={SECRETS['SIG']}"}
    output = {"type": "http", "url": f"{web.serve('/out', status(201))}?{SECRETS['SAS']}"}
    output["headers"] = {"Authorization": f"Bearer {SECRETS['TOKEN']}", "X-Table": "wines"}  # type: ignore[assignment]
    body = {"deploymentId": served.deployments["wine"], "intakeSettings": intake, "outputSettings": output, "name": "signed"}
    made = served.http.post("batchPredictionJobDefinitions/", json=body).json()
    shown = served.http.patch(f"batchPredictionJobDefinitions/{made['id']}/", json={"name": "signed still"}).json()
    shown = [made, shown, served.http.get(f"batchPredictionJobDefinitions/{made['id']}/portable/").text]
    changed = {"outputSettings": made["batchPredictionJob"]["outputSettings"] | {"method": "PUT"}, "name": "signed for ever"}
    shown.append(served.http.patch(f"batchPredictionJobDefinitions/{made['id']}/", json=changed).json())
    run = served.http.post("batchPredictions/fromJobDefinition/", json={"jobDefinitionId": made["id"]}).json()
    assert served.until(run["id"], "COMPLETED", "ABORTED")["status"] == "COMPLETED"
    check_sent(web, "PUT")
    assert [leak for leak in LEAKS if leak.encode() in kept_there() + json.dumps(shown).encode()] == []


def test_a_secret_as_an_answer_shows_it_is_none(served: Program) -> None:
    output = {"type": "http", "url": f"http://h/out?sig={REDACTED}", "headers": {"Authorization": REDACTED}}
    refused = served.http.post("batchPredictions/", json={"deploymentId": served.deployments["wine"], "outputSettings": output})
    assert refused.status_code == 422
    assert refused.json()["errors"]["outputSettings"].keys() == {"url", "headers.Authorization"}
    store = {"type": "jdbc", "canonicalName": "copied", "params": {"jdbcUrl": f"jdbc:postgresql://h/d?password={REDACTED}"}}
    assert served.http.post("externalDataStores/", json=store).status_code == 422


def test_what_fails_is_told_without_the_secrets(web: Web, served: Program) -> None:
    web.serve("/in.csv", status(403))
    job = served.create({"type": "http", "url": f"{web.url}/in.csv?sig={SECRETS['SIG']}"})
    ended = served.until(job, "ABORTED")
    assert "/in.csv" in ended["statusDetails"]
    taken = {"type": "http", "url": f"{web.url}/nowhere?sig={SECRETS['SIG']}"}
    held = [served.http.post("batchPredictions/", json={"deploymentId": served.deployments["wine"], "outputSettings": taken}) for _ in range(2)]
    assert [answer.status_code for answer in held] == [202, 422]
    assert "which has not ended, writes to" in held[1].text
    assert SECRETS["SIG"] not in json.dumps(ended) + held[1].text + served.stderr


def test_a_data_store_is_kept_with_its_password_and_shown_without(served: Program, kept_there: Kept) -> None:
    url = "jdbc:postgresql://localhost:1/d?user=ada&password=pass-of-ada"
    store = {"type": "jdbc", "canonicalName": "crm", "params": {"driverId": "6" * 24, "jdbcUrl": url}}
    made = served.http.post("externalDataStores/", json=store).json()
    assert made["params"]["jdbcUrl"] == url.replace("pass-of-ada", REDACTED)
    # What the official client sends to rename it: the rest as it was shown.
    renamed = served.http.patch(f"externalDataStores/{made['id']}/", json={"canonicalName": "sales", "params": made["params"]}).json()
    assert (renamed["canonicalName"], renamed["params"]) == ("sales", made["params"])
    assert b"pass-of-ada" not in kept_there() + served.http.get("externalDataStores/").content


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ('{type: http, url: "http://h/out?sig=HUSH"}', "url"),
        ('{type: http, url: "http://ada:HUSH@h/out"}', "url"),
        ('{type: http, url: "http://h/out", headers: {Authorization: Bearer HUSH}}', "Authorization"),
        ('{type: http, url: "http://h/out", headers: {X-Api-Key: "${var.key}"}}', "X-Api-Key"),
        ("{type: s3, url: s3://b/out.csv, server_side_encryption: {customer_key: HUSH}}", "customer_key"),
    ],
    ids=["a parameter", "a user", "a header", "by a variable", "a key of the customer's"],
)
def test_a_secret_that_is_written_is_refused_without_its_line(root: Path, reconciler: Reconciler, settings: str, field: str) -> None:
    text = (root / "specs/jobs.yaml").read_text()
    lines = text[: text.index("    output_settings:")] + f"    output_settings:\n      {settings}\nvariables: {{key: {{default: HUSH}}}}\n"
    (root / "specs/jobs.yaml").write_text(lines)
    said = reconciler("plan", "-no-color")
    assert said.code == 1
    assert "Secret in a specification" in said.err
    assert f"There is a secret in {field}," in said.err
    assert "HUSH" not in said.out + said.err


def test_a_key_of_a_prediction_server_is_named_too(root: Path, reconciler: Reconciler) -> None:
    path = root / "specs/jobs.yaml"
    text = path.read_text()
    path.write_text(text + "    prediction_instance: {host_name: h, api_key: HUSH}\n")
    said = reconciler("validate", "-workspace=prod", "-no-color")
    assert (said.code, "There is a secret in api_key," in said.err, "HUSH" in said.err) == (1, True, False)
    path.write_text(text + '    prediction_instance: {host_name: h, api_key: "${env.TOKEN}"}\n')
    assert reconciler("validate", "-workspace=prod").code == 0


@pytest.mark.parametrize("address", ["${env.HOST}/in.csv", "http://h/${env.SIG}/in.csv", "http://${env.HOST}/in.csv?sig=${env.SIG}"])
def test_a_reference_stands_only_where_a_secret_may(root: Path, reconciler: Reconciler, address: str) -> None:
    path = root / "specs/jobs.yaml"
    before, _, rest = path.read_text().partition('intake_settings: {type: http, url: "')
    path.write_text(f'{before}intake_settings: {{type: http, url: "{address}{rest[rest.index(chr(34)) :]}')
    said = reconciler("validate", "-no-color")
    assert (said.code, "Environment variable not allowed" in said.err) == (1, True), said.err
