"""How long something may take, as people write it. The rule here: `30s`, `5m`, `1h30m` mean the same wherever a duration is read."""

import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII)


def seconds(text: str) -> float:
    """The seconds of `30s`, `5m`, `1h30m`, `2d`, `500ms` or `0`. Raises ValueError with a sentence for the user."""
    found = _DURATION.fullmatch(text)
    if text == "0":
        return 0.0
    if not text or not found:
        raise ValueError(f"{text!r} is not a duration. Write a number with its unit, such as 30s, 5m, 1h30m or 2d.")
    return sum(float(number) * _UNITS[unit] for number, unit in zip(found.groups(), ("d", "h", "m", "s", "ms"), strict=True) if number)
