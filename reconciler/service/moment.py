"""The two ways in which the API writes a time. The rule here: always UTC, always six decimals, so that text sorts as time does."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(UTC)


def rfc3339(time: datetime) -> str:
    """`2026-10-01T09:12:00.000000Z`, as in every field of a resource."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def in_log(time: datetime) -> str:
    """`2026-10-01 09:12:00.000000`, as in a job's log lines."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def parsed(text: str) -> datetime:
    """An RFC 3339 time; one without a zone is UTC. Raises ValueError, or OverflowError when UTC has no such year."""
    time = datetime.fromisoformat(text)
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
