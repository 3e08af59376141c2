"""Diagnostics as terminal text: a box in colour, plain lines without."""

import pytest

from reconciler.diagnostic import Diagnostic, Place
from reconciler.view.diagnostics import diagnostics_text
from reconciler.view.paint import ansi, plain

PLACE = Place("specs/jobs.yaml", 12, 5, "    deploymnt: wine", 9)
PROBLEM = Diagnostic("Unknown key", '"deploymnt" is not a key of a job. Did you mean "deployment"?', PLACE, "job.wine", 'job "wine"')


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width that details are wrapped to."""
    monkeypatch.setenv("COLUMNS", "60")


def test_without_colour_there_is_no_box_and_the_place_is_pointed_at() -> None:
    assert diagnostics_text([PROBLEM], plain) == (
        "\nError: Unknown key\n"
        "\n"
        "  with job.wine,\n"
        '  on specs/jobs.yaml line 12, column 5, in job "wine":\n'
        "    12:     deploymnt: wine\n"
        "            ^^^^^^^^^\n"
        "\n"
        '"deploymnt" is not a key of a job. Did you mean\n'
        '"deployment"?\n'
    )


def test_with_colour_there_is_a_box_and_the_place_is_underlined() -> None:
    bar = "\x1b[31m│\x1b[0m"
    assert diagnostics_text([PROBLEM], ansi) == (
        "\x1b[31m╷\x1b[0m\n"
        f"{bar} \x1b[1;31mError:\x1b[0m \x1b[1mUnknown key\x1b[0m\n"
        f"{bar}\n"
        f"{bar}   with job.wine,\n"
        f'{bar}   on specs/jobs.yaml line 12, column 5, in job "wine":\n'
        f"{bar}     12:     \x1b[4mdeploymnt\x1b[0m: wine\n"
        f"{bar}\n"
        f'{bar} "deploymnt" is not a key of a job. Did you mean\n'
        f'{bar} "deployment"?\n'
        "\x1b[31m╵\x1b[0m\n"
    )


def test_warning_is_yellow_and_says_so() -> None:
    warning = Diagnostic("Old spelling", severity="warning")
    assert diagnostics_text([warning], plain) == "\nWarning: Old spelling\n"
    assert "\x1b[1;33mWarning:\x1b[0m" in diagnostics_text([warning], ansi)


@pytest.mark.parametrize(
    ("place", "address", "lines"),
    [
        pytest.param(None, "job.wine", ["  with job.wine"], id="address-only"),
        pytest.param(Place("specs/jobs.yaml"), None, ["  on specs/jobs.yaml"], id="file-only"),
        pytest.param(Place("specs/jobs.yaml", 3), None, ["  on specs/jobs.yaml line 3:"], id="line-only"),
        pytest.param(Place("specs/jobs.yaml", 3, 2), None, ["  on specs/jobs.yaml line 3, column 2:"], id="no-source-text"),
        pytest.param(Place("a.yaml", 3, 2, "\tx", 1), None, ["  on a.yaml line 3, column 2:", "     3:  x", "         ^"], id="tab-is-one-column"),
        pytest.param(Place("a.yaml", 3, 1, "ab", 9), None, ["  on a.yaml line 3, column 1:", "     3: ab", "        ^^"], id="longer-than-its-line"),
        pytest.param(Place("a.yaml", 3, 3, "ab", 1), None, ["  on a.yaml line 3, column 3:", "     3: ab", "          ^"], id="behind-its-line"),
    ],
)
def test_place_is_shown_as_far_as_it_is_known(place: Place | None, address: str | None, lines: list[str]) -> None:
    assert diagnostics_text([Diagnostic("Wrong", "", place, address)], plain).splitlines() == ["", "Error: Wrong", "", *lines]


def test_line_of_a_detail_that_begins_with_a_space_is_not_wrapped() -> None:
    detail = "Another apply is going on; wait for it to end and run the command again.\n  Command: " + "x" * 80
    assert diagnostics_text([Diagnostic("Locked", detail)], plain).splitlines()[3:] == [
        "Another apply is going on; wait for it to end and run the",
        "command again.",
        "  Command: " + "x" * 80,
    ]


def test_long_word_is_never_cut() -> None:
    path = "/data/" + "x" * 200 + "-y.csv"
    assert path in diagnostics_text([Diagnostic("No file", f"There is no file {path} here.")], plain)


@pytest.mark.parametrize("paint", [plain, ansi])
def test_control_characters_are_made_visible(paint: object) -> None:
    evil = "a\x1b[2J\x07\r\x9b\u202eb"
    place = Place(evil, 1, 1, evil, 3)
    text = diagnostics_text([Diagnostic(evil, evil, place, evil, evil)], plain if paint is plain else ansi)
    for char in "\x07\r\x9b\u202e":
        assert char not in text
    assert "\x1b[2J" not in text
    assert r"a\x1b[2J\x07\r\x9b\u202eb" in text


@pytest.mark.parametrize(
    ("count", "rest"),
    [
        pytest.param(10, None, id="ten-are-shown"),
        pytest.param(11, "(and 1 more problem of this kind: No file)", id="one-more"),
        pytest.param(500, "(and 490 more problems of this kind: No file)", id="many-more"),
    ],
)
def test_problems_of_one_kind_are_shown_ten_times_and_counted(count: int, rest: str | None) -> None:
    lines = diagnostics_text([Diagnostic("No file", address=f"job.j{number}") for number in range(count)], plain).splitlines()
    assert lines.count("Error: No file") == 10
    assert [line for line in lines if line.startswith("(and")] == ([rest] if rest else [])


def test_equal_problems_stand_together_in_the_order_of_the_first() -> None:
    names = ["Two", "One", "Two", "Three", "One"]
    text = diagnostics_text([Diagnostic(name) for name in names], plain)
    assert text.split() == ["Error:", "Two", "Error:", "Two", "Error:", "One", "Error:", "One", "Error:", "Three"]
