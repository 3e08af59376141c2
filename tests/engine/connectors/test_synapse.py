"""Synapse. The rule here: Microsoft's own driver, over a real socket, in both ways: through a container of Azure, and without."""

import itertools
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servers.line import Line
from servers.process import free_port
from servers.stranger import Answer, stranger
from servers.synapse import Synapse, store
from targets import TARGETS

from reconciler.engine.connectors import synapse as room
from reconciler.engine.connectors.external_source import Folder
from reconciler.engine.connectors.sqlserver import Session
from reconciler.engine.dialect import Dialect
from reconciler.engine.job import ScoringJob, Tally
from reconciler.engine.look import look
from reconciler.engine.pipeline import score
from reconciler.engine.place import Place
from reconciler.engine.settle import settle
from reconciler.errors import Cancelled, ScoringError
from reconciler.options import Options
from reconciler.settings import SynapseIntake, SynapseOutput

NUMBERS = itertools.count()
JOB = "65f0c0ffee65f0c0ffee65f0"
NASTY = 'Ärger [1] it\'s "new".select'


class Bench:
    """Fresh names in the warehouse, and places that name them. `source` is an external data source, or none."""

    def __init__(self, server: Synapse, source: str | None) -> None:
        self.server = server
        self.source = source
        self.container = (source or "").replace("_", "-")
        self.number = next(NUMBERS)
        self.job = f"{JOB}{self.number:04}"

    def table(self, columns: str, *rows: str, name: str = "t") -> str:
        table = f"{name}{self.number}"
        self.server.run(f"CREATE TABLE {quoted(table)} ({columns})", *(f"INSERT INTO {quoted(table)} VALUES ({row})" for row in rows))
        return table

    def intake(self, *, probe: str | None = None, storage: Any = None, data_store: Any = None, credential: Any = None, **settings: Any) -> Place:
        wire = {"type": "synapse", "dataStoreId": "0" * 24, "externalDataSource": self.source, **settings}
        return self._place(SynapseIntake.model_validate(wire), probe, storage, data_store, credential)

    def output(self, table: str, *, storage: Any = None, data_store: Any = None, credential: Any = None, **settings: Any) -> Place:
        wire = {"type": "synapse", "dataStoreId": "0" * 24, "externalDataSource": self.source, "table": table, "statementType": "insert", **settings}
        return self._place(SynapseOutput.model_validate(wire), None, storage, data_store, credential)

    def _place(self, settings: Any, probe: str | None, storage: Any, data_store: Any, credential: Any) -> Place:
        return Place(
            settings,
            credential or self.server.credential,
            (storage or self.server.azurite.credential) if self.source else {},
            data_store or self.server.data_store,
            self.job,
            probe,
            bool,  # never, and it can be pickled
        )

    def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        return sorted(self.server.run(f"SELECT {columns} FROM {quoted(table)}"), key=repr)

    def left(self) -> list[Any]:
        """Whatever of a job is still there."""
        tables = self.server.run("SELECT name FROM sys.tables UNION ALL SELECT name FROM sys.external_tables")
        names = [str(row[0]) for row in tables]
        return [name for name in names + (self.server.files(self.container) if self.source else []) if self.job in name]


def quoted(name: str) -> str:
    return "[" + name.replace("]", "]]") + "]"


@pytest.fixture(scope="session")
def sources(synapse: Synapse) -> dict[str, str | None]:
    synapse.external_source("lake_house", "lake-house", "some where/")
    return {"direct": None, "unloaded": "lake_house"}


@pytest.fixture(params=["direct", "unloaded"])
def bench(request: pytest.FixtureRequest, synapse: Synapse, sources: dict[str, str | None]) -> Bench:
    return Bench(synapse, sources[request.param])


@pytest.fixture
def direct(synapse: Synapse) -> Bench:
    return Bench(synapse, None)


@pytest.fixture
def unloaded(synapse: Synapse, sources: dict[str, str | None]) -> Bench:
    return Bench(synapse, sources["unloaded"])


Run = Callable[..., Tally]


@pytest.fixture
def run(regression: Path, tmp_path: Path) -> Run:
    def scored(intake: Place | Path, output: Place | Path, **options: Any) -> Tally:
        job = ScoringJob(regression, intake, output, Options(**options), tmp_path / f"rejects{next(NUMBERS)}.csv")
        return score(job, report=lambda progress: None, is_cancelled=lambda: False)

    return scored


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        (tmp_path / "in.csv").write_text(text)
        return tmp_path / "in.csv"

    return written


def said(work: Callable[[], Any]) -> str:
    with pytest.raises(ScoringError) as caught:
        work()
    assert caught.value.__cause__ is None, "a traceback would show what the driver said"
    return f"{caught.value.summary}. {caught.value.detail}"


# Intake


def test_a_table_is_scored_as_a_file_is(bench: Bench, run: Run, csv: Callable[[str], Path], tmp_path: Path) -> None:
    table = bench.table("[a] float, [b] decimal(9, 2), [note] nvarchar(50)", "1.5, 2, N'x'", "-1, 0.5, NULL", "NULL, NULL, N'é'")
    tally = run(bench.intake(table=table), tmp_path / "out.csv", passthrough_columns=["note"])
    run(csv("a,b,note\n1.5,2,x\n-1,0.5,\n,,é\n"), tmp_path / "expected.csv", passthrough_columns=["note"])
    assert sorted((tmp_path / "out.csv").read_bytes().split(b"\n")) == sorted((tmp_path / "expected.csv").read_bytes().split(b"\n"))
    assert tally.scored == 3
    assert bench.left() == []


def test_a_query_is_scored_with_names_of_every_kind(bench: Bench, run: Run, tmp_path: Path) -> None:
    table = bench.table(f"[a] float, [b] float, {quoted(NASTY)} nvarchar(50)", "1, 2, N'x'", "3, 4, N'y'", name=NASTY)
    query = f"WITH q AS (SELECT * FROM {quoted(table)} WHERE [a] > 1) SELECT * FROM q; "
    run(bench.intake(query=query), tmp_path / "out.csv", passthrough_columns=[NASTY])
    assert (tmp_path / "out.csv").read_text().splitlines()[1].endswith(",y")
    run(bench.intake(table=table, schema="dbo"), tmp_path / "out.csv")
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 3


def test_an_empty_table_is_an_empty_output(bench: Bench, run: Run, tmp_path: Path) -> None:
    table = bench.table("[a] float, [b] float")
    assert run(bench.intake(table=table), tmp_path / "out.csv").scored == 0
    assert bench.left() == []


def test_unloaded_rows_that_are_not_found_end_the_job(unloaded: Bench) -> None:
    """The storage credential leads to another place that has the account's name."""
    table = unloaded.table("[a] float, [b] float", "1, 2", "3, 4")
    nothing = Answer(200, {"Content-Type": "application/xml"}, b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>")
    with stranger(lambda asked: nothing) as server:
        account = unloaded.server.azurite
        elsewhere = f"AccountName={account.account};AccountKey={account.key};BlobEndpoint={server.url}/{account.account}"
        intake = unloaded.intake(table=table, storage={"credentialType": "azure", "azureConnectionString": elsewhere})
        text = said(lambda: room.open_intake(intake, Dialect(), lambda: False))
    assert "Unloaded rows are missing" in text and "unloaded 2 rows" in text and server.url in text
    room.discard(unloaded.intake(table=table))
    assert unloaded.left() == []


TYPES = (
    "[bigint] bigint, [tiny] tinyint, [float] float, [real] real, [money] money, [dec] decimal(20, 3), [bit] bit, [date] date, [dt] datetime2, "
    "[dto] datetimeoffset, [time] time, [guid] uniqueidentifier, [xml] xml, [bin] varbinary(10), [text] nvarchar(max)"
)
ROW = (
    "9007199254740993, 200, 0.1, 0.5, 12.34, 1.125, 1, '2020-02-29', '2020-02-29 01:02:03.456789', '2020-02-29T01:02:03+02:00', '01:02:03', "
    "'6F9619FF-8B86-D011-B42D-00C04FC964FF', '<a/>', 0xABCD, N'é\U0001f600'"
)


def test_values_keep_their_types_and_decimals_are_numbers(bench: Bench) -> None:
    table = bench.table(TYPES, ROW, ", ".join(["NULL"] * 15))
    with closing(room.open_intake(bench.intake(table=table), Dialect.of(Options().csv_settings), lambda: False)) as intake:
        pieces = list(intake.pieces(intake.header, 1000, None, lambda: False))
        kinds = {name: str(kind) for name, kind in zip(intake.header, intake.types, strict=True)}
    full, empty = sorted((row for piece in pieces for row in piece.read().table.to_pylist()), key=lambda row: row["bigint"] is None)
    assert set(empty.values()) == {None}
    shown = {name: value.isoformat() if name in ("date", "dt", "dto") else value for name, value in full.items()}
    guid = shown.pop("guid")
    assert guid.upper() == "6F9619FF-8B86-D011-B42D-00C04FC964FF"
    assert shown == {
        "bigint": 9007199254740993,
        "tiny": 200,
        "float": 0.1,
        "real": 0.5,
        "money": 12.34,
        "dec": 1.125,
        "bit": True,
        "date": "2020-02-29",
        "dt": "2020-02-29T01:02:03.456789",
        "dto": "2020-02-28T23:02:03+00:00",
        "time": shown["time"],
        "xml": "<a/>",
        "bin": "0xABCD",
        "text": "é\U0001f600",
    }
    assert shown["time"].startswith("01:02:03")
    assert {kinds[name] for name in ("money", "dec", "float")} == {"double"}
    assert {kinds[name] for name in ("guid", "xml", "bin", "text", "time")} == {"string"}


def test_many_rows_are_read_in_pieces(bench: Bench, run: Run, tmp_path: Path) -> None:
    query = "SELECT i / 7.0 AS a, i * 1.0 AS b, i AS n FROM range(0, 120000) AS r(i)"
    assert run(bench.intake(query=query), tmp_path / "out.csv", passthrough_columns=["n"]).scored == 120_000
    assert len({line.rpartition(",")[2] for line in (tmp_path / "out.csv").read_text().splitlines()}) == 120_001


def test_an_aborted_query_is_left_at_once(direct: Bench) -> None:
    looks = iter([False, False])
    query = "SELECT SUM(sin(a.i * b.j)) AS s FROM range(0, 200000) AS a(i), range(0, 200000) AS b(j)"
    with pytest.raises(Cancelled):
        room.open_intake(direct.intake(query=query), Dialect.of(Options().csv_settings), lambda: next(looks, True))


# Output


def test_rows_are_inserted_into_the_columns_of_their_names(bench: Bench, run: Run, csv: Callable[[str], Path]) -> None:
    table = bench.table("[N] int, [y_PREDICTION] float, [more] nvarchar(5) DEFAULT 'd'", "7, 0.5, N'old'")
    assert run(csv("n,a,b\n1,1,2\n2,3,4\n"), bench.output(table), passthrough_columns=["n"]).scored == 2
    assert [row[0] for row in bench.rows(table)] == [1, 2, 7]
    assert {row[2] for row in bench.rows(table)} == {"d", "old"}
    assert bench.left() == []


def test_a_table_is_created_with_the_types_of_the_intake(bench: Bench, run: Run) -> None:
    given = bench.table(
        "[a] float, [b] float, [n] bigint, [day] date, [at] datetime2, [s] nvarchar(max)", "1, 2, 3, '2020-02-29', '2020-02-29', N'é''x'"
    )
    output = bench.output(f"out {NASTY} {bench.number}", createTableIfNotExists=True)
    for _ in range(2):
        run(bench.intake(table=given), output, passthrough_columns=["n", "day", "at", "s"])
    table = output.settings.table
    assert [(row[0], str(row[1]), row[3]) for row in bench.rows(table, "[n], [day], [at], [s]")] == [(3, "2020-02-29", "é'x")] * 2
    assert bench.left() == []


@TARGETS
def test_a_table_is_kept_or_created_or_in_the_way(
    direct: Bench, run: Run, csv: Callable[[str], Path], statement: str, if_not_exists: bool, is_there: bool, outcome: Any
) -> None:
    table = direct.table("[y_PREDICTION] float", "0.5") if is_there else f"made{direct.number}"
    output = direct.output(table, statementType=statement, createTableIfNotExists=if_not_exists)
    if isinstance(outcome, str):
        told = said(lambda: run(csv("a,b\n1,2\n"), output))
        assert outcome in told and table in told
        assert bool(direct.server.run("SELECT name FROM sys.tables WHERE name = '" + table + "'")) == is_there
    else:
        run(csv("a,b\n1,2\n"), output)
        assert len(direct.rows(table)) == outcome
    assert direct.left() == []


KEYS = {"whereColumns": ["k", "l"], "updateColumns": ["y_PREDICTION"]}


def test_update_sets_what_matches_and_insert_update_adds_the_rest(bench: Bench, run: Run, csv: Callable[[str], Path]) -> None:
    table = bench.table("[k] int, [l] nvarchar(5), [y_PREDICTION] float, [kept] int", "1, N'x', NULL, 10", "2, N'y', NULL, 20", "3, N'z', NULL, 30")
    rows = csv("k,l,a,b\n1,x,1,1\n3,other,1,1\n")
    run(rows, bench.output(table, statementType="update", **KEYS), passthrough_columns=["k", "l"])
    assert [(row[0], row[1], row[2] is None, row[3]) for row in bench.rows(table)] == [
        (1, "x", False, 10),
        (2, "y", True, 20),
        (3, "z", True, 30),
    ]
    run(rows, bench.output(table, statementType="insertUpdate", **KEYS), passthrough_columns=["k", "l"])
    assert [(row[0], row[1], row[3]) for row in bench.rows(table)] == [(1, "x", 10), (2, "y", 20), (3, "other", None), (3, "z", 30)]


def test_two_rows_with_one_key_are_refused_before_anything_is_written(direct: Bench, run: Run, csv: Callable[[str], Path]) -> None:
    table = direct.table("[k] int, [l] nvarchar(5), [y_PREDICTION] float", "1, N'x', 0.5")
    output = direct.output(table, statementType="update", **KEYS)
    assert "k = 1, l = x" in said(lambda: run(csv("k,l,a,b\n1,x,1,1\n1,x,9,9\n"), output, passthrough_columns=["k", "l"]))
    assert direct.rows(table) == [(1, "x", 0.5)]


def test_every_type_of_the_table_takes_what_fits(bench: Bench, run: Run, csv: Callable[[str], Path]) -> None:
    table = bench.table(f"{TYPES}, [y_PREDICTION] float")
    names = ["bigint", "tiny", "float", "real", "money", "dec", "bit", "date", "dt", "time", "guid", "xml", "text"]
    values = "7,200,0.5,0.25,1.5,2.125,true,2020-02-29,2020-02-29 01:02:03,01:02:03,6F9619FF-8B86-D011-B42D-00C04FC964FF,<a/>,é"
    run(csv(f"{','.join(names)},a,b\n{values},1,2\n{',' * 12},1,2\n"), bench.output(table), passthrough_columns=names)
    rows = bench.rows(table, ", ".join(quoted(name) for name in names))
    assert [str(value).upper() for value in rows[0]] == [
        *("7", "200", "0.5", "0.25", "1.5000", "2.125", "TRUE", "2020-02-29", "2020-02-29 01:02:03", "01:02:03"),
        *("6F9619FF-8B86-D011-B42D-00C04FC964FF", "<A/>", "É"),
    ]
    assert rows[1] == (None,) * 13


def test_no_rows_leave_the_table_as_it_was(bench: Bench, run: Run, csv: Callable[[str], Path]) -> None:
    table = bench.table("[y_PREDICTION] float", "0.5")
    assert run(csv("a,b\n"), bench.output(table)).scored == 0
    assert bench.rows(table) == [(0.5,)]
    assert bench.left() == []


def test_intake_and_output_share_a_server_and_a_source(bench: Bench, run: Run) -> None:
    given = bench.table("[a] float, [b] float", "1, 2", "3, 4", name="from")
    output = bench.output(f"to{bench.number}", createTableIfNotExists=True)
    run(bench.intake(table=given), output)
    assert len(bench.rows(output.settings.table)) == 2
    assert bench.left() == []


# What is refused


def test_a_value_that_does_not_fit_is_named_and_nothing_is_written(bench: Bench, run: Run, csv: Callable[[str], Path]) -> None:
    table = bench.table("[n] int, [y_PREDICTION] float", "1, 0.5")
    message = said(lambda: run(csv("n,a,b\n1,1,2\nmany,1,2\n"), bench.output(table), passthrough_columns=["n"]))
    assert "'many'" in message and "column n" in message
    assert bench.rows(table) == [(1, 0.5)]
    assert bench.left() == []


def test_a_missing_table_and_missing_columns_are_found_before_the_first_row(bench: Bench, run: Run, csv: Callable[[str], Path]) -> None:
    table = bench.table("[n] int NOT NULL, [y_PREDICTION] float")
    rows = csv("n,a,b\nx,y,z\n")  # which cannot be scored
    assert f"no gone{bench.number}" in said(lambda: run(rows, bench.output(f"gone{bench.number}")))
    assert "has no a," in said(lambda: run(rows, bench.output(table), passthrough_columns=["n", "a"]))
    assert "needs n in every row" in said(lambda: run(rows, bench.output(table)))
    assert "nowhere" in said(lambda: run(bench.intake(table="nowhere"), Path("out.csv")))
    assert "nowhere" in said(lambda: run(bench.intake(table="t", schema="nowhere"), Path("out.csv")))
    assert "zz" in said(lambda: run(bench.intake(query="SELECT zz FROM sys.tables"), Path("out.csv")))
    assert bench.left() == []


def test_a_wrong_password_and_a_wrong_database_are_told_apart(direct: Bench) -> None:
    wrong = {"credentialType": "basic", "user": "loader", "password": "N0t-it!"}
    message = said(lambda: look(direct.intake(table="t", credential=wrong)))
    assert "credential is refused" in message and "loader" in message and "N0t-it" not in message
    elsewhere = store(direct.server.port, "nowhere")
    assert "database does not exist" in said(lambda: look(direct.intake(table="t", data_store=elsewhere)))


def test_a_server_that_is_down_is_named(direct: Bench) -> None:
    port = free_port()
    message = said(lambda: look(direct.intake(table="t", data_store=store(port))))
    assert "cannot be reached" in message and direct.server.password not in message


def test_a_data_source_that_is_not_there_is_named(unloaded: Bench, run: Run, csv: Callable[[str], Path]) -> None:
    table = unloaded.table("[a] float, [b] float, [y_PREDICTION] float")
    unloaded.source = "no_source"
    for place, other in ((unloaded.intake(table=table), Path("out.csv")), (csv("a,b\n1,2\n"), unloaded.output(table))):
        assert "no external data source no_source" in said(lambda place=place, other=other: run(place, other))


def test_a_wrong_storage_credential_is_refused_and_not_shown(unloaded: Bench, run: Run, csv: Callable[[str], Path]) -> None:
    table = unloaded.table("[y_PREDICTION] float")
    key = "bm90IHRoZSBrZXkgb2YgdGhpcyBhY2NvdW50IGF0IGFsbCwgYnV0IGEgbG9uZyBvbmU="
    azure = unloaded.server.azurite
    wrong = {"credentialType": "azure", "azureConnectionString": azure.connection_string.replace(azure.key, key)}
    message = said(lambda: run(csv("a,b\n1,2\n"), unloaded.output(table, storage=wrong)))
    assert key not in message and "credential" in message
    assert unloaded.left() == []


@pytest.mark.parametrize("way", ["account_key", "sas_key"])
def test_copy_takes_a_key_and_a_shared_access_signature(unloaded: Bench, way: str) -> None:
    """The statement alone: Azurite fails to remove blobs for a signature, all at once at least, so no whole job can show it."""
    azure = unloaded.server.azurite
    content = pa.BufferOutputStream()
    pq.write_table(pa.table({"y": [0.5, None]}), content)
    azure.store(unloaded.container).put(f"{unloaded.job}/1.parquet", content.getvalue().to_pybytes())
    url = f"https://{azure.account}.blob.core.windows.net/{unloaded.container}/{unloaded.job}/"
    secret = {"account_key": azure.key, "sas_key": azure.sas("rl")}[way]
    folder = Folder(None, "", "", url, {way: secret})  # type: ignore[arg-type]
    table = unloaded.table("[y] float")
    unloaded.server.run(f"COPY INTO {quoted(table)} FROM '{url}' WITH (FILE_TYPE = 'PARQUET', {folder.credential})")
    assert len(unloaded.rows(table)) == 2
    assert secret not in repr(folder)


def test_the_secret_of_a_copy_that_fails_is_not_shown(unloaded: Bench, run: Run, csv: Callable[[str], Path]) -> None:
    azure = unloaded.server.azurite
    unable = azure.sas("wdc")  # may write, and neither read nor list
    storage = {"credentialType": "azure", "azureConnectionString": f"BlobEndpoint={azure.url};SharedAccessSignature={unable}"}
    table = unloaded.table("[y_PREDICTION] float")
    message = said(lambda: run(csv("a,b\n1,2\n"), unloaded.output(table, storage=storage)))
    assert "sig=" not in message and unable not in message
    assert unloaded.rows(table) == []


@contextmanager
def relay(port: int, budget: int) -> Iterator[int]:
    """A port that leads to the server, and is cut once it has sent so many bytes back."""
    listener = socket.create_server(("127.0.0.1", 0))
    sockets = [listener]

    def pump(source: socket.socket, drain: socket.socket, left: int) -> None:
        with suppress(OSError):
            while left > 0 and (data := source.recv(4096)):
                drain.sendall(data)
                left -= len(data)
        for end in (source, drain):
            with_reset(end)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", port))
            sockets.extend((client, server))
            threading.Thread(target=pump, args=(client, server, 1 << 40), daemon=True).start()
            threading.Thread(target=pump, args=(server, client, budget), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        for end in sockets:
            with_reset(end)


def with_reset(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


def test_a_connection_that_is_cut_in_the_middle_is_an_error(direct: Bench, run: Run, tmp_path: Path) -> None:
    query = "SELECT i / 7.0 AS a, i * 1.0 AS b, i AS n FROM range(0, 200000) AS r(i)"
    with relay(direct.server.port, 1_000_000) as port:
        message = said(lambda: run(direct.intake(query=query, data_store=store(port)), tmp_path / "out.csv"))
    assert "cannot be reached" in message


@pytest.mark.parametrize("budget", [1_000, 1_500, 2_000, 2_500])
def test_an_output_that_is_cut_leaves_the_table_as_it_was(direct: Bench, run: Run, csv: Callable[[str], Path], budget: int) -> None:
    table = direct.table("[y_PREDICTION] float", "0.5")
    with relay(direct.server.port, budget) as port:
        assert "cannot be reached" in said(lambda: run(csv("a,b\n1,2\n"), direct.output(table, data_store=store(port))))
    assert direct.rows(table) == [(0.5,)]


def test_an_answer_to_the_commit_that_never_comes_moves_no_row_twice(direct: Bench) -> None:
    table = direct.table("[n] int")
    rows = pa.RecordBatch.from_pydict({"n": [1, 2, 3]})
    with room.open_output(direct.output(table), rows.schema) as output:
        output.write(rows)
        output.finish()
    with Line(direct.server.port, is_enough=lambda: direct.rows(table)) as line:
        settle(direct.output(table, data_store=store(line.port)), 3)
        assert line.cuts == 1
    room.discard(direct.output(table))
    assert direct.rows(table) == [(1,), (2,), (3,)]
    assert direct.left() == []


# Looking


def test_without_a_probe_nobody_knows_whether_rows_changed(direct: Bench) -> None:
    table = direct.table("[a] float", "1")
    assert look(direct.intake(table=table)) is None
    assert look(direct.intake(query=f"SELECT * FROM {table}")) is None
    assert "nowhere" in said(lambda: look(direct.intake(table="nowhere")))


def test_a_probe_tells_one_content_from_another(direct: Bench) -> None:
    table = direct.table("[a] float, [d] date, [m] money, [v] varbinary(5)", "1, '2020-01-01', 1.5, 0xAB")
    place = direct.intake(table=table, probe=f"SELECT COUNT(*), MAX([d]), SUM([m]), MAX([a]), MAX([v]) FROM {quoted(table)}")
    before = look(place)
    assert look(place) == before
    direct.server.run(f"UPDATE {quoted(table)} SET [a] = 2")
    assert look(place) != before


def test_a_server_tells_its_schemas_and_tables(direct: Bench) -> None:
    table = direct.table("[a] float")
    direct.server.run(f"CREATE SCHEMA [other {direct.number}]", f"CREATE TABLE [other {direct.number}].[x y] ([a] float)")
    place = direct.intake(table="not looked at")
    room.ping(place)
    assert {"dbo", f"other {direct.number}"} <= set(room.schemas(place))
    assert ("dbo", table, "table") in room.tables(place, None)
    assert room.tables(place, f"other {direct.number}") == [(f"other {direct.number}", "x y", "table")]


STORES = {
    "url-with-an-instance": {"jdbcUrl": r"jdbc:sqlserver://127.0.0.1\first:PORT;databaseName=warehouse;trustServerCertificate=true"},
    "url": {"jdbcUrl": "jdbc:sqlserver://127.0.0.1:PORT;databaseName={warehouse};encrypt=true;trustServerCertificate=true;loginTimeout=30"},
    "fields": {
        "fields": [
            {"id": "synapse.address", "name": "address", "value": "127.0.0.1:PORT"},
            {"id": "synapse.database", "name": "database", "value": "warehouse"},
            {"id": "x", "name": "trustServerCertificate", "value": "true"},
        ]
    },
}


@pytest.mark.parametrize("way", STORES)
def test_a_data_store_is_a_url_or_fields(direct: Bench, way: str) -> None:
    given = json.loads(json.dumps(STORES[way]).replace("PORT", str(direct.server.port)))
    room.ping(direct.intake(table="t", data_store=given))


def test_what_a_data_store_says_wrong_is_named_without_its_values(direct: Bench) -> None:
    for given, expected in (
        ({"jdbcUrl": "jdbc:sqlserver://h:1;password=s3cret;colour=blue"}, "colour"),
        ({"jdbcUrl": "jdbc:postgresql://u:s3cret@h/d"}, "jdbc:sqlserver://host"),
        ({"jdbcUrl": r"jdbc:sqlserver://h\first;password=s3cret"}, "an instance and no port"),
        ({"fields": [{"id": "database", "name": "database", "value": "s3cret"}]}, "neither a jdbcUrl"),
    ):
        message = said(lambda given=given: room.ping(direct.intake(table="t", data_store=given)))
        assert expected in message and "s3cret" not in message and "blue" not in message


@pytest.mark.parametrize("value", ["closed connections", "reset", "certificates", "permission to go"])
def test_what_a_refusal_quotes_is_not_taken_for_its_reason(direct: Bench, value: str) -> None:
    with Session(direct.intake(table="t")) as session, pytest.raises(ScoringError, match="The database refuses") as caught:
        session.run(f"SELECT CAST(N'{value}' AS float)")
    assert value in caught.value.detail and type(caught.value) is ScoringError


def test_an_output_that_is_left_leaves_nothing(bench: Bench) -> None:
    table = bench.table("[y] float", "0.5")
    rows = pa.RecordBatch.from_pydict({"y": [0.1] * 70_000})  # more than one bulk copy takes
    with pytest.raises(Cancelled), room.open_output(bench.output(table), rows.schema) as output:
        output.write(rows)
        assert bench.left()
        raise Cancelled("The job was aborted")
    assert bench.rows(table) == [(0.5,)]
    assert bench.left() == []


def test_what_cannot_be_settled_is_discarded(bench: Bench, run: Run, csv: Callable[[str], Path]) -> None:
    table = bench.table("[y_PREDICTION] float CHECK ([y_PREDICTION] > 1000)")
    said(lambda: run(csv("a,b\n1,2\n"), bench.output(table)))
    assert bench.rows(table) == []
    assert bench.left() == []


# Dying


PROGRAM = """
import pickle, sys
from reconciler.engine.connectors import sqlserver
from reconciler.engine.pipeline import score

job, word, times = pickle.loads(bytes.fromhex(sys.stdin.readline()))

def stopping(told):
    def run(self, statement, *values, **more):
        global times
        times -= statement.startswith(word)
        if not times:
            print("there", flush=True)
            sys.stdin.read()
        return told(self, statement, *values, **more)
    return run

sqlserver.Session.run = stopping(sqlserver.Session.run)
sqlserver.Session.change = stopping(sqlserver.Session.change)
score(job, report=lambda progress: None, is_cancelled=lambda: False)
print("done", flush=True)
"""


def killed(job: ScoringJob, word: str, times: int) -> None:
    """Scores in a process of its own, which is killed before it says a statement that begins so."""
    command = [sys.executable, "-c", PROGRAM]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    with process:
        assert process.stdin and process.stdout
        process.stdin.write(pickle.dumps((job, word, times)).hex() + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGKILL)


DEATHS = {
    "before-copy": ("COPY", 1, False),
    "noted-not-settled": ("BEGIN", 1, True),
    "in-the-transaction": ("COMMIT", 1, True),
    "committed-not-noted": ("IF OBJECT_ID(N'[reconciler_", 2, True),
}


@pytest.mark.parametrize(("word", "times", "is_noted"), DEATHS.values(), ids=DEATHS)
def test_a_killed_job_leaves_no_duplicate_row(
    unloaded: Bench, regression: Path, csv: Callable[[str], Path], tmp_path: Path, word: str, times: int, is_noted: bool
) -> None:
    table = unloaded.table("[n] int, [y_PREDICTION] float", "0, 0.5")
    rows = csv("n,a,b\n1,1,2\n2,3,4\n")
    job = ScoringJob(regression, rows, unloaded.output(table), Options(passthrough_columns=["n"]), tmp_path / "rejects.csv")
    killed(job, word, times)
    assert job.note_file.exists() == is_noted
    if is_noted:
        rows.write_text("these,rows,are\nnot,read,again\n")
    assert score(job, report=lambda progress: None, is_cancelled=lambda: False).scored == 2
    assert [row[0] for row in unloaded.rows(table)] == [0, 1, 2]
    assert unloaded.left() == []


def test_what_a_killed_job_was_unloaded_to_is_discarded(unloaded: Bench, regression: Path, tmp_path: Path) -> None:
    """Killed before the external table, which is there for its schema only, is dropped."""
    intake = unloaded.intake(table=unloaded.table("[a] float, [b] float", "1, 2"))
    killed(ScoringJob(regression, intake, tmp_path / "out.csv", Options(), tmp_path / "rejects.csv"), "IF OBJECT_ID(N'[reconciler_", 2)
    assert len(unloaded.left()) == 2  # and a file
    room.discard(intake)
    assert unloaded.left() == []
