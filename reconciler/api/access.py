"""Where the Batch Prediction API is, and who asks. The rule here: endpoint and token come from one source, and the token is never shown."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from reconciler.errors import Refused


@dataclass(frozen=True)
class Access:
    """`verify` is whether the server's certificate is checked, or the file of the authorities to check it against."""

    endpoint: str
    token: str = field(default="", repr=False)
    scheme: Literal["Token", "Bearer"] = "Token"
    verify: bool | str = True
    connect_s: float = 6.05
    read_s: float = 60.0


def find_access(settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Access:
    """What a workspace's settings (raw: `${env.X}` not yet filled in) say, completed as the official client does. Raises Refused."""
    token = environ.get("DATAROBOT_API_TOKEN")
    if not token:
        raise Refused("No API token", "Set DATAROBOT_API_TOKEN.")
    return Access(str(settings["endpoint"]), token)
