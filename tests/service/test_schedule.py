"""When a schedule runs next: a table of the rules, and a brute-force look at every minute."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reconciler.service.schedule import Schedule, next_run

EVERY = {"minute": ["*"], "hour": ["*"], "dayOfMonth": ["*"], "month": ["*"], "dayOfWeek": ["*"]}
NIGHTLY = EVERY | {"minute": [0], "hour": [2]}


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NEXT = {
    "every minute": (EVERY, "2026-11-21T10:00", "2026-11-21T10:01"),
    "seconds are cut": (EVERY, "2026-11-21T10:00:59.999", "2026-11-21T10:01"),
    "later today": (EVERY | {"minute": [30], "hour": [16]}, "2026-11-21T10:00", "2026-11-21T16:30"),
    "not the same minute": (NIGHTLY, "2026-11-21T02:00", "2026-11-22T02:00"),
    "lists": (EVERY | {"minute": [59, 30], "hour": [1, 23]}, "2026-11-21T01:59", "2026-11-21T23:30"),
    "date": (NIGHTLY | {"dayOfMonth": [1]}, "2026-11-21T00:00", "2026-12-01T02:00"),
    "weekday alone": (NIGHTLY | {"dayOfWeek": [1]}, "2026-11-21T00:00", "2026-11-23T02:00"),  # 21 November 2026 is a Saturday
    "date and weekday add up, weekday first": (NIGHTLY | {"dayOfMonth": [25], "dayOfWeek": [1]}, "2026-11-21T00:00", "2026-11-23T02:00"),
    "date and weekday add up, date first": (NIGHTLY | {"dayOfMonth": [22], "dayOfWeek": [1]}, "2026-11-21T00:00", "2026-11-22T02:00"),
    "date with every weekday": (NIGHTLY | {"dayOfMonth": [25], "dayOfWeek": ["*"]}, "2026-11-21T00:00", "2026-11-25T02:00"),
    "sunday is 0": (NIGHTLY | {"dayOfWeek": [0]}, "2026-11-21T00:00", "2026-11-22T02:00"),
    "saturday is 6": (NIGHTLY | {"dayOfWeek": [6]}, "2026-11-21T00:00", "2026-11-21T02:00"),
    "names of days": (NIGHTLY | {"dayOfWeek": ["Mon", "sunday", "TUE"]}, "2026-11-22T03:00", "2026-11-23T02:00"),
    "names of months": (NIGHTLY | {"month": ["FEB", "october"]}, "2026-11-21T00:00", "2027-02-01T02:00"),
    "30 February never, 31 January": (NIGHTLY | {"dayOfMonth": [30, 31], "month": [1, 2]}, "2027-01-31T02:00", "2028-01-30T02:00"),
    "29 February": (NIGHTLY | {"dayOfMonth": [29], "month": ["feb"]}, "2028-02-29T02:00", "2032-02-29T02:00"),
    "29 February over 2100": (NIGHTLY | {"dayOfMonth": [29], "month": ["feb"]}, "2096-03-01T00:00", "2104-02-29T02:00"),
    "31 February": (NIGHTLY | {"dayOfMonth": [31], "month": ["feb"]}, "2026-11-21T00:00", None),
    "31 February or a Monday of February": (NIGHTLY | {"dayOfMonth": [31], "month": [2], "dayOfWeek": [1]}, "2026-11-21T00:00", "2027-02-01T02:00"),
}


@pytest.mark.parametrize(("schedule", "after", "expected"), list(NEXT.values()), ids=list(NEXT))
def test_next_run(schedule, after, expected):
    assert next_run(Schedule.model_validate(schedule), at(after)) == (at(expected) if expected else None)


def test_a_time_of_another_zone_is_read_in_utc():
    after = datetime.fromisoformat("2026-11-21T03:30:00+05:00")
    assert next_run(Schedule.model_validate(NIGHTLY), after) == at("2026-11-21T02:00")


@pytest.mark.parametrize(
    "change",
    [
        {"minute": [60]},
        {"minute": []},
        {"minute": ["*", 3]},
        {"minute": ["3"]},
        {"minute": [True]},
        {"minute": "*"},
        {"hour": [24]},
        {"dayOfMonth": [0]},
        {"month": ["feber"]},
        {"month": ["mon"]},
        {"dayOfWeek": [7]},
        {"dayOfWeek": None},
        {"seconds": [0]},
    ],
    ids=repr,
)
def test_what_is_no_schedule(change):
    with pytest.raises(ValidationError):
        Schedule.model_validate(EVERY | change)


def test_all_five_lists_are_needed():
    for name in EVERY:
        with pytest.raises(ValidationError):
            Schedule.model_validate({key: value for key, value in EVERY.items() if key != name})


def lists(first, last):
    return st.just(["*"]) | st.lists(st.integers(first, last), min_size=1, max_size=3)


SCHEDULES = st.fixed_dictionaries(
    {"minute": lists(0, 59), "hour": lists(0, 23), "dayOfMonth": lists(1, 31), "month": lists(1, 12), "dayOfWeek": lists(0, 6)}
)
LOOK_DAYS = 3


def is_named(schedule, time):
    """The documented rule, said again in other words."""
    by_date = schedule["dayOfMonth"] != ["*"] and time.day in schedule["dayOfMonth"]
    by_week = schedule["dayOfWeek"] != ["*"] and (time.weekday() + 1) % 7 in schedule["dayOfWeek"]
    is_any_day = schedule["dayOfMonth"] == schedule["dayOfWeek"] == ["*"]
    rest = (("minute", time.minute), ("hour", time.hour), ("month", time.month))
    return (by_date or by_week or is_any_day) and all(schedule[name] == ["*"] or value in schedule[name] for name, value in rest)


@given(SCHEDULES, st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_next_run_is_the_first_minute_that_the_rule_names(schedule, after):
    found = next_run(Schedule.model_validate(schedule), after)
    minute = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    looked = (minute + timedelta(minutes=number) for number in range(LOOK_DAYS * 24 * 60))
    first = next((time for time in looked if is_named(schedule, time)), None)
    if first:
        assert found == first
    elif found:
        assert is_named(schedule, found)
        assert found >= minute + timedelta(days=LOOK_DAYS)
