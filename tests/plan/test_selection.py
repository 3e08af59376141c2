"""Which addresses an option names."""

import pytest

from reconciler.errors import Refused
from reconciler.plan.planner import Wanted
from reconciler.plan.selection import named, with_upstream

ADDRESSES = ["job.wine", "job.wine_old", 'job.diabetes["2026-09"]', 'job.diabetes["2026-10"]']


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param([], set(), id="nothing"),
        pytest.param(["job.wine"], {"job.wine"}, id="one-job-and-not-its-namesake"),
        pytest.param(["job.diabetes"], set(ADDRESSES[2:]), id="every-instance-of-a-job"),
        pytest.param(['job.diabetes["2026-10"]'], {ADDRESSES[3]}, id="one-instance"),
        pytest.param(["job.wine", "job.wine", "job.wine_old"], {"job.wine", "job.wine_old"}, id="several"),
    ],
)
def test_named(names: list[str], expected: set[str]) -> None:
    assert named("-target", names, ADDRESSES) == expected


@pytest.mark.parametrize("name", ["", "wine", "job.win", 'job.diabetes["2026-1"]', "job.diabetes[", "job.*"])
def test_what_names_no_address_is_refused(name: str) -> None:
    with pytest.raises(Refused) as caught:
        named("-target", ["job.wine", name], ADDRESSES)
    assert caught.value.summary == f"No job at the address {name}"
    assert '-target takes job.NAME or job.NAME["key"].' in caught.value.detail


def test_near_name_is_suggested() -> None:
    with pytest.raises(Refused) as caught:
        named("-replace", ["job.wien"], ADDRESSES)
    assert caught.value.detail.endswith("Did you mean job.wine?")


def test_upstream_of_the_upstream_comes_along_and_nothing_else() -> None:
    def wanted(name: str, *depends_on: str) -> Wanted:
        return Wanted(name, "", "", "", None, None, depends_on)

    instances = [wanted("a"), wanted("b", "a"), wanted("c", "b", "a"), wanted("d", "c"), wanted("e")]
    assert with_upstream({"c", "gone"}, instances) == {"a", "b", "c", "gone"}
