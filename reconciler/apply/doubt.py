"""Rows that a job may have left in a table though it did not end well. The rule here: where nobody can tell, nothing is submitted unasked.

A second job would add its rows to those of the first. Whether there are any is known so well:

| whose job              | what it does with the rows               | may have left some when it ends badly
| the embedded service's | moves them in one transaction at the end | if it says that it lost the system there, or has a `commitInterval`
| an endpoint's          | commits as it goes (JDBC: every 600 s)   | if it says the same, has scored any, or nobody knows how many

Where a row of the same key is updated (`update`, `insertUpdate`), a second job writes nothing twice.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.api.schema import Job
from reconciler.errors import UNSETTLED
from reconciler.state.record import Run, settling

_TABLES = frozenset({"jdbc", "snowflake", "synapse", "bigquery"})
_REPEATABLE = frozenset({"update", "insertUpdate"})
# With these words an error advises what is right where nothing is in doubt.
_ADVICE = " Run apply again"


def adds_rows(request: Mapping[str, Any]) -> bool:
    """Whether the rows of a second job would be added to those of the first."""
    output = request["outputSettings"]
    return output["type"] in _TABLES and output.get("statementType") not in _REPEATABLE


def may_have_written(run: Run, job: Job) -> bool:
    """Whether a job that has ended may have left rows in its table, of which it is one that `adds_rows`."""
    if job.status == "COMPLETED" or UNSETTLED in job.status_details:  # `reconciler serve` says so too
        return True
    commits_as_it_goes = run.endpoint is not None or run.request["outputSettings"].get("commitInterval")
    return bool(commits_as_it_goes) and job.scored_rows + job.failed_rows > 0


def question(run: Run, why: str) -> str:
    """What the user is asked; the answers are commands."""
    return (
        f"{why.partition(_ADVICE)[0].rstrip()}\nRows of job {run.job_id} may be in {run.output}, so nothing is submitted. Look there, then say\n"
        f"  {settling('resubmit', run.workspace, run.address)}\nwhen there are none, or those that were there are removed; or, when all are there,\n"
        f"  {settling('adopt', run.workspace, run.address, run.job_id)}"
    )
