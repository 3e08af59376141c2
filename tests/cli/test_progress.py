"""An apply as it goes on, where there is no terminal: plain lines."""

from pathlib import Path

import pytest

from reconciler.apply.event import Ended, Event, Progressed, Started, Submitted
from reconciler.cli.progress import progress
from reconciler.cli.session import Session
from reconciler.diagnostic import Diagnostic
from reconciler.plan.action import Action
from reconciler.project import Project

JOB = "job.wine"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(Project(tmp_path, tmp_path / "state.db"), no_color=True)


def running(elapsed_s: float, percent: float | None = 40.4, rows: int = 1_203_400) -> Progressed:
    return Progressed(JOB, "66f", "RUNNING", percent, rows, elapsed_s)


@pytest.mark.parametrize(
    ("events", "lines"),
    [
        pytest.param(
            [
                Started(JOB, Action.SUBMIT),
                Submitted(JOB, "66f", False),
                Ended(JOB, Action.SUBMIT, "scored", 302.9, "66f", "out/wine.csv", 1_203_400),
            ],
            [
                "job.wine: Submitting...",
                "job.wine: Submitted [id=66f]",
                "job.wine: Scoring complete after 5m02s, 1,203,400 rows [id=66f]",
            ],
            id="submitted-and-scored",
        ),
        pytest.param(
            [Started(JOB, Action.RESUME), Submitted(JOB, "66f", True)],
            ["job.wine: Resuming...", "job.wine: Found the job of the interrupted run [id=66f]"],
            id="resumed",
        ),
        pytest.param(
            [running(1), running(9.9), running(10, None), running(15), running(130), running(139), running(4000)],
            [
                "job.wine: Still running... [id=66f, 10s elapsed, 1,203,400 rows]",
                "job.wine: Still running... [id=66f, 2m10s elapsed, 40% scored, 1,203,400 rows]",
                "job.wine: Still running... [id=66f, 1h06m elapsed, 40% scored, 1,203,400 rows]",
            ],
            id="still-running-every-ten-seconds",
        ),
        pytest.param([Started(JOB, Action.UPDATE), Ended(JOB, Action.UPDATE, "updated", 0.1)], ["job.wine: Update complete after 0s"], id="updated"),
        pytest.param([Started(JOB, Action.FORGET), Ended(JOB, Action.FORGET, "forgotten", 0.1)], ["job.wine: Forgotten after 0s"], id="forgotten"),
        pytest.param(
            [Ended(JOB, Action.RERUN, "unchanged", 0.1)],
            ["job.wine: Up to date after all: the upstream job wrote the same intake"],
            id="unchanged-after-all",
        ),
        pytest.param(
            [Ended('job.wine["\x1b[2J"]', Action.FORGET, "forgotten", 0.1)], [r'job.wine["\x1b[2J"]: Forgotten after 0s'], id="control-characters"
        ),
    ],
)
def test_events_are_lines_of_stdout(session: Session, capsys: pytest.CaptureFixture[str], events: list[Event], lines: list[str]) -> None:
    with progress(session, total=1) as listen:
        for event in events:
            listen(event)
    out, err = capsys.readouterr()
    assert out.splitlines() == lines
    assert err == ""


def test_failure_is_told_at_once_on_stderr(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    why = Diagnostic("Scoring was aborted", "Line 3 has two fields.", address=JOB)
    with progress(session, total=2) as listen:
        listen(Ended(JOB, Action.SUBMIT, "failed", 12.0, diagnostic=why))
        out, err = capsys.readouterr()
    assert out == "job.wine: Failed after 12s\n"
    assert err == "\nError: Scoring was aborted\n\n  with job.wine\n\nLine 3 has two fields.\n"


def test_two_jobs_are_each_heard_of_in_their_own_time(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(session, total=2) as listen:
        for elapsed in (10, 12):
            listen(Progressed("job.a", "1", "RUNNING", None, 0, elapsed))
            listen(Progressed("job.b", "2", "INITIALIZING", None, 0, elapsed))
    assert [line.split(" [")[0] for line in capsys.readouterr().out.splitlines()] == ["job.a: Still running...", "job.b: Still initializing..."]
