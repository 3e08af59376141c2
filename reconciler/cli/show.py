"""`reconciler show`."""

import click

from reconciler.cli.command import Command, option
from reconciler.cli.read import give_json, reading
from reconciler.cli.session import give, open_session, state_options
from reconciler.errors import Refused
from reconciler.view.run import run_document, run_text, runs_text


@click.command(cls=Command)
@click.argument("run_id", required=False)
@option("-json", "as_json", is_flag=True, help="As JSON.")
@state_options
def show(run_id: str | None, as_json: bool, state: str, workspace: str, no_color: bool) -> None:
    """Show the current run of every job, or one run by its id.

    \b
    Examples:
      reconciler show
      reconciler show -json | jq '.[].output'
      reconciler show 0193a5f2c4d1e8b7a6c5d4e3
    """
    session = open_session(state, workspace, no_color)
    with reading(session) as snapshot:
        if run_id is None:
            runs = snapshot.current_runs(workspace)
            if as_json:
                give_json([run_document(run) for run in runs])
            else:
                give(runs_text(runs, session.out), nl=False)
            return
        run = snapshot.run(run_id)
    if run is None:
        raise Refused(f"No run {run_id}", "`reconciler history` names every run.")
    if as_json:
        give_json(run_document(run))
    else:
        give(run_text(run, session.out), nl=False)
