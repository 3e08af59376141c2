"""An apply beside a stranger, who begins to write when the first run is to become STATUS. Run as a program: `python besieged.py STATUS`."""

import sqlite3
import sys
from pathlib import Path
from typing import Any

from reconciler.errors import StateUnwritable
from reconciler.planning import make_plan
from reconciler.project import Project
from reconciler.reconcile import Edges, apply_plan
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.store import Store


class Besieged(Store):
    becoming: Status
    stranger: sqlite3.Connection | None = None

    def move(self, run: Run, status: Status, **facts: Any) -> Run:
        if status is self.becoming and self.stranger is None:
            self.stranger = sqlite3.connect(self.path, isolation_level=None)
            self.stranger.execute("BEGIN IMMEDIATE")
        return super().move(run, status, **facts)


def main(becoming: Status) -> None:
    Besieged.becoming = becoming
    project = Project(Path.cwd(), Path.cwd() / "state" / "reconciler.db")
    try:
        apply_plan(project, make_plan(project), lambda event: None, edges=Edges(open_store=lambda path: Besieged(path, patience_s=0.1)))
    except StateUnwritable as error:
        sys.exit(f"{error.summary}\n{error.detail}")


if __name__ == "__main__":
    main(Status(sys.argv[1]))
