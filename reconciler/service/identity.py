"""A user as the API shows one. The rule here: the id is made from the name, so it outlives the process."""

from typing import Any

from reconciler.fingerprint import short_id


def shown_user(name: str) -> dict[str, Any]:
    """As the API shows a user: `createdBy`, `updatedBy`."""
    return {"userId": short_id(f"user:{name}"), "username": name, "fullName": None}
