"""Digests of local files. The rule here: a change of a file is never missed, and a quiet file is read once."""

import os
from pathlib import Path

import pytest

from reconciler.digests import Digests, Witness
from reconciler.fingerprint import digest

SECOND = 1_000_000_000
WRONG = "blake3:as-kept"  # stands in a witness, to tell a digest that was reused from one that was read


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"a\n1\n")
    return path


def witness(path: Path, *, looked_after: int, content: str = WRONG) -> Witness:
    """The file as it is now, looked at `looked_after` nanoseconds after its last write."""
    stat = path.stat()
    checked = max(stat.st_mtime_ns, stat.st_ctime_ns) + looked_after
    return Witness(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, checked, content)


def known(path: Path, seen: Witness) -> Digests:
    return Digests(path.parent, {path.name: seen})


def test_new_file_is_read_and_learned(file: Path) -> None:
    digests = Digests(file.parent, {}, clock=lambda: 42)
    assert digests.of("rows.csv") == digest(b"a\n1\n")
    assert digests.learned["rows.csv"].digest == digest(b"a\n1\n")
    assert digests.learned["rows.csv"].checked_ns == 42


@pytest.mark.parametrize(
    ("looked_after", "expected"),
    [
        pytest.param(0, digest(b"a\n1\n"), id="written-at-the-moment-of-the-look"),
        pytest.param(2 * SECOND, digest(b"a\n1\n"), id="written-two-seconds-before"),
        pytest.param(2 * SECOND + 1, WRONG, id="quiet-for-longer"),
        pytest.param(-SECOND, digest(b"a\n1\n"), id="written-in-the-future"),
    ],
)
def test_digest_is_reused_only_of_a_file_that_was_quiet(file: Path, looked_after: int, expected: str) -> None:
    assert known(file, witness(file, looked_after=looked_after)).of("rows.csv") == expected


def test_file_whose_times_were_set_back_is_not_quiet_yet(file: Path) -> None:
    os.utime(file, (1, 1))  # as cp -p and tar do, just after they wrote it
    stat = file.stat()
    seen = Witness(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_ctime_ns + SECOND, WRONG)
    assert known(file, seen).of("rows.csv") == digest(b"a\n1\n")


def test_what_was_reused_is_not_learned_anew(file: Path) -> None:
    digests = known(file, witness(file, looked_after=3 * SECOND))
    digests.of("rows.csv")
    assert digests.learned == {}


@pytest.mark.parametrize(
    ("looked_after", "reads"),
    [pytest.param(3 * SECOND, 1, id="a-quiet-file-once"), pytest.param(SECOND, 2, id="one-that-was-just-written-each-time")],
)
def test_file_is_read_as_often_as_needed_in_one_process(file: Path, looked_after: int, reads: int) -> None:
    asked = []

    def clock() -> int:  # asked at every read
        asked.append(file)
        return file.stat().st_ctime_ns + looked_after

    digests = Digests(file.parent, {}, clock)
    assert digests.of("rows.csv") == digests.of("rows.csv") == digest(b"a\n1\n")
    assert len(asked) == reads


def test_touched_file_is_read_again_and_equal(file: Path) -> None:
    seen = witness(file, looked_after=3 * SECOND, content=digest(b"a\n1\n"))
    os.utime(file, (1, 1))
    digests = known(file, seen)
    assert digests.of("rows.csv") == seen.digest
    assert digests.learned["rows.csv"].mtime_ns == SECOND


def test_rewrite_of_the_same_size_with_its_old_time_is_noticed(file: Path) -> None:
    seen = witness(file, looked_after=3 * SECOND)
    file.write_bytes(b"a\n2\n")
    os.utime(file, ns=(seen.mtime_ns, seen.mtime_ns))
    seen = seen._replace(ctime_ns=file.stat().st_ctime_ns - 1)  # the clock of a fast machine may not have moved since
    assert known(file, seen).of("rows.csv") == digest(b"a\n2\n")


def test_another_file_of_the_same_size_and_time_is_noticed(file: Path) -> None:
    seen = witness(file, looked_after=3 * SECOND)
    assert known(file, seen._replace(inode=seen.inode + 1)).of("rows.csv") == digest(b"a\n1\n")


def test_file_that_changes_while_it_is_read_is_not_learned(file: Path) -> None:
    def rewrite() -> int:  # the clock is asked between the first look and the read
        file.write_bytes(b"a\n1\n2\n")
        return 0

    digests = Digests(file.parent, {}, clock=rewrite)
    assert digests.of("rows.csv") == digest(b"a\n1\n2\n")
    assert digests.learned == {}


def test_absolute_path_is_taken_as_it_is(file: Path) -> None:
    assert Digests("/nowhere", {}).of(str(file)) == digest(b"a\n1\n")


@pytest.mark.parametrize("path", [pytest.param("none.csv", id="no-file"), pytest.param("rows.csv/x", id="below-a-file")])
def test_missing_file_has_no_digest(file: Path, path: str) -> None:
    assert Digests(file.parent, {}).of(path) is None


def test_link_to_nothing_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")
    assert Digests(tmp_path, {}).of("link") is None


def test_folder_cannot_be_read_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(IsADirectoryError):
        Digests(tmp_path, {}).of("data")


def test_unreadable_file_is_an_error_and_not_missing(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        Digests(tmp_path, {}).of("loop")
