"""The running server against its own description: no 5xx, no status, media type or body that is not described. Derandomized and bounded.

`RECONCILER_FUZZ_EXAMPLES=500 pytest tests/service/test_fuzz.py` looks longer.
"""

import itertools
import os
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from service.live import serving

from reconciler.service.openapi import document

EXAMPLES = int(os.environ.get("RECONCILER_FUZZ_EXAMPLES", "12"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]
OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(document()).get_all_operations()]
# What a job may say that the model can do: a body of an even size is cut to these, for of all lawful bodies hardly one is served.
SERVED = {
    "deploymentId",
    "intakeSettings",
    "outputSettings",
    "csvSettings",
    "passthroughColumns",
    "numConcurrent",
    "includePredictionStatus",
    "name",
    "enabled",
    "schedule",
}
JOBS = ("/batchPredictions/", "/batchPredictionJobDefinitions/")
ENDS_WITH_IT = ("PUT", "DELETE")  # after which the thing is another: each example has its own
SETTINGS = settings(
    max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False
)


class World:
    """One of everything, made anew for each operation, so that what an operation deletes is there for the next."""

    def __init__(self, api, house):
        self.api, self.house = api, house
        self._numbers = itertools.count()

    def ids(self):
        number = next(self._numbers)
        rows = {"file": ("a.csv", b"copy\n1\n")}
        dataset = self._made("datasets/fromFile/", files=rows)
        self.dataset = dataset["catalogId"]
        store = {"type": "jdbc", "canonicalName": f"store {number}", "params": {"jdbcUrl": "jdbc:x"}}
        return {
            "batchPredictions": [self._job()],
            "batchPredictionJobDefinitions": [self._made("batchPredictionJobDefinitions/", json=self._spec())["id"]],
            "deployments": [self.house.deployments["churn"].id],
            "credentials": [
                self._made("credentials/", json={"name": f"c{number}", "credentialType": "azure", "azureConnectionString": "x"})["credentialId"]
            ],
            "datasets": [self.dataset, dataset["catalogVersionId"]],
            "status": [dataset["statusId"]],
            "externalDataStores": [self._made("externalDataStores/", json=store)["id"]],
            "externalDataDrivers": [self._made("externalDataDrivers/", json={"className": "c", "canonicalName": f"d{number}"})["id"]],
        }

    def harmless(self, body):
        """With a deployment that is here, and no path but in our own folder: this fuzz may run as root."""
        if isinstance(body, dict):
            for side in ("intakeSettings", "outputSettings"):
                block = body.get(side)
                if isinstance(block, dict) and "path" in block and isinstance(block["path"], str):
                    body[side] = block | {"path": str(self.house.folder / f"{side}-{next(self._numbers)}")}
                if isinstance(block, dict) and isinstance(block.get("datasetId"), str):
                    body[side] = block | {"datasetId": self.dataset}
            if isinstance(body.get("deploymentId"), str):
                body["deploymentId"] = self.house.deployments["churn"].id
        return body

    def served(self, body):
        if isinstance(body, dict) and len(body) % 2 == 0:
            return {name: value for name, value in body.items() if name in SERVED} | {"deploymentId": self.house.deployments["churn"].id}
        return body

    def _job(self):
        return self._made("batchPredictions/", json=self._spec())["id"]

    def _spec(self):
        return {"deploymentId": self.house.deployments["churn"].id, "intakeSettings": {"type": "localFile"}}

    def _made(self, path, **body):
        answer = self.api.http.post(path, **body)
        assert answer.status_code in (201, 202), answer.text
        return answer.json()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, house_of):
    house = house_of(Path(tmp_path_factory.mktemp("fuzz")))
    with house.service() as service, serving(service) as api:
        yield World(api, house)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label.replace("/", "."))
def test_every_answer_is_one_that_is_described(world, operation, mode):
    resource = operation.path.split("/")[1]
    known = world.ids().get(resource, [])
    url = f"http://127.0.0.1:{world.api.port}/api/v2"

    @SETTINGS
    @given(operation.as_strategy(generation_mode=mode))
    def answers_as_described(case):
        ids = world.ids().get(resource, []) if operation.method.upper() in ENDS_WITH_IT else known
        if case.path_parameters and mode is GenerationMode.POSITIVE:
            case.path_parameters.update(zip((name for name in case.path_parameters if name != "number"), ids, strict=False))
        is_job = mode is GenerationMode.POSITIVE and operation.method == "post" and operation.path in JOBS
        case.body = world.harmless(world.served(case.body) if is_job else case.body)
        case.validate_response(case.call(base_url=url), checks=CHECKS)

    answers_as_described()
