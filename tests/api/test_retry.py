"""When a request is sent again: what the service asks for, and where patience ends."""

from datetime import UTC, datetime

import pytest

from reconciler.api.retry import Retry, retry_after

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "-3"}, 0),
        ({"Retry-After": "Fri, 02 Jan 2026 03:04:35 GMT"}, 30),
        ({"Retry-After": "Fri, 02 Jan 2026 03:04:35 -0000"}, 30),
        ({"Retry-After": "Fri, 02 Jan 2026 03:04:35 GMT", "Date": "Fri, 02 Jan 2026 03:04:25 GMT"}, 10),
        ({"Retry-After": "Fri, 02 Jan 2026 03:04:35 GMT", "Date": "today"}, 30),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": ""}, None),
    ],
)
def test_service_asks_for_seconds_or_a_time(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


def test_waits_grow_and_are_never_the_same() -> None:
    retry = Retry(tries=20, total_s=1e6)
    for failures in range(1, 20):
        waits = {retry.wait(failures, 0.0) for _ in range(50)}
        longest = min(30.0, 0.5 * 2 ** (failures - 1))
        assert len(waits) > 1
        assert all(wait is not None and 0 <= wait <= longest for wait in waits)


@pytest.mark.parametrize(
    ("failures", "spent", "asked", "is_over"),
    [
        (1, 0, None, False),
        (9, 0, None, False),
        (10, 0, None, True),
        (1, 299, 0.5, False),
        (1, 299, 2, True),
        (1, 301, None, True),
        (1, 0, 1e9, False),
    ],
)
def test_patience_ends_after_so_many_tries_or_seconds(failures: int, spent: float, asked: float | None, is_over: bool) -> None:
    assert (Retry(longest_s=0.1).wait(failures, spent, asked) is None) == is_over
