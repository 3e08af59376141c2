"""The body of a submission. The rule here: it says exactly what the fingerprint says, and where the files are if the service shares our disk."""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from reconciler.api.schema import Job, request_core
from reconciler.confidential import REDACTED, REFERENCE
from reconciler.state.record import Run
from reconciler.templates import Times, filled

# The target in a spec, and in the API.
_TARGETS = {"deployment": "deploymentId", "modelId": "modelId", "modelPackageId": "modelPackageId"}


def embedded_body(spec: Mapping[str, Any], deployment_id: str, root: Path, staging: Path) -> dict[str, Any]:
    """A job spec for the embedded service: `localFile` is a path on its own disk, so it maps to the API's `fileSystem`.

    Other systems are reached by the service itself, their credentials and data stores by the names in the spec.
    """
    intake, output = spec["intake"], spec["output"]
    return {
        **spec.get("options", {}),
        "deploymentId": deployment_id,
        "intakeSettings": {"type": "fileSystem", "path": str(root / intake["file"])} if intake["type"] == "localFile" else intake,
        "outputSettings": {"type": "fileSystem", "path": str(staging)} if output["type"] == "localFile" else output,
    }


def endpoint_body(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A job spec for an endpoint: local files are uploaded and downloaded, so their paths are no part of it."""
    return {
        **spec.get("options", {}),
        **{wire: spec[name] for name, wire in _TARGETS.items() if name in spec},
        "intakeSettings": _without(spec["intake"], "file"),
        "outputSettings": _without(spec["output"], "path"),
    }


def uploads(body: Mapping[str, Any]) -> bool:
    return bool(body["intakeSettings"]["type"] == "localFile")


def downloads(body: Mapping[str, Any]) -> bool:
    return bool(body["outputSettings"]["type"] == "localFile")


def output_place(spec: Mapping[str, Any], made: datetime | None = None) -> str:
    """Where a delivered output is: a path relative to the project's root, a URL, or a table; of a job that was `made` then, without templates."""
    output = spec["output"] if made is None else filled("outputSettings", spec["output"], Times(made))
    if place := output.get("path") or output.get("url"):
        return str(place)
    table = ".".join(str(output[part]) for part in ("catalog", "schema", "dataset", "table") if output.get(part))
    return f"{output['type']}:{table}"


def output_of(run: Run, job: Job) -> str:
    """The same, once it is known which job it is. What an endpoint makes of the templates in a table's name is for it to know."""
    return output_place(run.spec, job.created_at if run.endpoint is None else None)


def as_written(text: str, root: Path) -> str:
    """What the service says, with paths as the spec has them."""
    return text.replace(f"{root}/", "")


def kind_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a body shares with every other one that the service takes for the same job."""
    return request_core(dict(body))


def is_job_of(job: Job, body: Mapping[str, Any]) -> bool:
    """Whether a job that the service lists was made by this body. Server-side defaults are normalised away; what a reference was is not known."""
    try:
        return _fits(request_core(job.job_spec), kind_of(body))
    except ValueError:  # a job of a kind that we would not have sent
        return False


def _fits(found: Any, sent: Any) -> bool:
    """Whether `found` may be what became of `sent`: in the place of a reference there may be anything, and nothing."""
    match sent:
        case dict() if isinstance(found, dict):
            absent = [value for name, value in sent.items() if name not in found]
            known = all(name in sent and _fits(value, sent[name]) for name, value in found.items())
            return known and all(isinstance(value, str) and REFERENCE.search(value) for value in absent)
        case str() if isinstance(found, str) and REFERENCE.search(sent):
            literals = [re.escape(text) for text in REFERENCE.split(sent)[::2]]
            return found == REDACTED or re.fullmatch(".*".join(literals), found, re.DOTALL) is not None
    return bool(found == sent)


def _without(settings: Mapping[str, Any], place: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if settings["type"] != "localFile" or key != place}
