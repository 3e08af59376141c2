"""Replacing a deployment's model with another's. The rule here: as on the platform, the target stays the same, and every refusal says why."""

from typing import Any, Literal

from pydantic import ValidationError, model_validator

from reconciler.api.schema import validation_problems
from reconciler.engine.metadata import Metadata
from reconciler.errors import ModelError
from reconciler.options import Id, Strict
from reconciler.service.admission import sentence
from reconciler.service.refusal import Refusal, invalid
from reconciler.service.registry import Artifact, LocalDeployment, Registry

# As the API has them; the official client's enumeration lacks DEPRECATION.
Reason = Literal["ACCURACY", "DATA_DRIFT", "ERRORS", "SCHEDULED_REFRESH", "SCORING_SPEED", "DEPRECATION", "OTHER"]


class ModelReplacement(Strict):
    """`PATCH deployments/{id}/model/`: the new model, by its id or by its package's."""

    reason: Reason
    model_id: Id | None = None
    model_package_id: Id | None = None

    @model_validator(mode="after")
    def _one_model(self) -> "ModelReplacement":
        if (self.model_id is None) == (self.model_package_id is None):
            raise ValueError("give one of modelId and modelPackageId")
        return self

    @property
    def field(self) -> str:
        return "modelId" if self.model_id is not None else "modelPackageId"

    def is_of(self, artifact: Artifact) -> bool:
        return self.model_id == artifact.model_id if self.model_id is not None else self.model_package_id == artifact.package_id


def read(body: dict[str, Any]) -> ModelReplacement:
    """Raises Refusal."""
    try:
        return ModelReplacement.model_validate(body)
    except ValidationError as error:
        raise invalid(validation_problems(error)) from None


def new_owner(wanted: ModelReplacement, deployment: LocalDeployment, registry: Registry) -> LocalDeployment:
    """Whose folder holds the wanted model, when the deployment may serve it. Raises Refusal."""
    if (current := _artifact(registry, deployment)) and wanted.is_of(current):
        raise _refused(wanted, f"deployment {deployment.id} serves this model already")
    owner = next((own for own in registry.owners() if (artifact := _artifact(registry, own)) and wanted.is_of(artifact)), None)
    if owner is None:
        raise _refused(wanted, "no deployment here has this model in its folder")
    try:
        new = registry.metadata(owner)
    except (OSError, ModelError) as error:
        reason = sentence(error) if isinstance(error, ModelError) else str(error)
        raise _refused(wanted, f"this model cannot be scored with: {reason}") from None
    old = _known(deployment, registry)
    if old is None:
        raise _refused(wanted, f"the target of deployment {deployment.id} is not known: its model cannot be read")
    for what, before, after in (("target type", old.target_type, new.target_type), ("target name", old.target_name, new.target_name)):
        if before != after:
            raise _refused(wanted, f"this model's {what} is {after}, and that of deployment {deployment.id} is {before}")
    return owner


def _known(deployment: LocalDeployment, registry: Registry) -> Metadata | None:
    """What is served now or, when that cannot be read, what the deployment's own folder holds: the target of both is one."""
    for candidate in (deployment, *(own for own in registry.owners() if own.id == deployment.id)):
        try:
            return registry.metadata(candidate)
        except (OSError, ModelError):
            continue
    return None


def _artifact(registry: Registry, deployment: LocalDeployment) -> Artifact | None:
    try:
        return registry.artifact(deployment)
    except (OSError, ModelError):
        return None


def _refused(wanted: ModelReplacement, reason: str) -> Refusal:
    return invalid([((wanted.field,), reason)])
