"""Bringing a scored output to its place, from every point at which a crash may have left it."""

from pathlib import Path

import pytest

from reconciler.apply.deliver import Staged, deliver, discard, inspect, prepare, staging_path
from reconciler.errors import DeliveryError
from reconciler.fingerprint import digest

NEW, OLD = b"new rows\n", b"old rows\n"


@pytest.fixture
def final(tmp_path: Path) -> Path:
    return tmp_path / "scores.csv"


@pytest.fixture
def staging(final: Path) -> Path:
    return staging_path(final, "run-1")


def test_staging_is_a_hidden_neighbour_that_no_two_runs_share(final: Path, staging: Path) -> None:
    assert staging.parent == final.parent
    assert staging.name.startswith(".")
    assert staging != staging_path(final, "run-2")


@pytest.mark.parametrize(
    ("name", "suffix"), [("scores.csv", ".part"), ("scores.parquet", ".parquet"), ("scores.PARQUET", ".PARQUET"), ("scores", ".part")]
)
def test_staging_ends_as_the_scorer_needs_it_to_tell_the_format(tmp_path: Path, name: str, suffix: str) -> None:
    assert staging_path(tmp_path / name, "run-1").suffix == suffix


@pytest.mark.parametrize("before", [None, OLD], ids=["first-output", "over-the-old-one"])
def test_staged_file_gets_its_name(final: Path, staging: Path, before: bytes | None) -> None:
    if before is not None:
        final.write_bytes(before)
    staging.write_bytes(NEW)
    deliver(staging, final, digest(NEW))
    assert final.read_bytes() == NEW
    assert not staging.exists()


def test_second_delivery_finds_that_the_first_one_did_it(final: Path, staging: Path) -> None:
    staging.write_bytes(NEW)
    deliver(staging, final, digest(NEW))
    deliver(staging, final, digest(NEW))
    assert final.read_bytes() == NEW


@pytest.mark.parametrize("there", [None, OLD], ids=["nothing-there", "another-file-there"])
def test_output_that_is_gone_is_not_taken_for_delivered(final: Path, staging: Path, there: bytes | None) -> None:
    if there is not None:
        final.write_bytes(there)
    assert not deliver(staging, final, digest(NEW))
    assert (final.read_bytes() if final.exists() else None) == there


def test_folder_under_the_final_name_stays(final: Path, staging: Path) -> None:
    final.mkdir()
    staging.write_bytes(NEW)
    with pytest.raises(DeliveryError, match="cannot be written") as caught:
        deliver(staging, final, digest(NEW))
    assert "Make the folder writable, or change the job's output path." in caught.value.detail
    assert final.is_dir()
    assert staging.read_bytes() == NEW


def test_folder_is_made_before_anything_is_submitted(tmp_path: Path) -> None:
    staging = staging_path(tmp_path / "a/b/scores.csv", "run-1")
    prepare(staging)
    assert staging.read_bytes() == b""


def test_preparing_again_keeps_what_was_scored(staging: Path) -> None:
    staging.write_bytes(NEW)
    prepare(staging)
    assert staging.read_bytes() == NEW


def test_place_that_cannot_be_written_is_found_before_anything_is_submitted(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(DeliveryError, match="cannot be written") as caught:
        prepare(staging_path(tmp_path / "out/scores.csv", "run-1"))
    assert str(tmp_path / "out") in caught.value.detail


def test_staged_file_is_told_by_digest_and_size(staging: Path) -> None:
    staging.write_bytes(NEW)
    assert inspect(staging) == Staged(digest(NEW), len(NEW))


def test_missing_scored_file_is_an_error_of_delivery(staging: Path) -> None:
    with pytest.raises(DeliveryError, match="not where it was written") as caught:
        inspect(staging)
    assert str(staging) in caught.value.detail


def test_discarding_leaves_only_the_old_output(final: Path, staging: Path) -> None:
    final.write_bytes(OLD)
    staging.write_bytes(NEW)
    discard(staging)
    discard(staging)
    assert list(final.parent.iterdir()) == [final]
    assert final.read_bytes() == OLD
