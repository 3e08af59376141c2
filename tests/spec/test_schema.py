"""The JSON Schema for editors says the same as the loader."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.errors import SpecInvalid
from reconciler.options import Options
from reconciler.settings import SYNONYMS
from reconciler.spec.document import parse_document
from reconciler.spec.loader import load
from reconciler.spec.model import INTAKES, OUTPUTS
from reconciler.spec.schema import json_schema

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

JOB = {
    "deployment_id": "x",
    "intake_settings": {"type": "localFile", "file": "in.csv"},
    "output_settings": {"type": "localFile", "path": "out.csv"},
}
S3 = {"type": "s3", "url": "s3://b/k.csv"}
JDBC = {"type": "jdbc", "data_store_id": "w", "table": "t", "statement_type": "insert"}

GOOD: dict[str, dict[str, Any]] = {
    "nothing beside the needed": {},
    "every kind of option": {
        "max_explanations": 3,
        "threshold_high": 1,
        "thresholdLow": 0.5,
        "csv_settings": {"delimiter": "tab", "encoding": "latin_1"},
        "chunkSize": 1000,
        "max_ngram_explanations": "all",
        "passthrough_columns": ["a"],
        "column_names_remapping": {"a": "b", "c": None, "d": False},
    },
    "a remapping as pairs": {"columnNamesRemapping": [{"inputName": "a", "outputName": None}]},
    "null for an option": {"max_explanations": None, "csv_settings": None},
    "an id of digits": {"pinned_model_id": 5},
    "an expression for a number": {"max_explanations": "${var.n}"},
    "an expression for a list": {"passthrough_columns": "${var.columns}"},
    "an expression for a block": {"intake_settings": "${var.intake}"},
    "an expression for a type": {"intake_settings": {"type": "${var.type}", "file": "x"}},
    "an expression for a boolean inside": {"prediction_instance": {"hostName": "h", "ssl_enabled": "${var.on}"}},
    "for_each over a list": {"for_each": ["a", "b"], "output_settings": {"type": "localFile", "path": "${each.key}"}},
    "for_each over a mapping": {"for_each": {"a": {"x": 1}}},
    "tags as a list": {"tags": ["a"], "description": "b", "depends_on": []},
    "tags as a mapping": {"tags": {"a": "b"}},
    "how an apply goes about it": {"timeouts": {"queue": "30m", "total": "2h"}, "retries": 3, "onUnknown": "keep"},
    "a block in a variable": {"timeouts": "${var.times}"},
    "s3 with an id": {"intake_settings": {**S3, "credential_id": "x", "endpointUrl": "http://localhost"}},
    "s3 with a name": {"intakeSettings": {**S3, "credential": "lake"}, "intake_settings": ...},
    "a table": {"output_settings": {**JDBC, "schema": "s", "statement_type": "insert_update", "where_columns": ["a"], "updateColumns": ["b"]}},
    "a data store by its name": {"intake_settings": {"type": "jdbc", "data_store": "w", "query": "q"}},
    "a dataset by its name": {"intake_settings": {"type": "dataset", "dataset": "c"}},
    "another spelling of a type": {"intake_settings": {"type": "bigQuery", "dataset": "d", "table": "t"}},
    "a forecast": {"timeseries_settings": {"type": "forecast", "forecast_point": "2026-01-01"}},
    "camelCase throughout": {
        "deployment_id": ...,
        "intake_settings": ...,
        "output_settings": ...,
        "deploymentId": "x",
        "intakeSettings": {"type": "localFile", "file": "x", "async": False},
        "outputSettings": {"type": "s3", "url": "s3://b/x", "serverSideEncryption": {"kmsKeyId": "k"}},
    },
}
BAD: dict[str, dict[str, Any]] = {
    "an unknown key": {"max_explantions": 3},
    "a text for a number": {"max_explanations": "3"},
    "a number that is too large": {"maxExplanations": 101},
    "yes for a boolean": {"abort_on_error": "yes"},
    "an unknown word": {"chunk_size": "fixd"},
    "a text for a list": {"passthrough_columns": "a"},
    "an unknown key inside": {"csv_settings": {"delimeter": ";"}},
    "a value inside": {"csvSettings": {"delimiter": "ab"}},
    "a missing key inside": {"prediction_instance": {}},
    "an unknown kind of time series": {"timeseries_settings": {"type": "x"}},
    "no target": {"deployment_id": ...},
    "two targets": {"model_id": "x"},
    "no intake": {"intake_settings": ...},
    "no output": {"output_settings": ...},
    "an unknown type": {"intake_settings": {"type": "localfile", "file": "x"}},
    "a type of output as intake": {"intake_settings": {"type": "tableau", "data_source_id": "x"}},
    "no type": {"intake_settings": {"file": "x"}},
    "no file": {"intake_settings": {"type": "localFile"}},
    "an output's key in an intake": {"intake_settings": {"type": "localFile", "file": "x", "path": "y"}},
    "a wrong address": {"intake_settings": {"type": "s3", "url": "http://b"}},
    "no data store": {"intake_settings": {"type": "jdbc", "table": "t"}},
    "a name where there is no id": {"intake_settings": {"type": "http", "url": "http://b", "credential": "x"}},
    "an unknown statement": {"output_settings": {**JDBC, "statement_type": "upsert"}},
    "a number as a key of for_each": {"for_each": [1]},
    "a key of for_each twice": {"for_each": ["a", "a"]},
    "a text for for_each": {"for_each": "a"},
    "a number as a tag": {"tags": {"a": 1}},
    "a text for depends_on": {"depends_on": "a"},
    "too many retries": {"retries": 11},
    "an unknown timeout": {"timeouts": {"all": "1m"}},
    "a number for a duration": {"timeouts": {"run": 30}},
    "another word for on_unknown": {"on_unknown": "ask"},
}
SECTIONS = """\
variables: {n: {default: 3}, columns: {default: [a]}, on: {default: true}, type: {default: localFile}, intake: {default: {type: localFile, file: x}},
            times: {default: {run: 5m}}}
credentials:
  lake: {local: {type: s3, aws_access_key_id: "${env.A}", aws_secret_access_key: {file: key}}}
  x: {local: {credentialType: basic, user: ada, password: "${env.P}"}}
data_stores: {w: {local: {jdbc_url: "jdbc:postgresql://h/d"}}}
datasets: {c: {local: c.csv}}
"""


def file_with(change: dict[str, Any]) -> str:
    job = {key: value for key, value in {**JOB, **change}.items() if value is not ...}
    return f"{SECTIONS}jobs: {json.dumps({'a': job})}\n"


def is_valid(text: str) -> bool:
    return bool(VALIDATOR.is_valid(parse_document(text.encode(), "a.yaml").value))


@pytest.mark.parametrize("change", GOOD.values(), ids=GOOD.keys())
def test_what_the_loader_takes_the_schema_takes(write: Callable[..., Path], change: dict[str, Any]) -> None:
    text = file_with(change)

    assert load(write(text)).instances
    assert list(VALIDATOR.iter_errors(parse_document(text.encode(), "a.yaml").value)) == []


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_what_the_loader_refuses_the_schema_refuses(write: Callable[..., Path], change: dict[str, Any]) -> None:
    text = file_with(change)

    with pytest.raises(SpecInvalid):
        load(write(text))
    assert not is_valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "job: {}\n",
        "jobs: []\n",
        "jobs: {1a: {}}\n",
        "jobs: {a: 3}\n",
        "variables: {a: 3}\n",
        "variables: {a: {defalt: 3}}\n",
        "workspaces: {prod: {endpint: x}}\n",
        "workspaces: {prod: {endpoint: x}}\n",
        "workspaces: {prod: {endpoint: datarobot, token: x}}\n",
        "workspaces: {prod: {endpoint: datarobot, token: '${var.x}'}}\n",
        "workspaces: {prod: {endpoint: datarobot, token_type: Basic}}\n",
        "workspaces: {prod: {endpoint: datarobot, ca_file: 3}}\n",
        "workspaces: {prod: {endpoint: datarobot, read_timeout: 0}}\n",
        "deployments: {a: m}\n",
        "deployments: {a: {local: {x: 1}}}\n",
        "deployments: {a: {local: {trust: true}}}\n",
        "deployments: {a: {local: {model: ''}}}\n",
        "deployments: {a: {local: {model: m, trust: 'yes'}}}\n",
        "deployments: {a: {local: {model: m, trusts: true}}}\n",
        "datasets: {a: {local: [x]}}\n",
        "credentials: {a: {local: {type: basic, user: ada, password: s3cr3t}}}\n",
        "credentials: {a: {local: {type: basic, user: ada, passwrd: '${env.P}'}}}\n",
        "credentials: {a: {local: {type: basics, user: ada, password: '${env.P}'}}}\n",
        "credentials: {a: {local: {type: gcp, gcp_key: {private_key: s3cr3t}}}}\n",
        "credentials: {a: {local: {type: gcp, config_id: x}}}\n",
        "data_stores: {a: {local: {jdbc_url: 'postgresql://h/d'}}}\n",
        "data_stores: {a: {local: {url: 'jdbc:postgresql://h/d'}}}\n",
        "data_stores: {a: {local: {fields: {a: [b]}}}}\n",
        "data_stores: {a: {local: {fields: [{value: b}]}}}\n",
    ],
)
def test_a_section_refused_by_the_loader_is_refused_by_the_schema(write: Callable[..., Path], text: str) -> None:
    with pytest.raises(SpecInvalid):
        load(write(text))
    assert not is_valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jobs:\n",
        "variables: {a: {default: {b: [1]}}}\n",
        "workspaces: {prod: , dev: {endpoint: '${env.X}'}}\n",
        "workspaces: {prod: {endpoint: 'https://h', allow_http: false, token: '${env.T}', ca_file: ca.pem, connect_timeout: 5, read_timeout: 1m}}\n",
        "deployments: {a: {local: {model: m}}, b: {local: {model: m, trust: false}}}\n",
        "credentials: {a: {local: {type: basic, user: ada, password: {file: keys/p}}}}\n",
        "credentials: {a: {local: {credentialType: gcp, gcpKey: '${ env.K }'}}}\n",
        "credentials: {a: {local: {type: adls_gen2_oauth, client_id: 7, client_secret: '${env.S}', oauth_scopes: [a]}}}\n",
        "workspaces: {p: {endpoint: datarobot}}\ncredentials: {a: {p: {id: 7, type: azure, azure_connection_string: '${env.C}'}}, b: {p: x}}\n",
        "data_stores: {a: {local: {jdbc_url: 'jdbc:postgresql://${env.H}/d'}}, b: {local: {jdbcUrl: '${env.URL}'}}}\n",
        "data_stores: {a: {local: {fields: {address: h, port: 443}}}, b: {local: {fields: [{id: a, name: b, value: c}]}}}\n",
        "variables: {t: {default: true}}\ndeployments: {a: {local: {model: 'models/${var.t}', trust: '${var.t}'}}}\n",
    ],
)
def test_a_section_taken_by_the_loader_is_taken_by_the_schema(write: Callable[..., Path], text: str) -> None:
    load(write(text))

    assert is_valid(text)


def test_the_design_s_own_example_is_valid(design: str) -> None:
    assert is_valid(design)


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_reference_in_the_schema_leads_somewhere() -> None:
    text = json.dumps(SCHEMA)

    assert {part.split('"')[0].replace("%20", " ") for part in text.split("#/$defs/")[1:]} <= SCHEMA["$defs"].keys()


def test_every_option_and_every_type_is_in_the_schema() -> None:
    properties = SCHEMA["properties"]["jobs"]["additionalProperties"]["properties"]

    assert set(Options.model_fields) <= properties.keys()
    assert {f"intake {kind}" for kind in INTAKES} | {f"output {kind}" for kind in OUTPUTS} <= SCHEMA["$defs"].keys()
    assert set(SYNONYMS) <= set(properties["intake_settings"]["anyOf"][0]["properties"]["type"]["anyOf"][0]["enum"])


def test_a_hover_says_what_a_key_is_for() -> None:
    properties = SCHEMA["properties"]["jobs"]["additionalProperties"]["properties"]

    assert properties["max_explanations"]["description"] == properties["maxExplanations"]["description"] == "Prediction explanations for each row."
    assert all(section["description"] for section in SCHEMA["properties"].values())
