"""A table, what BigQuery says of it, and the jobs that run for it. The rule here: a job's name is made of ours, so that it can be found again."""

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from google.api_core import exceptions
from google.cloud import bigquery

from reconciler.engine.connectors.bigquery_account import JOB, account, answers, wait
from reconciler.engine.connectors.bigquery_files import Files
from reconciler.engine.place import Place
from reconciler.errors import ScoringError

OWN_ROWS = ("TABLE", "SNAPSHOT", "CLONE")  # the kinds of tables that have any


class Table:
    """`name` is how a message calls it, and `id` how SQL does. Raises ScoringError."""

    def __init__(self, place: Place) -> None:
        self.account = account(place)
        self.client = self.account.client()
        project, _, dataset = place.settings.dataset.rpartition(".")
        self.dataset = bigquery.DatasetReference(project or self.account.project, dataset)
        self.reference = self.dataset.table(place.settings.table)
        self.id = f"{self.dataset.project}.{dataset}.{place.settings.table}"
        self.name = f"BigQuery table {self.id}"
        self._bucket = place.settings.bucket
        self._job = place.job or uuid.uuid4().hex

    def read(self) -> bigquery.Table:
        with answers(self.name):
            return self.client.get_table(self.reference, **JOB)

    def read_if_there(self) -> bigquery.Table | None:
        """None in a dataset that is there."""
        with answers(self.name):
            with suppress(exceptions.NotFound):
                return self.client.get_table(self.reference, **JOB)
            self._dataset()
            return None

    def location(self) -> str:
        """Where its jobs run."""
        table = self.read_if_there()
        with answers(self.name):
            return str(table.location if table else self._dataset().location)

    def _dataset(self) -> bigquery.Dataset:
        return self.client.get_dataset(self.dataset, **JOB)

    def files(self, step: str) -> Files:
        return Files(self.account.bucket(self._bucket), f"reconciler_{self._job}/{step}")

    def job_id(self, step: str, attempt: int) -> str:
        return f"reconciler_{self._job}_{step}" + (f"_{attempt}" if attempt > 1 else "")

    def queried(self, sql: str, is_halted: Callable[[], bool] = lambda: False) -> bigquery.QueryJob:
        """A query that has ended well."""
        with answers(self.name):
            job = self.client.query(sql, bigquery.QueryJobConfig(default_dataset=self.dataset, use_legacy_sql=False), **JOB)
        wait(job, self.name, is_halted)
        if complaint := complaint_of(job):
            raise ScoringError("BigQuery cannot run the query", f"{self.name}: {complaint}.")
        return job


def is_at_rest(found: bigquery.Table) -> bool:
    """Whether all of its rows are its own, and none is still on its way in."""
    return found.table_type in OWN_ROWS and found.streaming_buffer is None


def complaint_of(job: Any) -> str:
    """Why a job failed; nothing if it did not."""
    if not job.error_result:
        return ""
    said = dict.fromkeys(str(error.get("message", "")) for error in [job.error_result, *(job.errors or [])[:3]])
    return " ".join(" ".join(said).split())[:1000].removesuffix(".")
