"""The embedded service as the scorer of a workspace. The rule here: the one seam where the tool meets the service and its engine."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from reconciler.api.client import Client
from reconciler.fingerprint import short_id

SERVED_TYPES = frozenset({"localFile"})


def deployment_id(folder: str) -> str:
    """A local deployment is identified by its folder, as a remote one is by its id; its name in the spec is only a name."""
    return short_id(f"deployment:{folder}")


@asynccontextmanager
async def embedded_client(root: Path, storage: Path, folders: Mapping[str, bool]) -> AsyncIterator[Client]:
    """The service over the model folders, each with whether its code is trusted, in this process, behind the API's client."""
    from reconciler.service.app import create_app
    from reconciler.service.registry import LocalDeployment, Registry
    from reconciler.service.service import Service

    registry = Registry(LocalDeployment(deployment_id(folder), folder, root / folder, is_trusted=trust) for folder, trust in folders.items())
    with Service(storage, registry) as service:
        async with Client.for_app(create_app(service)) as client:
            yield client
