"""The jobs, in SQLite. The rule here: every write is one `BEGIN IMMEDIATE` that is on disk before anyone can read it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reconciler.errors import ServiceError
from reconciler.service import job as jobs
from reconciler.service import moment
from reconciler.service.database import Database
from reconciler.service.job import Counts, Job
from reconciler.service.listing import Selection
from reconciler.service.places import shown_place
from reconciler.service.refusal import Refusal
from reconciler.service.status import Status, has_ended, is_lawful

# A job beside its place in its deployment's queue: how many wait before it.
_JOB = """
SELECT jobs.*, CASE WHEN status = 'INITIALIZING' AND is_queued THEN (
  SELECT count(*) FROM jobs AS ahead
  WHERE ahead.deployment_id = jobs.deployment_id AND ahead.status = 'INITIALIZING' AND ahead.is_queued AND ahead.sequence < jobs.sequence
) END AS queue_position FROM jobs
"""
_IS_FREE = """:each > (SELECT count(*) FROM jobs AS scored
  WHERE scored.deployment_id = jobs.deployment_id AND scored.status = 'RUNNING' AND scored.is_scoring)"""
# A job whose rows are all here; it runs already when it got its turn while they were coming.
_NEXT = f"""{_JOB} WHERE status IN ('INITIALIZING', 'RUNNING') AND is_queued AND NOT is_scoring AND (upload IS NULL OR upload = 'whole')
  AND {_IS_FREE} ORDER BY sequence LIMIT 1"""
# A job whose rows are coming runs, so that its result can be waited for, but holds nobody up: others are scored meanwhile.
_ARRIVING = f"{_JOB} WHERE status = 'INITIALIZING' AND is_queued AND upload = 'begun' AND {_IS_FREE} ORDER BY sequence"
_WITH_FILES = f"{_JOB} WHERE results_deleted = 0 AND 'localFile' IN (intake_type, output_type)"
_OPEN_AT = "SELECT id FROM jobs WHERE output_place = ? AND status IN ('INITIALIZING', 'RUNNING')"

# A job that was being scored at so many deaths of the process is taken to be their cause.
DEATHS = 10
TOO_DEADLY = (
    f"The service died {DEATHS} times while it scored this job: its model or its data may crash the scorer, or need more memory than there is."
)


class Store:
    def __init__(self, path: Path, clock: moment.Clock, each: int = 1) -> None:
        """`each` deployment scores so many jobs at once."""
        self._limit = {"each": each}
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
                field, name = shown_place(job.spec["outputSettings"])
                sentence = f"job {taken['id']}, which has not ended, writes to {name}"
                raise Refusal(422, sentence, {"outputSettings": {field: sentence}})
            row = jobs.as_row(job) | {"request": request, "idempotency_key": key}
            columns = ", ".join(row)
            connection.execute(f"INSERT INTO jobs ({columns}) VALUES ({', '.join(f':{name}' for name in row)})", row)
            return self._known(job.id)

    def take(self) -> Job | None:
        """The oldest job whose deployment is free, now running."""
        with self._immediate() as connection:
            row = connection.execute(_NEXT, self._limit).fetchone()
            taken = self._score(jobs.from_row(row)) if row else None
            self._run_arriving()
            return taken

    def begin_upload(self, job_id: str, is_part: bool) -> Job:
        """The first bytes are here. In the queue from now on, unless the job wants all of them first."""
        with self._immediate():
            job = self._present(job_id)
            if refused := upload_refusal(job, is_part):
                raise refused
            if job.upload == "awaited":
                job = self._submit(job, "begun") if job.spec["intakeSettings"]["async"] else self._set(job, upload="begun")
                self._run_arriving()
            return self._known(job.id)

    def end_upload(self, job_id: str) -> None:
        """The last byte is on the disk. Raises Refusal when the job has ended meanwhile."""
        with self._immediate():
            job = self._known(job_id)
            if has_ended(job.status):
                raise aborted(job)
            _ = self._set(job, upload="whole") if job.is_queued else self._submit(job, "whole")

    def cut_upload(self, job_id: str, reason: str) -> None:
        """Ends a job whose rows will never be whole; one that has them all, or has ended, stays as it is."""
        with self._immediate():
            job = self._known(job_id)
            if job.upload != "whole" and not has_ended(job.status):
                self._move(job, "ABORTED", reason)

    def complete(self, job_id: str, counts: Counts, notes: Sequence[str] = (), *, is_final: bool = False) -> bool:
        """False when the job was deleted at the last moment: then it has to be aborted instead. `notes` come before the last line of the log.

        What `is_final` cannot be taken back: rows in a table of the user's. Then the job says what is true, though it was deleted.
        """
        with self._immediate():
            job = self._known(job_id)
            if is_done := is_final or not job.is_deleted:
                self._move(job, "COMPLETED", jobs.line("done", self._clock()), counts, notes)
            return is_done

    def abort(self, job_id: str, counts: Counts, reason: str | None = None, notes: Sequence[str] = ()) -> None:
        with self._immediate():
            self._move(self._known(job_id), "ABORTED", reason or jobs.line("aborted", self._clock()), counts, notes)

    def release(self, job_id: str, counts: Counts) -> None:
        """A job that ran when the service stopped: queued again, unless it was deleted meanwhile."""
        with self._immediate():
            job = self._known(job_id)
            if job.is_deleted:
                self._move(job, "ABORTED", jobs.line("aborted", self._clock()), counts)
            else:
                self._move(job, "INITIALIZING", jobs.line("requeued", self._clock()))

    def recover(self, job_id: str) -> Job:
        """A job that ran when the process died: as `release`, but not for ever, since the job itself may be what kills the process.

        One that may have left rows on their way from or to another system has a last turn, in which a worker removes them and ends it.
        """
        with self._immediate():
            job = self._known(job_id)
            if job.is_deleted and not job.has_remains:
                return self._move(job, "ABORTED", jobs.line("aborted", self._clock()), job.counts)
            if not job.is_scoring:
                return self._move(job, "INITIALIZING", jobs.line("requeued", self._clock()))
            if jobs.deaths(job) + 1 >= DEATHS and not job.has_remains:
                return self._move(job, "ABORTED", TOO_DEADLY, job.counts)
            return self._move(job, "INITIALIZING", jobs.line("died", self._clock()))

    def delete(self, job_id: str, user: str) -> Job:
        """A waiting job ends here; a running one is only marked, for its worker ends it when it has let go of the output.

        So is one that ran before and may have left rows on their way: when its turn comes, a worker removes them and ends it.
        """
        with self._immediate() as connection:
            job = self._present(job_id)
            if has_ended(job.status):
                raise Refusal(409, f"job {job_id} has already ended: {job.status}")
            if job.is_deleted:
                return job
            logs = [*job.logs, jobs.line("deleted", self._clock(), user=user)]
            connection.execute("UPDATE jobs SET is_deleted = 1, logs = ? WHERE id = ?", (json.dumps(logs), job_id))
            marked = self._known(job_id)
            return marked if job.is_scoring or job.has_remains else self._move(marked, "ABORTED", jobs.line("aborted", self._clock()))

    def with_files(self) -> list[Job]:
        """The jobs for which files of ours are kept, or awaited."""
        with self._lock:
            return [jobs.from_row(row) for row in self._connection.execute(_WITH_FILES)]

    def expired(self, before: str) -> list[Job]:
        """The jobs whose files are kept no longer: deleted, or at their end for long enough."""
        with self._lock:
            rows = self._connection.execute(f"{_WITH_FILES} AND ended IS NOT NULL AND (is_deleted OR ended < ?)", (before,))
            return [jobs.from_row(row) for row in rows]

    def stalled(self, before: str) -> list[Job]:
        """The jobs whose upload in parts was begun long ago, and never finished."""
        with self._lock:
            rows = self._connection.execute(f"{_WITH_FILES} AND ended IS NULL AND upload = 'begun' AND created < ?", (before,))
            return [job for job in map(jobs.from_row, rows) if job.is_multipart]

    def forget_files(self, job_id: str) -> None:
        with self._immediate():
            self._set(self._known(job_id), results_deleted=True)

    def hide(self, job_id: str, is_hidden: bool) -> Job:
        with self._immediate() as connection:
            job = self._present(job_id)
            if is_hidden and not has_ended(job.status):
                raise Refusal(409, f"job {job_id} is {job.status}; only a job that has ended may be hidden")
            hidden = (job.hidden or moment.rfc3339(self._clock())) if is_hidden else None
            connection.execute("UPDATE jobs SET hidden = ? WHERE id = ?", (hidden, job_id))
            return self._known(job_id)

    def _move(self, job: Job, status: Status, line: str, counts: Counts | None = None, notes: Sequence[str] = ()) -> Job:
        """The only place that changes a status; with no counts the job starts again from zero."""
        if not is_lawful(job.status, status):
            raise ServiceError("A job cannot change so", f"Job {job.id} is {job.status} and cannot become {status}.")
        ended = moment.rfc3339(self._clock()) if has_ended(status) else None
        logs = json.dumps([*job.logs, *notes, line])
        return self._set(job, **asdict(counts or Counts()), status=status, logs=logs, ended=ended, is_scoring=False)

    def _set(self, job: Job, **values: Any) -> Job:
        settings = ", ".join(f"{name} = :{name}" for name in values)
        self._connection.execute(f"UPDATE jobs SET {settings} WHERE id = :id", values | {"id": job.id})
        return self._known(job.id)

    def _submit(self, job: Job, upload: jobs.Upload) -> Job:
        return self._set(job, upload=upload, is_queued=True, logs=json.dumps([*job.logs, jobs.line("submitted", self._clock())]))

    def _score(self, job: Job) -> Job:
        return self._set(self._started(job) if job.status == "INITIALIZING" else job, is_scoring=True)

    def _started(self, job: Job) -> Job:
        return self._move(job, "RUNNING", jobs.line("started", self._clock()))

    def _run_arriving(self) -> None:
        for row in self._connection.execute(_ARRIVING, self._limit).fetchall():
            self._started(jobs.from_row(row))

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


def upload_refusal(job: Job, is_part: bool) -> Refusal | None:
    """Why no byte of an intake is taken for this job now."""
    if job.upload is None:
        return Refusal(404, f"job {job.id} takes no upload: its intake is {job.intake_type}")
    if is_part != job.is_multipart:
        return Refusal(409, f"job {job.id} is {'no' if is_part else 'a'} multipart job")
    if job.status == "ABORTED":
        return aborted(job)
    if job.upload == "whole" or (job.upload == "begun" and not is_part):
        return Refusal(409, f"the upload of job {job.id} has already begun")
    return None


def aborted(job: Job) -> Refusal:
    return Refusal(422, f"job {job.id} was aborted: {job.logs[-1]}")
