"""The embedded service as the scorer of a workspace. The rule here: the one seam where the tool meets the service and its engine."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from reconciler.api.client import Client
from reconciler.engine.connectors.rooms import ROOMS
from reconciler.errors import Refused
from reconciler.fingerprint import short_id

if TYPE_CHECKING:
    from reconciler.engine.job import Tolerance
    from reconciler.engine.place import Keys

Number = TypeVar("Number", int, float)

# Where there is no endpoint, a dataset and a path are files.
SERVED_TYPES = frozenset({"localFile", "fileSystem", "dataset", *ROOMS})


_SETTINGS = ("RECONCILER_FAILED_ROWS", "RECONCILER_FAILED_SHARE")


def tolerance(environment: Mapping[str, str]) -> "Tolerance":
    """How many rows of a job may fail before abort_on_error ends it, as the environment says. Raises Refused."""
    from reconciler.engine.job import TOLERANCE

    rows, share = (environment.get(name, "").strip() for name in _SETTINGS)
    with_rows = replace(TOLERANCE, rows=_within(_SETTINGS[0], rows, int, sys.maxsize)) if rows else TOLERANCE
    return replace(with_rows, share=_within(_SETTINGS[1], share, float, 1)) if share else with_rows


def _within(name: str, text: str, kind: Callable[[str], Number], most: int) -> Number:
    try:
        if 0 <= (number := kind(text)) <= most:
            return number
    except ValueError:
        pass
    raise Refused(f"{name} is not a number that it can be", f"It is {text!r}. Give a whole number of rows from 0 on, or a share from 0 to 1.")


def deployment_id(folder: str) -> str:
    """A local deployment is identified by its folder, as a remote one is by its id; its name in the spec is only a name."""
    return short_id(f"deployment:{folder}")


@asynccontextmanager
async def embedded_client(root: Path, storage: Path, folders: Mapping[str, bool], keys: "Keys | None" = None) -> AsyncIterator[Client]:
    """The service over the model folders, each with whether its code is trusted, in this process, behind the API's client.

    `keys` hold what other systems are opened with.
    """
    from reconciler.service.app import create_app
    from reconciler.service.registry import LocalDeployment, Registry
    from reconciler.service.service import Service

    registry = Registry(LocalDeployment(deployment_id(folder), folder, root / folder, is_trusted=trust) for folder, trust in folders.items())
    with Service(storage, registry, tolerance=tolerance(os.environ), keys=keys) as service:
        async with Client.for_app(create_app(service)) as client:
            yield client
