"""What a job that ended badly says: its details, and what its log adds to them."""

from pathlib import Path

import pytest

from reconciler.api.schema import Job
from reconciler.apply.tracking import Timeouts, last_words

USUAL = ["Job created by me from 127.0.0.1 at 2026-01-01 00:00:00.000000", "Job started processing at 2026-01-01 00:00:01.000000"]
NO_END = float("inf")


@pytest.mark.parametrize(
    ("details", "logs", "words"),
    [
        pytest.param("A row is bad", [*USUAL, "A row is bad"], "A row is bad", id="the log adds nothing"),
        pytest.param("Aborted", [*USUAL, "Line 3: no number", "Aborted"], "Aborted\nThe last lines of its log:\nLine 3: no number", id="a reason"),
        pytest.param(
            "Aborted",
            [f"Line {n}" for n in range(9)],
            "Aborted\nThe last lines of its log:\n" + "\n".join(f"Line {n}" for n in range(4, 9)),
            id="five",
        ),
        pytest.param("/project/data/in.csv is empty", [], "data/in.csv is empty", id="a path of this project"),
    ],
)
def test_last_words_are_the_details_and_what_the_log_adds(details: str, logs: list[str], words: str) -> None:
    job = Job.model_validate({"id": "j", "status": "ABORTED", "statusDetails": details, "logs": logs})
    assert last_words(job, Path("/project")) == words


@pytest.mark.parametrize(
    ("metadata", "timeouts"),
    [
        ({}, Timeouts(NO_END, NO_END, NO_END)),
        ({"timeouts": {"queue": "30s"}}, Timeouts(30.0, NO_END, NO_END)),
        ({"timeouts": {"run": "1h", "total": "2h"}}, Timeouts(NO_END, 3600.0, 7200.0)),
    ],
)
def test_timeout_that_is_not_given_never_ends(metadata: dict[str, dict[str, str]], timeouts: Timeouts) -> None:
    assert Timeouts.of(metadata) == timeouts
