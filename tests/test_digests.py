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


def witness(path: Path, content: str = WRONG) -> Witness:
    """The file as it is now, as if it had been quiet when it was read."""
    stat = path.stat()
    return Witness(path.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, content)


def known(path: Path, seen: Witness) -> Digests:
    return Digests(path.parent, {path.name: seen})


def read_after(path: Path, nanoseconds: int) -> Digests:
    """Reads the file so long after its last write."""
    return Digests(path.parent, {}, clock=lambda: path.stat().st_ctime_ns + nanoseconds)


def test_quiet_file_is_read_and_learned(file: Path) -> None:
    digests = read_after(file, 3 * SECOND)
    assert digests.of("rows.csv") == digest(b"a\n1\n")
    assert digests.learned == {"rows.csv": witness(file, digest(b"a\n1\n"))}


@pytest.mark.parametrize(
    ("after", "is_kept"),
    [
        pytest.param(0, False, id="written-at-the-moment-of-the-look"),
        pytest.param(2 * SECOND, False, id="written-two-seconds-before"),
        pytest.param(2 * SECOND + 1, True, id="quiet-for-longer"),
        pytest.param(-SECOND, False, id="written-in-the-future"),
    ],
)
def test_digest_is_kept_only_of_a_file_that_was_quiet(file: Path, after: int, is_kept: bool) -> None:
    digests = read_after(file, after)
    assert digests.of("rows.csv") == digest(b"a\n1\n")
    assert bool(digests.learned) == is_kept


def test_file_whose_times_were_set_back_is_not_quiet_yet(file: Path) -> None:
    os.utime(file, (1, 1))  # as cp -p and tar do, just after they wrote it
    digests = read_after(file, SECOND)
    digests.of("rows.csv")
    assert digests.learned == {}


def test_what_was_reused_is_not_learned_anew(file: Path) -> None:
    digests = known(file, witness(file))
    assert digests.of("rows.csv") == WRONG
    assert digests.learned == {}


@pytest.mark.parametrize(
    ("after", "reads"),
    [pytest.param(3 * SECOND, 1, id="a-quiet-file-once"), pytest.param(SECOND, 2, id="one-that-was-just-written-each-time")],
)
def test_file_is_read_as_often_as_needed_in_one_process(file: Path, after: int, reads: int) -> None:
    asked = []

    def clock() -> int:  # asked at every read
        asked.append(file)
        return file.stat().st_ctime_ns + after

    digests = Digests(file.parent, {}, clock)
    assert digests.of("rows.csv") == digests.of("rows.csv") == digest(b"a\n1\n")
    assert len(asked) == reads


def test_touched_file_is_read_again_and_equal(file: Path) -> None:
    seen = witness(file)
    os.utime(file, (1, 1))
    assert known(file, seen).of("rows.csv") == digest(b"a\n1\n")


def test_rewrite_of_the_same_size_with_its_old_time_is_noticed(file: Path) -> None:
    seen = witness(file)
    file.write_bytes(b"a\n2\n")
    os.utime(file, ns=(seen.mtime_ns, seen.mtime_ns))
    seen = seen._replace(ctime_ns=file.stat().st_ctime_ns - 1)  # the clock of a fast machine may not have moved since
    assert known(file, seen).of("rows.csv") == digest(b"a\n2\n")


def test_another_file_of_the_same_size_and_time_is_noticed(file: Path) -> None:
    seen = witness(file)
    assert known(file, seen._replace(inode=seen.inode + 1)).of("rows.csv") == digest(b"a\n1\n")


def test_file_that_changes_while_it_is_read_is_not_learned(file: Path) -> None:
    def rewrite() -> int:  # the clock is asked between the first look and the read
        file.write_bytes(b"a\n1\n2\n")
        return 0

    digests = Digests(file.parent, {}, clock=rewrite)
    assert digests.of("rows.csv") == digest(b"a\n1\n2\n")
    assert digests.learned == {}


def test_absolute_path_is_taken_as_it_is(file: Path) -> None:
    assert Digests(Path("/nowhere"), {}).of(str(file)) == digest(b"a\n1\n")


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


def test_working_folder_and_any_other_root_see_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = Digests(file.parent, {}).of("rows.csv")
    monkeypatch.chdir(file.parent)
    assert Digests(file.parent, {}).of("rows.csv") == elsewhere == digest(b"a\n1\n")
