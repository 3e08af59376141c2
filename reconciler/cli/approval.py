"""Asking before what cannot be undone. The rule here: only the literal `yes` goes on, and where nobody can be asked, nothing does."""

import sys

from reconciler.cli.session import Session, say
from reconciler.errors import Refused


def ask(session: Session, question: str, explanation: str, refused: Refused, without_asking: str) -> None:
    """Raises `refused` for any other answer; `without_asking` is the flag that approves beforehand."""
    if not sys.stdin.isatty():
        raise Refused(
            "This needs approval, and nobody can be asked", f"Standard input is no terminal. Give {without_asking} to go on without asking."
        )
    say(f"\n{session.err(question, 'bold')}\n  {explanation}\n  Only 'yes' will be accepted to approve.\n")
    say("  " + session.err("Enter a value: ", "bold"), nl=False)
    if sys.stdin.readline().strip() != "yes":
        raise refused
    say("")
