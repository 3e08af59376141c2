"""Snowflake as intake and output. The rule here: rows travel as files where the user has a stage, and are seen in one transaction."""

from collections.abc import Mapping
from typing import Any

from reconciler.engine.connectors import snowflake_output, snowflake_rows
from reconciler.engine.connectors.probe import MOST, probed
from reconciler.engine.connectors.snowflake_names import table
from reconciler.engine.connectors.snowflake_session import Session
from reconciler.engine.connectors.statements import target_name
from reconciler.engine.place import Place
from reconciler.settings import SnowflakeIntake

open_intake = snowflake_rows.open_intake
open_output, settle = snowflake_output.open_output, snowflake_output.settle


def look(place: Place) -> Mapping[str, Any] | None:
    """When a table was last altered, its rows and bytes, as INFORMATION_SCHEMA has them. Of a view or a query it is not known.

    Snowflake moves LAST_ALTERED with what it does to a table in the background, too; whom that disturbs gives a probe.
    """
    with Session(place) as session:
        if place.probe is not None:
            return probed(session.address.name, session.answer(place.probe, MOST + 1))
        if place.settings.query is not None:
            return None
        return table(session, target_name(place.settings)).facts


def discard(place: Place) -> None:
    (snowflake_rows if isinstance(place.settings, SnowflakeIntake) else snowflake_output).discard(place)


def ping(place: Place) -> None:
    """Log in. Only `credential` and `data_store` of the place are looked at, here and below."""
    with Session(place) as session:
        session.run("SELECT 1")


def schemas(place: Place) -> list[str]:
    with Session(place) as session:
        return [row["SCHEMA_NAME"] for row in session.rows("SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA ORDER BY SCHEMA_NAME")]


def tables(place: Place, schema: str | None) -> list[tuple[str, str, str]]:
    """Schema, name and kind (`table`, `view`, …), of all schemas if none is given."""
    query = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM INFORMATION_SCHEMA.TABLES ORDER BY TABLE_SCHEMA, TABLE_NAME"
    with Session(place) as session:
        found = [(row["TABLE_SCHEMA"], row["TABLE_NAME"], str(row["TABLE_TYPE"]).removeprefix("BASE ").lower()) for row in session.rows(query)]
        exact = [each for each in found if each[0] == schema]
        return exact or [each for each in found if schema is None or each[0].upper() == schema.upper()]
