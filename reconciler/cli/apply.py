"""`reconciler apply`."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import click

from reconciler.cli.approval import ask
from reconciler.cli.command import Command, option
from reconciler.cli.lock import lock_options
from reconciler.cli.plan import plan_options
from reconciler.cli.session import Session, give, open_session, say, spec_options, state_options
from reconciler.errors import PlanStale, Refused
from reconciler.plan.plan import Plan

if TYPE_CHECKING:
    from reconciler.reconcile import Manner


@click.command(cls=Command)
@option("-auto-approve", is_flag=True, help="Do not ask.")
@option("-parallelism", type=click.IntRange(min=1), default=10, show_default=True, metavar="N", help="How many requests to send at once.")
@option("-max-in-flight", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="How many jobs to have in flight at once.")
@option(
    "-max-in-flight-per-deployment",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="N",
    help="How many of them of one deployment; the platform runs one at a time and queues the others.",
)
@option(
    "-on-interrupt",
    type=click.Choice(["detach", "cancel"]),
    default="detach",
    show_default=True,
    help="What Ctrl-C does to jobs in flight: let them go on, for the next apply to take up, or abort them.",
)
@lock_options
@plan_options
@spec_options
@state_options
def apply(
    auto_approve: bool,
    parallelism: int,
    lock_timeout: float,
    max_in_flight: int,
    max_in_flight_per_deployment: int,
    on_interrupt: Literal["detach", "cancel"],
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

    An apply that was interrupted goes on when it is run again; what was submitted is found, not submitted twice. The first Ctrl-C (or SIGTERM) stops
    submitting, records where everything is and leaves; a second one leaves at once, and nothing is lost either.

    \b
    Examples:
      reconciler apply
      reconciler apply -auto-approve -parallelism=4
      reconciler apply -target job.wine
      reconciler apply -workspace=prod -max-in-flight=200 -on-interrupt=cancel

    Exit codes: 0 all done, 1 an error, a refusal, or a job that failed.
    """
    from reconciler.apply.flight import Limits
    from reconciler.planning import make_plan
    from reconciler.reconcile import Manner
    from reconciler.view.plan import plan_text

    session = open_session(state, workspace, no_color, var, var_file)
    manner = Manner(Limits(parallelism, max_in_flight, max_in_flight_per_deployment), lock_timeout, on_interrupt)
    while True:
        plan = make_plan(session.project, target=target, replace=replace)
        give(plan_text(plan, session.out, limit=None if verbose else 100), nl=False)
        if plan.is_applyable and not auto_approve:
            _ask(plan, session)
        try:
            return _do(plan, session, manner)
        except PlanStale as error:
            if not auto_approve:
                raise
            say(f"Note: {error.summary} Another plan is made.")


def _do(plan: Plan, session: Session, manner: "Manner") -> int:
    from reconciler.cli.progress import progress
    from reconciler.reconcile import apply_plan
    from reconciler.view.tally import tally_text

    with _terminable(), progress(session, len(plan.changes)) as listen:
        ended = apply_plan(session.project, plan, listen, manner=manner) if plan.changes else []
    give(tally_text(ended, plan.unchanged, session.out), nl=False)
    return 1 if any(item.diagnostic and item.diagnostic.severity == "error" for item in ended) else 0


def _ask(plan: Plan, session: Session) -> None:
    """Raises Refused."""
    where = "" if plan.workspace == "local" else f' in workspace "{plan.workspace}"'
    ask(
        session,
        f"Do you want to perform these actions{where}?",
        "reconciler will perform the actions described above.",
        Refused("Apply cancelled", "Nothing was submitted."),
        "-auto-approve",
    )


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends an apply as Ctrl-C does: in order, with every run recorded."""
    before = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
