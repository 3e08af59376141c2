"""What the commands that only read share. The rule here: they open a snapshot, so they never wait for an apply and never write."""

import difflib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from reconciler.cli.session import Session, give
from reconciler.errors import Refused
from reconciler.state.snapshot import Snapshot, open_snapshot


@contextmanager
def reading(session: Session) -> Iterator[Snapshot]:
    with open_snapshot(session.project.state) as snapshot:
        yield snapshot


def give_json(document: Any) -> None:
    give(json.dumps(document, indent=2, ensure_ascii=False))


def address_of(name: str, known: Collection[str]) -> str:
    """`wine` and `job.wine` are the same address. Raises Refused for one that is not known."""
    for address in (name, f"job.{name}"):
        if address in known:
            return address
    near = difflib.get_close_matches(f"job.{name.removeprefix('job.')}", list(known), n=1)
    raise Refused(
        f"No job at the address {name}", "`reconciler state list` names those that the state knows." + (f" Did you mean {near[0]}?" if near else "")
    )
