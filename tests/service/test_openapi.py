"""`openapi.yaml`: valid, and true to the routes, their methods, parameters and bodies."""

import re

import pytest
import yaml
from openapi_spec_validator import validate

from reconciler.service.app import ROUTES
from reconciler.service.openapi import STATUSES, document
from reconciler.service.operations import OPERATIONS


@pytest.fixture
def served(client):
    answer = client.get("openapi.yaml")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/yaml")
    return yaml.safe_load(answer.text)


def test_what_is_served_is_the_description(served):
    assert served == yaml.safe_load(yaml.safe_dump(document()))
    assert served["openapi"] == "3.1.0"


def test_it_is_valid(served):
    validate(served)


def test_it_has_every_route_and_no_other(served):
    described = {(method.upper(), path[1:]) for path, methods in served["paths"].items() for method in methods}
    assert described == {(method, path) for method, path, _ in ROUTES}
    assert len(ROUTES) == len(OPERATIONS)


def test_every_operation_has_its_own_id_and_answers(served):
    operations = [operation for methods in served["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert {"401", "503"} < set(operation["responses"]) <= {str(status) for status in STATUSES}
        assert operation["summary"]


def test_the_statuses_of_an_operation_fit_its_route():
    for (method, path), operation in OPERATIONS.items():
        refusals = set(operation.refusals)
        assert ("{id}" in path) == (404 in refusals) or path in ("batchPredictions/", "batchPredictionJobDefinitions/") or "from" in path, path
        assert operation.media != "application/json" or (operation.body is not None) == ({400, 413} <= refusals), path
        assert not operation.query or 422 in refusals, path
        assert method != "GET" or operation.body is None


def test_every_reference_leads_somewhere(served):
    names = set(re.findall(r"#/components/schemas/(\w+)", yaml.safe_dump(served)))
    assert names <= set(served["components"]["schemas"])


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda part: part.replace("/", "."))
def test_an_id_that_nobody_has_is_answered_as_described(client, method, path):
    answer = client.request(method, re.sub(r"{\w+}", "1", path), json={})
    described = {answer.status for answer in OPERATIONS[method, path].answers} | set(OPERATIONS[method, path].refusals)
    assert answer.status_code in described
