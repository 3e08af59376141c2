"""May this spec become a job? The rule here: everything that can be known before scoring is said at once, with 422, and nothing is stored.

The order is from the cheap to the dear: the body, what this service serves, the deployment, its model.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel

from reconciler.api import schema
from reconciler.api.schema import JobSpec, Problem
from reconciler.engine.capability import refusals
from reconciler.engine.metadata import read_metadata
from reconciler.errors import ModelError
from reconciler.service.refusal import Refusal, invalid
from reconciler.service.registry import LocalDeployment, Registry

SIDES = ("intakeSettings", "outputSettings")


def accepted_spec(body: dict[str, Any], num_concurrent: int) -> dict[str, Any]:
    """The spec with the API's defaults, when body and places are lawful. Raises Refusal."""
    for problems in (schema.spec_problems, _unserved, _bad_paths):
        if found := list(problems(body)):
            raise invalid(found)
    return schema.echoed_spec(body, num_concurrent)


def scorable_deployment(spec: dict[str, Any], registry: Registry) -> LocalDeployment:
    """The deployment, when it is here and its model can do what the spec asks for. Raises Refusal."""
    deployment = registry.get(spec["deploymentId"])
    if deployment is None:
        raise Refusal(404, f"there is no deployment {spec['deploymentId']}")
    try:
        target_type = read_metadata(deployment.folder).target_type
    except ModelError as error:
        raise invalid([(("deploymentId",), sentence(error))]) from error
    found = [((to_camel(name),), text) for name, text in refusals(JobSpec.model_validate(spec), target_type)]
    if found:
        raise invalid(found)
    return deployment


def sentence(error: ModelError) -> str:
    return f"{error.summary}: {error.detail}" if error.detail else error.summary


def _unserved(body: dict[str, Any]) -> Iterator[Problem]:
    if not body.get("deploymentId"):
        yield ("deploymentId",), "this service scores with deployments only; give a deploymentId"
    for side in SIDES:
        kind = body.get(side, {"type": "localFile"})["type"]
        if kind != "fileSystem":
            yield (side, "type"), f"{kind!r} is not served here; this service takes paths of its own files: {{type: fileSystem, path: …}}"


def _bad_paths(body: dict[str, Any]) -> Iterator[Problem]:
    paths = [body[side]["path"] for side in SIDES]
    for side, path in zip(SIDES, paths, strict=True):
        if "\0" in path or not Path(path).is_absolute():
            yield (side, "path"), f"{path!r} is not an absolute path"
            return
    if os.path.realpath(paths[0]) == os.path.realpath(paths[1]):
        yield ("outputSettings", "path"), "the output is the intake"
