"""One job from a query to a table, as a process that can be killed. Run as a program by test_jdbc_kill.py: `python jdbc_scoring.py JSON`."""

import json
import sys
from pathlib import Path
from typing import Any

from reconciler.engine.job import ScoringJob, Tally
from reconciler.engine.pipeline import score
from reconciler.engine.place import Place
from reconciler.options import Options
from reconciler.settings import JdbcIntake, JdbcOutput


def job(model: str, url: str, credential: dict[str, str], intake: dict[str, Any], output: dict[str, Any], rejects: str) -> ScoringJob:
    def place(settings: Any) -> Place:
        return Place(settings, credential, {}, {"jdbcUrl": url}, "6166c01ee91fb6641ecd28bd")

    given = {"type": "jdbc", "data_store_id": "d"}
    options = Options(passthrough_columns_set="all")
    source, target = place(JdbcIntake(**given | intake)), place(JdbcOutput(**given | output))
    return ScoringJob(Path(model), source, target, options, Path(rejects))


def scored(given: dict[str, Any]) -> Tally:
    return score(job(**given), report=lambda progress: None, is_cancelled=lambda: False)


if __name__ == "__main__":
    scored(json.loads(sys.argv[1]))
