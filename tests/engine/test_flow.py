"""The threads. The rule here: order is kept, the first error in the intake wins, and no thread stays."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from reconciler.engine.flow import Flow
from reconciler.engine.job import Progress, ScoringJob
from reconciler.engine.pipeline import score
from reconciler.errors import Cancelled
from reconciler.options import Options


def nothing() -> None:
    return None


def collected(work: Callable[[int], int], pieces: Iterator[int], heartbeat: Callable[[], None] = nothing) -> list[int]:
    with closing(Flow(work, 3, threading.Event()).results(pieces, heartbeat)) as results:
        return list(results)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_results_come_in_order() -> None:
    def slow_first(piece: int) -> int:
        time.sleep(0.02 if piece % 3 == 0 else 0)
        return piece * 2

    assert collected(slow_first, iter(range(50))) == [piece * 2 for piece in range(50)]


def test_the_error_nearest_to_the_beginning_is_raised() -> None:
    def failing(piece: int) -> int:
        if piece == 1:
            time.sleep(0.1)
        raise ValueError(f"piece {piece}")

    with pytest.raises(ValueError, match="piece 0"):
        collected(failing, count())


def test_an_error_of_the_reader_comes_after_what_it_read() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("disk")

    seen: list[int] = []
    with pytest.raises(OSError, match="disk"), closing(Flow(int, 2, threading.Event()).results(broken(), nothing)) as results:
        seen.extend(results)
    assert seen == [1, 2]


def test_a_timeout_of_the_work_is_an_error() -> None:
    def timing_out(piece: int) -> int:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        collected(timing_out, iter([1]))


def test_the_reader_waits_for_the_caller() -> None:
    read = count()
    pieces = (next(read) for _ in range(1000))
    with closing(Flow(int, 2, threading.Event()).results(pieces, nothing)) as results:
        next(results)
        time.sleep(0.2)
        assert next(read) < 20


def test_what_the_heartbeat_raises_ends_an_endless_flow() -> None:
    beats = count()

    def heartbeat() -> None:
        if next(beats) == 50:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        collected(int, count(), heartbeat)


def test_a_call_that_takes_long_is_not_waited_for() -> None:
    begun, late, answers = threading.Event(), threading.Event(), []

    def slow(piece: int) -> int:
        begun.set()
        assert late.wait(60)
        answers.append(piece)
        return piece

    def heartbeat() -> None:
        if begun.is_set():
            raise Cancelled("stop")

    before = set(threading.enumerate())
    with pytest.raises(Cancelled):
        collected(slow, count(), heartbeat)
    assert not answers
    late.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert len(answers) <= 3  # of the calls that were under way, and no more


def test_a_running_flow_does_not_keep_the_program_from_ending() -> None:
    code = """
import threading, time
from contextlib import closing
from itertools import count
from reconciler.engine.flow import Flow

def endless():
    with closing(Flow(int, 2, threading.Event()).results(count(), lambda: None)) as results:
        for _ in results:
            begun.set()
    print("ended")

begun = threading.Event()
threading.Thread(target=endless, daemon=True).start()
begun.wait()
print("leaving")
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("leaving\n", "")


def big_job(regression: Path, tmp_path: Path, rows: int) -> ScoringJob:
    (tmp_path / "in.csv").write_text("a,b\n" + "1.25,2.5\n" * rows)
    return ScoringJob(regression, tmp_path / "in.csv", tmp_path / "out.csv", Options())


def test_a_cancelled_job_stops(regression: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    job = big_job(regression, tmp_path, 3_000_000)
    with pytest.raises(Cancelled, match="aborted"):
        score(job, report=seen.append, is_cancelled=lambda: bool(seen) and seen[-1].rows > 0)
    assert 0 < seen[-1].rows < 3_000_000


def test_progress_only_grows_and_ends_complete(regression: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    job = big_job(regression, tmp_path, 400_000)
    tally = score(job, report=seen.append, is_cancelled=lambda: False)
    assert [(each.rows, each.bytes_written) for each in seen] == sorted((each.rows, each.bytes_written) for each in seen)
    assert seen[-1] == Progress(400_000, job.intake.stat().st_size, job.intake.stat().st_size, job.output.stat().st_size)
    assert (tally.scored, tally.failed, tally.skipped) == (400_000, 0, 0)


def test_what_report_raises_stops_the_job(regression: Path, tmp_path: Path) -> None:
    def report(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(big_job(regression, tmp_path, 1000), report=report, is_cancelled=lambda: False)
