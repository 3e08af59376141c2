"""`reconciler state list` and `reconciler state show`."""

import click

from reconciler.cli.command import Command, option
from reconciler.cli.read import address_of, give_json, reading
from reconciler.cli.session import give, open_session, state_options
from reconciler.view.run import run_document, run_text


@click.command("list", cls=Command)
@click.argument("prefix", required=False, default="")
@state_options
def list_addresses(prefix: str, state: str, workspace: str, no_color: bool) -> None:
    """List the addresses that the state knows, all or those that begin with PREFIX.

    \b
    Examples:
      reconciler state list
      reconciler state list job.diabetes
    """
    session = open_session(state, workspace, no_color)
    with reading(session) as snapshot:
        addresses = sorted(snapshot.recorded(workspace))
    give("".join(f"{address}\n" for address in addresses if address.startswith(prefix)), nl=False)


@click.command("show", cls=Command)
@click.argument("address")
@option("-json", "as_json", is_flag=True, help="As JSON.")
@state_options
def show_address(address: str, as_json: bool, state: str, workspace: str, no_color: bool) -> None:
    """Show what is recorded of one job: its current run, or its latest when none was delivered.

    \b
    Examples:
      reconciler state show wine
      reconciler state show 'job.diabetes["2026-10"]' -json
    """
    session = open_session(state, workspace, no_color)
    with reading(session) as snapshot:
        recorded = snapshot.recorded(workspace)
        chosen = address_of(address, recorded)
        facts = recorded[chosen].current or recorded[chosen].latest
        run = snapshot.run(facts.id) if facts else None
        metadata = snapshot.metadata(workspace, chosen)
    assert run is not None, "an address is recorded together with its first run"
    if as_json:
        give_json({**run_document(run), "metadata": metadata})
    else:
        give(run_text(run, session.out, metadata), nl=False)
