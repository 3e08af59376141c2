"""BigQuery as intake and output. The rule here: rows are staged in the job's bucket, and one load job shows them, all or none.

Intake: see `bigquery_rows`.

Output. Rows are cast to the types of the table's columns and written to `gs://BUCKET/reconciler_JOB/load/part-N.parquet`. `settle` loads them with
one job that appends (`reconciler_JOB_load`), and that makes the table if it is not there. BigQuery runs a job of one name once: who comes second
finds how the first ended. A job that failed has loaded nothing and keeps its name; the next try gets another (`reconciler_JOB_load_2`). An output
needs a bucket, as it does on the platform.

Which endpoints are asked, and with which credential: see `bigquery_account`.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, cast

import pyarrow as pa
from google.api_core import exceptions
from google.cloud import bigquery

from reconciler.engine.connectors import bigquery_rows
from reconciler.engine.connectors.bigquery_account import JOB, answers, wait
from reconciler.engine.connectors.bigquery_files import Files
from reconciler.engine.connectors.bigquery_table import Table, complaint_of, is_at_rest
from reconciler.engine.connectors.bigquery_types import Column, new_columns, target_columns
from reconciler.engine.connectors.probe import MOST, probed
from reconciler.engine.parquet import ParquetOutput
from reconciler.engine.place import Place
from reconciler.errors import Cancelled, ScoringError
from reconciler.settings import BigQueryIntake

_PART_BYTES = 256 << 20  # of a file: BigQuery reads several at once
# Why a job fails that may do better the next time.
_PASSING = ("backendError", "internalError", "jobBackendError", "jobInternalError", "rateLimitExceeded", "jobRateLimitExceeded")
_TRIES = 3
_STOPPING_S = 60.0

open_intake = bigquery_rows.open_intake


def look(place: Place) -> Mapping[str, Any] | None:
    """When and how the table was last changed; None where nobody can tell: of a view, an external table, and one that rows stream into."""
    table = Table(place)
    if place.probe:
        return probed(table.name, _answer(table, place.probe))
    found = table.read()
    if not is_at_rest(found):
        return None
    return {"etag": found.etag, "lastModifiedTime": found.modified.isoformat() if found.modified else None, "numRows": found.num_rows}


def open_output(place: Place, schema: pa.Schema) -> "_Staged":
    if not place.settings.bucket:
        detail = f"Set bucket: scores go to {place.settings.dataset}.{place.settings.table} through Google Cloud Storage."
        raise ScoringError("A BigQuery output needs a bucket", detail)
    table = Table(place)
    found = table.read_if_there()
    if found and found.table_type != "TABLE":
        raise ScoringError("Scores cannot be loaded", f"{table.name} is of type {found.table_type}. Name a table, or one that is still to be made.")
    files = table.files("load")
    files.clear()  # a process that was killed has left some
    return _Staged(files, target_columns(table.name, schema, found.schema) if found else new_columns(table.name, schema))


def settle(place: Place, rows: int) -> None:
    table = Table(place)
    job = _loaded(table, table.files("load"), place.is_halted)
    if job.output_rows != rows:
        raise ScoringError("BigQuery has not loaded every row", f"{table.name}: job {job.job_id} has loaded {job.output_rows} of {rows} rows.")


def discard(place: Place) -> None:
    """A load or an extract that goes on is stopped, since nobody waits for it any longer, and what it has written until then is removed."""
    with suppress(ScoringError):
        table = Table(place)
        step = "extract" if isinstance(place.settings, BigQueryIntake) else "load"
        try:
            _stop(table, step)
        finally:
            table.files(step).remove()


def _stop(table: Table, step: str) -> None:
    """Raises ScoringError, at the latest for the attempt that there has never been, or when a job goes on all the same."""
    location, end = table.location(), time.monotonic() + _STOPPING_S
    for attempt in itertools.count(1):
        with answers(table.name):
            job = table.client.cancel_job(table.job_id(step, attempt), location=location, **JOB)
        wait(job, table.name, lambda: time.monotonic() > end)


def _answer(table: Table, probe: str) -> list[Sequence[Any]]:
    job = table.queried(probe)
    with answers(table.name):
        return [row.values() for row in job.result(max_results=MOST + 1, **JOB)]


class _Staged:
    """Rows as the columns want them, in files of the bucket."""

    def __init__(self, files: Files, columns: Sequence[Column]) -> None:
        self._files = files
        self._columns = columns
        self._schema = pa.schema([column.field for column in columns])
        self._part: ParquetOutput | None = None
        self._parts = self._rows = self._bytes = 0
        self._is_finished = False

    def __enter__(self) -> "_Staged":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._part:
            self._part.__exit__(kind, error, trace)
        if not self._is_finished:
            self._files.remove()

    @property
    def bytes_written(self) -> int:
        return self._bytes + (self._part.bytes_written if self._part else 0)

    def write(self, batch: pa.RecordBatch) -> None:
        arrays = [column.fitted(values, self._rows) for column, values in zip(self._columns, batch.columns, strict=True)]
        self._rows += batch.num_rows
        part = self._open()
        part.write(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        if part.bytes_written >= _PART_BYTES:
            self._end(part)

    def finish(self) -> None:
        if self._part or not self._parts:  # a file without rows has the columns of a table that is to be made
            self._end(self._open())
        self._is_finished = True

    def _open(self) -> ParquetOutput:
        if not self._part:
            self._part = ParquetOutput(self._files.sink(f"/part-{self._parts:06}.parquet"), self._schema)
            self._parts += 1
        return self._part

    def _end(self, part: ParquetOutput) -> None:
        with part:
            part.finish()
        self._bytes += part.bytes_written
        self._part = None


def _loaded(table: Table, files: Files, is_halted: Callable[[], bool]) -> bigquery.LoadJob:
    """The job that has loaded the files, in this process or in one before. Raises Cancelled when it was stopped, and has loaded nothing."""
    location, tries = table.location(), 0
    for attempt in itertools.count(1):
        job_id = table.job_id("load", attempt)
        what = f"{table.name}, job {job_id}"
        with answers(what):
            job, is_new = _load(table, files, job_id, location)
        try:
            wait(job, what, is_halted)
        except Cancelled:
            wait(job, what)  # it may have ended well before it heard of it
            if job.error_result:
                raise
        if not job.error_result:
            return job
        tries += is_new
        if is_new and (tries == _TRIES or job.error_result.get("reason") not in _PASSING):
            raise ScoringError("BigQuery has not loaded the scores", f"{what}: {complaint_of(job)}. Nothing of them is in the table.")
        time.sleep(tries)
    raise AssertionError("there is always another attempt")


def _load(table: Table, files: Files, job_id: str, location: str) -> tuple[bigquery.LoadJob, bool]:
    """The job of this name, and whether it was run now."""
    config = bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.PARQUET,
        write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
        create_disposition=bigquery.CreateDisposition.CREATE_IF_NEEDED,
        decimal_target_types=[bigquery.DecimalTargetType.NUMERIC, bigquery.DecimalTargetType.BIGNUMERIC],
    )
    try:
        return table.client.load_table_from_uri(files.uri("/*.parquet"), table.reference, job_id, location=location, job_config=config, **JOB), True
    except exceptions.Conflict:
        return cast(bigquery.LoadJob, table.client.get_job(job_id, location=location, **JOB)), False
