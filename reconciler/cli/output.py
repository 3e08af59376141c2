"""`reconciler output`."""

import json

import click

from reconciler.cli.command import Command, option
from reconciler.cli.read import address_of, give_json, reading
from reconciler.cli.session import give, open_session, state_options


@click.command(cls=Command)
@click.argument("name", required=False)
@option("-raw", is_flag=True, help="The bare location, for a shell; needs NAME.")
@option("-json", "as_json", is_flag=True, help="As JSON.")
@state_options
def output(name: str | None, raw: bool, as_json: bool, state: str, workspace: str, no_color: bool) -> None:
    """Print where the outputs are.

    \b
    Examples:
      reconciler output
      head "$(reconciler output -raw job.wine)"
      reconciler output -json
    """
    if raw and (name is None or as_json):
        raise click.UsageError("-raw needs the NAME of one job and excludes -json.")
    session = open_session(state, workspace, no_color)
    with reading(session) as snapshot:
        outputs = {run.address: run.output for run in snapshot.current_runs(workspace)}
    if name is not None:
        location = outputs[address_of(name, outputs)]
        give(str(location) if raw else json.dumps(location, ensure_ascii=False))
    elif as_json:
        give_json(outputs)
    else:
        width = max(map(len, outputs), default=0)
        give("".join(f"{address.ljust(width)} = {json.dumps(path, ensure_ascii=False)}\n" for address, path in outputs.items()), nl=False)
