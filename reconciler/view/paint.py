"""Colour and weight for terminal text. The rule here: meaning is never only in the colour, so plain text says the same."""

import os
from collections.abc import Callable
from typing import TextIO

Paint = Callable[[str, str], str]

_CODES = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36", "grey": "90", "underline": "4"}


def ansi(text: str, style: str) -> str:
    """`style` is one or several of the names above, apart by spaces."""
    codes = ";".join(_CODES[name] for name in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m"


def plain(text: str, style: str) -> str:
    return text


def paint_for(stream: TextIO, *, no_color: bool = False) -> Paint:
    """What the stream can show: NO_COLOR and -no-color win, then FORCE_COLOR, then whether it is a terminal."""
    if no_color or os.environ.get("NO_COLOR"):
        return plain
    if os.environ.get("FORCE_COLOR"):
        return ansi
    return ansi if stream.isatty() and os.environ.get("TERM") != "dumb" else plain


def shown(text: str) -> str:
    """Text from outside, with control characters made visible: a value cannot move the cursor or hide a line."""
    return "".join(char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode() for char in text)
