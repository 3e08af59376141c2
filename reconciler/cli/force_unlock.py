"""`reconciler force-unlock`."""

import click

from reconciler.cli.approval import ask
from reconciler.cli.command import Command, option
from reconciler.cli.read import give_json
from reconciler.cli.session import give, open_session, state_options
from reconciler.errors import Refused


@click.command("force-unlock", cls=Command)
@click.argument("lock_id", metavar="ID")
@option("-force", is_flag=True, help="Do not ask.")
@option("-json", "as_json", is_flag=True, help="As JSON; needs -force.")
@state_options
def force_unlock(lock_id: str, force: bool, as_json: bool, state: str, workspace: str, no_color: bool) -> None:
    """Take the lock of the state from a holder that will never end: ID is in the error that says that the state is locked.

    A holder whose process has died on this machine, or that has been silent for two minutes, is taken over without this. If the holder lives
    after all, its next write is refused: what it submitted before stays recorded, and what it was about to submit the next apply looks for first.

    \b
    Examples:
      reconciler force-unlock 5f2c9d0e8a1b4c37
      reconciler force-unlock -force 5f2c9d0e8a1b4c37
    """
    from reconciler.state.store import Store

    session = open_session(state, workspace, no_color)
    if as_json and not force:
        raise click.UsageError("-json needs -force: nobody is asked.")
    if not session.project.state.exists():
        raise Refused("The state is not locked", f"There is no state at {session.project.state}.")
    if not force:
        explanation = "Whoever holds it will not be able to write any more. Do this only when that process is gone."
        ask(session, "Do you really want to force-unlock the state?", explanation, Refused("Unlock cancelled", "The lock is as it was."), "-force")
    with Store(session.project.state) as store:
        holder = store.unlock(lock_id)
    if as_json:
        give_json({"unlocked": lock_id, "holder": holder})
    else:
        give(f"The state was unlocked. The lock {lock_id} was held by {holder}.")
