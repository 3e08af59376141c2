"""Rows and scores that travel with the requests. The rule here: the file is on the disk first, then the job says so."""

import codecs
import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from reconciler.api.schema import JobSpec
from reconciler.engine.dialect import Dialect
from reconciler.service.download import Result
from reconciler.service.files import UNFINISHED, Files
from reconciler.service.job import Job
from reconciler.service.parts import join
from reconciler.service.refusal import Refusal
from reconciler.service.status import has_ended
from reconciler.service.store import Store, aborted, upload_refusal
from reconciler.service.upload import Body, Text, unstorable

_CSV = ("text/csv", "application/csv")
_LOOK_SECONDS = 1.0
# A part of the official client says how many characters it has, and sends bytes: of non-ASCII text, the last bytes never reach us.
_COUNTS_CHARACTERS = "DataRobotPythonClient"
_LINE_END = 2  # the client ends each part with CRLF, which may be missing without harm


@dataclass(frozen=True)
class Limits:
    size: int | None
    patience: timedelta


class Transfers:
    def __init__(self, store: Store, files: Files, notify: Callable[[], None], limits: Limits) -> None:
        self.store = store
        self.files = files
        self.notify = notify
        self.limits = limits
        self._lock = threading.Lock()
        self._joining: set[str] = set()

    def begin(self, job_id: str, media_type: str) -> "WholeUpload":
        """Raises Refusal."""
        return WholeUpload(self, self._begun(job_id, media_type, is_part=False))

    def begin_part(self, job_id: str, number: int, media_type: str, agent: str) -> "PartUpload":
        """Raises Refusal."""
        job = self._begun(job_id, media_type, is_part=True)
        with self.unless_ended(job_id):
            self.files.parts(job_id).mkdir(mode=0o700, exist_ok=True)
            try:
                self.check_open(job_id)  # the files of a job that was deleted meanwhile went before this folder came
            except Refusal:
                self.files.remove_parts(job_id)
                raise
            return PartUpload(self, job, number, agent.startswith(_COUNTS_CHARACTERS))

    def finalize(self, job_id: str) -> None:
        """The parts become the intake. Raises Refusal; a part that is missing may still come."""
        with self._exclusively(job_id), self.unless_ended(job_id):
            parts = self._complete(job_id)
            try:
                self._join(job_id, parts)
            except Refusal as refusal:
                self.cut(job_id, refusal.message)
                raise
            except FileNotFoundError:
                raise  # the job was deleted, and its parts with it
            except OSError as error:
                raise unstorable(error) from error
        with contextlib.suppress(OSError):  # the next start removes what could not be removed now
            self.files.remove_parts(job_id)

    def result(self, job_id: str) -> Result:
        """Raises Refusal: 404 when there is none yet or any more, 422 when there will never be one."""
        job = self._known(job_id)
        if job.output_type != "localFile":
            raise Refusal(404, f"job {job_id} has no result to download: its output is {job.output_type}")
        if job.status == "ABORTED":
            raise aborted(job)
        if job.results_deleted:
            raise Refusal(404, f"the result of job {job_id} is no longer kept")
        if not job.has_download or (job.status == "COMPLETED" and not self.files.result(job_id).is_file()):
            raise Refusal(404, f"there is no result of job {job_id} yet" if not job.has_download else f"the result of job {job_id} is gone")
        return Result(job_id, dialect(job).encoding, self.files.result(job_id), self.store)

    def end(self, job_id: str) -> None:
        self.store.end_upload(job_id)
        self.notify()

    def cut(self, job_id: str, reason: str) -> None:
        self.store.cut_upload(job_id, reason)
        if self._known(job_id).upload != "whole":
            self.files.remove_upload(job_id)

    def keep_part(self, job_id: str, body: Body, number: int) -> None:
        """A part that is accepted is one that finalizing will find."""
        with self._lock:
            self._check_wanting(job_id)
            with self.unless_ended(job_id):
                body.keep(self.files.parts(job_id) / str(number))

    def room(self, job_id: str, number: int) -> int | None:
        """How many bytes part `number` may have, given the others."""
        if self.limits.size is None:
            return None
        return self.limits.size - sum(path.stat().st_size for path in self._numbered(job_id) if path.name != str(number))

    def check_open(self, job_id: str) -> None:
        """Raises Refusal when the job has ended: its rows are no longer wanted."""
        job = self._known(job_id)
        if has_ended(job.status):
            raise aborted(job)

    @contextlib.contextmanager
    def unless_ended(self, job_id: str) -> Iterator[None]:
        """The files of a deleted job go while it is uploaded. Then the job says why, not the disk."""
        try:
            yield
        except FileNotFoundError:
            self.check_open(job_id)
            raise

    def _begun(self, job_id: str, media_type: str, is_part: bool) -> Job:
        job = self._known(job_id)
        if job.upload is not None and media_type.partition(";")[0].strip().lower() not in _CSV:
            raise Refusal(406, f"text/csv is needed, not {media_type or 'a body without a type'}")
        return self.store.begin_upload(job_id, is_part)

    def _join(self, job_id: str, parts: list[Path]) -> None:
        body = Body(self.files.unfinished(job_id), None)
        try:
            join(parts, self.files.unfinished(job_id), dialect(self._known(job_id)))
            body.keep(self.files.upload(job_id))
        except OSError:
            body.discard()
            raise
        self.end(job_id)

    def _check_wanting(self, job_id: str) -> None:
        job = self._known(job_id)
        if refused := upload_refusal(job, is_part=True):
            raise refused
        if job_id in self._joining:
            raise Refusal(409, f"the upload of job {job_id} is being finalized")

    @contextlib.contextmanager
    def _exclusively(self, job_id: str) -> Iterator[None]:
        with self._lock:
            self._check_wanting(job_id)
            self._joining.add(job_id)
        try:
            yield
        finally:
            self._joining.discard(job_id)

    def _complete(self, job_id: str) -> list[Path]:
        parts = sorted(self._numbered(job_id), key=lambda path: int(path.name))
        missing = sorted(set(range(int(parts[-1].name) if parts else 1)) - {int(path.name) for path in parts})
        if missing:
            more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
            raise Refusal(422, f"job {job_id} is without the parts {', '.join(map(str, missing[:10]))}{more}" if parts else "nothing was uploaded")
        return parts

    def _numbered(self, job_id: str) -> list[Path]:
        folder = self.files.parts(job_id)
        return [path for path in folder.iterdir() if path.suffix != UNFINISHED] if folder.is_dir() else []

    def _known(self, job_id: str) -> Job:
        job = self.store.get(job_id)
        if job is None:
            raise Refusal(404, f"there is no job {job_id}")
        return job


class WholeUpload:
    """An intake in one body; when it is cut, its job ends."""

    def __init__(self, transfers: Transfers, job: Job) -> None:
        self._transfers = transfers
        self._id = job.id
        self._body = Body(transfers.files.unfinished(job.id), transfers.limits.size)
        self._text = Text(dialect(job).encoding)
        self._next_look = 0.0

    def write(self, chunk: bytes) -> None:
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            self._transfers.check_open(self._id)
        self._text.feed(chunk)
        self._body.write(chunk)

    def finish(self) -> None:
        self._text.end()
        with self._transfers.unless_ended(self._id):
            self._body.keep(self._transfers.files.upload(self._id))
        self._transfers.end(self._id)

    def cut(self, reason: str) -> None:
        self._transfers.cut(self._id, reason)


class PartUpload:
    """One part of several; when it is cut, it may be sent again."""

    def __init__(self, transfers: Transfers, job: Job, number: int, counts_characters: bool) -> None:
        self._transfers = transfers
        self._id = job.id
        self._number = number
        path = transfers.files.parts(job.id) / f"{number}-{secrets.token_hex(4)}{UNFINISHED}"
        self._body = Body(path, transfers.room(job.id, number))
        self._characters = codecs.getincrementaldecoder("utf-8")("replace") if counts_characters else None
        self._surplus = 0  # of bytes over characters: so many bytes are missing at the end, or more
        self._last = b""

    def write(self, chunk: bytes) -> None:
        with self._transfers.unless_ended(self._id):
            self._body.write(chunk)
        self._last = chunk[-1:]
        if self._characters:
            self._surplus += len(chunk) - len(self._characters.decode(chunk))

    def finish(self) -> None:
        if not self._body.size:
            raise Refusal(422, f"part {self._number} is empty")
        if self._surplus > _LINE_END and self._last != b"\n":
            sentence = f"part {self._number} lost its last bytes ({self._surplus} or more), for the client counted its characters, not its bytes"
            self._transfers.cut(self._id, advice := f"{sentence}. Upload the file in one piece (multipart: false)")
            raise Refusal(422, advice)
        self._transfers.keep_part(self._id, self._body, self._number)

    def cut(self, reason: str) -> None:
        self._body.discard()


def dialect(job: Job) -> Dialect:
    return Dialect.of(JobSpec.model_validate(job.spec).csv_settings)
