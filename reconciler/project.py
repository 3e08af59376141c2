"""Which project a command is about: its folder, its state, its workspace. The rule here: every relative path starts at `root`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Project:
    """`root` is the folder that holds `specs/`; `variables` are texts that override defaults.

    `offered` are texts of the environment: they count less, and one that no spec declares is not a mistake.
    """

    root: Path
    state: Path
    workspace: str = "local"
    variables: Mapping[str, str] = field(default_factory=dict)
    offered: Mapping[str, str] = field(default_factory=dict)
