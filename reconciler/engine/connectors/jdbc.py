"""PostgreSQL, by the type jdbc. The rule here: a query reads one moment and changes nothing, and an output is moved in one transaction.

The server knows of no time at which a table was changed. Its counters of changed rows (pg_stat_all_tables) come seconds behind a commit, count
what was rolled back, and are lost in a crash; the size and the file of a table stay when rows change; the log's position moves with every table,
and `max(xmin)` reads the rows. None of them moves exactly when the rows do, so a table is unknown without a probe.
"""

from collections.abc import Callable, Mapping
from typing import Any

from reconciler.engine.batches import BatchIntake
from reconciler.engine.connectors import postgres_output, postgres_tables
from reconciler.engine.connectors.postgres_rows import Reading, readable
from reconciler.engine.connectors.postgres_tables import FLAVOR, located
from reconciler.engine.connectors.postgresql import Session, opened
from reconciler.engine.connectors.probe import MOST, probed
from reconciler.engine.connectors.statements import Name, selection
from reconciler.engine.dialect import Dialect
from reconciler.engine.intake import Intake
from reconciler.engine.place import Place

open_output = postgres_output.open_output
settle = postgres_output.settle
discard = postgres_output.discard


def look(place: Place) -> Mapping[str, Any] | None:
    """The rows of the probe, as text and in no order; None without one, if the intake can be read."""
    with opened(place) as session:
        session.run("SET default_transaction_read_only = on")
        session.run("SET lock_timeout = '10s'")
        name, query = _asked(session, place)
        readable(session, name, query)
        return probed(session.server.name, _answer(session, place.probe)) if place.probe else None


def open_intake(place: Place, dialect: Dialect, is_halted: Callable[[], bool]) -> Intake:
    with opened(place) as session:
        session.run("SET default_transaction_read_only = on")
        name, query = _asked(session, place)
        query = readable(session, name, query)
    reading = Reading(session.server, query)
    try:
        schema = reading.schema(place.is_halted)
    except BaseException:
        reading.close()
        raise
    return BatchIntake(name, schema, reading.batches(is_halted), reading.close)


def ping(place: Place) -> None:
    with opened(place) as session:
        session.run("SELECT 1")


def schemas(place: Place) -> list[str]:
    with opened(place) as session:
        return postgres_tables.schemas(session)


def tables(place: Place, schema: str | None) -> list[tuple[str, str, str]]:
    with opened(place) as session:
        return postgres_tables.tables(session, schema)


def _asked(session: Session, place: Place) -> tuple[str, str]:
    """How a message calls the intake, and the query."""
    settings = place.settings
    if settings.query is not None:
        return "the query", selection(FLAVOR, settings)
    name = located(session, Name(settings.table, settings.db_schema, settings.catalog))
    if postgres_tables.columns(session, name) is None:
        raise postgres_tables.missing(session, name)
    return str(name), f"SELECT * FROM {FLAVOR.qualified(name)}"


def _answer(session: Session, probe: str) -> list[tuple[Any, ...]]:
    """Its values as text. The columns are counted, for several may have one name: `SELECT max(a), max(b)`."""
    query = probe.rstrip("; \t\r\n")
    columns = [f"c{number}" for number, _ in enumerate(session.described(f"SELECT * FROM (\n{query}\n) AS q LIMIT 0"))]
    texts = ", ".join(f"CAST(q.{column} AS text)" for column in columns)
    return session.run(f"SELECT {texts} FROM (\n{query}\n) AS q ({', '.join(columns)}) LIMIT {MOST + 1}")
