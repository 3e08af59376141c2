"""Rows of a BigQuery table. The rule here: they are of one moment, and the files that they come by are removed whatever becomes of the job.

With a bucket, the table is extracted to `gs://BUCKET/reconciler_JOB/extract_N/*.parquet`, which is read. Without a bucket, the Storage Read API gives
the table as it was when the reading began. It is also taken where an extract could not give everything: for a view, an external table and whatever
else has no rows of its own (a query puts them into a temporary table of BigQuery's first), for a table whose newest rows are still in its streaming
buffer, and for columns that are of another form in Parquet.
"""

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import pyarrow as pa
from google.api_core import exceptions
from google.cloud import bigquery
from google.cloud.bigquery_storage import DataFormat, ReadSession

from reconciler.engine.ahead import ahead
from reconciler.engine.batches import BatchIntake
from reconciler.engine.connectors.bigquery_account import JOB, STREAM, TIMEOUT, answers, wait
from reconciler.engine.connectors.bigquery_files import Files
from reconciler.engine.connectors.bigquery_table import OWN_ROWS, Table, complaint_of, is_at_rest
from reconciler.engine.connectors.bigquery_types import READ, kind_of, read_as, readable
from reconciler.engine.connectors.patience import either, waited
from reconciler.engine.dialect import Dialect
from reconciler.engine.file import File
from reconciler.engine.intake import Intake
from reconciler.engine.parquet import ParquetIntake
from reconciler.engine.place import Place
from reconciler.errors import ScoringError

_ROWS = 1 << 16  # of a batch


def open_intake(place: Place, dialect: Dialect, is_halted: Callable[[], bool]) -> Intake:
    table = Table(place)
    found = table.read()
    is_halted = either(is_halted, place.is_halted)  # the one tells of any end, the other of an abort while this is opened
    if place.settings.bucket and is_at_rest(found) and all(kind_of(field) in READ for field in found.schema):
        return _extracted(table, found, is_halted)
    if found.table_type in OWN_ROWS:
        return _streamed(table, table.reference, is_halted)
    query = f"SELECT * FROM `{table.id}`"
    return _streamed(table, table.queried(query, is_halted).destination, is_halted)


def _extracted(table: Table, found: bigquery.Table, is_halted: Callable[[], bool]) -> BatchIntake:
    schema = pa.schema([(field.name, READ[kind_of(field)]) for field in found.schema])
    files = table.files("extract")
    files.clear()
    try:
        parts = files.at(f"{_extract(table, files, found.location, is_halted)}/", is_halted)
        batches = ahead(_rows_of(parts, schema, is_halted), is_halted)
    except BaseException:
        files.remove()
        raise

    def close() -> None:
        batches.close()
        files.remove()

    return BatchIntake(table.name, schema, batches, close)


def _extract(table: Table, files: Files, location: str, is_halted: Callable[[], bool]) -> str:
    """Which attempt it is that has given the files. One that a process which was killed has left is stopped, and writes where nobody looks."""
    config = bigquery.ExtractJobConfig(destination_format="PARQUET", compression="SNAPPY")  # type: ignore[no-untyped-call]
    for attempt in itertools.count(1):
        job_id = table.job_id("extract", attempt)
        with answers(f"{table.name}, {files.uri('')}"):
            try:
                job = table.client.extract_table(
                    table.reference, files.uri(f"_{attempt}/*.parquet"), job_id, location=location, job_config=config, **JOB
                )
            except exceptions.Conflict:
                table.client.cancel_job(job_id, location=location, **JOB)
                continue
        wait(job, table.name, is_halted)
        if complaint := complaint_of(job):
            raise ScoringError("BigQuery has not extracted the table", f"{table.name}, {files.uri('')}: {complaint}.")
        return f"_{attempt}"
    raise AssertionError("there is always another attempt")


def _rows_of(parts: Sequence[File], schema: pa.Schema, is_halted: Callable[[], bool]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        with closing(ParquetIntake(part)) as intake:
            for piece in intake.pieces(schema.names, _ROWS, None, is_halted):
                yield _as(schema, piece.rows)


def _as(schema: pa.Schema, batch: pa.RecordBatch) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([read_as(values, kind) for values, kind in zip(batch.columns, schema.types, strict=True)], schema=schema)


def _streamed(table: Table, source: bigquery.TableReference, is_halted: Callable[[], bool]) -> BatchIntake:
    """In one stream: the session is of one moment."""
    reader = table.account.reader()
    path = f"projects/{source.project}/datasets/{source.dataset_id}/tables/{source.table_id}"
    wanted = ReadSession(table=path, data_format=DataFormat.ARROW)
    try:
        with answers(table.name):
            project = f"projects/{table.account.project}"
            session = reader.create_read_session(parent=project, read_session=wanted, max_stream_count=1, timeout=TIMEOUT, **STREAM)
            given = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    except BaseException:
        reader.transport.close()  # type: ignore[no-untyped-call]
        raise
    schema = pa.schema([(field.name, readable(field.type)) for field in given])

    def close() -> None:
        reader.transport.close()  # type: ignore[no-untyped-call] # which ends a read that waits

    def rows() -> Generator[pa.RecordBatch, None, None]:
        with answers(table.name):
            for stream in session.streams:
                messages = waited(partial(_messages, reader, stream.name), is_halted, close)
                while (message := waited(partial(next, messages, None), is_halted, close)) is not None:
                    yield _as(schema, pa.ipc.read_record_batch(pa.py_buffer(message.arrow_record_batch.serialized_record_batch), given))

    batches = ahead(rows(), is_halted)

    def close_all() -> None:
        close()
        batches.close()

    return BatchIntake(table.name, schema, batches, close_all)


def _messages(reader: Any, stream: str) -> Iterator[Any]:
    """Waits for the first one."""
    return iter(reader.read_rows(stream, **STREAM))
