"""Who the service acts for. The rule here: one process, one user; its id is made from its name, so it outlives the process."""

import getpass
import os
from typing import Any

from reconciler.fingerprint import short_id


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def shown_user(name: str) -> dict[str, Any]:
    """As the API shows a user: `createdBy`, `updatedBy`."""
    return {"userId": short_id(f"user:{name}"), "username": name, "fullName": None}
