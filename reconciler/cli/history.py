"""`reconciler history`."""

import click

from reconciler.cli.command import Command, option
from reconciler.cli.read import address_of, give_json, reading
from reconciler.cli.session import give, open_session, state_options
from reconciler.view.run import event_document, history_text


@click.command(cls=Command)
@click.argument("address", required=False)
@option("-json", "as_json", is_flag=True, help="As JSON.")
@state_options
def history(address: str | None, as_json: bool, state: str, workspace: str, no_color: bool) -> None:
    """Print what happened, oldest first: every step of every run, of all jobs or of one, forgotten ones included.

    \b
    Examples:
      reconciler history
      reconciler history 'job.diabetes["2026-10"]'
    """
    session = open_session(state, workspace, no_color)
    with reading(session) as snapshot:
        events = snapshot.history(workspace)
    if address is not None:
        chosen = address_of(address, {event.address for event in events})
        events = [event for event in events if event.address == chosen]
    if as_json:
        give_json([event_document(event) for event in events])
    else:
        give(history_text(events, session.out), nl=False)
