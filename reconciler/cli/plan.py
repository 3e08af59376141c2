"""`reconciler plan`."""

import json
from collections.abc import Sequence

import click

from reconciler.cli.command import Command, Decorator, option, with_options
from reconciler.cli.session import give, open_session, spec_options, state_options

plan_options: Decorator = with_options(
    option("-target", metavar="ADDRESS", multiple=True, help="Only this job and what it depends on; may be given several times."),
    option("-replace", metavar="ADDRESS", multiple=True, help="Rerun this job though nothing changed; may be given several times."),
    option("-verbose", is_flag=True, help="Show every change, however many."),
)


@click.command(cls=Command)
@option("-detailed-exitcode", is_flag=True, help="Exit with 0: nothing to do, 1: error, 2: something to do.")
@option("-json", "as_json", is_flag=True, help="The plan as one JSON document.")
@plan_options
@spec_options
@state_options
def plan(
    detailed_exitcode: bool,
    as_json: bool,
    target: Sequence[str],
    replace: Sequence[str],
    verbose: bool,
    var: Sequence[str],
    var_file: Sequence[str],
    state: str,
    workspace: str,
    no_color: bool,
) -> int:
    """Show what an apply would do, and why. Nothing is submitted.

    \b
    Examples:
      reconciler plan
      reconciler plan -var month=2026-10 -target job.wine
      reconciler plan -replace 'job.diabetes["2026-10"]'
      reconciler plan -json | jq .summary
    """
    from reconciler.planning import make_plan

    session = open_session(state, workspace, no_color, var, var_file)
    made = make_plan(session.project, target=target, replace=replace)
    if as_json:
        from reconciler.view.plan_json import plan_document

        give(json.dumps(plan_document(made), indent=2, ensure_ascii=False))
    else:
        from reconciler.view.plan import plan_text

        give(plan_text(made, session.out, limit=None if verbose else 100), nl=False)
    return 2 if detailed_exitcode and made.is_applyable else 0
