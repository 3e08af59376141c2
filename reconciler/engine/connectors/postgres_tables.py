"""What tables a PostgreSQL database has, and of which columns. The rule here: it is asked, and nothing of the tables' rows is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa

from reconciler.engine.connectors.postgresql import Session
from reconciler.engine.connectors.statements import INSERT_MISSING, UPDATE_FROM, Flavor, Name
from reconciler.errors import ScoringError

FLAVOR = Flavor(
    "PostgreSQL",
    MappingProxyType(
        {
            "boolean": "boolean",
            "int16": "smallint",
            "int32": "integer",
            "int64": "bigint",
            "float32": "real",
            "float64": "double precision",
            "decimal": "numeric({precision}, {scale})",
            "date": "date",
            "time": "time",
            "timestamp": "timestamp",
            "timestamptz": "timestamptz",
            "text": "text",
            "binary": "bytea",
        }
    ),
    update=UPDATE_FROM,
    # No other writer comes between the two.
    insert_update=("LOCK TABLE {target} IN SHARE ROW EXCLUSIVE MODE", UPDATE_FROM, INSERT_MISSING),
    lock="LOCK TABLE {staging} IN ACCESS EXCLUSIVE MODE",
)

_KINDS: Mapping[str, str] = MappingProxyType(
    {"r": "table", "p": "table", "f": "foreign table", "v": "view", "m": "materialized view"},
)
_TEXTS = {'"pg_catalog"."text"', '"pg_catalog"."varchar"'}
_INTEGERS = {'"pg_catalog"."int2"', '"pg_catalog"."int4"', '"pg_catalog"."int8"'}
_FRACTIONS = {'"pg_catalog"."float4"', '"pg_catalog"."float8"'}
_LIMITED = {'"pg_catalog"."varchar"', '"pg_catalog"."bpchar"'}
_HEADER = 4  # bytes that PostgreSQL adds to the length in a type's modifier


@dataclass(frozen=True)
class Column:
    """`type` is quoted, and without a modifier: what is cast to it is not cut. `full` is as a user writes it."""

    name: str
    type: str
    full: str
    modifier: int
    is_required: bool
    is_generated: bool

    @property
    def is_text(self) -> bool:
        return self.type in _TEXTS

    @property
    def is_integer(self) -> bool:
        return self.type in _INTEGERS

    @property
    def is_fraction(self) -> bool:
        return self.type in _FRACTIONS

    @property
    def limit(self) -> int | None:
        """How many characters it takes."""
        return self.modifier - _HEADER if self.type in _LIMITED and self.modifier >= _HEADER else None


def located(session: Session, name: Name) -> Name:
    """With the schema that the server takes for it, and without the catalog, which is the database. Raises ScoringError for another one."""
    ((database, schema),) = session.run(
        "SELECT current_database(), coalesce((SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.oid = to_regclass(%s)), current_schema())",
        FLAVOR.quoted(name.table),
    )
    if name.catalog not in (None, "", database):
        detail = f"{session.server.name}: the catalog is {name.catalog}, and the data store's database is {database}. Others cannot be reached."
        raise ScoringError("The catalog is another database", detail)
    if name.schema and not session.run("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", name.schema):
        detail = f"{session.server.name} has no schema {name.schema}, or the role may not see it. It has {', '.join(schemas(session))}."
        raise ScoringError("The schema does not exist", detail)
    if not name.schema and not schema:
        raise ScoringError("The schema does not exist", f"{session.server.name}: name a schema for {name.table}; the role's search_path has none.")
    return Name(name.table, name.schema or schema)


def columns(session: Session, name: Name) -> dict[str, Column] | None:
    """Of a table or view that `located` has named; None when there is none."""
    oid = "to_regclass(%s)"
    qualified = FLAVOR.qualified(name)
    if not session.run(f"SELECT 1 FROM pg_catalog.pg_class WHERE oid = {oid} AND relkind = ANY(%s)", qualified, list(_KINDS)):
        return None
    rows = session.run(
        "SELECT a.attname, n.nspname, t.typname, format_type(a.atttypid, a.atttypmod), a.atttypmod, "
        "a.attnotnull AND NOT a.atthasdef AND a.attidentity = '', a.attgenerated <> '' OR a.attidentity = 'a' "
        "FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace "
        f"WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        qualified,
    )
    return {
        column: Column(column, FLAVOR.qualified(Name(kind, schema)), full, modifier, is_required, is_generated)
        for column, schema, kind, full, modifier, is_required, is_generated in rows
    }


def missing(session: Session, name: Name) -> ScoringError:
    detail = f"{session.server.name} has no {name}, or the role may not see it.{alike(session, name)} Correct the table or its schema."
    return ScoringError("The table does not exist", detail)


def alike(session: Session, name: Name) -> str:
    """A sentence about tables that differ by upper and lower case, for names are taken as they are written; empty if there are none."""
    rows = session.run(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE lower(c.relname) = lower(%s) AND c.relkind = ANY(%s) ORDER BY 1, 2 LIMIT 5",
        name.table,
        list(_KINDS),
    )
    return f" There is {', '.join('.'.join(row) for row in rows)}: upper and lower case matter." if rows else ""


def staged_type(kind: pa.DataType) -> pa.DataType:
    """The Arrow type that a column of the staging table is given in."""
    if pa.types.is_dictionary(kind):
        return staged_type(kind.value_type)
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    if pa.types.is_decimal(kind) and kind.precision <= 38:
        return pa.decimal128(kind.precision, kind.scale)
    return _STAGED.get(FLAVOR.type_of(kind), pa.string())


_STAGED: Mapping[str, pa.DataType] = MappingProxyType(
    {
        "boolean": pa.bool_(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double precision": pa.float64(),
        "numeric(20, 0)": pa.decimal128(20, 0),
        "date": pa.date32(),
        "time": pa.time64("us"),
        "bytea": pa.binary(),
    }
)


def schemas(session: Session) -> list[str]:
    rows = session.run("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY nspname")
    return [name for (name,) in rows]


def tables(session: Session, schema: str | None) -> list[tuple[str, str, str]]:
    """Schema, name and kind."""
    rows = session.run(
        "SELECT n.nspname, c.relname, c.relkind::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname = coalesce(%s::text, n.nspname) AND c.relkind = ANY(%s) "
        "AND NOT c.relispartition ORDER BY 1, 2",
        schema,
        list(_KINDS),
    )
    return [(schema, name, _KINDS[kind]) for schema, name, kind in rows]
