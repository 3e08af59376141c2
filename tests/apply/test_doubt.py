"""Which jobs that ended badly may have left rows in a table, to which another one would add its own."""

import shlex
from dataclasses import replace
from typing import Any

import pytest

from reconciler.api.schema import Job
from reconciler.apply.doubt import adds_rows, may_have_written, question
from reconciler.errors import UNSETTLED
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run

JDBC = {"type": "jdbc", "statementType": "insert", "table": "scores"}


def run(endpoint: str | None, output: dict[str, Any]) -> Run:
    return Run(
        id="r",
        workspace="local",
        address="job.a",
        status=Status.RUNNING,
        spec={},
        spec_digest="",
        intake={},
        intake_digest=None,
        model={},
        model_digest=None,
        deployment="wine",
        deployment_id="d",
        request={"outputSettings": output},
        reasons=(),
        intended_at="",
        user="ada",
        host="laptop",
        git_commit=None,
        tool_version="0",
        job_id="j",
        endpoint=endpoint,
    )


def job(status: str = "ABORTED", scored: int = 0, failed: int = 0, details: str = "Aborted") -> Job:
    return Job.model_validate({"id": "j", "status": status, "statusDetails": details, "scoredRows": scored, "failedRows": failed})


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param(JDBC, True, id="insert"),
        pytest.param({**JDBC, "statementType": "createTable"}, True, id="create table"),
        pytest.param({**JDBC, "type": "snowflake"}, True, id="snowflake"),
        pytest.param({**JDBC, "type": "synapse"}, True, id="synapse"),
        pytest.param({"type": "bigquery", "dataset": "d", "table": "t", "bucket": "b"}, True, id="bigquery"),
        pytest.param({**JDBC, "statementType": "update"}, False, id="update"),
        pytest.param({**JDBC, "statementType": "insertUpdate"}, False, id="upsert"),
        pytest.param({"type": "s3", "url": "s3://lake/a.csv"}, False, id="object"),
        pytest.param({"type": "localFile"}, False, id="file"),
    ],
)
def test_only_a_table_without_keys_gets_more_rows_from_a_second_job(output: dict[str, Any], expected: bool) -> None:
    assert adds_rows({"outputSettings": output}) is expected


@pytest.mark.parametrize(
    ("endpoint", "output", "ended", "expected"),
    [
        pytest.param(None, JDBC, job(scored=9), False, id="ours, which moves its rows at the end"),
        pytest.param(None, JDBC, job(scored=9, details=f"Lost. {UNSETTLED}: look."), True, id="ours, which does not know"),
        pytest.param(None, {**JDBC, "commitInterval": 5}, job(scored=9), True, id="ours, which commits in between"),
        pytest.param(None, {**JDBC, "commitInterval": 5}, job(), False, id="ours, before the first row"),
        pytest.param(None, {**JDBC, "commitInterval": 0}, job(scored=9), False, id="ours, with one commit at the end"),
        pytest.param(None, JDBC, job("COMPLETED"), True, id="ours, which has written all"),
        pytest.param("http://h", JDBC, job(scored=9), True, id="an endpoint's, which has scored"),
        pytest.param("http://h", JDBC, job("FAILED", failed=1), True, id="an endpoint's, with a row that failed"),
        pytest.param("http://h", JDBC, job(), False, id="an endpoint's, before the first row"),
        pytest.param("http://h", JDBC, job(details=f"Lost. {UNSETTLED}: look."), True, id="an endpoint's, which counts none and does not know"),
    ],
)
def test_rows_may_be_there_unless_it_is_known_that_there_are_none(endpoint: str | None, output: dict[str, Any], ended: Job, expected: bool) -> None:
    assert may_have_written(run(endpoint, output), ended) is expected


@pytest.mark.parametrize(("workspace", "where"), [("local", []), ("prod", ["-workspace=prod"])])
def test_answers_can_be_pasted(workspace: str, where: list[str]) -> None:
    address = """job.a["Ada's"]"""
    asked = question(replace(run(None, JDBC), workspace=workspace, address=address), "The job is gone. Run apply again to score it anew.")
    commands = [shlex.split(line) for line in asked.splitlines() if line.startswith("  ")]
    assert commands == [["reconciler", "state", "resubmit", address, *where], ["reconciler", "state", "adopt", address, "j", *where]]
    assert "apply again" not in asked
