"""The deployments served here: folders with a model. The rule here: a model's ids come from the folder's content, so a replaced model shows.

A deployment serves its own folder, or that of another one that its model was replaced with.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler.engine.metadata import Metadata, read_metadata
from reconciler.errors import ModelError
from reconciler.fingerprint import file_digest, folder_files, listing_digest, short_id
from reconciler.service import moment
from reconciler.service.replacements import Replacement, Replacements

# A file that changed within this time may change again without a new mtime, so its digest is not kept.
_SETTLED_NS = 2_000_000_000

Signature = tuple[Path, int, int, int]  # path, inode, size, mtime_ns


@dataclass(frozen=True)
class LocalDeployment:
    id: str
    label: str
    folder: Path  # that it serves
    replacement: Replacement | None = None
    is_lost: bool = False  # the folder that it serves is no longer registered
    is_trusted: bool = False  # whether the code in that folder may run

    @property
    def loss(self) -> ModelError:
        assert self.replacement, "only a replacement can be lost"
        detail = f"it was replaced with that of {self.replacement.folder}, which is served here no more; serve it again, or replace the model"
        return ModelError(f"The model of deployment {self.id} is gone", detail)


@dataclass(frozen=True)
class Artifact:
    """The content of a model folder: its digest, and since when it is what is served."""

    digest: str
    changed: datetime

    @property
    def model_id(self) -> str:
        return short_id(f"model:{self.digest}")

    @property
    def package_id(self) -> str:
        return short_id(f"package:{self.digest}")


class Registry:
    def __init__(self, deployments: Iterable[LocalDeployment], replacements: Replacements | None = None) -> None:
        self._deployments = {deployment.id: deployment for deployment in deployments}
        self._replacements = replacements
        self._digests: dict[Signature, str] = {}

    def following(self, replacements: Replacements) -> "Registry":
        """The same deployments, which serve what their models were replaced with."""
        return Registry(self._deployments.values(), replacements)

    def get(self, id: str) -> LocalDeployment | None:
        own = self._deployments.get(id)
        return self._served(own) if own else None

    def owners(self) -> list[LocalDeployment]:
        """Each with its own folder, whatever it serves, by label."""
        return sorted(self._deployments.values(), key=lambda deployment: (deployment.label, deployment.id))

    def labelled(self, search: str) -> list[LocalDeployment]:
        """Those whose label contains `search`, by label."""
        return [self._served(own) for own in self.owners() if search.casefold() in own.label.casefold()]

    def metadata(self, deployment: LocalDeployment) -> Metadata:
        """Raises ModelError when there is no model to score with."""
        if deployment.is_lost:
            raise deployment.loss
        return read_metadata(deployment.folder, is_trusted=deployment.is_trusted)

    def artifact(self, deployment: LocalDeployment) -> Artifact:
        """Reads what changed since the last look. Raises OSError or ModelError when there is no model to look at."""
        if deployment.is_lost:
            raise deployment.loss
        files = folder_files(deployment.folder)
        if not files:
            raise ModelError("The model folder is empty or missing", f"{deployment.folder}")
        digests = {path.relative_to(deployment.folder).as_posix(): self._digest(path) for path in files}
        changed = max(path.stat().st_mtime for path in files)
        deployed = [datetime.fromtimestamp(changed, UTC)]
        if deployment.replacement:
            deployed.append(moment.parsed(deployment.replacement.created))
        return Artifact(listing_digest(digests), max(deployed))

    def unpinned(self, deployment: LocalDeployment, model_id: str | None) -> str | None:
        """Why a job that is pinned to this model cannot be scored; None when it can. Raises OSError or ModelError as `artifact` does."""
        if model_id is None or (served := self.artifact(deployment).model_id) == model_id:
            return None
        return f"deployment {deployment.id} serves the model {served}, and no other can be scored here; pin that one, or leave pinnedModelId out"

    def resource(self, deployment: LocalDeployment) -> dict[str, Any]:
        """The API's deployment resource; a folder that cannot be read is shown as `errored`, without a model."""
        try:
            artifact, metadata = self.artifact(deployment), self.metadata(deployment)
        except (OSError, ModelError):
            return _resource(deployment, "errored", None, None)
        package = {"id": artifact.package_id, "name": metadata.name, "registeredModelId": None}
        return _resource(deployment, "active", _model(artifact, metadata), package)

    def champion(self, deployment: LocalDeployment) -> dict[str, Any] | None:
        """The API's model package of what the folder holds now; None when it cannot be read."""
        try:
            artifact, metadata = self.artifact(deployment), self.metadata(deployment)
        except (OSError, ModelError):
            return None
        return _package(deployment, artifact, metadata)

    def _served(self, own: LocalDeployment) -> LocalDeployment:
        replacement = self._replacements.latest(own.id) if self._replacements else None
        if replacement is None:
            return own
        owner = self._deployments.get(replacement.owner_id)
        if owner is None:
            return replace(own, folder=Path(replacement.folder), replacement=replacement, is_lost=True, is_trusted=False)
        return replace(own, folder=owner.folder, replacement=replacement, is_trusted=owner.is_trusted)

    def _digest(self, path: Path) -> str:
        found = path.stat()
        signature = (path, found.st_ino, found.st_size, found.st_mtime_ns)
        if signature in self._digests:
            return self._digests[signature]
        digest = file_digest(path)
        if time.time_ns() - found.st_mtime_ns > _SETTLED_NS:
            self._digests[signature] = digest
        return digest


def _resource(deployment: LocalDeployment, status: str, model: dict[str, Any] | None, package: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": deployment.id,
        "label": deployment.label,
        "description": None,
        "status": status,
        "importance": None,
        "tags": [],
        "model": model,
        "modelPackage": package,
        "defaultPredictionServer": None,
    }


def _model(artifact: Artifact, metadata: Metadata) -> dict[str, Any]:
    return {
        "id": artifact.model_id,
        "type": metadata.name,
        "targetName": metadata.target_name,
        "targetType": metadata.target_type,
        "projectId": None,
        "projectName": None,
        "deployedAt": moment.rfc3339(artifact.changed),
        "isDeprecated": False,
    }


def _kind(metadata: Metadata) -> dict[str, bool]:
    is_anomaly = metadata.target_type == "Anomaly"
    return {"isUnsupervisedLearning": is_anomaly or metadata.target_type == "Clustering", "isAnomalyDetectionModel": is_anomaly}


def _package(deployment: LocalDeployment, artifact: Artifact, metadata: Metadata) -> dict[str, Any]:
    """A folder keeps one version and no history, so its version is always 1; the ids tell one content from another."""
    changed = moment.rfc3339(artifact.changed)
    return {
        "id": artifact.package_id,
        "registeredModelId": short_id(f"registered:{deployment.id}"),
        "registeredModelVersion": 1,
        "name": metadata.name,
        "modelId": artifact.model_id,
        "modelExecutionType": "custom_inference_model",
        "isArchived": False,
        "isDeprecated": False,
        "importMeta": {"creatorUsername": None, "dateCreated": changed, "originalFileName": metadata.artifact.name},
        "sourceMeta": {"projectId": None, "projectName": None},
        "modelKind": {"isTimeSeries": False, "isMultiseries": False, **_kind(metadata)},
        "target": {
            "name": metadata.target_name,
            "type": metadata.target_type,
            "classNames": list(metadata.class_labels),
            "predictionThreshold": metadata.prediction_threshold if metadata.target_type == "Binary" else None,
        },
        "modelDescription": {"modelName": metadata.name, "description": None, "location": None},
        "datasets": {},
        "timeseries": {},
        "updatedAt": changed,
    }
