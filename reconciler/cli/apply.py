"""`reconciler apply`."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from reconciler.cli.command import Command, option
from reconciler.cli.plan import plan_options
from reconciler.cli.session import Session, give, open_session, say, spec_options, state_options
from reconciler.errors import Refused
from reconciler.plan.plan import Plan


@click.command(cls=Command)
@option("-auto-approve", is_flag=True, help="Do not ask.")
@option("-parallelism", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="How many jobs to drive at once.")
@plan_options
@spec_options
@state_options
def apply(
    auto_approve: bool,
    parallelism: int,
    target: Sequence[str],
    replace: Sequence[str],
    verbose: bool,
    var: Sequence[str],
    var_file: Sequence[str],
    state: str,
    workspace: str,
    no_color: bool,
) -> int:
    """Make a plan, ask for approval, and do it: submit what is new or changed, track it, record where its output went.

    An apply that was interrupted goes on when it is run again; what was submitted is found, not submitted twice.

    \b
    Examples:
      reconciler apply
      reconciler apply -auto-approve -parallelism=4
      reconciler apply -target job.wine

    Exit codes: 0 all done, 1 an error, a refusal, or a job that failed.
    """
    from reconciler.planning import make_plan
    from reconciler.view.plan import plan_text

    session = open_session(state, workspace, no_color, var, var_file)
    plan = make_plan(session.project, target=target, replace=replace)
    give(plan_text(plan, session.out, limit=None if verbose else 100), nl=False)
    if plan.is_applyable and not auto_approve:
        _ask(plan, session)
    return _do(plan, session, parallelism)


def _do(plan: Plan, session: Session, parallelism: int) -> int:
    from reconciler.cli.progress import progress
    from reconciler.reconcile import apply_plan
    from reconciler.view.tally import tally_text

    with _terminable(), progress(session, len(plan.changes)) as listen:
        ended = apply_plan(session.project, plan, listen, parallelism=parallelism) if plan.changes else []
    give(tally_text(ended, plan.unchanged, session.out), nl=False)
    return 1 if any(item.diagnostic and item.diagnostic.severity == "error" for item in ended) else 0


def _ask(plan: Plan, session: Session) -> None:
    """Only the literal `yes` goes on. Raises Refused."""
    if not sys.stdin.isatty():
        raise Refused(
            "The plan needs approval, and nobody can be asked", "Standard input is no terminal. Give -auto-approve to apply without asking."
        )
    where = "" if plan.workspace == "local" else f' in workspace "{plan.workspace}"'
    question = session.err(f"Do you want to perform these actions{where}?", "bold")
    say(f"\n{question}\n  reconciler will perform the actions described above.\n  Only 'yes' will be accepted to approve.\n")
    say("  " + session.err("Enter a value: ", "bold"), nl=False)
    if sys.stdin.readline().strip() != "yes":
        raise Refused("Apply cancelled", "Nothing was submitted.")
    say("")


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends an apply as Ctrl-C does: in order, with every run recorded."""
    before = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
