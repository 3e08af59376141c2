"""What is said to a database about tables. The rule here: pure text, in which every identifier is quoted and no value stands.

A table output takes two steps. The rows go to a staging table, `staging_name`, made by `creation` with the target's column names. Then one
transaction, `settlement`, moves them to the target and empties the staging table, so that whoever settles twice finds nothing to move.

Rows of `update` and `insertUpdate` are matched by `=`, as SQL users expect: a NULL in a where column matches no row, not even one with a NULL. Such
a row is never updated, and `insertUpdate` inserts it each time.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from reconciler.errors import Absent, ScoringError
from reconciler.settings import JdbcOutput, SnowflakeOutput, Source, SynapseOutput

AnyTarget = JdbcOutput | SnowflakeOutput | SynapseOutput
Kind = Literal["boolean", "int16", "int32", "int64", "float32", "float64", "decimal", "date", "time", "timestamp", "timestamptz", "text", "binary"]

# Templates of a flavor. `t` is the target, `s` the staging table; `{changes}` are of the update columns, `{values}` of all.
INSERT = "INSERT INTO {target} ({columns}) SELECT {values} FROM {staging} AS s"
INSERT_MISSING = INSERT + " WHERE NOT EXISTS (SELECT 1 FROM {target} AS t WHERE {match})"
UPDATE_FROM = "UPDATE {target} AS t SET {changes} FROM {staging} AS s WHERE {match}"
UPDATE_JOIN = "UPDATE t SET {changes} FROM {target} AS t JOIN {staging} AS s ON {match}"
MERGE = (
    "MERGE INTO {target} AS t USING {staging} AS s ON {match} "
    "WHEN MATCHED THEN UPDATE SET {changes} WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"
)

_LISTED = 20


@dataclass(frozen=True)
class Name:
    """A table's. A catalog is of use only with a schema: who has none asks the system which one it would take."""

    table: str
    schema: str | None = None
    catalog: str | None = None

    @property
    def parts(self) -> list[str]:
        return [part for part in (self.catalog, self.schema, self.table) if part]

    def __str__(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True)
class Flavor:
    """How one system says it.

    `update` and `insert_update` are templates as those above. `create` and `drop` say `{table}`, or `{text}` within single quotes.
    `lock` keeps others from the staging table, `{staging}`, until the transaction ends: a former process may still be in the middle of its own.
    """

    system: str  # as a message names it
    types: Mapping[Kind, str]  # `decimal` with {precision} and {scale}
    update: str
    insert_update: Sequence[str]
    quotes: tuple[str, str] = ('"', '"')
    create: str = "CREATE TABLE IF NOT EXISTS {table} ({columns})"
    drop: str = "DROP TABLE IF EXISTS {table}"
    lock: str | None = None
    rows: str = "COUNT(*)"  # of any number

    def quoted(self, name: str) -> str:
        opening, closing = self.quotes
        return opening + name.replace(closing, 2 * closing) + closing

    def listed(self, names: Iterable[str]) -> str:
        return ", ".join(map(self.quoted, names))

    def qualified(self, name: Name) -> str:
        return ".".join(map(self.quoted, name.parts))

    def type_of(self, kind: pa.DataType) -> str:
        precision, scale = (kind.precision, kind.scale) if pa.types.is_decimal(kind) else (20, 0)
        return self.types[kind_of(kind)].format(precision=precision, scale=scale)


_KINDS: Mapping[pa.DataType, Kind] = {
    pa.bool_(): "boolean",
    pa.int8(): "int16",
    pa.int16(): "int16",
    pa.uint8(): "int16",
    pa.int32(): "int32",
    pa.uint16(): "int32",
    pa.int64(): "int64",
    pa.uint32(): "int64",
    pa.uint64(): "decimal",
    pa.float16(): "float32",
    pa.float32(): "float32",
    pa.float64(): "float64",
    pa.date32(): "date",
    pa.date64(): "date",
    pa.binary(): "binary",
    pa.large_binary(): "binary",
}


def kind_of(kind: pa.DataType) -> Kind:
    """What holds every value of it; whatever has no column of its own kind is text."""
    if pa.types.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    if pa.types.is_time(kind):
        return "time"
    if pa.types.is_decimal(kind):
        return "decimal"
    if pa.types.is_dictionary(kind):
        return kind_of(kind.value_type)
    return _KINDS.get(kind, "text")


@dataclass(frozen=True)
class Move:
    """How staged rows come into the target. All names are the target's own.

    `casts` are the SQL types of the columns that the staging table has under another type.
    """

    statement: str
    target: Name
    staging: Name
    columns: Sequence[str]
    update: Sequence[str] = ()
    where: Sequence[str] = ()
    casts: Mapping[str, str] = field(default_factory=dict)


def target_name(settings: AnyTarget) -> Name:
    return Name(settings.table, settings.db_schema, getattr(settings, "catalog", None))


def staging_name(target: Name, job: str) -> Name:
    return Name(f"reconciler_{job}", target.schema, target.catalog)


def selection(flavor: Flavor, settings: Source) -> str:
    """The user's query as it stands, without a semicolon at its end, or all of the table."""
    if settings.query is not None:
        return settings.query.rstrip("; \t\r\n")
    return f"SELECT * FROM {flavor.qualified(Name(settings.table or '', settings.db_schema, getattr(settings, 'catalog', None)))}"


def creation(flavor: Flavor, name: Name, columns: Mapping[str, pa.DataType]) -> str:
    """Creates a table if there is none of this name."""
    said = ", ".join(f"{flavor.quoted(column)} {flavor.type_of(kind)}" for column, kind in columns.items())
    return flavor.create.format(columns=said, **_table(flavor, name))


def removal(flavor: Flavor, name: Name) -> str:
    return flavor.drop.format(**_table(flavor, name))


def gone(system: str, staging: Name) -> Absent:
    """A staging table stays until it is known that its rows were moved, so whoever finds none cannot know it."""
    return Absent("The staging table is gone", f"{system}: {staging} is not there any more, and was to be emptied into the target.")


def settlement(flavor: Flavor, move: Move) -> list[str]:
    """What one transaction says, in order, after `locking` and a `count` of the staged rows. The target exists."""
    names = {"target": flavor.qualified(move.target), "staging": flavor.qualified(move.staging)}
    said = {
        "columns": flavor.listed(move.columns),
        "values": ", ".join(_value(flavor, move, column) for column in move.columns),
        "changes": ", ".join(f"{flavor.quoted(column)} = {_value(flavor, move, column)}" for column in move.update),
        "match": " AND ".join(f"t.{flavor.quoted(column)} = {_value(flavor, move, column)}" for column in move.where),
    }
    templates: Mapping[str, Sequence[str]] = {
        "insert": (INSERT,),
        "createTable": (INSERT,),
        "update": (flavor.update,),
        "insertUpdate": flavor.insert_update,
    }
    return [template.format(**names, **said) for template in templates[move.statement]] + [emptying(flavor, move.staging)]


def locking(flavor: Flavor, staging: Name) -> list[str]:
    """What the transaction says before it counts the staged rows."""
    return [flavor.lock.format(staging=flavor.qualified(staging))] if flavor.lock else []


def emptying(flavor: Flavor, staging: Name) -> str:
    return f"DELETE FROM {flavor.qualified(staging)}"


def count(flavor: Flavor, name: Name) -> str:
    return f"SELECT {flavor.rows} FROM {flavor.qualified(name)}"


def repeated_keys(flavor: Flavor, move: Move) -> str:
    """Selects the where columns, as the target will have them, of each key that several staged rows share, and how many they are.

    With any row of it, `update` and `insertUpdate` would leave to chance which of them is kept.
    """
    keys = [_value(flavor, move, column) for column in move.where]
    known = " AND ".join(f"{key} IS NOT NULL" for key in keys)
    listed = ", ".join(keys)
    return f"SELECT {listed}, {flavor.rows} FROM {flavor.qualified(move.staging)} AS s WHERE {known} GROUP BY {listed} HAVING COUNT(*) > 1"


def check_keys(move: Move, repeated: Sequence[Sequence[Any]]) -> None:
    """Raises ScoringError for the first rows of `repeated_keys`, if there are any."""
    if not repeated:
        return
    *key, rows = repeated[0]
    said = ", ".join(f"{column} = {value}" for column, value in zip(move.where, key, strict=True))
    detail = (
        f"{move.target}: {rows} rows of the output have {said}, so {move.statement} cannot tell which of them to keep. "
        "Nothing was written. Choose where_columns that tell the rows apart, or correct the intake."
    )
    raise ScoringError("Rows of the output have the same key", detail)


def check_target(settings: AnyTarget, system: str, target: Name, is_there: bool, alike: Callable[[], str] = lambda: "") -> None:
    """Whether the table is there where the statement wants one, and not where it wants none. Raises ScoringError before the first row.

        statement     table      createTableIfNotExists    without it
        createTable   there      keeps it                  an error
        createTable   not there  creates it                creates it
        any other     there      keeps it                  keeps it
        any other     not there  creates it                an error

    So DataRobot's "Prediction output options" have it: `createTable`, which is deprecated, saves rows to a new table, which must not exist before.
    BigQuery has no statements there: a table is created if there is none, and rows are added to it. `alike` tells of tables of almost this name.
    """
    creates = settings.statement_type == "createTable"
    if is_there and creates and not settings.create_table_if_not_exists:
        detail = f"{system} has {target}, and the statement_type createTable makes a new one. Choose the statement_type insert, or another table."
        raise ScoringError("The table exists already", detail)
    if not (is_there or creates or settings.create_table_if_not_exists):
        detail = f"{system} has no {target}, or the user may not see it.{alike()} Correct the table, create it, or set create_table_if_not_exists."
        raise ScoringError("The table does not exist", detail)


def fitted(settings: AnyTarget, output: Sequence[str], target: Collection[str] | None, required: Collection[str] = ()) -> dict[str, str]:
    """The columns of the output that are written, and what the target calls each: the same, or the same but for upper and lower case.

    `target` is None when the table is yet to be created. `required` are its columns that must be given a value in a new row.
    Raises ScoringError for columns that the output or the target lacks.
    """
    table = target_name(settings)
    used = _used(settings, output)
    if target is None:
        return {column: column for column in used}
    names = _alike(used, target)
    if missing := [column for column in used if column not in names]:
        advice = "Add them to the table, or rename or drop them by column_names_remapping."
        raise ScoringError("The table lacks columns", f"{table} has no {_shown(missing)}, which the output has; it has {_shown(target)}. {advice}")
    if settings.statement_type != "update" and (unset := [column for column in required if column not in names.values()]):
        detail = f"{table} needs {_shown(unset)} in every row, and the output has {_shown(output)}. Pass them through, or give them a default."
        raise ScoringError("The output lacks columns of the table", detail)
    return {column: names[column] for column in used}


def moved(settings: AnyTarget, target: Name, staging: Name, columns: Sequence[str], casts: Mapping[str, str]) -> Move:
    """`columns` are those of the staging table, whose names `fitted` gave, and `casts` are of some of them."""
    names = {wanted: column for listed in _keys(settings) for wanted, column in _alike(listed, columns).items()}
    update, where = ([names[column] for column in listed] for listed in _keys(settings))
    return Move(settings.statement_type, target, staging, columns, update, where, casts)


def _alike(wanted: Sequence[str], among: Collection[str]) -> dict[str, str]:
    """Of each, the one of the same name, or else the only one whose name differs by upper and lower case alone."""
    names = {name: name for name in wanted if name in among}
    free = [name for name in among if name not in names]
    for name in wanted:
        alike = [other for other in free if other.casefold() == name.casefold()]
        if name not in names and len(alike) == 1:
            names[name] = alike[0]
            free.remove(alike[0])
    return names


def _keys(settings: AnyTarget) -> tuple[Sequence[str], Sequence[str]]:
    if settings.statement_type not in ("update", "insertUpdate"):
        return (), ()
    return settings.update_columns or (), settings.where_columns or ()


def _used(settings: AnyTarget, output: Sequence[str]) -> list[str]:
    """What an update does not name is not written, so the target need not have it."""
    update, where = _keys(settings)
    for option, columns in (("update_columns", update), ("where_columns", where)):
        if missing := [column for column in columns if column not in output]:
            detail = f"{option} names {_shown(missing)}; the output has {_shown(output)}. Add it to passthrough_columns, or correct {option}."
            raise ScoringError("The output lacks columns of the statement", detail)
    return [column for column in output if settings.statement_type != "update" or column in {*update, *where}]


def _value(flavor: Flavor, move: Move, column: str) -> str:
    staged = f"s.{flavor.quoted(column)}"
    return f"CAST({staged} AS {move.casts[column]})" if column in move.casts else staged


def _table(flavor: Flavor, name: Name) -> dict[str, str]:
    qualified = flavor.qualified(name)
    return {"table": qualified, "text": qualified.replace("'", "''")}


def _shown(names: Collection[str]) -> str:
    return ", ".join(list(names)[:_LISTED]) + (" and others" if len(names) > _LISTED else "")
