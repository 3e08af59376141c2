"""When a definition runs next: the API's five lists, in UTC. The rule here: pure; a schedule and a time in, a time out.

`dayOfMonth` and `dayOfWeek` add up: a day that either names is a day of the schedule. `*` in one of them means "whatever the other says", so
`*` and a weekday run on that weekday only, and `*` in both on every day. A date that does not exist (31 February) never comes.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from reconciler.options import Strict

_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
# The rarest date is 29 February; around a year like 2100 it takes eight years to come back.
_HORIZON_DAYS = 366 * 9


def _numbers(names: tuple[str, ...], first: int) -> BeforeValidator:
    """Names in full or by three letters, in any case, become their numbers."""
    known = {spelling: number for number, name in enumerate(names, first) for spelling in (name, name[:3])}

    def read(value: Any) -> Any:
        return [known.get(item.lower(), item) if isinstance(item, str) else item for item in value] if isinstance(value, list) else value

    return BeforeValidator(read)


def _whole(values: list[Any]) -> list[Any]:
    if "*" in values and values != ["*"]:
        raise ValueError('"*" stands alone in its list')
    return values


class Schedule(Strict):
    """`schedule` of a definition."""

    minute: Annotated[list[Annotated[int, Field(ge=0, le=59)] | Literal["*"]], Field(min_length=1), AfterValidator(_whole)]
    hour: Annotated[list[Annotated[int, Field(ge=0, le=23)] | Literal["*"]], Field(min_length=1), AfterValidator(_whole)]
    day_of_month: Annotated[list[Annotated[int, Field(ge=1, le=31)] | Literal["*"]], Field(min_length=1), AfterValidator(_whole)]
    month: Annotated[list[Annotated[int, Field(ge=1, le=12)] | Literal["*"]], _numbers(_MONTHS, 1), Field(min_length=1), AfterValidator(_whole)]
    day_of_week: Annotated[list[Annotated[int, Field(ge=0, le=6)] | Literal["*"]], _numbers(_DAYS, 0), Field(min_length=1), AfterValidator(_whole)]


def next_run(schedule: Schedule, after: datetime) -> datetime | None:
    """The first minute of the schedule that is later than `after`; None when there is none (only dates that do not exist)."""
    start = after.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    for day in _days(schedule, start.date()):
        earliest = start.time() if day == start.date() else time.min
        for moment in _times(schedule):
            if moment >= earliest:
                return datetime.combine(day, moment, UTC)
    return None


def _days(schedule: Schedule, first: date) -> Iterator[date]:
    return (day for day in (first + timedelta(number) for number in range(_HORIZON_DAYS)) if _is_day(schedule, day))


def _is_day(schedule: Schedule, day: date) -> bool:
    return _holds(schedule.month, day.month) and _is_day_of_month_or_week(schedule, day)


def _is_day_of_month_or_week(schedule: Schedule, day: date) -> bool:
    weekday = day.isoweekday() % 7
    if schedule.day_of_month == ["*"]:
        return _holds(schedule.day_of_week, weekday)
    return day.day in schedule.day_of_month or weekday in schedule.day_of_week


def _times(schedule: Schedule) -> Iterator[time]:
    minutes = [minute for minute in range(60) if _holds(schedule.minute, minute)]
    return (time(hour, minute) for hour in range(24) if _holds(schedule.hour, hour) for minute in minutes)


def _holds(values: list[Any], value: int) -> bool:
    return value in values or values == ["*"]
