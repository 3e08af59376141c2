"""Loading a whole configuration: instances, names, variables, files."""

import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.diagnostic import Diagnostic
from reconciler.errors import SpecInvalid
from reconciler.spec.files import spec_files
from reconciler.spec.loader import Configuration, load

Loaded = Callable[..., Configuration]


def test_the_design_s_own_example_is_read(loaded: Loaded, design: str) -> None:
    configuration = loaded(design, workspace="prod")

    assert configuration.endpoint == {"endpoint": "https://app.datarobot.com/api/v2"}
    assert configuration.deployments == {"churn": "616d01a8ddbd17fc2c75caf4"}
    assert [instance.address for instance in configuration.instances] == ['job.churn["2026-09"]', 'job.churn["2026-10"]']
    instance = configuration.instances[1]
    assert (instance.deployment, instance.file, instance.line) == ("churn", "specs/jobs.yaml", 18)
    assert (instance.intake_file, instance.output_file, instance.depends_on) == (None, None, ())
    assert instance.spec == {
        "deployment": "616d01a8ddbd17fc2c75caf4",
        "intake": {"type": "s3", "url": "s3://lake/2026-10/to_predict.csv", "credentialId": "6166c01ee91fb6641ecd28bd"},
        "output": {"type": "s3", "url": "s3://lake/2026-10/predicted.csv", "credentialId": "6166c01ee91fb6641ecd28bd"},
        "options": {"passthroughColumnsSet": "all", "maxExplanations": 3, "thresholdHigh": 0.5, "thresholdLow": 0.15},
    }


def test_a_binding_with_settings_is_known_by_its_name(loaded: Loaded, design: str) -> None:
    (first, _) = loaded(design).instances

    assert first.spec["deployment"] == "models/churn"
    assert first.spec["intake"]["credentialId"] == "lake"


def test_a_job_as_a_script_has_it_is_read(loaded: Loaded) -> None:
    (instance,) = loaded(
        "jobs:\n  a: {deploymentId: 616d01a8ddbd17fc2c75caf4, intakeSettings: {type: dataset, datasetId: 60aa, datasetVersionId: 60ab},"
        " outputSettings: {type: jdbc, dataStoreId: 5f3c, table: t, schema: public, statement_type: insert_update,"
        " update_columns: [a], where_columns: [b], credential_id: null}, maxExplanations: 2}\n"
        "workspaces: {prod: {endpoint: datarobot}}\n",
        workspace="prod",
    ).instances

    assert instance.deployment == "616d01a8ddbd17fc2c75caf4"
    assert instance.spec == {
        "deployment": "616d01a8ddbd17fc2c75caf4",
        "intake": {"type": "dataset", "datasetId": "60aa", "datasetVersionId": "60ab"},
        "output": {
            "type": "jdbc",
            "dataStoreId": "5f3c",
            "table": "t",
            "schema": "public",
            "statementType": "insertUpdate",
            "updateColumns": ["a"],
            "whereColumns": ["b"],
        },
        "options": {"maxExplanations": 2},
    }


@pytest.mark.parametrize(
    ("workspace", "settings", "wire"),
    [
        pytest.param(
            "prod",
            "{type: jdbc, data_store: warehouse, credential: lake, table: t}",
            {"type": "jdbc", "dataStoreId": "5f3c7a000000000000000001", "credentialId": "6166c01ee91fb6641ecd28bd", "table": "t"},
            id="a data store and a credential",
        ),
        pytest.param("local", "{type: dataset, dataset: customers}", {"type": "localFile", "file": "data/customers.csv"}, id="a dataset"),
        pytest.param(
            "local", "{type: jdbc, dataStore: warehouse, query: q}", {"type": "jdbc", "dataStoreId": "warehouse", "query": "q"}, id="camelCase"
        ),
        pytest.param(
            "local",
            "{type: snowflake, data_store_id: snow, table: t, cloud_storage_credential: lake}",
            {"type": "snowflake", "dataStoreId": "snow", "table": "t", "cloudStorageCredentialId": "lake"},
            id="a cloud storage credential",
        ),
        pytest.param(
            "local", "{type: bigQuery, dataset: d, table: t}", {"type": "bigquery", "dataset": "d", "table": "t"}, id="BigQuery's own dataset"
        ),
    ],
)
def test_a_name_stands_for_its_id(loaded: Loaded, head: str, job: Callable[..., str], workspace: str, settings: str, wire: dict[str, Any]) -> None:
    text = head.replace("warehouse:", "snow: {local: {jdbc_url: 'jdbc:snowflake://a.snowflakecomputing.com'}}\n  warehouse:")
    text += job(replace={"{type: localFile, file: data/a.csv}": settings})

    (instance,) = loaded(text, workspace=workspace).instances

    assert instance.spec["intake"] == wire


@pytest.mark.parametrize(
    ("target", "spec"),
    [
        ("deployment_id: 5", {"deployment": "5"}),
        ("model_id: 616d", {"modelId": "616d"}),
        ("modelPackageId: 616d", {"modelPackageId": "616d"}),
    ],
)
def test_a_target_may_be_an_id(loaded: Loaded, head: str, job: Callable[..., str], target: str, spec: dict[str, str]) -> None:
    (instance,) = loaded(head + job(replace={"deployment: churn": target}), workspace="prod").instances

    assert {key: value for key, value in instance.spec.items() if key not in ("intake", "output", "options")} == spec
    assert instance.deployment == next(iter(spec.values()))


@pytest.mark.parametrize(
    ("for_each", "keys"),
    [
        ('["b", "a", "${var.month}"]', ["2026-10", "a", "b"]),
        ("{eu: {bucket: x}, us: {bucket: y}}", ["eu", "us"]),
        ("${var.columns}", ["id", "name"]),
        ("[]", []),
        ("{}", []),
    ],
)
def test_a_job_has_an_instance_for_each_key(loaded: Loaded, head: str, job: Callable[..., str], for_each: str, keys: list[str]) -> None:
    text = head + job("a", f"for_each: {for_each}", replace={"data/a.csv": '"data/${each.key}.csv"', "out/a.csv": '"out/${each.key}.csv"'})

    instances = loaded(text).instances

    assert [instance.address for instance in instances] == [f'job.a["{key}"]' for key in keys]
    assert [instance.intake_file for instance in instances] == [f"data/{key}.csv" for key in keys]
    assert [instance.output_file for instance in instances] == [f"out/{key}.csv" for key in keys]


def test_each_value_reaches_settings_options_and_description(loaded: Loaded, head: str, job: Callable[..., str]) -> None:
    lines = ("for_each: {x: {n: 2, path: o.csv}, y: {n: 4, path: p.csv}}", "max_explanations: ${each.value.n}", "description: 'Part ${each.key}'")

    first, second = loaded(head + job("a", *lines, replace={"out/a.csv": '"${each.value.path}"'})).instances

    assert [instance.spec["options"] for instance in (first, second)] == [{"maxExplanations": 2}, {"maxExplanations": 4}]
    assert (first.output_file, second.output_file) == ("o.csv", "p.csv")
    assert second.metadata == {"description": "Part y"}
    assert first.digest != second.digest


@pytest.mark.parametrize(
    ("lines", "file", "waits"),
    [
        pytest.param(("depends_on: [a]",), "x.csv", ('job.a["k1"]', 'job.a["k2"]'), id="a job's name means all its instances"),
        pytest.param(("depends_on: [job.a]",), "x.csv", ('job.a["k1"]', 'job.a["k2"]'), id="with or without job"),
        pytest.param(("depends_on: ['job.a[\"k2\"]']",), "x.csv", ('job.a["k2"]',), id="one instance"),
        pytest.param(("depends_on: ['a[\"k2\"]', 'job.a[\"k2\"]']",), "x.csv", ('job.a["k2"]',), id="each address once"),
        pytest.param((), """'${job.a["k2"].output}'""", ('job.a["k2"]',), id="a reference waits by itself"),
        pytest.param(("depends_on: ['job.a[\"k1\"]']",), """'${job.a["k2"].output}'""", ('job.a["k1"]', 'job.a["k2"]'), id="both"),
    ],
)
def test_an_instance_waits(loaded: Loaded, head: str, job: Callable[..., str], lines: tuple[str, ...], file: str, waits: tuple[str, ...]) -> None:
    upstream = job("a", "for_each: [k1, k2]", replace={"out/a.csv": '"out/${each.key}.csv"'})
    # The one that waits comes first in the file and in the alphabet of jobs.
    text = head + job("_b", *lines, replace={"data/_b.csv": file}) + upstream

    waiting = next(instance for instance in loaded(text).instances if instance.address == "job._b")

    assert waiting.depends_on == waits


def test_each_instance_may_wait_for_the_one_of_its_key(loaded: Loaded, head: str, job: Callable[..., str]) -> None:
    first = job("a", "for_each: [x, y]", replace={"out/a.csv": '"out/${each.key}.csv"'})
    second = job("b", "for_each: [x, y]", replace={"data/b.csv": '"${job.a[each.key].output}"', "out/b.csv": '"last/${each.key}.csv"'})

    *_, last = loaded(head + first + second).instances

    assert (last.intake_file, last.depends_on) == ("out/y.csv", ('job.a["y"]',))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, {"maxExplanations": 3, "passthroughColumns": ["id", "name"]}),
        ({"explanations": "5"}, {"maxExplanations": 5, "passthroughColumns": ["id", "name"]}),
        ({"columns": "[a]"}, {"maxExplanations": 3, "passthroughColumns": ["a"]}),
    ],
)
def test_a_given_text_replaces_a_default(loaded: Loaded, head: str, job: Callable[..., str], given: dict[str, str], said: dict[str, Any]) -> None:
    text = head + job("a", "max_explanations: ${var.explanations}", "passthrough_columns: ${var.columns}")

    assert loaded(text, variables=given).instances[0].spec["options"] == said


@pytest.mark.parametrize("given", ["5", "true", "[a", "${var.x}"])
def test_a_text_given_for_a_text_stays_as_it_is(loaded: Loaded, head: str, job: Callable[..., str], given: str) -> None:
    (instance,) = loaded(head + job("a", "description: ${var.month}"), variables={"month": given}).instances

    assert instance.metadata == {"description": given}


def test_several_files_are_one_configuration(write: Callable[..., Path], head: str, job: Callable[..., str]) -> None:
    write(head, "specs/base.yaml")
    write("", "specs/empty.yaml")
    root = write("jobs:\n" + job("a"), "specs/team/a.yml")

    (instance,) = load(root).instances

    assert (instance.file, instance.line) == ("specs/team/a.yml", 2)


def test_files_of_models_and_hidden_files_are_not_specifications(write: Callable[..., Path]) -> None:
    for file in ("a.yaml", "b/c.yml", "b/.d.yaml", ".git/e.yaml", "f.txt", "g.yaml/h.yaml"):
        write("", f"specs/{file}")
    for file in ("m/model-metadata.yaml", "m/other.yaml", "m/deep/x.yaml", "n/MLmodel", "n/conda.yaml"):
        write("", f"specs/models/{file}")
    root = write("", "other/x.yaml")

    assert [path.relative_to(root).as_posix() for path in spec_files(root)] == ["specs/a.yaml", "specs/b/c.yml", "specs/g.yaml/h.yaml"]


@pytest.mark.parametrize("text", ["", "jobs:\n", "jobs: {}\n", "deployments: {a: {local: m}}\n"])
def test_no_jobs_are_no_instances(loaded: Loaded, text: str) -> None:
    assert loaded(text).instances == ()


def test_a_project_without_specs_is_told_where_to_begin(tmp_path: Path) -> None:
    with pytest.raises(SpecInvalid) as caught:
        load(tmp_path)

    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.summary == "No specifications"
    assert str(tmp_path / "specs") in diagnostic.detail


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("out/x.csv", "out/x.csv"),
        ("./out//y/../x.csv", "out/x.csv"),
        ("ROOT/out/x.csv", "out/x.csv"),
        ("../out/x.csv", "../out/x.csv"),
        ("/elsewhere/./x.csv", "/elsewhere/x.csv"),
        ("übung 1.csv", "übung 1.csv"),
    ],
)
def test_a_path_has_one_spelling(write: Callable[..., Path], tmp_path: Path, head: str, job: Callable[..., str], path: str, normal: str) -> None:
    text = head + job(replace={"out/a.csv": "'" + path.replace("ROOT", str(tmp_path)) + "'"})

    (instance,) = load(write(text)).instances

    assert instance.output_file == instance.spec["output"]["path"] == normal


def test_a_relative_root_gives_the_same_paths(
    write: Callable[..., Path], head: str, job: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(head + job())
    monkeypatch.chdir(root)

    assert load(Path()) == load(root)


def test_an_endpoint_keeps_its_environment_variables(loaded: Loaded, head: str) -> None:
    assert loaded(head, workspace="prod").endpoint == {"endpoint": "https://app.example.com/${env.SITE}/api/v2"}


HEAD = """\
variables: {month: {default: "2026-10"}}
workspaces: {prod: WRITTEN}
"""


@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param("{}", None, id="nothing"),
        pytest.param("{endpoint: , token: }", None, id="nulls"),
        pytest.param("{endpoint: datarobot}", {"endpoint": "datarobot"}, id="where the official client would connect"),
        pytest.param('{endpoint: "https://h/${var.month}"}', {"endpoint": "https://h/2026-10"}, id="a variable"),
        pytest.param(
            '{endpoint: "http://h", token: "${ env.T }", token_type: Bearer, allow_http: true}',
            {"endpoint": "http://h", "token": "${env.T}", "token_type": "Bearer", "allow_http": True},
            id="a token by its name",
        ),
        pytest.param(
            "{endpoint: datarobot, connect_timeout: 30s, read_timeout: 1.5}",
            {"endpoint": "datarobot", "connect_timeout": 30.0, "read_timeout": 1.5},
            id="times",
        ),
    ],
)
def test_settings_of_an_endpoint(loaded: Loaded, written: str, read: dict[str, Any] | None) -> None:
    assert loaded(HEAD.replace("WRITTEN", written), workspace="prod").endpoint == read


@pytest.mark.parametrize(
    ("written", "read"), [("certs/ca.pem", "ROOT/certs/ca.pem"), ("/etc/ca.pem", "/etc/ca.pem"), ("~/ca.pem", "~/ca.pem"), ("${env.CA}", "${env.CA}")]
)
def test_authorities_of_an_endpoint_are_a_file_of_the_project(loaded: Loaded, tmp_path: Path, written: str, read: str) -> None:
    endpoint = loaded(f"workspaces: {{prod: {{endpoint: datarobot, ca_file: '{written}'}}}}\n", workspace="prod").endpoint
    assert endpoint == {"endpoint": "datarobot", "ca_file": read.replace("ROOT", str(tmp_path))}


def test_ids_of_an_endpoint_are_under_the_api_s_own_keys(loaded: Loaded, head: str, job: Callable[..., str]) -> None:
    intake = "{type: jdbc, data_store: warehouse, credential: lake, table: t}"
    text = head + job("a", replace={"{type: localFile, file: data/a.csv}": intake})
    text += job("b", replace={"{type: localFile, file: data/b.csv}": "{type: dataset, dataset: customers}"})
    first, second = loaded(text, workspace="prod").instances
    assert first.spec["deployment"] == "616d01a8ddbd17fc2c75caf4"
    assert first.spec["intake"] == {
        "type": "jdbc",
        "dataStoreId": "5f3c7a000000000000000001",
        "credentialId": "6166c01ee91fb6641ecd28bd",
        "table": "t",
    }
    assert second.spec["intake"] == {"type": "dataset", "datasetId": "60aa00000000000000000001"}


@pytest.mark.parametrize("bound", ["models/churn", "a b", "..", "https://x"])
def test_an_endpoint_knows_a_deployment_by_its_id(refused: Callable[..., Any], bound: str) -> None:
    (diagnostic,) = refused(f"workspaces: {{prod: {{endpoint: datarobot}}}}\ndeployments: {{churn: {{prod: '{bound}'}}}}\n")
    assert diagnostic.summary == "Invalid deployment"
    assert "by its id" in diagnostic.detail


@pytest.mark.parametrize(
    ("lines", "metadata"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param(["description: Churn", "tags: [a]"], {"description": "Churn", "tags": ["a"]}, id="for people"),
        pytest.param(["timeouts: {queue: 30m, run: }"], {"timeouts": {"queue": "30m"}}, id="one timeout"),
        pytest.param(["timeouts: {queue: 1m, run: 1h30m, total: 2d}"], {"timeouts": {"queue": "1m", "run": "1h30m", "total": "2d"}}, id="all"),
        pytest.param(["retries: 0"], {"retries": 0}, id="no retries"),
        pytest.param(["on_unknown: rerun"], {}, id="what is for the plan alone"),
    ],
)
def test_what_the_scorer_never_sees(loaded: Loaded, head: str, job: Callable[..., str], lines: list[str], metadata: dict[str, Any]) -> None:
    (plain,), (instance,) = loaded(head + job()).instances, loaded(head + job("a", *lines)).instances
    assert instance.metadata == metadata
    assert (instance.digest, instance.spec) == (plain.digest, plain.spec)


def test_only_deployments_bound_in_the_workspace_are_known(loaded: Loaded, head: str) -> None:
    assert loaded(head).deployments == {"churn": "models/churn"}
    assert sorted(loaded(head, workspace="prod").deployments) == ["churn", "credit"]


def test_trust_is_no_part_of_what_is_scored(loaded: Loaded, head: str, job: Callable[..., str]) -> None:
    plain = loaded(head + job())
    assert plain.trusted == frozenset()
    for trust, trusted in (("", set()), (", trust: false", set()), (", trust: true", {"models/churn"})):
        text = (head + job()).replace("local: ./models/churn/", f"local: {{model: ./models/churn/{trust}}}")
        assert text != head + job()
        configuration = loaded(text)
        assert configuration.instances == plain.instances
        assert configuration.deployments == plain.deployments
        assert configuration.trusted == trusted
        assert loaded(text, workspace="prod").trusted == frozenset()


def test_what_the_embedded_service_cannot_do_is_no_matter_elsewhere(loaded: Loaded, head: str, job: Callable[..., str]) -> None:
    configuration = loaded(
        head + job(), workspace="prod", refusals=lambda options, folder: iter([("max_explanations", "no")]), local_types=frozenset({"s3"})
    )

    assert len(configuration.instances) == 1


@pytest.mark.parametrize("is_on", [True, False])
def test_the_garbage_collector_is_left_as_it_was(loaded: Loaded, is_on: bool) -> None:
    was_on = gc.isenabled()
    try:
        (gc.enable if is_on else gc.disable)()
        loaded("")
        assert gc.isenabled() is is_on
    finally:
        (gc.enable if was_on else gc.disable)()


def test_a_thousand_keys_share_what_they_do_not_vary(loaded: Loaded, head: str, job: Callable[..., str]) -> None:
    keys = ", ".join(f"k{number}" for number in range(1000))

    instances = loaded(head + job("a", f"for_each: [{keys}]", "max_explanations: 3", replace={"out/a.csv": '"o/${each.key}.csv"'})).instances

    assert len({instance.digest for instance in instances}) == 1000
    assert len({id(instance.spec["options"]) for instance in instances}) == 1


def test_template_that_will_have_no_time_is_told(refused: Callable[..., tuple[Diagnostic, ...]], head: str, job: Callable[..., str]) -> None:
    sides = {
        "{type: localFile, file: data/a.csv}": "{type: jdbc, data_store: warehouse, query: 'SELECT {{ next_scheduled_run_time }}'}",
        "{type: localFile, path: out/a.csv}": "{type: jdbc, data_store: warehouse, table: 't_{{ now }}', statement_type: insert}",
    }
    found = refused(head + job("a", "probe: SELECT {{ x }}, {{ current_run_time }}", replace=sides))
    assert {diagnostic.summary for diagnostic in found} == {"Invalid template"}
    assert {re.split("[;:]", diagnostic.detail)[0] for diagnostic in found} == {
        "There is no next_scheduled_run_time",
        "There is no template variable 'now'",
        "There is no template variable 'x'",
    }


def test_templates_are_the_endpoint_s_where_there_is_one(loaded: Loaded, head: str, job: Callable[..., str]) -> None:
    query = "{type: jdbc, data_store: warehouse, query: 'SELECT {{ next_scheduled_run_time }}'}"
    assert loaded(head + job("a", replace={"{type: localFile, file: data/a.csv}": query}), workspace="prod").instances
