"""Synapse's dedicated pools. The rule here: what is said to them is what they are documented to take, and no row is in the target twice.

Fingerprint: a dedicated pool does not know when rows changed. `modify_date` is of the table's definition, and neither it nor a number of rows
changes with an UPDATE; a checksum of all rows reads them, and can be the same for other rows. So only a `probe` tells.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.engine.connectors import synapse_output, synapse_rows
from reconciler.engine.connectors.probe import MOST, probed
from reconciler.engine.connectors.sqlserver import Session
from reconciler.engine.connectors.statements import Name
from reconciler.engine.connectors.synapse_types import FLAVOR
from reconciler.engine.place import Place
from reconciler.settings import SynapseIntake

open_intake = synapse_rows.open_intake
open_output, settle = synapse_output.open_output, synapse_output.settle


def look(place: Place) -> Mapping[str, Any] | None:
    """The rows that the probe answers; without one nothing, once the server has been asked whether the table is there."""
    with Session(place) as session:
        if place.probe is not None:
            return probed(session.name, session.run(place.probe, limit=MOST + 1))
        if place.settings.table is not None:
            session.schema(FLAVOR.qualified(Name(place.settings.table, place.settings.db_schema)))
        return None


def discard(place: Place) -> None:
    (synapse_rows if isinstance(place.settings, SynapseIntake) else synapse_output).discard(place)


def ping(place: Place) -> None:
    with Session(place) as session:
        session.run("SELECT 1")


def schemas(place: Place) -> list[str]:
    with Session(place) as session:
        return [str(row[0]) for row in session.run("SELECT name FROM sys.schemas ORDER BY name")]


def tables(place: Place, schema: str | None) -> list[tuple[str, str, str]]:
    asked = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM INFORMATION_SCHEMA.TABLES"
    with Session(place) as session:
        found = session.run(asked) if schema is None else session.run(f"{asked} WHERE TABLE_SCHEMA = ?", schema)
    return sorted((str(there), str(name), "view" if kind == "VIEW" else "table") for there, name, kind in found)
