"""T-SQL as a small warehouse understands it. The rule here: what a dedicated pool is documented to refuse is refused, and nothing is pretended.

This is not SQL Server, nor Synapse: statements are translated by sqlglot and run by DuckDB, each session with transactions of its own. DuckDB's
types stand for those of T-SQL, so lengths and collations are not kept. What is like a dedicated pool: no DDL, COPY or CETAS within a transaction, no
MERGE (older pools have none), one row per VALUES, no DROP … IF EXISTS; COPY and CETAS exchange Parquet with a storage account, by its real
addresses and with the secrets of the statement or of the database scoped credential.
"""

import datetime
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import duckdb
import obstore
import pyarrow as pa
import pyarrow.parquet
import sqlglot
from obstore.store import AzureStore
from sqlglot import exp

BATCH = 8192
_PART = 50_000  # rows of one file that CETAS writes
_NAME = r"(?:\[(?:[^\]]|\]\])+\]|[\w@#$]+)"
_TABLE = rf"((?:{_NAME}\s*\.\s*){{0,2}}{_NAME})"
_TEXT = r"N?'((?:[^']|'')*)'"


class Refused(Exception):
    """An error as SQL Server numbers it."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


@dataclass
class Answer:
    """Of one statement: rows with their types as DuckDB names them, or how many rows it touched."""

    names: Sequence[str] = ()
    types: Sequence[str] = ()
    batches: Iterator[pa.RecordBatch] = field(default_factory=lambda: iter(()))
    count: int | None = None
    transaction: str | None = None  # "begin", "commit" or "rollback"

    def held(self) -> "Answer":
        """With its rows in memory: the next statement needs the connection."""
        self.batches = iter(list(self.batches))
        return self


@dataclass
class Warehouse:
    """One database. `accounts` says where the blobs of a storage account are: the account's name to a URL."""

    database: str
    accounts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.duck = duckdb.connect(":memory:", config={"threads": "1"})
        self.duck.execute(f"ATTACH ':memory:' AS {quoted(self.database)}; USE {quoted(self.database)}; CREATE SCHEMA dbo; CREATE SCHEMA sys")
        self.duck.execute(_CATALOG)
        self.duck.execute("SET GLOBAL TimeZone = 'UTC'")

    def session(self) -> "Session":
        return Session(self)


_CATALOG = """
CREATE TABLE sys.database_scoped_credentials (name VARCHAR, credential_identity VARCHAR, secret VARCHAR);
CREATE TABLE sys.external_data_sources (name VARCHAR, location VARCHAR, type_desc VARCHAR, credential VARCHAR);
CREATE TABLE sys.external_file_formats (name VARCHAR, format_type VARCHAR);
CREATE TABLE sys.external_tables (object_id BIGINT, name VARCHAR, schema_id BIGINT, location VARCHAR);
CREATE VIEW sys.schemas AS SELECT schema_name AS name, oid AS schema_id FROM duckdb_schemas() WHERE database_name = current_database();
CREATE VIEW sys.tables AS SELECT table_name AS name, table_oid AS object_id, schema_oid AS schema_id FROM duckdb_tables()
    WHERE database_name = current_database() AND table_oid NOT IN (SELECT object_id FROM sys.external_tables);
CREATE VIEW sys.columns AS SELECT table_oid AS object_id, column_name AS name, column_index AS column_id,
    is_nullable, false AS is_identity, CASE WHEN column_default IS NULL THEN 0 ELSE 1 END AS default_object_id FROM duckdb_columns()
    WHERE database_name = current_database();
"""


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def name_parts(text: str) -> list[str]:
    """`[dbo].[a ]] b]` as dbo and `a ] b`."""
    found = re.findall(_NAME, text)
    return [part[1:-1].replace("]]", "]") if part.startswith("[") else part for part in found]


class Session:
    """One connection's. A transaction of DuckDB is open while one of T-SQL is."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self.duck = warehouse.duck.cursor()
        self.duck.execute(f"USE {quoted(warehouse.database)}.dbo")
        self.depth = 0

    def close(self) -> None:
        if self.depth:
            self.duck.execute("ROLLBACK")
        self.duck.close()

    def run(self, sql: str, values: Mapping[str, object] | None = None) -> Iterator[Answer]:
        """The answers of a batch, one statement after the other. Raises Refused."""
        rest = sql.strip().strip(";").strip()
        while rest:
            for pattern, does in _STATEMENTS:
                if found := pattern.match(rest):
                    yield from does(self, found)
                    rest = rest[found.end() :].strip().lstrip(";").strip()
                    break
            else:
                trees = parsed(rest)
                for tree in trees:
                    answer = self.translated(tree, values or {})
                    yield answer if tree is trees[-1] else answer.held()
                return

    def translated(self, tree: exp.Expression, values: Mapping[str, object]) -> Answer:
        if isinstance(tree, exp.Merge):
            raise Refused(103010, "Parse error at line: 1, column: 1: Incorrect syntax near 'MERGE'.")
        if any(len(rows.expressions) > 1 for rows in tree.find_all(exp.Values)):
            raise Refused(103010, "Parse error at line: 1, column: 1: Incorrect syntax near ','.")
        if isinstance(tree, exp.Drop) and tree.args.get("exists"):
            raise Refused(103010, "Parse error at line: 1, column: 12: Incorrect syntax near 'IF'.")
        if isinstance(tree, exp.Create | exp.Drop | exp.Alter | exp.TruncateTable):
            self.outside_transactions()
        if isinstance(tree, exp.Command):
            raise Refused(103010, f"Parse error at line: 1, column: 1: Incorrect syntax near '{tree.sql()[:40]}'.")
        if isinstance(tree, exp.Update):
            tree = updated(tree)
        return self.executed(tree.transform(lambda node: self.node(node, values)).sql(dialect="duckdb"), isinstance(tree, exp.Query))

    def executed(self, sql: str, has_rows: bool = False) -> Answer:
        with self.refusals(sql):
            if has_rows:
                rows = self.duck.sql(sql)
                batches = iter(rows.to_arrow_reader(BATCH))
                first = [batch for batch in (next(batches, None),) if batch is not None]  # now, as what is wrong is said before the columns are
                return Answer(rows.columns, [str(kind) for kind in rows.types], itertools.chain(first, batches))
            done = self.duck.execute(sql)
            counted = done.fetchall() if done.description else []
            return Answer(count=int(counted[0][0]) if counted and done.description[0][0] == "Count" else None)

    def one(self, sql: str, values: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """The first row: all are fetched, as an answer that is left open keeps the connection."""
        return next(iter(self.duck.execute(sql, list(values)).fetchall()), None)

    def outside_transactions(self) -> None:
        if self.depth:
            raise Refused(111212, "Operation cannot be performed within a transaction.")

    def refusals(self, sql: str) -> "_Refusals":
        return _Refusals(self, sql)

    def object_id(self, text: str) -> int | None:
        *schema, table = name_parts(text)
        found = self.one(
            "SELECT table_oid FROM duckdb_tables() WHERE database_name = current_database() AND lower(table_name) = lower(?) AND "
            "lower(schema_name) = lower(?)",
            [table, schema[-1] if schema else "dbo"],
        )
        return int(found[0]) if found else None

    def node(self, node: exp.Expression, values: Mapping[str, object]) -> exp.Expression:
        """As DuckDB has it: parameters, OBJECT_ID, and the types that sqlglot gets wrong."""
        if isinstance(node, exp.Parameter):
            name = node.name
            given = values.get(name, values.get(f"@{name}"))
            return exp.convert(given)
        if isinstance(node, exp.ObjectId):
            found = self.object_id(self.node(node.this, values).name)
            return exp.null() if found is None else exp.Literal.number(found)
        if isinstance(node, exp.DataType):
            if node.this == exp.DataType.Type.FLOAT:  # T-SQL's has eight bytes
                return exp.DataType.build("double")
            if node.this == exp.DataType.Type.BIT:
                return exp.DataType.build("boolean")
            if node.this in (exp.DataType.Type.XML, *exp.DataType.TEXT_TYPES):
                return exp.DataType.build("text")
            if node.this in (exp.DataType.Type.MONEY, exp.DataType.Type.SMALLMONEY):
                return exp.DataType.build("decimal(19, 4)")
            if node.this in (exp.DataType.Type.VARBINARY, exp.DataType.Type.BINARY):
                return exp.DataType.build("blob")
        if isinstance(node, exp.Properties):
            return exp.Properties(expressions=[])  # DISTRIBUTION, HEAP: where rows lie is nothing to DuckDB
        return node

    # Statements that sqlglot does not know

    def conditional(self, found: re.Match[str]) -> Iterator[Answer]:
        wants_none = found[2] is None
        if (self.object_id(found[1].replace("''", "'")) is None) == wants_none:
            yield from self.run(found[3])

    def begin(self, found: re.Match[str]) -> Iterator[Answer]:
        self.depth += 1
        if self.depth == 1:
            self.duck.execute("BEGIN TRANSACTION")
            yield Answer(transaction="begin")

    def commit(self, found: re.Match[str]) -> Iterator[Answer]:
        if not self.depth:
            raise Refused(3902, "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.depth -= 1
        if not self.depth:
            with self.refusals("COMMIT"):
                self.duck.execute("COMMIT")
            yield Answer(transaction="commit")

    def rollback(self, found: re.Match[str]) -> Iterator[Answer]:
        if not self.depth:
            raise Refused(3903, "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.")
        self.depth = 0
        self.duck.execute("ROLLBACK")
        yield Answer(transaction="rollback")

    def rollback_if_open(self, found: re.Match[str]) -> Iterator[Answer]:
        if self.depth:
            yield from self.rollback(found)

    def ignored(self, found: re.Match[str]) -> Iterator[Answer]:
        yield from ()

    def bulk_probe(self, found: re.Match[str]) -> Iterator[Answer]:
        """What the driver asks before a bulk copy: open transactions, the table's columns, and their collations."""
        yield self.executed(f"SELECT {self.depth}::INTEGER AS n", has_rows=True).held()
        yield self.executed(f"SELECT * FROM {self.table(text(found[1]))} LIMIT 0", has_rows=True).held()
        kinds = "NULL::INTEGER AS colid, NULL::VARCHAR AS name, NULL::BLOB AS tds_collation_100, NULL::VARCHAR AS collation_100"
        yield self.executed(f"SELECT {kinds} WHERE false", has_rows=True)

    def create_credential(self, found: re.Match[str]) -> Iterator[Answer]:
        self.duck.execute("INSERT INTO sys.database_scoped_credentials VALUES (?, ?, ?)", [name_parts(found[1])[-1], text(found[2]), text(found[3])])
        yield Answer()

    def create_data_source(self, found: re.Match[str]) -> Iterator[Answer]:
        given = options(found[2])
        values = [name_parts(found[1])[-1], given["LOCATION"], given.get("TYPE", "BLOB_STORAGE"), given.get("CREDENTIAL")]
        self.duck.execute("INSERT INTO sys.external_data_sources VALUES (?, ?, ?, ?)", values)
        yield Answer()

    def create_file_format(self, found: re.Match[str]) -> Iterator[Answer]:
        self.outside_transactions()
        name = name_parts(found[1])[-1]
        if self.one("SELECT 1 FROM sys.external_file_formats WHERE name = ?", [name]):
            raise Refused(46502, f"Type with name '{name}' already exists.")
        self.duck.execute("INSERT INTO sys.external_file_formats VALUES (?, ?)", [name, options(found[2])["FORMAT_TYPE"]])
        yield Answer()

    def drop_external(self, found: re.Match[str]) -> Iterator[Answer]:
        self.outside_transactions()
        if found[1].upper() != "TABLE":
            table = {"DATA SOURCE": "external_data_sources", "FILE FORMAT": "external_file_formats"}[found[1].upper()]
            self.duck.execute(f"DELETE FROM sys.{table} WHERE name = ?", [name_parts(found[2])[-1]])
        else:
            id = self.object_id(found[2])
            if id is None or not self.one("DELETE FROM sys.external_tables WHERE object_id = ?", [id])[0]:
                raise Refused(3701, f"Cannot drop the external table '{found[2]}', because it does not exist or you do not have permission.")
            self.duck.execute(f"DROP TABLE {self.table(found[2])}")
        yield Answer()

    def create_external_table(self, found: re.Match[str]) -> Iterator[Answer]:
        """CETAS: the files, and a table of ours that holds their rows."""
        self.outside_transactions()
        given = options(found[2])
        store, folder = self.source(given["DATA_SOURCE"], given["LOCATION"])
        if not self.one("SELECT 1 FROM sys.external_file_formats WHERE name = ?", [given["FILE_FORMAT"]]):
            raise Refused(46525, f"External file format '{given['FILE_FORMAT']}' does not exist.")
        (tree,) = parsed(found[3])
        select = tree.transform(lambda node: self.node(node, {})).sql(dialect="duckdb")
        with storage_refusals():
            if any(obstore.list(store, folder)):
                raise Refused(110802, f"The folder '{given['LOCATION']}' is not empty.")
        self.executed(f"CREATE TABLE {self.table(found[1])} AS {select}")
        try:
            rows = self.write(store, folder, found[1])
        except BaseException:
            self.duck.execute(f"DROP TABLE {self.table(found[1])}")
            raise
        values = [self.object_id(found[1]), name_parts(found[1])[-1], given["LOCATION"]]
        self.duck.execute("INSERT INTO sys.external_tables SELECT ?, ?, 0, ?", values)
        yield Answer(count=rows)

    def write(self, store: AzureStore, folder: str, table: str) -> int:
        rows = 0
        reader = self.duck.sql(f"SELECT * FROM {self.table(table)}").to_arrow_reader(_PART)
        for part, batch in enumerate(batch for batch in reader if batch.num_rows):
            content = pa.BufferOutputStream()
            pa.parquet.write_table(pa.Table.from_batches([batch]), content)
            with storage_refusals():
                obstore.put(store, f"{folder}QID1_{part}.parquet", content.getvalue().to_pybytes())
            rows += batch.num_rows
        return rows

    def copy(self, found: re.Match[str]) -> Iterator[Answer]:
        """COPY INTO: all files of a folder, in the order of the column list, in a transaction of its own."""
        self.outside_transactions()
        given = options(found[4])
        if given.get("FILE_TYPE") != "PARQUET":
            raise Refused(50000, "This small server copies Parquet alone.")
        where = urlsplit(text(found[3]))
        if where.scheme != "https":
            raise Refused(105218, "Not able to validate external location: it must begin with https.")
        container, _, folder = unquote(where.path).lstrip("/").partition("/")
        secret = options(given["CREDENTIAL"][1:-1]) if "CREDENTIAL" in given else {}
        store = self.store(str(where.hostname), container, secret.get("IDENTITY"), secret.get("SECRET"))
        with storage_refusals():
            paths = [item["path"] for items in obstore.list(store, folder) for item in items]
        shown = [path for path in sorted(paths) if not path.rpartition("/")[2].startswith(("_", "."))]
        if not shown:
            raise Refused(13807, f"Content of directory on path '{text(found[3])}' cannot be listed.")
        columns = f"({', '.join(map(quoted, name_parts(found[2])))})" if found[2] else ""
        rows = 0
        with self.refusals("COPY"):
            self.duck.execute("BEGIN TRANSACTION")
            try:
                for path in shown:
                    with storage_refusals():
                        content = obstore.get(store, path).bytes().to_bytes()
                    self.duck.register("copied", pa.parquet.read_table(pa.BufferReader(content)))
                    done = self.one(f"INSERT INTO {self.table(found[1])} {columns} SELECT * FROM copied")
                    self.duck.unregister("copied")
                    rows += done[0]
            except BaseException:
                self.duck.execute("ROLLBACK")
                raise
            self.duck.execute("COMMIT")
        yield Answer(count=rows)

    def load(self, table: str, rows: pa.Table) -> int:
        """A bulk copy's rows, in the columns that they name."""
        with self.refusals(f"INSERT BULK {table}"):
            self.duck.register("loaded", rows)
            try:
                done = self.one(f"INSERT INTO {self.table(table)} ({', '.join(map(quoted, rows.column_names))}) SELECT * FROM loaded")
                return int(done[0])
            finally:
                self.duck.unregister("loaded")

    def table(self, text: str) -> str:
        return ".".join(map(quoted, name_parts(text)))

    # Storage accounts

    def source(self, name: str, location: str) -> tuple[AzureStore, str]:
        """Of an external data source: its container, and a folder in it that ends in `/`."""
        found = self.one("SELECT location, credential FROM sys.external_data_sources WHERE name = ?", [name])
        if not found:
            raise Refused(105007, f"External data source '{name}' does not exist.")
        where = urlsplit(found[0])
        container, host, root = (where.username or "", where.hostname or "", where.path)
        if where.scheme == "https":
            container, _, root = where.path.lstrip("/").partition("/")
        keys = self.one("SELECT credential_identity, secret FROM sys.database_scoped_credentials WHERE name = ?", [found[1]])
        identity, secret = keys or (None, None)
        folder = "/".join(part for part in [*root.split("/"), *location.split("/")] if part)
        # For a source of TYPE = HADOOP the identity is any word, and the secret is the account's key.
        kind = identity if identity and identity.upper() == "SHARED ACCESS SIGNATURE" else "Storage Account Key"
        return self.store(host, container, kind, secret), f"{folder}/"

    def store(self, host: str, container: str, identity: str | None, secret: str | None) -> AzureStore:
        account = host.partition(".")[0]
        endpoint = self.warehouse.accounts.get(account)
        if endpoint is None:
            raise Refused(105215, f"Not able to validate external location because the remote name could not be resolved: '{host}'.")
        keys: dict[str, str] = {}
        match (identity or "").upper():
            case "STORAGE ACCOUNT KEY":
                keys = {"account_key": secret or ""}
            case "SHARED ACCESS SIGNATURE":
                keys = {"sas_key": secret or ""}
        plain = {"allow_http": True}
        retry = {"max_retries": 0, "retry_timeout": datetime.timedelta(seconds=5), "backoff": {}}
        try:
            return AzureStore(container, account_name=account, endpoint=endpoint, client_options=plain, retry_config=retry, **keys)  # type: ignore[arg-type, call-overload]
        except Exception as error:
            raise Refused(105215, "Not able to validate external location because the remote server returned an error: (403) Forbidden.") from error


class storage_refusals:  # noqa: N801 - reads as a statement
    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, Refused):
            raise Refused(105215, "Not able to validate external location because the remote server returned an error: (403) Forbidden.") from error


class _Refusals:
    """DuckDB's errors in the numbers of SQL Server."""

    def __init__(self, session: Session, sql: str) -> None:
        self._session = session
        self._sql = sql

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, duckdb.Error):
            return
        said = " ".join(str(error).split())
        for pattern, number, form in _ERRORS:
            if found := re.search(pattern, said):
                raise Refused(number, form.format(*found.groups())) from error
        raise Refused(50000, said) from error


_ERRORS: Sequence[tuple[str, int, str]] = (
    (r"Table with name (.+?) does not exist", 208, "Invalid object name '{0}'."),
    (r'Table with name "?(.+?)"? already exists', 2714, "There is already an object named '{0}' in the database."),
    (r"Schema with name (.+?) does not exist", 208, "Invalid object name '{0}'."),
    (r'Referenced column "(.+?)" not found', 207, "Invalid column name '{0}'."),
    (r'does not have a column (?:with name|named) "(.+?)"', 207, "Invalid column name '{0}'."),
    (r"Referenced update column (.+?) not found", 207, "Invalid column name '{0}'."),
    (r"NOT NULL constraint failed: (\S+)", 515, "Cannot insert the value NULL into column '{0}'; column does not allow nulls."),
    (r"Could not convert string '(.*?)' to (\w+)", 8114, "Error converting data type nvarchar '{0}' to {1}."),
    (r"syntax error at or near \"(.+?)\"", 102, "Incorrect syntax near '{0}'."),
)


def parsed(sql: str) -> list[exp.Expression]:
    try:
        return [tree for tree in sqlglot.parse(sql, read="tsql") if tree is not None]
    except sqlglot.errors.SqlglotError as error:
        near = error.errors[0].get("highlight") if getattr(error, "errors", None) else str(error)[:60]
        raise Refused(102, f"Incorrect syntax near '{near}'.") from error


def updated(tree: exp.Update) -> exp.Update:
    """`UPDATE x SET … FROM x AS t JOIN s ON …` as DuckDB has it: `UPDATE x AS t SET … FROM s WHERE …`."""
    origin = tree.args.get("from_") or tree.args.get("from")
    if origin is None or not (joins := origin.this.args.get("joins") or tree.args.get("joins")):
        return tree
    source, (join,) = origin.this, joins
    assert source.name == tree.this.name and source.db == tree.this.db, "the table that is updated comes first"
    source.set("joins", None)
    tree.set("this", source.copy())
    origin.set("this", join.this)
    return tree.where(join.args["on"])


def text(quoted_text: str) -> str:
    return quoted_text.replace("''", "'")


_OPTION = re.compile(rf"(\w+)\s*=\s*(?:{_TEXT}|(\((?:[^()']|'(?:[^']|'')*')*\))|({_NAME}))\s*,?\s*")


def options(inside: str) -> dict[str, str]:
    """`A = 'b', C = [d], E = (…)` as a table; what is in brackets keeps them."""
    found: dict[str, str] = {}
    for name, value, group, word in _OPTION.findall(inside):
        found[name.upper()] = group or (name_parts(word)[0] if word else text(value))
    return found


_INSIDE = r"((?:[^()']|'(?:[^']|'')*'|\((?:[^()']|'(?:[^']|'')*')*\))*)"


def _statement(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


_STATEMENTS: Sequence[tuple[re.Pattern[str], Callable[[Session, re.Match[str]], Iterator[Answer]]]] = (
    (_statement(rf"IF\s+OBJECT_ID\s*\(\s*{_TEXT}\s*(?:,\s*N?'\w+'\s*)?\)\s+IS\s+(NOT\s+)?NULL\s+(.+)"), Session.conditional),
    (_statement(r"IF\s+@@TRANCOUNT\s*>\s*0\s+ROLLBACK(\s+TRAN(SACTION)?)?\b"), Session.rollback_if_open),
    (_statement(r"BEGIN\s+TRAN(SACTION)?\b"), Session.begin),
    (_statement(r"COMMIT(\s+TRAN(SACTION)?|\s+WORK)?\b"), Session.commit),
    (_statement(r"ROLLBACK(\s+TRAN(SACTION)?|\s+WORK)?\b"), Session.rollback),
    (_statement(rf"SELECT\s+@@TRANCOUNT.+N'\s+FROM\s+{_TABLE}'\s*\)\s*;.+sp_tablecollations_100\s+{_TEXT};?"), Session.bulk_probe),
    (_statement(r"SET\s+\w+\s+(ON|OFF)\b"), Session.ignored),
    (
        _statement(rf"CREATE\s+DATABASE\s+SCOPED\s+CREDENTIAL\s+({_NAME})\s+WITH\s+IDENTITY\s*=\s*{_TEXT}\s*,\s*SECRET\s*=\s*{_TEXT}"),
        Session.create_credential,
    ),
    (_statement(rf"CREATE\s+EXTERNAL\s+DATA\s+SOURCE\s+({_NAME})\s+WITH\s*\({_INSIDE}\)"), Session.create_data_source),
    (_statement(rf"CREATE\s+EXTERNAL\s+FILE\s+FORMAT\s+({_NAME})\s+WITH\s*\({_INSIDE}\)"), Session.create_file_format),
    (_statement(rf"CREATE\s+EXTERNAL\s+TABLE\s+{_TABLE}\s+WITH\s*\({_INSIDE}\)\s*AS\s+(.+)"), Session.create_external_table),
    (_statement(rf"DROP\s+EXTERNAL\s+(TABLE|DATA\s+SOURCE|FILE\s+FORMAT)\s+{_TABLE}"), Session.drop_external),
    (_statement(rf"COPY\s+INTO\s+{_TABLE}\s*(?:\(([^)]*)\))?\s*FROM\s+{_TEXT}\s*WITH\s*\({_INSIDE}\)"), Session.copy),
)
