"""The body of a submission. The rule here: it says exactly what the fingerprint says, and where the files are on this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.api.schema import Job, request_core


def request_body(spec: Mapping[str, Any], deployment_id: str, root: Path, staging: Path) -> dict[str, Any]:
    """A job spec for the embedded service: `localFile` is a path on its own disk, so it maps to the API's `fileSystem`."""
    return {
        **spec.get("options", {}),
        "deploymentId": deployment_id,
        "intakeSettings": {"type": "fileSystem", "path": str(root / spec["intake"]["file"])},
        "outputSettings": {"type": "fileSystem", "path": str(staging)},
    }


def as_written(text: str, root: Path) -> str:
    """What the service says, with paths as the spec has them."""
    return text.replace(f"{root}/", "")


def is_job_of(job: Job, body: Mapping[str, Any]) -> bool:
    """Whether a job that the service lists was made by this body. Server-side defaults are normalised away."""
    try:
        return request_core(job.job_spec) == request_core(dict(body))
    except ValueError:  # a job of a kind that we would not have sent
        return False
