"""`reconciler why`."""

import json
from collections.abc import Sequence

import click

from reconciler.cli.command import Command, option
from reconciler.cli.session import give, open_session, spec_options, state_options


@click.command(cls=Command)
@click.argument("address")
@option("-json", "as_json", is_flag=True, help="As JSON.")
@spec_options
@state_options
def why(address: str, as_json: bool, var: Sequence[str], var_file: Sequence[str], state: str, workspace: str, no_color: bool) -> None:
    """Explain what an apply would do to one job: its fingerprint, component by component, as recorded and as it is now.

    \b
    Examples:
      reconciler why job.wine
      reconciler why 'job.diabetes["2026-10"]' -json
    """
    from reconciler.planning import explain
    from reconciler.view.plan_json import change_document
    from reconciler.view.why import why_text

    session = open_session(state, workspace, no_color, var, var_file)
    change = explain(session.project, address if address.startswith("job.") else f"job.{address}")
    give(json.dumps(change_document(change), indent=2, ensure_ascii=False) if as_json else why_text(change, session.out).rstrip("\n"))
