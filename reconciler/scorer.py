"""Who scores for a workspace: the embedded service, or an endpoint. The rule here: one client for both worlds, opened in one place."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from reconciler.api.access import find_access
from reconciler.api.client import PATIENT, Client
from reconciler.api.retry import Retry
from reconciler.embedded import embedded_client
from reconciler.project import Project
from reconciler.vault import Vault


def open_scorer(
    project: Project,
    endpoint: Mapping[str, Any] | None,
    folders: Mapping[str, bool],
    vault: Vault | None = None,
    requests: int = 10,
    retry: Retry = PATIENT,
) -> AbstractAsyncContextManager[Client]:
    """`endpoint` are the raw settings, None for the embedded service over `folders`, each with its trust. Raises Refused without a token.

    With `vault` the embedded service opens other systems; an endpoint has credentials of its own.
    """
    if endpoint is not None:
        return Client(find_access(endpoint), requests=requests, retry=retry)
    storage = project.state.parent / f"{project.state.stem}.service" / project.workspace
    return embedded_client(project.root, storage, folders, vault)
