"""`reconciler state adopt` and `reconciler state resubmit`."""

from collections.abc import Callable

import click

from reconciler.cli.approval import ask
from reconciler.cli.command import Command, option
from reconciler.cli.lock import lock_options
from reconciler.cli.read import address_of, give_json, reading
from reconciler.cli.session import Session, give, open_session, say, spec_options, state_options
from reconciler.errors import Refused
from reconciler.state.record import Run
from reconciler.view.run import run_document


@click.command(cls=Command)
@click.argument("address")
@click.argument("job_id")
@option("-force", is_flag=True, help="Also when the job's spec is not the one that was sent.")
@option("-json", "as_json", is_flag=True, help="The run as JSON.")
@lock_options
@spec_options
@state_options
def adopt(
    address: str,
    job_id: str,
    force: bool,
    as_json: bool,
    lock_timeout: float,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    state: str,
    workspace: str,
    no_color: bool,
) -> None:
    """Settle a run that is in doubt: JOB_ID is the job that its submission made. The next apply tracks it.

    A run is in doubt when its submission was sent and no answer came, and the service's list of jobs does not tell either. The job is looked at
    on the service first; one with another spec, or that belongs to another run, is refused.

    A run is in doubt too when its job did not end well and may have left rows in a table. With that job's own id you say that all of its rows are
    there, and the run is recorded as delivered.

    \b
    Examples:
      reconciler state adopt job.wine 6710f0a2c4d1e8b7a6c5d4e3
      reconciler state adopt 'job.diabetes["2026-10"]' 6710f0a2c4d1e8b7a6c5d4e3 -workspace=prod
    """
    from reconciler.settling import adopt_job

    session = open_session(state, workspace, no_color, var, var_file)
    run = adopt_job(session.project, _chosen(session, address), job_id, is_forced=force, lock_timeout_s=lock_timeout, note=_note(session))
    how = f"has the job {run.job_id} now. Run apply to go on with it." if run.is_open else "is recorded as delivered."
    _give(run, as_json, f"{run.address}: the run {run.id} {how}")


@click.command(cls=Command)
@click.argument("address")
@option("-auto-approve", is_flag=True, help="Do not ask.")
@option("-json", "as_json", is_flag=True, help="The run as JSON; needs -auto-approve.")
@lock_options
@spec_options
@state_options
def resubmit(
    address: str,
    auto_approve: bool,
    as_json: bool,
    lock_timeout: float,
    var: tuple[str, ...],
    var_file: tuple[str, ...],
    state: str,
    workspace: str,
    no_color: bool,
) -> None:
    """Settle a run that is in doubt: its submission made no job, or one that shall not count. The next apply submits it anew.

    Look at the service first: if there is another job after all, it goes on and will not be tracked, and the rows are scored and paid for twice.
    A job that the run has is aborted.

    \b
    Examples:
      reconciler state resubmit job.wine
      reconciler state resubmit job.wine -auto-approve
    """
    from reconciler.settling import end_without_job, run_in_doubt

    session = open_session(state, workspace, no_color, var, var_file)
    if as_json and not auto_approve:
        raise click.UsageError("-json needs -auto-approve: nobody is asked.")
    chosen = _chosen(session, address)
    if not auto_approve:
        with reading(session) as snapshot:
            doubted = run_in_doubt(snapshot, workspace, chosen)
        explanation = f"You are sure that the submission of {doubted.intended_at} made no job. If there is one, it will be scored and paid for twice."
        if doubted.job_id:
            explanation = f"Its job {doubted.job_id} is aborted if it still runs, and rows that it may have left in a table were removed."
        refused = Refused("Resubmit cancelled", "The run is still in doubt.")
        ask(session, f"Shall {doubted.address} be submitted anew by the next apply?", explanation, refused, "-auto-approve")
    run = end_without_job(session.project, chosen, lock_timeout_s=lock_timeout, note=_note(session))
    how = "no job was made" if run.job_id is None else "its job does not count"
    _give(run, as_json, f"{run.address}: the run {run.id} is settled: {how}. Run apply to submit it anew.")


def _chosen(session: Session, address: str) -> str:
    with reading(session) as snapshot:
        return address_of(address, snapshot.recorded(session.project.workspace))


def _note(session: Session) -> Callable[[str], None]:
    return lambda text: say(f"{session.err('Note:', 'bold')} {text}")


def _give(run: Run, as_json: bool, text: str) -> None:
    if as_json:
        give_json(run_document(run))
    else:
        give(text)
