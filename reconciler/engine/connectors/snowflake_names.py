"""Which table or stage of Snowflake's a name means. The rule here: as it is written, or else the only one that differs by upper and lower case alone.

Snowflake makes upper case of a name without quotes, so its users write `my_table` for MY_TABLE. What is created is called as it is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.engine.connectors.snowflake_session import Session
from reconciler.engine.connectors.snowflake_types import FLAVOR, Stored, stored
from reconciler.engine.connectors.statements import Name
from reconciler.errors import ScoringError

_COLUMNS = "COLUMN_NAME, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, IS_NULLABLE, COLUMN_DEFAULT, IS_IDENTITY"


@dataclass(frozen=True)
class Table:
    """One that is there. `facts` are what Snowflake knows of its content; None for a view, of which it knows nothing."""

    name: Name
    facts: Mapping[str, Any] | None


def found_table(session: Session, wanted: Name) -> Table | None:
    """Raises ScoringError when it cannot tell which."""
    place = whole(session, wanted)
    query = (
        "SELECT TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, LAST_ALTERED, ROW_COUNT, BYTES FROM {catalog}.INFORMATION_SCHEMA.TABLES "
        "WHERE UPPER(TABLE_SCHEMA) = UPPER(?) AND UPPER(TABLE_NAME) = UPPER(?)"
    )
    rows = _in_catalog(session, place, query, place.schema or "", place.table)
    names = [Name(row["TABLE_NAME"], row["TABLE_SCHEMA"], row["TABLE_CATALOG"]) for row in rows]
    meant = one_of(place, names)
    if meant is None:
        return None
    row = rows[names.index(meant)]
    facts = {"last_altered": _moment(row["LAST_ALTERED"]), "rows": row["ROW_COUNT"], "bytes": row["BYTES"]}
    return Table(meant, None if "VIEW" in str(row["TABLE_TYPE"]) else facts)


def new_table(session: Session, wanted: Name) -> Name:
    """One that is yet to be created, in a schema that is there. Raises ScoringError."""
    place = whole(session, wanted)
    query = "SELECT CATALOG_NAME, SCHEMA_NAME FROM {catalog}.INFORMATION_SCHEMA.SCHEMATA WHERE UPPER(SCHEMA_NAME) = UPPER(?)"
    rows = _in_catalog(session, place, query, place.schema or "")
    meant = one_of(place, [Name(place.table, row["SCHEMA_NAME"], row["CATALOG_NAME"]) for row in rows])
    if meant is None:
        detail = f"{session.address.name} has no schema {place.catalog}.{place.schema}, or its role may not use it. Correct schema, or create it."
        raise ScoringError("The schema does not exist", detail)
    return meant


def table(session: Session, wanted: Name) -> Table:
    """Raises ScoringError when there is none."""
    if found := found_table(session, wanted):
        return found
    place = whole(session, wanted)
    detail = f"{session.address.name} has no table {place}, or its role may not see it. Correct catalog, schema and table, or grant it."
    raise ScoringError("The table does not exist", detail)


def columns(session: Session, name: Name) -> list[Stored]:
    """Of a table that is there, in its order."""
    query = f"SELECT {_COLUMNS} FROM {{catalog}}.INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION"
    return [stored(row) for row in _in_catalog(session, name, query, name.schema or "", name.table)]


def whole(session: Session, wanted: Name) -> Name:
    """With the session's own database and schema for what it lacks. Raises ScoringError."""
    if wanted.catalog and wanted.schema:
        return wanted
    row = session.rows('SELECT CURRENT_DATABASE() AS "CATALOG", CURRENT_SCHEMA() AS "SCHEMA"')[0]
    catalog, schema = wanted.catalog or row["CATALOG"], wanted.schema or row["SCHEMA"]
    if not catalog:
        detail = f"{session.address.name}: set the job's catalog, or db in the data store's URL, to one that is there and that the role may use."
        raise ScoringError("The database of the table is not known", detail)
    if not schema:
        detail = f"{session.address.name}: set the job's schema, or schema in the data store's URL, to one that is there and that the role may use."
        raise ScoringError("The schema of the table is not known", detail)
    return Name(wanted.table, schema, catalog)


def one_of(wanted: Name, names: Sequence[Name]) -> Name | None:
    """Of those that differ from it by case alone. Raises ScoringError when several do, and none is the same."""
    if wanted in names or not names:
        return wanted if names else None
    nearest = [name for name in names if name.table == wanted.table] or [name for name in names if name.schema == wanted.schema] or list(names)
    if len(nearest) > 1:
        detail = f"{wanted} may be any of {', '.join(map(str, nearest))}, which differ by upper and lower case. Write it as Snowflake has it."
        raise ScoringError("The name is not clear", detail)
    return nearest[0]


def _in_catalog(session: Session, place: Name, query: str, *values: str) -> Sequence[Mapping[str, Any]]:
    """Asks the database of this very name, or else that of the same in upper case. Raises ScoringError."""
    catalog = place.catalog or ""
    for spelled in dict.fromkeys((catalog, catalog.upper())):
        try:
            return session.rows(query.format(catalog=FLAVOR.quoted(spelled)), *values)
        except ScoringError as error:
            refusal = error
    raise refusal


def _moment(value: Any) -> str | None:
    return value.isoformat() if value is not None else None
