"""`reconciler schema`."""

import json

import click

from reconciler.cli.command import Command
from reconciler.cli.session import give


@click.command(cls=Command)
def schema() -> None:
    """Print the JSON Schema of the specs, for editors.

    \b
    Examples:
      reconciler schema > reconciler.schema.json
      # then, as the first line of a spec:
      # yaml-language-server: $schema=../reconciler.schema.json
    """
    from reconciler.spec.schema import json_schema

    give(json.dumps(json_schema(), indent=2, ensure_ascii=False))
