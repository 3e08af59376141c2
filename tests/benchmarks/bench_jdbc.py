"""How fast a table of PostgreSQL is read and written, beside bare ADBC in the same run. The rule here: ratios, no limits.

python tests/benchmarks/bench_jdbc.py [--rows 1000000]    (with tests/ on PYTHONPATH)

20 columns: a number, 14 fractions, 3 texts, a date and a flag. Each way is a process of its own, whose memory is what it grew by since its imports.
"""

import argparse
import json
import subprocess
import sys

from servers.postgres import PASSWORD, USER, postgres_server

CODE = """
import json, resource, sys, time
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
from psycopg.conninfo import make_conninfo
from reconciler.engine.connectors import jdbc
from reconciler.engine.dialect import Dialect
from reconciler.engine.place import Place
from reconciler.options import CsvSettings
from reconciler.settings import JdbcIntake, JdbcOutput
given = json.loads(sys.argv[1])
what, rows = given["what"], given["rows"]
conninfo = make_conninfo(host="127.0.0.1", port=given["port"], dbname="postgres", user=given["user"], password=given["password"])

def place(settings):
    return Place(settings, {"user": given["user"], "password": given["password"]}, {}, {"jdbcUrl": given["url"]}, "bench")

def batches():
    size = 50_000
    fractions = pa.array([i * 0.37 for i in range(size)])
    texts = pa.array([f"text, number {i}" for i in range(size)])
    for start in range(0, rows, size):
        count = min(size, rows - start)
        columns = [pa.array(range(start, start + count)), *[fractions.slice(0, count)] * 14, *[texts.slice(0, count)] * 3]
        columns += [pa.array([20_000] * count, pa.date32()), pa.array([True] * count)]
        yield pa.RecordBatch.from_arrays(columns, names=[f"c{i}" for i in range(20)])

def bare_write():
    with adbc.connect(conninfo) as connection, connection.cursor() as cursor:
        found = batches()
        first = next(found)
        def all():
            yield first
            yield from found
        cursor.adbc_ingest(given["table"], pa.RecordBatchReader.from_batches(first.schema, all()), mode="create")
        connection.commit()

def write():
    chosen = place(JdbcOutput(type="jdbc", data_store_id="d", table=given["table"], statement_type="insert", create_table_if_not_exists=True))
    found = batches()
    first = next(found)
    with jdbc.open_output(chosen, first.schema) as output:
        output.write(first)
        for batch in found:
            output.write(batch)
        output.finish()
    jdbc.settle(chosen, rows)

def bare_read():
    with adbc.connect(conninfo) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM " + given["table"])
        assert sum(batch.num_rows for batch in cursor.fetch_record_batch()) == rows

def read():
    intake = jdbc.open_intake(place(JdbcIntake(type="jdbc", data_store_id="d", table=given["table"])), Dialect.of(CsvSettings()), lambda: False)
    assert sum(piece.read().count for piece in intake.pieces(intake.header, 10_000, None, lambda: False)) == rows
    intake.close()

jdbc.ping(place(None))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begun = time.monotonic()
globals()[what]()
print(time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Times reading from and writing to PostgreSQL.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with postgres_server() as server:
        given = {"port": server.port, "url": server.url(), "user": USER, "password": PASSWORD}
        for count in (rows // 5, rows):
            seconds = {}
            for what, table in (("bare_write", f"bare{count}"), ("write", f"ours{count}"), ("bare_read", f"ours{count}"), ("read", f"ours{count}")):
                text = json.dumps({**given, "what": what, "table": table, "rows": count})
                said = subprocess.run([sys.executable, "-c", CODE, text], capture_output=True, text=True, check=True).stdout
                seconds[what], grown = float(said.split()[0]), int(said.split()[1]) / 1024
                print(f"{count:>9} rows  {what:<10} {seconds[what]:6.2f} s  {count / seconds[what]:>9.0f} rows/s  +{grown:.0f} MB")
            print(f"{'':>15} out {seconds['write'] / seconds['bare_write']:.2f}, in {seconds['read'] / seconds['bare_read']:.2f} times bare ADBC")


if __name__ == "__main__":
    main()
