"""What every command shares: the project it is about, and how it speaks. The rule here: stdout is data, stderr is talk."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from reconciler.cli.command import Decorator, option, with_options
from reconciler.errors import Refused
from reconciler.project import Project
from reconciler.view.paint import Paint, paint_for

_ENV_PREFIX = "RECONCILER_VAR_"

state_options: Decorator = with_options(
    option("-state", metavar="PATH", envvar="RECONCILER_STATE", default="state/reconciler.db", show_default=True, help="The state database."),
    option("-workspace", metavar="NAME", envvar="RECONCILER_WORKSPACE", default="local", show_default=True, help="The workspace to work in."),
    option("-no-color", is_flag=True, help="Plain text. NO_COLOR does the same."),
)
spec_options: Decorator = with_options(
    option("-var", "var", metavar="NAME=VALUE", multiple=True, help="Set a variable; may be given several times."),
    option("-var-file", "var_file", metavar="PATH", multiple=True, help="Set variables from a YAML file; -var wins over it."),
)


@dataclass(frozen=True)
class Session:
    project: Project
    no_color: bool

    @property
    def out(self) -> Paint:
        return paint_for(sys.stdout, no_color=self.no_color)

    @property
    def err(self) -> Paint:
        return paint_for(sys.stderr, no_color=self.no_color)


def open_session(state: str, workspace: str, no_color: bool, var: Sequence[str] = (), var_file: Sequence[str] = ()) -> Session:
    """Raises Refused when a variable is not given as NAME=VALUE, and when the working folder is gone."""
    try:
        root = Path.cwd()
    except FileNotFoundError:
        raise Refused("The working folder no longer exists", "It was removed or replaced. Change into the folder that holds specs/.") from None
    return Session(Project(root, Path(state), workspace, _variables(var, var_file), _offered()), no_color)


def _offered() -> dict[str, str]:
    return {name.removeprefix(_ENV_PREFIX): value for name, value in os.environ.items() if name.startswith(_ENV_PREFIX)}


def _variables(given: Sequence[str], files: Sequence[str]) -> dict[str, str]:
    """Files in their order, then -var: the last one wins."""
    found: dict[str, str] = {}
    if files:
        from reconciler.spec.given import read_variables

        for file in files:
            found |= read_variables(Path(file))
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name or name != name.strip():
            raise Refused(f"-var takes NAME=VALUE, not {item!r}", "Write for instance -var month=2026-10, without spaces round the =.")
        found[name] = value
    return found


def say(text: str, *, nl: bool = True) -> None:
    """Talk: progress, prompts, notes."""
    click.echo(text, err=True, nl=nl, color=True)


def give(text: str, *, nl: bool = True) -> None:
    """Data: what the command was asked for. The painter has decided on colour already."""
    click.echo(text, nl=nl, color=True)
