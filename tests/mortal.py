"""An apply that gets a signal at its Nth durable write to the state. The rule here: only the store is another one, and does what the real one does.

Run by a `nursery`: `main("SIGKILL", "3")`. What it says are the errors alone.
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconciler.errors import ReconcilerError
from reconciler.planning import make_plan
from reconciler.project import Project
from reconciler.reconcile import Edges, apply_plan
from reconciler.state.store import Store


class MortalStore(Store):
    number = signal.SIGKILL
    left = 0

    @contextmanager
    def _write(self, *args: Any, **settings: Any) -> Iterator[None]:
        with super()._write(*args, **settings):
            yield
        MortalStore.left -= 1
        if MortalStore.left == 0:
            os.kill(os.getpid(), MortalStore.number)


def main(args: Sequence[str]) -> int:
    MortalStore.number, MortalStore.left = signal.Signals[args[0]], int(args[1])
    project = Project(Path.cwd(), Path.cwd() / "state/reconciler.db", "prod")
    try:
        ended = apply_plan(project, make_plan(project), lambda event: None, edges=Edges(open_store=MortalStore))
    except ReconcilerError as error:
        sys.stderr.write(f"{error.summary}. {error.detail}\n")
        return error.exit_code
    sys.stderr.write("".join(f"{item.diagnostic.summary}. {item.diagnostic.detail}\n" for item in ended if item.diagnostic))
    return 1 if any(item.diagnostic for item in ended) else 0
