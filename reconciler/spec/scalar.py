"""What a plain (unquoted) YAML scalar means. The rule here: only what cannot be anything else is not text.

Ids such as `507e12345678901234567890` and `0123`, dates, `12:30`, `yes` and `no` stay the text that was written.
"""

import math
import re

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})(?P<fraction>\.[0-9]+(?:[eE][-+]?[0-9]+)?)?")
_STARTS_A_NUMBER = frozenset("+-0123456789")


def plain_value(text: str) -> Scalar:
    """The value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _STARTS_A_NUMBER:
        return text
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    if match["fraction"] is None:
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else text
