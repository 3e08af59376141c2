"""May this spec become a job? The rule here: everything that can be known before scoring is said at once, with 422, and nothing is stored.

The order is from the cheap to the dear: the body, what this service serves, the deployment, its model.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel

from reconciler import templates
from reconciler.api import schema
from reconciler.api.schema import JobSpec, Problem
from reconciler.engine.capability import model_refusals
from reconciler.engine.connectors.rooms import ROOMS
from reconciler.engine.place import Keys
from reconciler.errors import ModelError
from reconciler.service import systems
from reconciler.service.datasets import Datasets, Version
from reconciler.service.job import Job
from reconciler.service.places import is_one_object
from reconciler.service.refusal import Refusal, invalid
from reconciler.service.registry import LocalDeployment, Registry
from reconciler.service.secret_box import redacted_problems
from reconciler.service.systems import SIDES, UNSERVED

# A file that travels with the requests, a path of the service's own files, a dataset of its catalog, and other systems.
SERVED = {"intakeSettings": ("localFile", "fileSystem", "dataset", *ROOMS), "outputSettings": ("localFile", "fileSystem", *ROOMS)}


def accepted_spec(body: dict[str, Any], num_concurrent: int) -> dict[str, Any]:
    """The spec with the API's defaults, when body and places are lawful. Raises Refusal."""
    for problems in (schema.spec_problems, _unserved, _bad_paths, redacted_problems, templates.problems):
        if found := list(problems(body)):
            raise invalid(found)
    return schema.echoed_spec(body, num_concurrent)


def check_systems(spec: dict[str, Any], keys: Keys) -> None:
    """Whether the places of other systems can be opened, as far as that is known without a connection. Raises Refusal."""
    found = list(systems.problems(spec, keys))
    if is_one_object(spec):
        found.append((("outputSettings", "url"), "the output is the intake"))
    if found:
        raise invalid(found)


def check_times(job: Job) -> None:
    """Whether there is a time for each template of the job. Raises Refusal."""
    if found := list(templates.problems(job.spec, job.times)):
        raise invalid(found)


def scorable_deployment(spec: dict[str, Any], registry: Registry) -> LocalDeployment:
    """The deployment, when it is here and its model can do what the spec asks for. Raises Refusal."""
    deployment = registry.get(spec["deploymentId"])
    if deployment is None:
        raise Refusal(404, f"there is no deployment {spec['deploymentId']}")
    try:
        metadata = registry.metadata(deployment)
    except ModelError as error:
        raise invalid([(("deploymentId",), sentence(error))]) from error
    found: list[Problem] = [((to_camel(name),), text) for name, text in model_refusals(JobSpec.model_validate(spec), metadata)]
    found += _unpinned(spec.get("pinnedModelId"), deployment, registry)
    if found:
        raise invalid(found)
    return deployment


def dataset_version(spec: dict[str, Any], datasets: Datasets) -> Version | None:
    """What an intake of type `dataset` names: one version, or the latest; None for another intake. Raises Refusal."""
    intake = spec["intakeSettings"]
    if intake["type"] != "dataset":
        return None
    field = "datasetVersionId" if intake.get("datasetVersionId") else "datasetId"
    try:
        version = datasets.version(intake["datasetId"], intake[field]) if field == "datasetVersionId" else datasets.latest(intake["datasetId"])
    except Refusal as error:
        raise invalid([(("intakeSettings", field), error.message)]) from None
    if version.error:
        raise invalid([(("intakeSettings", field), f"this dataset cannot be scored: {version.error}")])
    return version


def check_places(spec: dict[str, Any], storage: Path) -> None:
    """The service's own files are neither intake nor output. Raises Refusal."""
    own = os.path.realpath(storage)
    for side in SIDES:
        path = spec[side].get("path")
        if path is not None and own in (place := os.path.realpath(path), *map(str, Path(place).parents)):
            raise invalid([((side, "path"), f"{path} lies in the service's own folder")])


def sentence(error: ModelError) -> str:
    return f"{error.summary}: {error.detail}" if error.detail else error.summary


def _unpinned(model_id: str | None, deployment: LocalDeployment, registry: Registry) -> Iterator[Problem]:
    try:
        sentence = registry.unpinned(deployment, model_id)
    except OSError as error:
        sentence = f"the model cannot be read: {error.strerror or error}"
    if sentence:
        yield ("pinnedModelId",), sentence


def _unserved(body: dict[str, Any]) -> Iterator[Problem]:
    if not body.get("deploymentId"):
        yield ("deploymentId",), "this service scores with deployments only; give a deploymentId"
    for side in SIDES:
        kind = body.get(side, {"type": "localFile"})["type"]
        if kind not in SERVED[side]:
            reason = f": {UNSERVED[kind]}" if kind in UNSERVED else ""
            yield (side, "type"), f"{kind!r} is not served here{reason}; served are: {', '.join(SERVED[side])}"


def _bad_paths(body: dict[str, Any]) -> Iterator[Problem]:
    paths = {side: body[side]["path"] for side in SIDES if body.get(side, {}).get("type") == "fileSystem"}
    for side, path in paths.items():
        if "\0" in path or not Path(path).is_absolute():
            yield (side, "path"), f"{path!r} is not an absolute path"
            return
    if len(paths) == 2 and len({os.path.realpath(path) for path in paths.values()}) == 1:
        yield ("outputSettings", "path"), "the output is the intake"
