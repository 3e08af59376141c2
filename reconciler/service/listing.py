"""Which jobs `GET batchPredictions/` shows, in which order. The rule here: one table row for each parameter of the API."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.datastructures import QueryParams

from reconciler import settings
from reconciler.service import moment, parameters
from reconciler.service.status import STATUSES

SOURCES = ("Make Predictions", "Scheduled Run", "Manual Run", "Integration", "Ad hoc API", "Insights", "Portable", "Challengers")
ORDERS = {"created": "created, sequence", "-created": "created DESC, sequence DESC", "status": "status, sequence", "-status": "status DESC, sequence"}

Clause = tuple[str, list[Any]]  # SQL, and the values for its question marks


@dataclass(frozen=True)
class Selection:
    """A page of a list of jobs, as SQL."""

    where: str
    values: Sequence[Any]
    order: str
    offset: int
    limit: int


def _any_of(column: str) -> Callable[[list[Any]], Clause]:
    return lambda values: (f"{column} IN ({', '.join('?' * len(values))})", values)


def _compared(column: str, sign: str) -> Callable[[list[datetime]], Clause]:
    return lambda times: (" AND ".join([f"{column} {sign} ?"] * len(times)), [moment.rfc3339(time) for time in times])


def _nothing(values: list[Any]) -> Clause:
    """For what no job of this service has: a prediction server."""
    return "0", []


def _everything(values: list[Any]) -> Clause:
    return "1", []


def _sources(values: list[str]) -> Clause:
    wanted = [value for value in values if not value.startswith("-")]
    unwanted = [value[1:] for value in values if value.startswith("-")]
    clauses = [f"source NOT IN ({', '.join('?' * len(unwanted))})"] + ([f"source IN ({', '.join('?' * len(wanted))})"] if wanted else [])
    return " AND ".join(clauses), unwanted + wanted


_FILTERS: dict[str, tuple[parameters.Parser[Any], Callable[[list[Any]], Clause]]] = {
    "status": (parameters.one_of(STATUSES), _any_of("status")),
    "source": (parameters.one_of([*SOURCES, *(f"-{source}" for source in SOURCES)]), _sources),
    "deploymentId": (parameters.text, _any_of("deployment_id")),
    "modelId": (parameters.text, _any_of("model_id")),
    "jobId": (parameters.text, _any_of("id")),
    "batchPredictionJobDefinitionId": (parameters.text, _any_of("definition_id")),
    "hostname": (parameters.text, _nothing),
    "startDateTime": (parameters.time, _compared("created", ">=")),
    "endDateTime": (parameters.time, _compared("created", "<=")),
    "intakeType": (parameters.one_of(settings.INTAKES, settings.SYNONYMS), _any_of("intake_type")),
    "outputType": (parameters.one_of(settings.OUTPUTS, settings.SYNONYMS), _any_of("output_type")),
    "allJobs": (parameters.one_of(("true", "false", "True", "False")), _everything),  # deprecated, and has no effect in the API either
}
QUERY: parameters.Parsers = {name: parse for name, (parse, _) in _FILTERS.items()} | {
    "offset": parameters.whole(0),
    "limit": parameters.whole(1, 1000),
    "orderBy": parameters.one_of(ORDERS),
    "cutoffHours": parameters.whole(0, 1_000_000),
}


def selection(query: QueryParams, now: datetime) -> Selection:
    """What the query asks for. Deleted and hidden jobs are on no list. Raises Refusal."""
    given = parameters.read(query, QUERY)
    if "cutoffHours" in given:
        given.setdefault("startDateTime", []).append(now - timedelta(hours=given["cutoffHours"][-1]))
    clauses = [make(given[name]) for name, (_, make) in _FILTERS.items() if name in given]
    return Selection(
        where=" AND ".join(["is_deleted = 0 AND hidden IS NULL", *(sql for sql, _ in clauses)]),
        values=[value for _, values in clauses for value in values],
        order=ORDERS[given.get("orderBy", ["-created"])[-1]],
        offset=given.get("offset", [0])[-1],
        limit=given.get("limit", [100])[-1],
    )
