"""Doing one change of a plan. The rule here: what was approved is what is done; a job that changed since the plan is refused."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from reconciler.apply.deliver import staging_path
from reconciler.apply.event import Ended, Outcome, Started
from reconciler.apply.provenance import Provenance, new_run_id
from reconciler.apply.request import request_body
from reconciler.apply.runner import Runner
from reconciler.diagnostic import Diagnostic
from reconciler.errors import Refused
from reconciler.plan.action import Action
from reconciler.plan.plan import Change, Fingerprint, Side
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.store import now, timestamp


class Seen(NamedTuple):
    """Now: the content of an intake, the deployment's model, the output under the final name."""

    intake_digest: str | None
    model_digest: str
    output_digest: str | None


Look = Callable[[str | None, str, str | None], Seen]


@dataclass(frozen=True)
class Doer:
    """Does changes, one call each, in one workspace."""

    workspace: str
    runner: Runner
    look: Look
    deployment_id: Callable[[str], str]
    provenance: Provenance

    async def do(self, change: Change) -> Ended:
        """Raises the error that ended the change; what was reached is in the state."""
        began = time.monotonic()
        self.runner.listen(Started(change.address, change.action))
        outcome, run = await self._by_action(change)
        ended = Ended(change.address, change.action, outcome, time.monotonic() - began)
        if run is None:
            return ended
        return replace(ended, job_id=run.job_id, output=run.output, rows=run.scored_rows, diagnostic=_warning(run))

    async def _by_action(self, change: Change) -> tuple[Outcome, Run | None]:
        store = self.runner.store
        if change.action is Action.RESUME:
            run = await self.runner.resume(self._open_run(change))
            if change.after and change.after.metadata != store.snapshot.metadata(self.workspace, change.address):
                store.update(self.workspace, change.address, change.after.metadata)
            return "scored", run
        if change.open_run:
            await self.runner.abort(self._open_run(change), "Aborted: the specs changed while it was open.")
        if change.after is None:
            store.forget(self.workspace, change.address)
            return "forgotten", None
        if change.action is Action.UPDATE:
            store.update(self.workspace, change.address, change.after.metadata)
            return "updated", None
        return await self._score(change, change.after)

    def _open_run(self, change: Change) -> Run:
        run = self.runner.store.snapshot.run(change.open_run or "")
        if run is None or not run.is_open:
            raise Refused("The run ended since the plan was made", "Another apply has settled it. Make a new plan.")
        return run

    async def _score(self, change: Change, after: Side) -> tuple[Outcome, Run | None]:
        seen = await asyncio.to_thread(self.look, change.intake_file, after.spec["deployment"], change.output_file)
        fingerprint = Fingerprint(after.fingerprint.spec, seen.intake_digest, seen.model_digest)
        if change.is_intake_known and fingerprint != after.fingerprint:
            raise Refused("The job changed since the plan was made", "Its intake or its model is not the one that was planned. Make a new plan.")
        if not change.is_intake_known and change.before and _is_current(change.before, fingerprint, seen):
            return "unchanged", None
        if seen.intake_digest is None:
            raise Refused("The intake file does not exist", f"The upstream job did not write {change.intake_file}.")
        run = self._intended(change, after, fingerprint)
        self.runner.store.intend(run, after.metadata)
        return "scored", await self.runner.start(run)

    def _intended(self, change: Change, after: Side, fingerprint: Fingerprint) -> Run:
        run_id = new_run_id()
        binding = after.spec["deployment"]
        deployment_id = self.deployment_id(binding)
        staging = staging_path(self.runner.root / (change.output_file or ""), run_id)
        return Run(
            id=run_id,
            workspace=self.workspace,
            address=change.address,
            status=Status.INTENDED,
            spec=after.spec,
            spec_digest=fingerprint.spec,
            intake={"file": change.intake_file},
            intake_digest=fingerprint.intake,
            model={"deployment": binding},
            model_digest=fingerprint.model,
            deployment=change.deployment,
            deployment_id=deployment_id,
            request=request_body(after.spec, deployment_id, self.runner.root, staging),
            reasons=tuple(change.reasons),
            intended_at=timestamp(now()),
            staging=str(staging),
            output=change.output_file,
            **vars(self.provenance),
        )


def _warning(run: Run) -> Diagnostic | None:
    """That some rows of a run that was delivered have no prediction."""
    if not run.failed_rows:
        return None
    return Diagnostic("Some rows were not scored", run.status_details or "", address=run.address, severity="warning")


def _is_current(before: Side, fingerprint: Fingerprint, seen: Seen) -> bool:
    """Whether the upstream's new output is what this job has read before."""
    return before.fingerprint == fingerprint and before.output_digest == seen.output_digest
