"""`reconciler validate`."""

import json
from collections.abc import Sequence

import click

from reconciler.cli.command import Command, option
from reconciler.cli.session import Session, give, open_session, spec_options, state_options
from reconciler.errors import SpecInvalid


@click.command(cls=Command)
@option("-json", "as_json", is_flag=True, help="As JSON: valid, error_count, diagnostics.")
@spec_options
@state_options
def validate(as_json: bool, var: Sequence[str], var_file: Sequence[str], state: str, workspace: str, no_color: bool) -> int:
    """Check the specs, without looking at the state or the world.

    \b
    Examples:
      reconciler validate
      reconciler validate -workspace prod -json
    """
    session = open_session(state, workspace, no_color, var, var_file)
    if as_json:
        return _as_json(session)
    count = _count(session)
    give(f"{session.out('Success!', 'bold green')} The specs are valid: {count} {'job' if count == 1 else 'jobs'} in workspace {workspace}.")
    return 0


def _count(session: Session) -> int:
    from reconciler.wanted import load_specs

    return len(load_specs(session.project).instances)


def _as_json(session: Session) -> int:
    try:
        _count(session)
        problems = []
    except SpecInvalid as error:
        problems = [item.as_json() for item in error.diagnostics]
    document = {"format_version": "1.0", "valid": not problems, "error_count": len(problems), "warning_count": 0, "diagnostics": problems}
    give(json.dumps(document, indent=2, ensure_ascii=False))
    return 1 if problems else 0
