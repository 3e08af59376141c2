"""`{{ current_run_time }}` and the like in a query and in the name of a table. The rule here: the times are the job's own.

So they are the same whenever they are filled in: a job that is scored again writes to the same table.

| variable                  | the time
| current_run_time          | when the job was made
| current_run_timestamp     | the same, as seconds since 1970-01-01T00:00:00Z
| last_completed_run_time   | when the definition's latest job that is COMPLETED was made: it read what was there then
| last_scheduled_run_time   | when the definition was last due by its schedule, before this run
| next_scheduled_run_time   | when it is due next; there is none without an enabled schedule

All are of UTC, in whole seconds; what never was is 1900-01-01, as the API shows it. In a query a time is `2026-10-01T09:12:00`: the form that every
database reads in the same way, whatever its language. Where the template does not stand within quotes, they are put around it. In the name of a
table it is `20261001_091200`, which every database takes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

Problem = tuple[tuple[str | int, ...], str]  # where in a job's spec, and the sentence
VARIABLES = ("current_run_timestamp", "current_run_time", "last_completed_run_time", "last_scheduled_run_time", "next_scheduled_run_time")
NEVER = datetime(1900, 1, 1, tzinfo=UTC)
_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
# What a query is made of: comments, texts and names within quotes, templates, and the rest.
_TOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|\{\{.*?\}\}|.", re.DOTALL)
_FIELDS = (("intakeSettings", "query"), ("outputSettings", "table"))


@dataclass(frozen=True)
class Times:
    current: datetime
    last_completed: datetime | None = None
    last_scheduled: datetime | None = None
    next_scheduled: datetime | None = None

    def stored(self) -> dict[str, str | None]:
        return {name: time and time.isoformat() for name, time in asdict(self).items()}

    @classmethod
    def restored(cls, stored: Mapping[str, str | None]) -> "Times":
        return cls(**{name: time and datetime.fromisoformat(time) for name, time in stored.items()})  # type: ignore[arg-type]

    def of(self, variable: str) -> datetime:
        times = {
            "current_run_timestamp": self.current,
            "current_run_time": self.current,
            "last_completed_run_time": self.last_completed,
            "last_scheduled_run_time": self.last_scheduled,
            "next_scheduled_run_time": self.next_scheduled,
        }
        return times[variable] or NEVER


def problems(spec: Mapping[str, Any], times: Times | None = None) -> Iterator[Problem]:
    """Of the templates in a spec; with the `times` of its job also whether each has one."""
    for side, field in _FIELDS:
        for variable in _variables((spec.get(side) or {}).get(field)):
            if variable not in VARIABLES:
                yield (side, field), f"there is no template variable {variable!r}; there are: {', '.join(VARIABLES)}"
            elif times and variable == "next_scheduled_run_time" and times.next_scheduled is None:
                yield (side, field), "there is no next_scheduled_run_time: the job is none of an enabled job definition with a schedule"


def filled(side: str, settings: Mapping[str, Any], times: Times) -> dict[str, Any]:
    """The settings of this side with its templates filled in."""
    fill: Mapping[str, Callable[[str, Times], str]] = {"intakeSettings": filled_query, "outputSettings": filled_name}
    texts = {field: fill[side](settings[field], times) for its, field in _FIELDS if its == side and settings.get(field)}
    return {**settings, **texts}


def filled_query(query: str, times: Times) -> str:
    def text(token: str) -> str:
        if token.startswith("{{"):
            value = _in_query(token, times)
            return value if value.lstrip("-").isdigit() else f"'{value}'"
        return _TEMPLATE.sub(lambda found: _in_query(found[0], times), token)

    return "".join(text(found[0]) for found in _TOKEN.finditer(query))


def filled_name(name: str, times: Times) -> str:
    return _TEMPLATE.sub(lambda found: _text(found[0], times, "%Y%m%d_%H%M%S"), name)


def _in_query(template: str, times: Times) -> str:
    return _text(template, times, "%Y-%m-%dT%H:%M:%S")


def _text(template: str, times: Times, form: str) -> str:
    variable = template[2:-2].strip()
    time = times.of(variable)
    return str(int(time.timestamp())) if variable.endswith("_timestamp") else time.astimezone(UTC).strftime(form)


def _variables(text: Any) -> list[str]:
    return [found[1].strip() for found in _TEMPLATE.finditer(text)] if isinstance(text, str) else []
