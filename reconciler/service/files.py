"""Where the files of jobs lie. The rule here: what travels with the requests is ours and bears the job's id; every other path is the user's.

uploads/<id>.csv       a whole intake           uploads/<id>.new       one that is still coming
uploads/<id>.parts/    an intake's parts        results/<id>.csv       an output, growing while its job is scored
rejects/<id>.csv       the rows of a job that were not scored, if there are any
rejects/<id>.staged.json   that all scores of a job are staged in another system (engine/scoring.py): kept until the job has ended
"""

import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from reconciler.disk import sync_folder
from reconciler.service.job import Job
from reconciler.service.status import has_ended

UNFINISHED = ".new"
_NOTE = ".staged.json"


class Files:
    def __init__(self, storage: Path) -> None:
        self._uploads = storage / "uploads"
        self._results = storage / "results"
        self._rejects = storage / "rejects"
        self._datasets = storage / "datasets"

    def prepare(self, kept: Iterable[Job]) -> None:
        """Makes the folders, and removes from them what is no kept job's: unfinished uploads, half results, orphans."""
        jobs = list(kept)
        uploads = {self.upload(job.id).name for job in jobs if job.upload == "whole"}
        uploads |= {self.parts(job.id).name for job in jobs if job.upload == "begun" and not has_ended(job.status)}
        results = {self.result(job.id).name for job in jobs if job.status == "COMPLETED"}
        for folder, names in ((self._uploads, uploads), (self._results, results)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in folder.iterdir():
                if path.name not in names:
                    remove(path)
        self._rejects.mkdir(mode=0o700, exist_ok=True)
        for path in self._uploads.glob(f"*.parts/*{UNFINISHED}"):
            remove(path)

    def upload(self, job_id: str) -> Path:
        return self._uploads / f"{job_id}.csv"

    def unfinished(self, job_id: str) -> Path:
        return self._uploads / f"{job_id}{UNFINISHED}"

    def parts(self, job_id: str) -> Path:
        return self._uploads / f"{job_id}.parts"

    def result(self, job_id: str) -> Path:
        return self._results / f"{job_id}.csv"

    def rejects(self, job_id: str) -> Path:
        return self._rejects / f"{job_id}.csv"

    def place_of_rejects(self, job: Job) -> str:
        """As the job's log says it: a path for a caller whose files are ours, else where the operator finds it."""
        path = self.rejects(job.id)
        return str(path) if job.output_type == "fileSystem" else f"{path.parent.name}/{path.name} of the service's storage"

    def note(self, job_id: str) -> Path:
        return self.rejects(job_id).with_suffix(_NOTE)

    def noted(self) -> list[str]:
        """The jobs whose scores are all staged, as far as we know."""
        return [path.name.removesuffix(_NOTE) for path in self._rejects.glob(f"*{_NOTE}")]

    def intake(self, job: Job) -> Path | None:
        """None when the rows are in another system."""
        if job.dataset_version_id:
            return self._datasets / f"{job.dataset_version_id}.csv"
        return self.upload(job.id) if job.intake_type == "localFile" else _path(job.spec["intakeSettings"])

    def output(self, job: Job) -> Path | None:
        return self.result(job.id) if job.output_type == "localFile" else _path(job.spec["outputSettings"])

    def as_seen(self, job: Job, text: str) -> str:
        """A sentence about the job without the places of our files, which the caller never sees."""
        names = {self.upload(job.id): "the uploaded file", self.result(job.id): "the result", self._datasets: "datasets"}
        names[self.rejects(job.id)] = self.place_of_rejects(job)
        for path, name in names.items():
            text = text.replace(str(path), name)
        return text

    def share_upload(self, job_id: str, other_id: str) -> bool:
        """The whole upload of one job, under the name of another as well; False when it is kept no longer."""
        try:
            os.link(self.upload(job_id), self.upload(other_id))
        except FileNotFoundError:
            return False
        sync_folder(self._uploads)
        return True

    def remove_upload(self, job_id: str) -> None:
        for path in (self.upload(job_id), self.unfinished(job_id), self.parts(job_id)):
            remove(path)

    def remove_parts(self, job_id: str) -> None:
        remove(self.parts(job_id))

    def remove(self, job_id: str) -> None:
        self.remove_upload(job_id)
        remove(self.result(job_id))
        remove(self.rejects(job_id))

    def remove_rejects(self, before: datetime) -> None:
        """Those written before that time. A job whose rows and scores are files of the user's is not swept, so they go by their age."""
        for path in self._rejects.glob("*.csv"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before.timestamp():
                    remove(path)


def _path(settings: Mapping[str, Any]) -> Path | None:
    return Path(settings["path"]) if "path" in settings else None


def remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
