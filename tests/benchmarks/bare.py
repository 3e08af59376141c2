"""The client libraries alone. The rule here: nothing of ours, and what each library's own documentation does first.

`read` takes all that is in `in`; `write` makes of a CSV file the object or table that it is given. Each is done in a process of its own.
"""

import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

KEY, RESULT = "in.csv", "out.csv"
TABLE, SCORED, BARE = "source", "scored", "bare"
_BLOCK = 2 << 20


def obstore_read(store: Any) -> int:
    import obstore

    return sum(len(block) for block in obstore.get(store, KEY).stream(_BLOCK))


def obstore_write(store: Any, path: Path) -> None:
    import obstore

    obstore.put(store, RESULT, path, chunk_size=16 << 20, max_concurrency=2)


def google_read(server: Any, bucket: str) -> int:
    with server.client().bucket(bucket).blob(KEY).open("rb", chunk_size=8 << 20, raw_download=True) as file:
        return sum(len(block) for block in iter(partial(file.read, _BLOCK), b""))


def google_write(server: Any, bucket: str, path: Path) -> None:
    server.client().bucket(bucket).blob(RESULT, chunk_size=16 << 20).upload_from_filename(path)


def http_read(url: str) -> int:
    import httpx

    with httpx.stream("GET", url) as answer:
        return sum(len(block) for block in answer.iter_raw(_BLOCK))


def http_write(url: str, path: Path) -> None:
    import httpx

    with open(path, "rb") as file:
        httpx.put(url, content=iter(partial(file.read, _BLOCK), b""), headers={"Content-Length": str(path.stat().st_size)}).raise_for_status()


def postgres_read(uri: str) -> int:
    import adbc_driver_postgresql.dbapi as adbc

    with adbc.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(f'SELECT * FROM "{TABLE}"')
        return sum(batch.num_rows for batch in cursor.fetch_record_batch())


def postgres_write(uri: str, path: Path, table: str = BARE) -> None:
    import adbc_driver_postgresql.dbapi as adbc

    with adbc.connect(uri) as connection, connection.cursor() as cursor, rows_of(path) as rows:
        cursor.adbc_ingest(table, rows, mode="replace")
        connection.commit()


def snowflake_read(server: Any) -> int:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {TABLE}")
        return sum(batch.num_rows for batch in cursor.fetch_arrow_batches())


def snowflake_write(server: Any, path: Path, table: str = BARE) -> None:
    with tempfile.TemporaryDirectory() as folder, rows_of(path) as rows:
        file = Path(folder) / "rows.parquet"
        with pyarrow.parquet.ParquetWriter(file, rows.schema) as writer:
            for batch in rows:
                writer.write_batch(batch)
        name = table.upper()
        server.run(
            f"CREATE OR REPLACE TABLE {name} ({columns_of(rows.schema, 'NUMBER', 'DOUBLE')})",
            f"PUT '{file.as_uri()}' @%{name} AUTO_COMPRESS = FALSE OVERWRITE = TRUE",
            f"COPY INTO {name} FROM @%{name} FILE_FORMAT = (TYPE = PARQUET) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE",
        )


def synapse_read(server: Any) -> int:
    with closing(server.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"SELECT * FROM [{TABLE}]")
        with cursor.arrow_reader(8192) as reader:
            return sum(batch.num_rows for batch in reader)


def synapse_write(server: Any, path: Path, table: str = BARE) -> None:
    with rows_of(path) as rows, closing(server.connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute(f"IF OBJECT_ID(N'[{table}]') IS NOT NULL DROP TABLE [{table}]")
        cursor.execute(f"CREATE TABLE [{table}] ({columns_of(rows.schema, 'BIGINT', 'FLOAT')})")
        for batch in rows:
            cursor.bulkcopy_arrow(f"[{table}]", pa.Table.from_batches([batch]), timeout=600, column_mappings=rows.schema.names, table_lock=True)


def bigquery_read(server: Any, dataset: str) -> int:
    import grpc
    from google.cloud.bigquery_storage import BigQueryReadClient
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
    from google.cloud.bigquery_storage_v1.types import DataFormat, ReadSession

    channel = grpc.insecure_channel(server.grpc, (("grpc.max_receive_message_length", -1),))
    reader = BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))  # type: ignore[no-untyped-call]
    wanted = ReadSession(table=f"projects/{server.project}/datasets/{dataset}/tables/{TABLE}", data_format=DataFormat.ARROW)
    session = reader.create_read_session(parent=f"projects/{server.project}", read_session=wanted, max_stream_count=1)
    return sum(page.to_arrow().num_rows for page in reader.read_rows(session.streams[0].name).rows(session).pages)  # type: ignore[no-untyped-call]


def bigquery_write(server: Any, dataset: str, bucket: str, path: Path, table: str = BARE) -> None:
    """By way of the bucket, as a job does."""
    from google.cloud.bigquery import LoadJobConfig

    server.gcs.client().bucket(bucket).blob(RESULT, chunk_size=16 << 20).upload_from_filename(path)
    config = LoadJobConfig(source_format="CSV", skip_leading_rows=1, autodetect=True, write_disposition="WRITE_TRUNCATE")
    server.client().load_table_from_uri(f"gs://{bucket}/{RESULT}", f"{dataset}.{table}", job_config=config).result()


def rows_of(path: Path) -> pa.RecordBatchReader:
    return pyarrow.csv.open_csv(path, pyarrow.csv.ReadOptions(block_size=8 << 20))


def columns_of(schema: pa.Schema, integer: str, fraction: str) -> str:
    return ", ".join(f'"{field.name}" {integer if pa.types.is_integer(field.type) else fraction}' for field in schema)
