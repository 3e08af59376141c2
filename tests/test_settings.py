"""Every intake and output type: its fields in both spellings, its limits, its rules."""

from typing import Any

import pytest
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from reconciler.settings import INTAKES, OUTPUTS, SYNONYMS, broken_rules

ID = "65f0" * 6
TABLE = {"table": "t", "statementType": "insert"}

# The least that each type needs.
INTAKE: dict[str, dict[str, Any]] = {
    "localFile": {},
    "s3": {"url": "s3://lake/rows.csv"},
    "azure": {"url": "https://a.blob.core.windows.net/lake/rows.csv"},
    "gcp": {"url": "gs://lake/rows.csv"},
    "dataset": {"datasetId": ID},
    "jdbc": {"dataStoreId": ID, "table": "t"},
    "snowflake": {"dataStoreId": ID, "query": "SELECT 1"},
    "synapse": {"dataStoreId": ID, "table": "t", "externalDataSource": "lake"},
    "bigquery": {"dataset": "d", "table": "t"},
    "http": {"url": "https://a.example.com/rows.csv"},
    "fileSystem": {"path": "/data/rows.csv"},
    "dss": {"projectId": ID},
    "datasphere": {"dataStoreId": ID, "table": "t", "schema": "s"},
    "dataStage": {"dataStageId": ID},
}
OUTPUT: dict[str, dict[str, Any]] = {
    "localFile": {},
    "s3": {"url": "s3://lake/scores.csv"},
    "azure": {"url": "https://a.blob.core.windows.net/lake/scores.csv"},
    "gcp": {"url": "https://storage.googleapis.com/lake/scores.csv"},
    "jdbc": {"dataStoreId": ID, **TABLE},
    "snowflake": {"dataStoreId": ID, **TABLE},
    "synapse": {"dataStoreId": ID, **TABLE},
    "bigquery": {"dataset": "d", "table": "t"},
    "http": {"url": "https://a.example.com/scores"},
    "fileSystem": {"path": "/data/scores.csv"},
    "datasphere": {"dataStoreId": ID, "table": "t", "schema": "s"},
    "tableau": {"dataSourceId": ID},
}
LEAST = [
    *(pytest.param(INTAKES, name, given, id=f"{name}-intake") for name, given in INTAKE.items()),
    *(pytest.param(OUTPUTS, name, given, id=f"{name}-output") for name, given in OUTPUT.items()),
]


def test_every_type_is_in_the_tables_here() -> None:
    assert (INTAKE.keys(), OUTPUT.keys()) == (INTAKES.keys(), OUTPUTS.keys())


@pytest.mark.parametrize(("kinds", "name", "given"), LEAST)
def test_least_of_a_type_is_lawful_and_comes_back_from_the_wire(kinds: dict[str, Any], name: str, given: dict[str, Any]) -> None:
    parsed = kinds[name].model_validate({"type": name, **given})
    assert list(broken_rules(parsed)) == []
    assert parsed.wire() == {"type": name, **given}


@pytest.mark.parametrize(("kinds", "name", "given"), LEAST)
def test_each_field_that_a_type_needs_is_needed(kinds: dict[str, Any], name: str, given: dict[str, Any]) -> None:
    needed = {field.alias or key for key, field in kinds[name].model_fields.items() if field.is_required()}
    whole = {"type": name, **given}
    assert needed <= set(whole)
    for key in needed:
        with pytest.raises(ValidationError, match="Field required"):
            kinds[name].model_validate({other: value for other, value in whole.items() if other != key})


@pytest.mark.parametrize(("kinds", "name", "given"), LEAST)
def test_fields_are_read_in_both_spellings(kinds: dict[str, Any], name: str, given: dict[str, Any]) -> None:
    kind = kinds[name]
    names = {field.alias: key for key, field in kind.model_fields.items()}
    assert kind.model_validate({names[key]: value for key, value in {"type": name, **given}.items()}) == kind.model_validate({"type": name, **given})
    assert all(alias == to_camel(key) or alias in ("schema", "async") for alias, key in names.items())


@pytest.mark.parametrize(("kinds", "name", "given"), LEAST)
@pytest.mark.parametrize("flaw", [{"fromat": "csv"}, {"type": "pigeon"}, {"type": None}], ids=["unknown-key", "other-type", "no-type"])
def test_what_a_type_does_not_know_is_refused(kinds: dict[str, Any], name: str, given: dict[str, Any], flaw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kinds[name].model_validate({"type": name, **given, **flaw})


@pytest.mark.parametrize(
    ("kinds", "given"),
    [
        pytest.param(INTAKES, {"type": "s3", "url": "https://lake/rows.csv"}, id="s3-by-https"),
        pytest.param(INTAKES, {"type": "s3", "url": "s3://lake/"}, id="whole-bucket"),
        pytest.param(INTAKES, {"type": "azure", "url": "wasbs://lake/rows.csv"}, id="azure-by-another-scheme"),
        pytest.param(INTAKES, {"type": "gcp", "url": "s3://lake/rows.csv"}, id="gcp-by-s3"),
        pytest.param(INTAKES, {"type": "s3", "url": "s3://lake/rows.csv", "format": "json"}, id="unknown-format"),
        pytest.param(INTAKES, {"type": "jdbc", "dataStoreId": ID, "table": "t", "fetchSize": 0}, id="fetch-nothing"),
        pytest.param(INTAKES, {"type": "jdbc", "dataStoreId": ID, "table": "t", "fetchSize": 1_000_001}, id="fetch-too-much"),
        pytest.param(INTAKES, {"type": "dss", "projectId": ID, "partition": "training"}, id="unknown-partition"),
        pytest.param(INTAKES, {"type": "localFile", "async": "yes"}, id="text-for-a-boolean"),
        pytest.param(INTAKES, {"type": "dataset", "datasetId": ""}, id="empty-id"),
        pytest.param(OUTPUTS, {"type": "jdbc", "dataStoreId": ID, "table": "t", "statementType": "merge"}, id="unknown-statement"),
        pytest.param(OUTPUTS, {"type": "jdbc", "dataStoreId": ID, **TABLE, "commitInterval": 86_401}, id="commit-too-late"),
        pytest.param(OUTPUTS, {"type": "http", "url": "https://a/", "method": "PATCH"}, id="unknown-method"),
        pytest.param(OUTPUTS, {"type": "http", "url": "ftp://a/"}, id="http-by-ftp"),
        pytest.param(OUTPUTS, {"type": "s3", "url": "s3://lake/x", "serverSideEncryption": {"key": "x"}}, id="unknown-header"),
    ],
)
def test_value_that_the_api_does_not_take_is_refused(kinds: dict[str, Any], given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kinds[given["type"]].model_validate(given)


def output(name: str, **given: Any) -> Any:
    return OUTPUTS[name].model_validate({"type": name, **OUTPUT[name], **given})


PARTITIONED = {"format": "parquet", "partitionColumns": ["day"]}
DIRECTORIES = {"s3": "s3://lake/scores/", "azure": "https://a.blob.core.windows.net/lake/scores/", "gcp": "gs://lake/scores/"}


@pytest.mark.parametrize("name", DIRECTORIES)
@pytest.mark.parametrize(
    ("is_directory", "given", "broken"),
    [
        pytest.param(False, {}, [], id="file"),
        pytest.param(False, {"format": "parquet"}, [], id="parquet-file"),
        pytest.param(True, PARTITIONED, [], id="partitioned-directory"),
        pytest.param(True, {}, ["url"], id="directory-of-csv"),
        pytest.param(True, {"format": "parquet"}, ["url"], id="directory-without-partitions"),
        pytest.param(True, {"format": "parquet", "partitionColumns": []}, ["url"], id="directory-with-no-columns"),
        pytest.param(True, {"partitionColumns": ["day"]}, ["url"], id="partitioned-csv"),
        pytest.param(False, PARTITIONED, ["partition_columns"], id="partitioned-file"),
    ],
)
def test_directory_is_partitioned_parquet_and_a_file_is_not(name: str, is_directory: bool, given: dict[str, Any], broken: list[str]) -> None:
    url = DIRECTORIES[name] if is_directory else OUTPUT[name]["url"]
    assert [field for field, _ in broken_rules(output(name, url=url, **given))] == broken


@pytest.mark.parametrize("name", ["jdbc", "snowflake", "synapse"])
@pytest.mark.parametrize(
    ("given", "broken"),
    [
        pytest.param({"statementType": "insert"}, [], id="insert"),
        pytest.param({"statementType": "createTable"}, [], id="create"),
        pytest.param({"statementType": "create_table"}, [], id="create-in-snake-case"),
        pytest.param({"statementType": "update", "whereColumns": ["id"], "updateColumns": ["p"]}, [], id="update"),
        pytest.param({"statementType": "update", "whereColumns": ["id"]}, ["update needs update_columns"], id="update-of-nothing"),
        pytest.param({"statementType": "update", "updateColumns": ["p"]}, ["update needs where_columns"], id="update-of-everything"),
        pytest.param(
            {"statementType": "insert_update"}, ["insertUpdate needs where_columns", "insertUpdate needs update_columns"], id="upsert-of-nothing"
        ),
    ],
)
def test_update_says_which_rows_and_columns(name: str, given: dict[str, Any], broken: list[str]) -> None:
    assert list(broken_rules(output(name, **given))) == [("statement_type", sentence) for sentence in broken]


@pytest.mark.parametrize("name", ["jdbc", "snowflake", "synapse"])
@pytest.mark.parametrize(
    ("given", "broken"),
    [
        pytest.param({"table": "t"}, [], id="table"),
        pytest.param({"query": "SELECT 1"}, [], id="query"),
        pytest.param({"table": "t", "query": "SELECT 1"}, ["query"], id="both"),
        pytest.param({}, ["type"], id="neither"),
    ],
)
def test_rows_come_from_a_table_or_a_query(name: str, given: dict[str, Any], broken: list[str]) -> None:
    parsed = INTAKES[name].model_validate({"type": name, "dataStoreId": ID, **given})
    assert [field for field, _ in broken_rules(parsed)] == broken


def test_synonym_names_a_type_and_is_none() -> None:
    known = INTAKES.keys() | OUTPUTS.keys()
    assert set(SYNONYMS.values()) <= known
    assert known.isdisjoint(SYNONYMS)
