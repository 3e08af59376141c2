"""What opens a system, as it is written: what is taken, and what is refused without a word of it being shown."""

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.credential import KINDS, OPEN, TYPES, needed
from reconciler.diagnostic import Diagnostic
from reconciler.spec.loader import Configuration

Loaded = Callable[..., Configuration]
Refused = Callable[..., tuple[Diagnostic, ...]]

ENDPOINT = "workspaces: {prod: {endpoint: datarobot}}\n"
S3 = 'type: s3, aws_access_key_id: "${env.A}", aws_secret_access_key: "${env.B}"'


def credential(written: str) -> str:
    return f"credentials:\n  lake:\n    local: {written}\n"


def store(written: str) -> str:
    return f"data_stores:\n  crm:\n    local: {written}\n"


def with_snow(head: str) -> str:
    return head.replace("data_stores:", "data_stores:\n  snow: {local: {jdbc_url: 'jdbc:snowflake://a.snowflakecomputing.com'}}")


def underlined(diagnostic: Diagnostic) -> str:
    place = diagnostic.place
    assert place is not None and place.text is not None and place.column is not None
    return place.text.strip()


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        pytest.param(f"{{{S3}}}", {"credentialType": "s3", "awsAccessKeyId": "${env.A}", "awsSecretAccessKey": "${env.B}"}, id="by the environment"),
        pytest.param(
            '{credentialType: s3, awsAccessKeyId: "${ env.A }", awsSecretAccessKey: {file: ./keys/../key}, aws_session_token: }',
            {"credentialType": "s3", "awsAccessKeyId": "${env.A}", "awsSecretAccessKey": {"file": "key"}},
            id="camelCase, a file, and nothing",
        ),
        pytest.param(
            '{type: basic, user: ada, password: "${env.P}", snowflake_account_name: "${env.ORG}-eu"}',
            {"credentialType": "basic", "user": "ada", "password": "${env.P}", "snowflakeAccountName": "${env.ORG}-eu"},
            id="what is no secret is written",
        ),
        pytest.param(
            '{type: basic, user: 007, password: "${env.P}"}', {"credentialType": "basic", "user": "007", "password": "${env.P}"}, id="digits"
        ),
        pytest.param("{type: gcp, gcp_key: {file: key.json}}", {"credentialType": "gcp", "gcpKey": {"file": "key.json"}}, id="a service account"),
        pytest.param(
            '{type: adls_gen2_oauth, client_id: c, client_secret: "${env.S}", oauth_scopes: [a, b]}',
            {"credentialType": "adls_gen2_oauth", "clientId": "c", "clientSecret": "${env.S}", "oauthScopes": ["a", "b"]},
            id="a list",
        ),
    ],
)
def test_credential_is_kept_with_its_secrets_as_references(loaded: Loaded, written: str, kept: dict[str, Any]) -> None:
    assert loaded(credential(written)).openers["credentials"] == {"lake": {"name": "lake", "fields": kept}}


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_credential_can_be_written(loaded: Loaded, kind: str) -> None:
    fields = {name: "[a]" if name == "oauth_scopes" else '"${env.X}"' for name in needed(KINDS[kind])}
    written = ", ".join(f"{name}: {value}" for name, value in fields.items())
    (kept,) = loaded(credential(f"{{type: {kind}, {written}}}")).openers["credentials"].values()
    assert len(kept["fields"]) == len(fields) + 1


def test_what_is_open_is_a_field_of_some_type() -> None:
    assert {name for kind in KINDS.values() for name in kind.model_fields} > OPEN


@pytest.mark.parametrize(
    ("written", "summary", "shown", "said"),
    [
        pytest.param("{type: basic, user: ada, password: s3cr3t}", "Secret in a specification", "password", "password: ${env.NAME}", id="a password"),
        pytest.param("{type: basic, user: a, password: 's3cr3t${env.A}'}", "Secret in a specification", "password", "version control", id="a part"),
        pytest.param("{type: basic, user: a, password: 123}", "Secret in a specification", "password", "version control", id="digits"),
        pytest.param("{type: basic, user: a, password: [s3cr3t]}", "Secret in a specification", "password", "version control", id="a list"),
        pytest.param("{type: gcp, gcp_key: {private_key: s3cr3t}}", "Secret in a specification", "gcp_key", "{file: path}", id="a service account"),
        pytest.param("{type: azure, azureConnectionString: s3cr3t}", "Secret in a specification", "azureConnectionString", "{file", id="camelCase"),
        pytest.param("{type: basic, user: [s3cr3t], password: '${env.P}'}", "Invalid value", "user", "must be a text", id="a list for a name"),
        pytest.param("{type: s3cr3t}", "Unknown credential type", "type", "not a type of credential", id="a secret for a type"),
        pytest.param("{type: s3x}", "Unknown credential type", "type", 'Did you mean "s3"?', id="a type with a typo"),
        pytest.param("{}", "Missing key", "local", "needs type: one of basic, oauth, s3", id="no type"),
        pytest.param("{type: s3}", "Missing key", "local", "needs aws_access_key_id and aws_secret_access_key", id="nothing in it"),
        pytest.param(
            "{type: basic, user: a, passwrd: s3cr3t, password: '${env.P}'}", "Unknown key", "passwrd", 'Did you mean "password"?', id="a typo"
        ),
        pytest.param(f"{{{S3}, awsAccessKeyId: '${{env.A}}'}}", "Duplicate key", "awsAccessKeyId", "Keep one", id="both spellings"),
        pytest.param("{type: gcp, gcp_key: {file: k}, config_id: x}", "Invalid credential", "config_id", "endpoint alone", id="a configuration"),
        pytest.param("s3cr3t", "Invalid credential", "local", "{type: s3, …}", id="an id where none is known"),
    ],
)
def test_wrong_credential_is_told_and_not_shown(refused: Refused, written: str, summary: str, shown: str, said: str) -> None:
    (diagnostic,) = refused(credential(written))
    assert (diagnostic.summary, underlined(diagnostic), diagnostic.context) == (summary, shown, 'credential "lake"')
    assert said in diagnostic.detail
    assert "s3cr3t" not in repr(diagnostic)


def test_every_problem_of_a_credential_is_told_at_once(refused: Refused) -> None:
    told = refused(credential("{type: basic, usr: ada, password: s3cr3t}") + ENDPOINT + "data_stores: {crm: {local: {jdbc_url: s3cr3t}}}\n")
    assert sorted(diagnostic.summary for diagnostic in told) == ["Invalid data store", "Missing key", "Secret in a specification", "Unknown key"]


def test_variable_does_not_smuggle_a_secret_in(refused: Refused) -> None:
    (diagnostic,) = refused("variables: {p: {default: s3cr3t}}\n" + credential('{type: basic, user: ada, password: "${var.p}"}'))
    assert diagnostic.summary == "Secret in a specification"
    assert "s3cr3t" not in repr(diagnostic)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("{jdbc_url: 'jdbc:postgresql://h:5432/crm?sslmode=require'}", {"jdbcUrl": "jdbc:postgresql://h:5432/crm?sslmode=require"}),
        ("{jdbcUrl: 'jdbc:postgresql://${env.HOST}/crm'}", {"jdbcUrl": "jdbc:postgresql://${env.HOST}/crm"}),
        ("{jdbc_url: '${ env.URL }'}", {"jdbcUrl": "${env.URL}"}),
        ("{jdbc_url: 'jdbc:postgresql://h/crm?user=ada&password=${env.P}'}", {"jdbcUrl": "jdbc:postgresql://h/crm?user=ada&password=${env.P}"}),
        (
            "{jdbc_url: 'jdbc:sqlserver://h:1433;databaseName=dw;encrypt=true;trustServerCertificate=true'}",
            {"jdbcUrl": "jdbc:sqlserver://h:1433;databaseName=dw;encrypt=true;trustServerCertificate=true"},
        ),
        (
            "{fields: {address: h.eu, port: 443, ssl: true}}",
            {
                "fields": [
                    {"id": "address", "name": "address", "value": "h.eu"},
                    {"id": "port", "name": "port", "value": "443"},
                    {"id": "ssl", "name": "ssl", "value": "true"},
                ]
            },
        ),
        ("{fields: [{id: sf.db, name: db, value: CRM}]}", {"fields": [{"id": "sf.db", "name": "db", "value": "CRM"}]}),
    ],
)
def test_data_store_is_kept(loaded: Loaded, written: str, kept: dict[str, Any]) -> None:
    assert loaded(store(written)).openers["data_stores"] == {"crm": {"name": "crm", "fields": kept}}


@pytest.mark.parametrize(
    ("written", "summary", "shown"),
    [
        ("{jdbc_url: 'jdbc:postgresql://h/crm?user=ada&password=s3cr3t'}", "Secret in a specification", "jdbc_url"),
        ("{jdbc_url: 'jdbc:postgresql://ada:s3cr3t@h/crm'}", "Secret in a specification", "jdbc_url"),
        ("{jdbc_url: 'jdbc:postgresql://ada:s3cr3t@x@h/crm'}", "Secret in a specification", "jdbc_url"),
        ("{jdbc_url: 'jdbc:oracle:thin:ada/s3cr3t@h:1521'}", "Secret in a specification", "jdbc_url"),
        ("{jdbc_url: 'jdbc:sqlserver://h;database=d;Password=s3cr3t'}", "Secret in a specification", "jdbc_url"),
        ("{jdbc_url: 'jdbc:snowflake://h/?private_key_pwd=s3cr3t'}", "Secret in a specification", "jdbc_url"),
        ("{jdbc_url: 'jdbc:postgresql://h/d?password=${env.P}s3cr3t'}", "Secret in a specification", "jdbc_url"),
        ("{fields: {address: h, password: s3cr3t}}", "Secret in a specification", "password"),
        ("{jdbc_url: s3cr3t}", "Invalid data store", "jdbc_url"),
        ("{fields: s3cr3t}", "Invalid data store", "fields"),
        ("{fields: [{name: db}]}", "Invalid data store", "fields"),
        ("{jdbc_url: 'jdbc:a', fields: {a: b}}", "Invalid data store", "local"),
        ("{}", "Invalid data store", "local"),
        ("{url: s3cr3t}", "Unknown key", "url"),
        ("s3cr3t", "Invalid data store", "local"),
    ],
)
def test_wrong_data_store_is_told_and_not_shown(refused: Refused, written: str, summary: str, shown: str) -> None:
    (diagnostic,) = refused(store(written))
    assert (diagnostic.summary, underlined(diagnostic)) == (summary, shown)
    assert "s3cr3t" not in repr(diagnostic)


def test_endpoint_has_an_id_and_may_have_what_to_look_with(loaded: Loaded, head: str, job: Callable[..., str]) -> None:
    text = head.replace("prod: 6166c01ee91fb6641ecd28bd", f"prod: {{id: 6166c01ee91fb6641ecd28bd, {S3}}}")
    text += job("a", replace={"{type: localFile, file: data/a.csv}": "{type: s3, url: 's3://b/k', credential: lake}"})
    configuration = loaded(text, workspace="prod")
    assert configuration.instances[0].spec["intake"]["credentialId"] == "6166c01ee91fb6641ecd28bd"
    fields = {"credentialType": "s3", "awsAccessKeyId": "${env.A}", "awsSecretAccessKey": "${env.B}"}
    assert configuration.openers == {"credentials": {"6166c01ee91fb6641ecd28bd": {"name": "lake", "fields": fields}}, "data_stores": {}}


def test_an_id_alone_opens_nothing(loaded: Loaded, head: str) -> None:
    text = head.replace("prod: 6166c01ee91fb6641ecd28bd", "prod: {id: 6166c01ee91fb6641ecd28bd}")
    assert loaded(text, workspace="prod").openers == {"credentials": {}, "data_stores": {}}


@pytest.mark.parametrize(
    ("intake", "summary", "said"),
    [
        ("{type: s3, url: 's3://b/k', credential_id: 6166}", "Unknown credential", "and write credential: NAME."),
        ("{type: jdbc, dataStoreId: 6166, table: t}", "Unknown data store", "and write data_store: NAME."),
        ("{type: dataset, dataset_id: 6166}", "Unknown dataset", "datasets: {NAME: {local: data/rows.csv}}"),
        ("{type: dataset, dataset: customers, dataset_version_id: 6166}", "Needless key", "no versions"),
        ("{type: fileSystem, path: data/}", "Invalid value", "not ending in /"),
    ],
)
def test_an_id_stands_for_nothing_where_there_is_no_endpoint(
    refused: Refused, head: str, job: Callable[..., str], intake: str, summary: str, said: str
) -> None:
    (diagnostic,) = refused(head + job("a", replace={"{type: localFile, file: data/a.csv}": intake}))
    assert diagnostic.summary == summary
    assert said in diagnostic.detail


def test_an_id_may_be_a_name_where_there_is_no_endpoint(loaded: Loaded, head: str, job: Callable[..., str]) -> None:
    text = head.replace("customers:", "60aa: {local: data/sixty.csv}\n  customers:")
    (instance,) = loaded(text + job("a", replace={"{type: localFile, file: data/a.csv}": "{type: dataset, dataset_id: 60aa}"})).instances
    assert instance.intake_file == "data/sixty.csv"


@pytest.mark.parametrize(
    ("intake", "output"),
    [
        ("{type: dataset, dataset: customers}", "{type: localFile, path: out/a.csv}"),
        ("{type: fileSystem, path: ./data/customers.csv}", "{type: fileSystem, path: out/../out/a.csv}"),
    ],
)
def test_dataset_and_path_are_local_files_where_there_is_no_endpoint(
    loaded: Loaded, head: str, job: Callable[..., str], intake: str, output: str
) -> None:
    replace = {"{type: localFile, file: data/a.csv}": intake, "{type: localFile, path: out/a.csv}": output}
    (instance,) = loaded(head + job("a", replace=replace)).instances
    (plain,) = loaded(head + job("a", replace={"data/a.csv": "data/customers.csv"})).instances
    assert instance == plain
    assert (instance.intake_file, instance.output_file) == ("data/customers.csv", "out/a.csv")


def test_output_of_a_job_is_the_url_that_another_reads(loaded: Loaded, head: str, job: Callable[..., str]) -> None:
    text = head + job("a", replace={"{type: localFile, path: out/a.csv}": "{type: s3, url: 's3://b/a.csv', credential: lake}"})
    text += job("b", replace={"{type: localFile, file: data/b.csv}": "{type: s3, url: '${job.a.output}', credential: lake}"})
    _, second = loaded(text).instances
    assert second.spec["intake"]["url"] == "s3://b/a.csv"
    assert second.depends_on == ("job.a",)


def test_probe_is_no_part_of_what_is_scored(loaded: Loaded, head: str, job: Callable[..., str]) -> None:
    intake = {"{type: localFile, file: data/a.csv}": "{type: jdbc, data_store: warehouse, table: t}"}
    (plain,) = loaded(head + job("a", replace=intake)).instances
    (probed,) = loaded(head + job("a", "probe: SELECT max(id) FROM t", replace=intake)).instances
    assert probed.probe == "SELECT max(id) FROM t"
    assert (probed.digest, probed.spec, probed.metadata) == (plain.digest, plain.spec, plain.metadata)


def test_probe_and_intake_version_exclude_each_other(refused: Refused, head: str, job: Callable[..., str]) -> None:
    intake = {"{type: localFile, file: data/a.csv}": "{type: jdbc, data_store: warehouse, table: t}"}
    (diagnostic,) = refused(head + job("a", "probe: SELECT 1", "intake_version: 3", replace=intake))
    assert (diagnostic.summary, underlined(diagnostic)) == ("Needless key", "probe: SELECT 1")


@pytest.mark.parametrize(
    ("intake", "needs"),
    [
        ("{type: azure, url: 'https://a/b/c', credential: lake}", "azure or azure_service_principal or adls_gen2_oauth"),
        ("{type: jdbc, data_store: warehouse, table: t, credentialId: lake}", "basic"),
        ("{type: snowflake, data_store: snow, table: t, cloud_storage_type: gcp, cloud_storage_credential: lake}", "gcp"),
    ],
)
def test_credential_that_opens_no_such_system_is_told(refused: Refused, head: str, job: Callable[..., str], intake: str, needs: str) -> None:
    (diagnostic,) = refused(with_snow(head) + job("a", replace={"{type: localFile, file: data/a.csv}": intake}))
    assert diagnostic.summary == "Credential of another type"
    assert f"of type s3. For {intake.split('type: ')[-1].split(',')[0]} it must be of type {needs}" in diagnostic.detail
    assert diagnostic.place is not None and diagnostic.place.text is not None and diagnostic.place.column is not None
    assert diagnostic.place.text[diagnostic.place.column - 1 :].startswith("lake")


def test_credential_opens_the_stage_of_its_own_kind(loaded: Loaded, head: str, job: Callable[..., str]) -> None:
    intake = "{type: snowflake, data_store: snow, table: t, cloud_storage_credential: lake}"
    assert loaded(with_snow(head) + job("a", replace={"{type: localFile, file: data/a.csv}": intake})).instances


def test_data_store_of_another_system_is_told(refused: Refused, head: str, job: Callable[..., str]) -> None:
    output = "{type: jdbc, data_store: snow, table: t, statement_type: insert}"
    (diagnostic,) = refused(with_snow(head) + job("a", replace={"{type: localFile, path: out/a.csv}": output}))
    assert diagnostic.summary == "Data store of another system"
    assert "does not begin with jdbc:postgresql:" in diagnostic.detail


@pytest.mark.parametrize("workspace", ["local", "prod"])
@pytest.mark.parametrize(
    ("side", "settings"),
    [
        ("{type: localFile, file: data/a.csv}", "{type: jdbc, data_store: warehouse, table: t}"),
        ("{type: localFile, path: out/a.csv}", "{type: jdbc, data_store: warehouse, table: t, statement_type: insert}"),
    ],
    ids=["intake", "output"],
)
def test_another_database_under_the_same_name_is_another_place(
    loaded: Loaded, head: str, job: Callable[..., str], side: str, settings: str, workspace: str
) -> None:
    text = head + job("a", replace={side: settings})
    ((before,), (after,)) = (loaded(written, workspace=workspace).instances for written in (text, text.replace("localhost/crm", "localhost/crm2")))
    assert (before.digest == after.digest) == (workspace == "prod")  # there the id tells
    assert after.spec.get("dataStores") == (None if workspace == "prod" else {"warehouse": {"jdbcUrl": "jdbc:postgresql://localhost/crm2"}})


def test_another_name_of_the_same_database_is_no_change(loaded: Loaded, head: str, job: Callable[..., str]) -> None:
    text = head + job("a", replace={"{type: localFile, file: data/a.csv}": "{type: jdbc, data_store: warehouse, table: t}"})
    ((before,), (after,)) = (loaded(written).instances for written in (text, text.replace("warehouse", "depot")))
    assert (before.digest, before.spec == after.spec) == (after.digest, False)


LAKE = "{type: s3, url: 's3://b/a.csv', credential: lake}"
CRM = "{type: basic, user: ada, password: '${env.P}'}"


@pytest.mark.parametrize("side", ["{type: localFile, file: data/a.csv}", "{type: localFile, path: out/a.csv}"], ids=["intake", "output"])
def test_another_name_of_the_same_account_is_no_change(loaded: Loaded, head: str, job: Callable[..., str], side: str) -> None:
    text = head + job("a", replace={side: LAKE})
    ((before,), (after,)) = (loaded(written).instances for written in (text, text.replace("lake", "sea")))
    assert (before.digest, before.spec == after.spec) == (after.digest, False)


@pytest.mark.parametrize(
    ("changed", "is_same"),
    [
        pytest.param({"user: ada": "user: grace"}, False, id="user"),
        pytest.param({"${env.P}": "${env.Q}"}, True, id="password"),
        pytest.param({"'${env.P}'": "{file: secrets/p}"}, True, id="where the password is"),
    ],
)
def test_another_account_under_the_same_name_is_a_change(
    loaded: Loaded, head: str, job: Callable[..., str], changed: dict[str, str], is_same: bool
) -> None:
    head = head.replace("credentials:\n", f"credentials:\n  crm: {{local: {CRM}}}\n")
    text = head + job("a", replace={"{type: localFile, file: data/a.csv}": "{type: jdbc, data_store: warehouse, credential: crm, table: t}"})
    ((old, new),) = changed.items()
    assert old in text
    ((before,), (after,)) = (loaded(written).instances for written in (text, text.replace(old, new)))
    assert (before.digest == after.digest) is is_same
    assert after.spec["credentials"]["crm"] == {"credentialType": "basic", "user": "grace" if "user: ada" in changed else "ada"}


@pytest.mark.parametrize(("variable", "is_same"), [("${env.ID}", False), ("${env.KEY}", True)])
def test_key_that_is_another_variable_is_another_account(loaded: Loaded, head: str, job: Callable[..., str], variable: str, is_same: bool) -> None:
    text = head + job("a", replace={"{type: localFile, file: data/a.csv}": LAKE})
    assert variable in text
    ((before,), (after,)) = (loaded(written).instances for written in (text, text.replace(variable, "${env.OTHER}")))
    assert (before.digest == after.digest) is is_same
    assert "awsSecretAccessKey" not in str(after.spec)
