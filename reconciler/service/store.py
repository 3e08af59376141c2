"""The jobs, in SQLite. The rule here: every write is one `BEGIN IMMEDIATE` that is on disk before anyone can read it."""

import json
from dataclasses import asdict
from pathlib import Path

from reconciler.errors import ServiceError
from reconciler.service import job as jobs
from reconciler.service import moment
from reconciler.service.database import Database
from reconciler.service.job import Counts, Job
from reconciler.service.listing import Selection
from reconciler.service.refusal import Refusal
from reconciler.service.status import Status, has_ended, is_lawful

# A job beside its place in its deployment's queue: how many wait before it.
_JOB = """
SELECT jobs.*, CASE WHEN status = 'INITIALIZING' THEN (
  SELECT count(*) FROM jobs AS ahead
  WHERE ahead.deployment_id = jobs.deployment_id AND ahead.status = 'INITIALIZING' AND ahead.sequence < jobs.sequence
) END AS queue_position FROM jobs
"""
_NEXT = f"""{_JOB} WHERE status = 'INITIALIZING'
  AND deployment_id NOT IN (SELECT deployment_id FROM jobs WHERE status = 'RUNNING') ORDER BY sequence LIMIT 1"""
_OPEN_AT = "SELECT id FROM jobs WHERE output_place = ? AND status IN ('INITIALIZING', 'RUNNING')"


class Store:
    def __init__(self, path: Path, clock: moment.Clock) -> None:
        self.database = Database(path)
        self._connection = self.database.connection
        self._lock = self.database.lock
        self._immediate = self.database.writing
        self._clock = clock

    def close(self) -> None:
        self.database.close()

    def get(self, job_id: str) -> Job | None:
        with self._lock:
            return self._find(job_id)

    def page(self, selection: Selection) -> tuple[int, list[Job]]:
        """How many jobs there are in all, and those of one page."""
        with self._lock:
            total = self._connection.execute(f"SELECT count(*) FROM jobs WHERE {selection.where}", selection.values).fetchone()[0]
            rows = self._connection.execute(
                f"{_JOB} WHERE {selection.where} ORDER BY {selection.order} LIMIT ? OFFSET ?", [*selection.values, selection.limit, selection.offset]
            ).fetchall()
        return total, [jobs.from_row(row) for row in rows]

    def with_status(self, status: Status) -> list[Job]:
        with self._lock:
            return [jobs.from_row(row) for row in self._connection.execute(f"{_JOB} WHERE status = ? ORDER BY sequence", (status,))]

    def submitted_with(self, key: str, request: str) -> Job | None:
        """The job this idempotency key has made. Raises Refusal when it made one from another request."""
        with self._lock:
            return self._with_key(key, request)

    def add(self, job: Job, request: str, key: str | None) -> Job:
        """The job as stored, or the one that the key has made before; a key and its job are stored together."""
        with self._immediate() as connection:
            known = self._with_key(key, request) if key else None
            if known:
                return known
            if taken := connection.execute(_OPEN_AT, (job.output_place,)).fetchone():
                sentence = f"job {taken['id']}, which has not ended, writes to {job.output_path}"
                raise Refusal(422, sentence, {"outputSettings": {"path": sentence}})
            row = jobs.as_row(job) | {"request": request, "idempotency_key": key}
            columns = ", ".join(row)
            connection.execute(f"INSERT INTO jobs ({columns}) VALUES ({', '.join(f':{name}' for name in row)})", row)
            return self._known(job.id)

    def take(self) -> Job | None:
        """The oldest job whose deployment is free, now running."""
        with self._immediate() as connection:
            row = connection.execute(_NEXT).fetchone()
            return self._move(jobs.from_row(row), "RUNNING", jobs.line("started", self._clock())) if row else None

    def complete(self, job_id: str, counts: Counts) -> bool:
        """False when the job was deleted at the last moment: then it has to be aborted instead."""
        with self._immediate():
            job = self._known(job_id)
            if not job.is_deleted:
                self._move(job, "COMPLETED", jobs.line("done", self._clock()), counts)
            return not job.is_deleted

    def abort(self, job_id: str, counts: Counts, reason: str | None = None) -> None:
        with self._immediate():
            self._move(self._known(job_id), "ABORTED", reason or jobs.line("aborted", self._clock()), counts)

    def release(self, job_id: str, counts: Counts) -> None:
        """A job that ran when the service stopped: queued again, unless it was deleted meanwhile."""
        with self._immediate():
            job = self._known(job_id)
            if job.is_deleted:
                self._move(job, "ABORTED", jobs.line("aborted", self._clock()), counts)
            else:
                self._move(job, "INITIALIZING", jobs.line("requeued", self._clock()))

    def delete(self, job_id: str, user: str) -> Job:
        """A waiting job ends here; a running one is only marked, for its worker ends it when it has let go of the output."""
        with self._immediate() as connection:
            job = self._present(job_id)
            if has_ended(job.status):
                raise Refusal(409, f"job {job_id} has already ended: {job.status}")
            if job.is_deleted:
                return job
            logs = [*job.logs, jobs.line("deleted", self._clock(), user=user)]
            connection.execute("UPDATE jobs SET is_deleted = 1, logs = ? WHERE id = ?", (json.dumps(logs), job_id))
            marked = self._known(job_id)
            return marked if job.status == "RUNNING" else self._move(marked, "ABORTED", jobs.line("aborted", self._clock()))

    def hide(self, job_id: str, is_hidden: bool) -> Job:
        with self._immediate() as connection:
            job = self._present(job_id)
            if is_hidden and not has_ended(job.status):
                raise Refusal(409, f"job {job_id} is {job.status}; only a job that has ended may be hidden")
            hidden = (job.hidden or moment.rfc3339(self._clock())) if is_hidden else None
            connection.execute("UPDATE jobs SET hidden = ? WHERE id = ?", (hidden, job_id))
            return self._known(job_id)

    def _move(self, job: Job, status: Status, line: str, counts: Counts | None = None) -> Job:
        """The only place that changes a status; with no counts the job starts again from zero."""
        if not is_lawful(job.status, status):
            raise ServiceError("A job cannot change so", f"Job {job.id} is {job.status} and cannot become {status}.")
        ended = moment.rfc3339(self._clock()) if has_ended(status) else None
        values = asdict(counts or Counts()) | {"status": status, "logs": json.dumps([*job.logs, line]), "ended": ended}
        settings = ", ".join(f"{name} = :{name}" for name in values)
        self._connection.execute(f"UPDATE jobs SET {settings} WHERE id = :id", values | {"id": job.id})
        return self._known(job.id)

    def _with_key(self, key: str, request: str) -> Job | None:
        row = self._connection.execute(f"{_JOB} WHERE idempotency_key = ?", (key,)).fetchone()
        if row and row["request"] != request:
            raise Refusal(422, f"this Idempotency-Key has made job {row['id']} from another spec")
        return jobs.from_row(row) if row else None

    def _present(self, job_id: str) -> Job:
        job = self._find(job_id)
        if job is None:
            raise Refusal(404, f"there is no job {job_id}")
        return job

    def _known(self, job_id: str) -> Job:
        job = self._find(job_id)
        assert job is not None, f"job {job_id} was just there"
        return job

    def _find(self, job_id: str) -> Job | None:
        row = self._connection.execute(f"{_JOB} WHERE id = ?", (job_id,)).fetchone()
        return jobs.from_row(row) if row else None
