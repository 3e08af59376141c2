"""When a request is sent again. The rule here: never in step with other clients, and never for longer than the total.

Exponential backoff with full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRIED = frozenset({408, 413, 429, 502, 503, 504})  # the official client's, and 408


@dataclass(frozen=True)
class Retry:
    """At most so many tries within `total_s` seconds. What the service asks for in `Retry-After` is honoured up to `longest_asked_s`."""

    tries: int = 10
    total_s: float = 300.0
    first_s: float = 0.5
    longest_s: float = 30.0
    longest_asked_s: float = 120.0

    def wait(self, failures: int, spent_s: float, asked_s: float | None = None) -> float | None:
        """Seconds until the next try, after so many failures in so many seconds; None when there is to be none."""
        if failures >= self.tries:
            return None
        wait = random.uniform(0, min(self.longest_s, self.first_s * 2 ** (failures - 1)))
        if asked_s is not None:
            wait = min(asked_s, self.longest_asked_s) + min(wait, 1.0)
        return wait if spent_s + wait <= self.total_s else None


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds that `Retry-After` asks for, as a number or as a time; by the service's own clock, where the answer says what that is."""
    value = headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        until = http_date(value)
        if until is None:
            return None
        seconds = (until - (http_date(headers.get("Date", "")) or now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def http_date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
