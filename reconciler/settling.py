"""Runs that are in doubt, settled by the user. The rule here: one is moved only on somebody's word, and never to a job that is another run's.

A run is in doubt while it is `intended`: its submission may have made a job or not. An apply looks for the job itself; where the service's list is
not clear, only the user can tell. So it is with a run whose job did not end well, and may have left rows in a table.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

from reconciler.api.client import Client
from reconciler.api.schema import Job
from reconciler.apply.deliver import discard
from reconciler.apply.request import is_job_of, output_of
from reconciler.digests import Digests
from reconciler.errors import Refused, ServiceError
from reconciler.project import Project
from reconciler.scorer import open_scorer
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.snapshot import Snapshot
from reconciler.state.store import Store, now, timestamp
from reconciler.vault import Vault
from reconciler.wanted import configuration_key, read_specs

Note = Callable[[str], None]


def run_in_doubt(snapshot: Snapshot, workspace: str, address: str) -> Run:
    """An open run, with a job or without one. Raises Refused when there is nothing to settle."""
    known = snapshot.recorded(workspace).get(address)
    run = snapshot.run(known.latest.id) if known and known.latest else None
    if run is None:
        raise Refused(f"No run of {address}", "`reconciler state list` names the jobs that the state knows.")
    if run.is_open:
        return run
    if run.job_id is not None:
        raise _not_in_doubt(run)
    raise Refused(f"The run of {address} is not in doubt", f"It was {run.status}. Run apply to submit it anew.")


def adopt_job(project: Project, address: str, job_id: str, *, is_forced: bool, lock_timeout_s: float, note: Note) -> Run:
    """Give the run in doubt the job that its submission made; the next apply tracks it. With a job in doubt it is delivered: all rows are there.

    Raises Refused, ServiceError, StateError.
    """
    with _settling(project, "state adopt", lock_timeout_s, note) as store:
        run = run_in_doubt(store.snapshot, project.workspace, address)
        if run.is_in_doubt and run.job_id == job_id:
            counts = asyncio.run(_counts(project, store.snapshot, job_id))
            scored = store.move(run, Status.SCORED, status_details="Settled by hand: the rows of its job are in the table.", **counts)
            return store.move(scored, Status.DELIVERED, ended_at=timestamp(now()))
        if run.job_id is not None:
            raise _not_in_doubt(run)
        other = store.snapshot.run_of_job(job_id)
        if other is not None:
            raise Refused(f"Job {job_id} belongs to another run", f"It is the job of {other.address}, run {other.id}, which is {other.status}.")
        job = asyncio.run(_job(project, store.snapshot, job_id))
        if not is_forced and not is_job_of(job, run.request):
            raise Refused(
                f"Job {job_id} is not a job of {address}",
                "Its spec on the service is not the one that was sent. Check the id; -force adopts the job all the same.",
            )
        return store.move(run, Status.SUBMITTED, job_id=job.id, submitted_at=timestamp(now()), output=output_of(run, job))


def end_without_job(project: Project, address: str, *, lock_timeout_s: float, note: Note) -> Run:
    """End the run in doubt; the next apply submits it anew. Raises Refused, StateError."""
    with _settling(project, "state resubmit", lock_timeout_s, note) as store:
        run = run_in_doubt(store.snapshot, project.workspace, address)
        if run.job_id is not None:
            asyncio.run(_aborted(project, store.snapshot, run.job_id))
        said = "no job was made" if run.job_id is None else "its job does not count"
        ended = store.move(run, Status.ABORTED, status_details=f"Settled by hand: {said}.", ended_at=timestamp(now()))
        if run.staging:
            discard(project.root / run.staging)
        return ended


def _not_in_doubt(run: Run) -> Refused:
    detail = f"Its job is {run.job_id}, and it is {run.status}." + (" Run apply to go on with it." if run.is_open else "")
    return Refused(f"The run of {run.address} is not in doubt", detail)


@contextmanager
def _settling(project: Project, command: str, lock_timeout_s: float, note: Note) -> Iterator[Store]:
    if not project.state.exists():
        raise Refused("There is no state yet", f"Nothing is recorded at {project.state}.")
    with Store(project.state) as store, store.locked(command, lock_timeout_s, note) as lock:
        for text in lock.notes:
            note(text)
        yield store


async def _job(project: Project, snapshot: Snapshot, job_id: str) -> Job:
    async with _service(project, snapshot) as client:
        try:
            return await client.job(job_id)
        except ServiceError as error:
            if error.status != 404:
                raise
            raise Refused(f"The service knows no job {job_id}", "Check the id and the workspace.") from None


async def _counts(project: Project, snapshot: Snapshot, job_id: str) -> dict[str, int]:
    """Of a job that the service may not know any longer."""
    try:
        job = await _job(project, snapshot, job_id)
    except Refused:
        return {}
    return {"scored_rows": job.scored_rows, "failed_rows": job.failed_rows, "skipped_rows": job.skipped_rows}


async def _aborted(project: Project, snapshot: Snapshot, job_id: str) -> None:
    async with _service(project, snapshot) as client:
        await client.abort(job_id)


def _service(project: Project, snapshot: Snapshot) -> AbstractAsyncContextManager[Client]:
    digests = Digests(project.root, snapshot.witnesses())
    specs = read_specs(project, snapshot, configuration_key(project, digests), digests)
    # The embedded service takes up every job that it was stopped in, so it needs the models of all of them.
    folders = {*specs.folders, *(run.model["deployment"] for run in snapshot.open_runs(project.workspace))}
    trust = {folder: folder in specs.trusted for folder in sorted(folders)}
    return open_scorer(project, specs.endpoint, trust, Vault(specs.openers, project.workspace, project.root))
