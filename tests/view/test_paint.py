"""Colour and weight, and what is shown of text from outside."""

import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.view.paint import ansi, paint_for, plain, shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("stream", "no_color", "environment", "is_coloured"),
    [
        pytest.param(Terminal(), False, {}, True, id="terminal"),
        pytest.param(io.StringIO(), False, {}, False, id="pipe"),
        pytest.param(Terminal(), True, {}, False, id="terminal-with-the-option"),
        pytest.param(Terminal(), False, {"NO_COLOR": "1"}, False, id="terminal-with-no-color"),
        pytest.param(Terminal(), False, {"NO_COLOR": ""}, True, id="empty-no-color-says-nothing"),
        pytest.param(Terminal(), False, {"TERM": "dumb"}, False, id="dumb-terminal"),
        pytest.param(io.StringIO(), False, {"FORCE_COLOR": "1"}, True, id="forced-pipe"),
        pytest.param(io.StringIO(), False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, id="no-color-wins"),
        pytest.param(io.StringIO(), True, {"FORCE_COLOR": "1"}, False, id="option-wins"),
    ],
)
def test_colour_where_it_can_be_shown_and_is_wanted(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, no_color: bool, environment: dict[str, str], is_coloured: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert paint_for(stream, no_color=no_color) is (ansi if is_coloured else plain)


def test_styles_are_put_together_and_ended() -> None:
    assert ansi("x", "bold red") == "\x1b[1;31mx\x1b[0m"
    assert plain("x", "bold red") == "x"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("é 漢 a\tb\n", "é 漢 a\tb\n", id="what-can-be-printed"),
        pytest.param("\x1b[2J", r"\x1b[2J", id="escape"),
        pytest.param("a\rb", r"a\rb", id="carriage-return"),
        pytest.param("\x9b1m", r"\x9b1m", id="eight-bit-control"),
        pytest.param("\u202e", r"\u202e", id="right-to-left-override"),
        pytest.param("\U000e0041", r"\U000e0041", id="tag"),
        pytest.param("\ud800", r"\ud800", id="half-a-character"),
    ],
)
def test_text_from_outside(text: str, expected: str) -> None:
    assert shown(text) == expected


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.text())
def test_nothing_that_controls_a_terminal_is_left(text: str) -> None:
    assert {unicodedata.category(char) for char in shown(text) if char not in "\n\t"}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
