"""Doing one change of a plan. The rule here: what was approved is what is done; a job that changed since the plan is refused."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from reconciler.apply.deliver import staging_path
from reconciler.apply.event import Ended, Outcome, Retried, Started
from reconciler.apply.flight import Flight
from reconciler.apply.provenance import Provenance, new_run_id
from reconciler.apply.request import output_place
from reconciler.apply.runner import Runner
from reconciler.apply.tracking import Timeouts
from reconciler.diagnostic import Diagnostic
from reconciler.errors import InDoubt, Refused, ScoringError, ServiceError, UploadCut
from reconciler.plan.action import SCORES, Action
from reconciler.plan.plan import Change, Fingerprint, Plan, Side
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run, settling
from reconciler.state.store import now, timestamp

# A job whose upload was cut is given up and made anew so often, whatever `retries` says: it has scored nothing that counts.
_UPLOADS = 3


class Seen(NamedTuple):
    """Now: the content of an intake, the deployment's model, the output under the final name."""

    intake_digest: str | None
    model_digest: str | None
    output_digest: str | None
    facts: Mapping[str, Any] | None = None  # behind the digest of an intake that is no file


Look = Callable[[Change], Awaitable[Seen]]


class Terms(NamedTuple):
    """How the scorer of a workspace is asked: a deployment's id there, and the body of a submission."""

    deployment_id: Callable[[Mapping[str, Any]], str]
    body: Callable[[Mapping[str, Any], str], dict[str, Any]]  # of a spec, and of the staging file relative to the root


@dataclass(frozen=True)
class Doer:
    """Does changes, one call each, in one workspace."""

    plan: Plan
    runner: Runner
    look: Look
    flight: Flight
    terms: Terms
    provenance: Provenance
    creator: str | None

    @property
    def endpoint(self) -> str | None:
        return None if self.plan.endpoint is None else self.runner.client.endpoint

    async def do(self, change: Change) -> Ended:
        """Raises the error that ended the change; what was reached is in the state."""
        if change.action not in SCORES:
            return await self._done(change)
        async with self.flight.place(change.deployment):
            return await self._done(change)

    async def _done(self, change: Change) -> Ended:
        began = time.monotonic()
        self.runner.listen(Started(change.address, change.action))
        outcome, run = await self._by_action(change)
        ended = Ended(change.address, change.action, outcome, time.monotonic() - began)
        if run is None:
            return ended
        return replace(ended, job_id=run.job_id, output=run.output, rows=run.scored_rows, diagnostic=_warning(run))

    async def _by_action(self, change: Change) -> tuple[Outcome, Run | None]:
        store, workspace = self.runner.store, self.plan.workspace
        if change.action is Action.RESUME:
            return await self._resume(change)
        if change.open_run:
            await self.runner.abort(self._open_run(change), "Aborted: the specs changed while it was open.", is_last=change.after is None)
        if change.after is None:
            store.forget(workspace, change.address)
            return "forgotten", None
        if change.action is Action.UPDATE:
            store.update(workspace, change.address, change.after.metadata)
            return "updated", None
        return await self._score(change, change.after)

    async def _resume(self, change: Change) -> tuple[Outcome, Run | None]:
        store, after = self.runner.store, change.after
        metadata = after.metadata if after else {}
        try:
            run = await self.runner.resume(self._open_run(change), Timeouts.of(metadata))
        except UploadCut as error:
            if after is None:
                raise
            self.runner.listen(Retried(change.address, f"{error.summary}. {error.detail}"))
            return await self._score(change, after)
        if after and metadata != store.snapshot.metadata(self.plan.workspace, change.address):
            store.update(self.plan.workspace, change.address, metadata)
        return "scored", run

    def _open_run(self, change: Change) -> Run:
        run = self.runner.store.snapshot.run(change.open_run or "")
        if run is None or not run.is_open:
            raise Refused("The run ended since the plan was made", "Another apply has settled it. Make a new plan.")
        if run.endpoint != self.endpoint and run.status is not Status.SCORED:
            detail = (
                f"It went to {run.endpoint or 'the embedded service'}, and the workspace leads to {self.endpoint or 'the embedded service'} now. "
                f"Point it back and run apply to finish it, or end it with\n  {settling('resubmit', run.workspace, run.address)}"
            )
            raise Refused("The open run was submitted elsewhere", detail)
        return run

    async def _score(self, change: Change, after: Side) -> tuple[Outcome, Run | None]:
        """Once, and as often again as the job's retries allow: each time with the fingerprint that was approved."""
        retries, uploads, attempt = int(after.metadata.get("retries", 0)), 1, 0
        while True:
            attempt += 1
            try:
                return await self._attempted(change, after, attempt)
            except UploadCut as error:
                uploads += 1
                if uploads > _UPLOADS:
                    raise
                again: ScoringError | ServiceError = error
            except InDoubt:
                raise
            except (ScoringError, ServiceError) as error:
                if retries == 0 or self._is_open(change):
                    raise
                retries -= 1
                again = error
            self.runner.listen(Retried(change.address, f"{again.summary}. {again.detail}"))
            await self.runner.watch.pause(attempt)

    def _is_open(self, change: Change) -> bool:
        return any(run.address == change.address for run in self.runner.store.snapshot.open_runs(self.plan.workspace))

    async def _attempted(self, change: Change, after: Side, attempt: int) -> tuple[Outcome, Run | None]:
        seen = await self.look(change)
        fingerprint = Fingerprint(after.fingerprint.spec, seen.intake_digest, seen.model_digest)
        if change.is_intake_known and fingerprint != after.fingerprint:
            raise Refused("The job changed since the plan was made", "Its intake or its model is not the one that was planned. Make a new plan.")
        # Of what an upstream wrote elsewhere it is known to be the same only where it was looked at.
        is_seen = change.intake_file is not None or (change.remote is not None and change.remote.place is not None and seen.intake_digest is not None)
        if not change.is_intake_known and is_seen and change.before and _is_current(change.before, fingerprint, seen):
            return "unchanged", None
        if seen.intake_digest is None and change.intake_file is not None:
            raise Refused("The intake file does not exist", f"The upstream job did not write {change.intake_file}.")
        run = self._intended(change, after, fingerprint, seen.facts, attempt)
        self.runner.store.intend(run, after.metadata)
        return "scored", await self.runner.start(run, Timeouts.of(after.metadata))

    def _intended(self, change: Change, after: Side, fingerprint: Fingerprint, facts: Mapping[str, Any] | None, attempt: int) -> Run:
        run_id = new_run_id()
        staging = None if change.output_file is None else str(staging_path(Path(change.output_file), run_id))
        server_time = self.runner.client.server_now()
        return Run(
            id=run_id,
            workspace=self.plan.workspace,
            address=change.address,
            status=Status.INTENDED,
            spec=after.spec,
            spec_digest=fingerprint.spec,
            intake=_intake(change, facts),
            intake_digest=fingerprint.intake,
            model={"deployment": after.spec.get("deployment")},
            model_digest=fingerprint.model,
            deployment=change.deployment,
            deployment_id=self.terms.deployment_id(after.spec),
            request=self.terms.body(after.spec, staging or ""),
            reasons=tuple(change.reasons),
            intended_at=timestamp(now()),
            endpoint=self.endpoint,
            server_time=None if server_time is None else timestamp(server_time),
            creator=self.creator,
            attempt=attempt,
            staging=staging,
            output=output_place(after.spec),
            **vars(self.provenance),
        )


def _intake(change: Change, facts: Mapping[str, Any] | None) -> dict[str, Any]:
    """As a run records it: the file, or what was seen of another system, and in which way."""
    told: dict[str, Any] = {"file": change.intake_file}
    if facts is not None:
        told["facts"] = dict(facts)
    if change.remote is not None and change.intake_file is None:
        told["way"] = change.remote.way
    return told


def _warning(run: Run) -> Diagnostic | None:
    """That some rows of a run that was delivered have no prediction."""
    if not run.failed_rows:
        return None
    return Diagnostic("Some rows were not scored", run.status_details or "", address=run.address, severity="warning")


def _is_current(before: Side, fingerprint: Fingerprint, seen: Seen) -> bool:
    """Whether the upstream's new output is what this job has read before."""
    return before.fingerprint == fingerprint and before.output_digest == seen.output_digest
