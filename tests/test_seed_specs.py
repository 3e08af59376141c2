"""DataRobot's own examples of other systems, as specs: scored here, and by `reconciler serve`. The rule here: one text for both workspaces.

The server's credentials and data stores are made through its API; the specs name them by their ids, with what the program looks with beside these.
"""

import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from house import REPOSITORY, Reconciler
from program import Program, project, serving
from served import check_scored, predictions, table
from servers.bigquery import BigQuery
from servers.google_keys import Keys, running_keys
from servers.synapse import Synapse
from systems import SYSTEMS, System, csv_rows, csv_text, other

from reconciler.planning import make_plan
from reconciler.project import Project
from reconciler.view.plan import reason_text

NUMBERS = itertools.count()
WINES = csv_rows((REPOSITORY / "specs/data/wine.csv").read_text())[:30]

HEAD = """\
workspaces:
  prod: {endpoint: "<endpoint>"}
deployments:
  wine: {local: specs/models/wine, prod: "<deployment>"}
"""


@dataclass(frozen=True)
class Example:
    """`opened`: what the API is given, by section and name, and what the specs say of it; both with `<words>` that `words` fills in."""

    system: str
    jobs: str
    credentials: Mapping[str, str] = field(default_factory=dict)
    data_stores: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)
    words: Callable[[Any, pytest.FixtureRequest, str], Mapping[str, str]] = lambda system, request, name: {}


LAKE = {"lake": "{type: s3, aws_access_key_id: '${env.LAKE_KEY_ID}', aws_secret_access_key: '${env.LAKE_KEY}'}"}
USER = {"crm": "{type: basic, user: '${env.CRM_USER}', password: '${env.CRM_PASSWORD}'}"}
STORE = {"crm": "{jdbc_url: '<url>'}"}


def _s3(server: Any) -> dict[str, str]:
    return {"LAKE_KEY_ID": server.access_key_id, "LAKE_KEY": server.secret_access_key, "endpoint_url": server.url}


def _of_postgresql(system: Any, request: pytest.FixtureRequest, name: str) -> dict[str, str]:
    from servers.postgres import PASSWORD

    return {"url": request.getfixturevalue("postgres").url(), "schema": system.reads["schema"], "CRM_USER": "test", "CRM_PASSWORD": PASSWORD}


def _of_snowflake(system: Any, request: pytest.FixtureRequest, name: str) -> dict[str, str]:
    server = request.getfixturevalue("snowflake")
    return {"url": server.url, "schema": system.reads["schema"], "CRM_USER": server.user, "CRM_PASSWORD": server.password, **_s3(server.seaweed)}


def _of_synapse(system: Any, request: pytest.FixtureRequest, name: str) -> dict[str, str]:
    server = request.getfixturevalue("synapse")
    server.external_source(f"lake {name}", name)
    opened = {"CRM_USER": server.user, "CRM_PASSWORD": server.password, "BLOBS": server.azurite.connection_string}
    return {"url": server.data_store["jdbcUrl"], "schema": system.reads["schema"], "source": f"lake {name}", **opened}


def _of_bigquery(system: Any, request: pytest.FixtureRequest, name: str) -> dict[str, str]:
    return {"dataset": system.reads["dataset"], "bucket": name, "GOOGLE_KEY": system.secrets["SYSTEM_gcpKey"]}


EXAMPLES = {
    "score_s3": Example(
        "s3",
        """
jobs:
  wine:
    deployment: wine
    intake_settings:
      type: s3
      url: s3://<name>/to_predict.csv
      credential: lake
      endpoint_url: <endpoint_url>
    output_settings:
      type: s3
      url: s3://<name>/predicted.csv
      credential: lake
      endpoint_url: <endpoint_url>
    passthrough_columns: [bottle_id]
""",
        credentials=LAKE,
        words=lambda system, request, name: _s3(request.getfixturevalue("seaweed")),
    ),
    "score_azure": Example(
        "azure",
        """
jobs:
  wine:
    deployment: wine
    intake_settings:
      type: azure
      url: <root>to_predict.csv
      credential: lake
    output_settings:
      type: azure
      url: <root>predicted.csv
      credential: lake
    passthrough_columns: [bottle_id]
""",
        credentials={"lake": "{type: azure, azure_connection_string: '${env.BLOBS}'}"},
        words=lambda system, request, name: {"root": system.cloud.root, "BLOBS": system.cloud.credential["azureConnectionString"]},
    ),
    "score_gcp": Example(
        "gcp",
        """
jobs:
  wine:
    deployment: wine
    intake_settings:
      type: gcp
      url: gs://<name>/to_predict.csv
      credential: lake
    output_settings:
      type: gcp
      url: gs://<name>/predicted.csv
      credential: lake
    passthrough_columns: [bottle_id]
""",
        credentials={"lake": "{type: gcp, gcp_key: '${env.GOOGLE_KEY}'}"},
        words=lambda system, request, name: {"GOOGLE_KEY": json.dumps(request.getfixturevalue("google_keys").account())},
    ),
    "AI Catalog": Example(
        "s3",
        """
jobs:
  wine:
    deployment: wine
    intake_settings:
      type: dataset
      dataset: wines
    output_settings:
      type: s3
      url: s3://<name>/predicted.csv
      credential: lake
      endpoint_url: <endpoint_url>
    passthrough_columns: [bottle_id]
""",
        credentials=LAKE,
        datasets={"wines": "data/to_predict.csv"},
        words=lambda system, request, name: _s3(request.getfixturevalue("seaweed")),
    ),
    "JDBC PostgreSQL": Example(
        "postgresql",
        """
jobs:
  wine:
    deployment: wine
    intake_settings:
      type: jdbc
      table: to_predict
      schema: <schema>
      data_store: crm
      credential: crm
    probe: SELECT count(*), sum(alcohol) FROM "<schema>".to_predict
    output_settings:
      type: jdbc
      table: predicted
      schema: <schema>
      statement_type: insert_update
      update_columns: [cultivar_barbera_PREDICTION, cultivar_barolo_PREDICTION, cultivar_grignolino_PREDICTION, cultivar_PREDICTION]
      where_columns: [bottle_id]
      create_table_if_not_exists: true
      data_store: crm
      credential: crm
    passthrough_columns: [bottle_id]
""",
        credentials=USER,
        data_stores=STORE,
        words=_of_postgresql,
    ),
    "Snowflake": Example(
        "snowflake",
        """
jobs:
  wine:
    deployment: wine
    intake_settings:
      type: snowflake
      table: to_predict
      schema: <schema>
      external_stage: PUBLIC.LAKE
      data_store: crm
      credential: crm
      cloud_storage_type: s3
      cloud_storage_credential: lake
    output_settings:
      type: snowflake
      table: predicted
      schema: <schema>
      external_stage: PUBLIC.LAKE
      data_store: crm
      credential: crm
      cloud_storage_type: s3
      cloud_storage_credential: lake
      statement_type: insert
      create_table_if_not_exists: true
    passthrough_columns: [bottle_id]
""",
        credentials=USER | LAKE,
        data_stores=STORE,
        words=_of_snowflake,
    ),
    "Synapse": Example(
        "synapse",
        """
jobs:
  wine:
    deployment: wine
    intake_settings:
      type: synapse
      table: to_predict
      schema: <schema>
      external_data_source: <source>
      data_store: crm
      credential: crm
      cloud_storage_credential: blobs
    probe: SELECT COUNT(*), SUM([alcohol]) FROM [<schema>].[to_predict]
    output_settings:
      type: synapse
      table: predicted
      schema: <schema>
      external_data_source: <source>
      data_store: crm
      credential: crm
      cloud_storage_credential: blobs
      statement_type: insert
      create_table_if_not_exists: true
    passthrough_columns: [bottle_id]
""",
        credentials=USER | {"blobs": "{type: azure, azure_connection_string: '${env.BLOBS}'}"},
        data_stores=STORE,
        words=_of_synapse,
    ),
    "BigQuery": Example(
        "bigquery",
        """
jobs:
  wine:
    deployment: wine
    intake_settings:
      type: bigquery
      dataset: <dataset>
      table: to_predict
      bucket: <bucket>
      credential: google
    output_settings:
      type: bigquery
      dataset: <dataset>
      table: predicted
      bucket: <bucket>
      credential: google
    passthrough_columns: [bottle_id]
""",
        credentials={"google": "{type: gcp, gcp_key: '${env.GOOGLE_KEY}'}"},
        words=_of_bigquery,
    ),
    "HTTP": Example(
        "http",
        """
jobs:
  wine:
    deployment: wine
    intake_settings:
      type: http
      url: <web>/to_predict.csv
    output_settings:
      type: http
      url: <web>/predicted.csv
      method: PUT
    passthrough_columns: [bottle_id]
""",
        words=lambda system, request, name: {"web": system.web.url},
    ),
}


@pytest.fixture(scope="session")
def google_keys() -> Iterator[Keys]:
    with running_keys() as keys:
        yield keys


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory, bigquery: BigQuery, synapse: Synapse) -> Iterator[Program]:
    """It needs what Microsoft's driver needs, and Google's variables."""
    with serving(project(tmp_path_factory.mktemp("served")), **bigquery.variables) as running:
        yield running


@dataclass
class Case:
    """An example in a project of its own, of which everything is there but the output."""

    example: Example
    system: System
    workspace: str
    root: Path
    program: Program
    secrets: list[str]
    dataset: str = ""

    def change(self) -> None:
        """One row of its intake is another."""
        if not self.dataset:
            self.system.change("to_predict.csv", other(WINES))
        elif self.workspace == "prod":
            upload(self.program, other(WINES), self.dataset)
        else:
            (self.root / "data/to_predict.csv").write_text(csv_text(other(WINES)))

    def reasons(self) -> dict[str, list[str]]:
        made = make_plan(Project(self.root, self.root / "state/reconciler.db", self.workspace))
        assert made.notes == ()
        return {change.address: [reason_text(reason, change) for reason in change.reasons] for change in made.changes}

    def scored(self) -> dict[str, list[str]]:
        """By column, in the order of the wines, of the last run."""
        rows = self.system.read("predicted.csv")[-len(WINES) :]
        by_bottle = {row["bottle_id"]: row for row in rows}
        assert len(by_bottle) == len(WINES)
        return {name: [by_bottle[wine["bottle_id"]][name] for wine in WINES] for name in rows[0]}

    def kept(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted((self.root / "state").rglob("*")) if path.is_file())


def upload(program: Program, rows: list[dict[str, str]], dataset: str = "") -> tuple[str, str]:
    path = f"datasets/{dataset}/versions/fromFile/" if dataset else "datasets/fromFile/"
    answer = program.http.post(path, files={"file": ("to_predict.csv", csv_text(rows).encode())})
    assert answer.status_code == 202, answer.text
    return answer.json()["catalogId"], answer.json()["catalogVersionId"]


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Example:
    return EXAMPLES[request.param]


@pytest.fixture(params=["local", "prod"])
def case(
    request: pytest.FixtureRequest, example: Example, program: Program, google_keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Case:
    for name in [name for name in os.environ if name.startswith("DATAROBOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATAROBOT_API_TOKEN", program.token)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(REPOSITORY / "specs/models/wine", tmp_path / "specs/models/wine")
    (tmp_path / "data").mkdir()
    name = f"seed-{next(NUMBERS)}"
    system = SYSTEMS[example.system](request, name)
    made = system.make("to_predict.csv", WINES)
    system.output("predicted.csv")
    words = {"name": name, "endpoint": program.document["endpoint"], "deployment": program.deployments["wine"]}
    words |= example.words(system, request, name)
    secret = {word: text for word, text in words.items() if word.isupper()}
    for word, text in (dict(request.getfixturevalue("bigquery").variables) | secret).items():
        monkeypatch.setenv(word, text)
    assert made
    case = Case(example, system, request.param, tmp_path, program, [text for word, text in secret.items() if word not in ("LAKE_KEY_ID", "CRM_USER")])
    document = filled(HEAD, words)
    for section in ("credentials", "data_stores"):
        document += f"{section}:\n" if getattr(example, section) else ""
        for opener, text in getattr(example, section).items():
            said = filled(text, words)
            id = created(program, section, f"{name} {opener}", said, secret)
            document += f"  {opener}:\n    local: {said}\n    prod: {{id: {id}, {said[1:]}\n"
    for dataset, file in example.datasets.items():
        (tmp_path / file).write_text(csv_text(WINES))
        case.dataset, _ = upload(program, WINES)
        document += f"datasets:\n  {dataset}: {{local: {file}, prod: {case.dataset}}}\n"
    (tmp_path / "specs/jobs.yaml").write_text(document + filled(example.jobs, words))
    return case


def filled(text: str, words: Mapping[str, str]) -> str:
    return re.sub(r"<(\w+)>", lambda found: words[found[1]], text)


def created(program: Program, section: str, name: str, said: str, secret: Mapping[str, str]) -> str:
    """Its id: what the specs say of it, as the API is told it."""
    import yaml
    from pydantic.alias_generators import to_camel

    given = {to_camel(key): secret.get(str(value)[6:-1], value) for key, value in yaml.safe_load(said).items()}
    if section == "data_stores":
        body = {"type": "jdbc", "canonicalName": name, "params": {"driverId": "6" * 24, **given}}
        answer = program.http.post("externalDataStores/", json=body)
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["id"])
    given["credentialType"] = given.pop("type")
    if "gcpKey" in given:
        given["gcpKey"] = json.loads(given["gcpKey"])
    answer = program.http.post("credentials/", json={"name": name, **given})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["credentialId"])


def test_example_is_scored_and_then_up_to_date_until_one_row_changes(case: Case, reconciler: Reconciler) -> None:
    assert case.reasons() == {"job.wine": ["never run"]}
    said = reconciler("apply", f"-workspace={case.workspace}", "-auto-approve", "-no-color")
    assert said.code == 0, said.out + said.err
    given = table(csv_text(WINES))
    check_scored(case.scored(), predictions(case.root, "wine", given), {"bottle_id": given["bottle_id"]})
    assert case.reasons() == {}

    case.change()
    ((address, (why,)),) = case.reasons().items()
    assert (address, why.split(":")[0]) == ("job.wine", "intake changed")
    again = reconciler("apply", f"-workspace={case.workspace}", "-auto-approve", "-no-color")
    assert again.code == 0, again.out + again.err
    assert case.reasons() == {}
    for secret in case.secrets:
        assert secret not in said.out + said.err + again.out + again.err
        assert secret.encode() not in case.kept()


def test_dataset_of_a_given_version_stays_scored_when_another_comes(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reconciler: Reconciler
) -> None:
    for name in [name for name in os.environ if name.startswith("DATAROBOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DATAROBOT_API_TOKEN", program.token)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs").mkdir()
    dataset, first = upload(program, WINES)
    jobs = """
datasets: {wines: {prod: <dataset>}}
jobs:
  pinned:
    deployment: wine
    intake_settings: {type: dataset, dataset: wines, dataset_version_id: <version>}
    output_settings: {type: localFile, path: out/pinned.csv}
  latest:
    deployment: wine
    intake_settings: {type: dataset, dataset_id: <dataset>}
    output_settings: {type: localFile, path: out/latest.csv}
"""
    words = {"endpoint": program.document["endpoint"], "deployment": program.deployments["wine"], "dataset": dataset, "version": first}
    (tmp_path / "specs/jobs.yaml").write_text(filled(HEAD + jobs, words))

    def planned() -> dict[str, list[str]]:
        made = make_plan(Project(tmp_path, tmp_path / "state/reconciler.db", "prod"))
        return {change.address: [str(reason) for reason in change.reasons] for change in made.changes}

    assert reconciler("apply", "-workspace=prod", "-auto-approve").code == 0
    assert (tmp_path / "out/pinned.csv").read_text() == (tmp_path / "out/latest.csv").read_text()
    assert planned() == {}
    upload(program, other(WINES), dataset)
    assert planned() == {"job.latest": ["intake changed"]}
    assert reconciler("apply", "-workspace=prod", "-auto-approve").code == 0
    assert (tmp_path / "out/pinned.csv").read_text() != (tmp_path / "out/latest.csv").read_text()
    assert planned() == {}
