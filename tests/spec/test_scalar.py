"""Plain scalars: only what cannot be anything else is not text."""

import pytest

from reconciler.spec.scalar import plain_value

TEXTS = [
    "yes", "no", "on", "off", "y", "n", "2026-10-01", "2026-10-01T10:00:00Z", "12:30", "0123", "0x1F", "0o17", "1e3", "1.", ".5", "1_000",
    "507e12345678901234567890", "616001080017002750750004", "1234567890123456789", ".inf", ".nan", "-.inf", "tRue", "nuLL", "+", "-", "1.0e999",
    "=", "1.2.3", "١",
]  # fmt: skip
VALUES = [
    ("", None), ("~", None), ("null", None), ("true", True), ("True", True), ("TRUE", True), ("false", False), ("FALSE", False),
    ("0", 0), ("-0", 0), ("+7", 7), ("-12", -12), ("123456789012345678", 123456789012345678), ("1.5", 1.5), ("-0.5", -0.5), ("1.0e3", 1000.0),
    ("2.5E-1", 0.25),
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_what_could_be_read_differently_is_text(text: str) -> None:
    assert plain_value(text) == text


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_what_is_plain_has_its_value(text: str, value: object) -> None:
    result = plain_value(text)

    assert result == value
    assert type(result) is type(value)
