"""`reconciler version`."""

import json

import click

from reconciler.cli.command import Command, option
from reconciler.cli.session import give
from reconciler.version import VERSION


@click.command(cls=Command)
@option("-json", "as_json", is_flag=True, help="As JSON.")
def version(as_json: bool) -> None:
    """Print the version."""
    give(json.dumps({"reconciler_version": VERSION}) if as_json else f"reconciler {VERSION}")
