"""The whole journey on one page: a plan is made, approved and done. The rule here: it reads from top to bottom.

specs/*.yaml ─ wanted ─┐
state ──── recorded ───┼─ plan (pure) ─► changes ─ apply ─► intend ─► submit ─► track ─► deliver ─► record
the world ─ observed ──┘                          each step durable in the state before the next one begins
"""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from reconciler.api.client import Client
from reconciler.apply.adoption import Adoption
from reconciler.apply.change import Doer, Terms
from reconciler.apply.event import Ended, Listener, Noted
from reconciler.apply.flight import Flight, Limits
from reconciler.apply.pool import do_all
from reconciler.apply.provenance import provenance
from reconciler.apply.request import embedded_body, endpoint_body
from reconciler.apply.runner import Runner
from reconciler.apply.watch import FAR, NEAR, Wait, Watch
from reconciler.digests import Digests
from reconciler.embedded import deployment_id
from reconciler.errors import Interrupted, PlanStale, ReconcilerError, ServiceError, Stopped
from reconciler.plan.plan import Plan
from reconciler.project import Project
from reconciler.scorer import open_scorer
from reconciler.sight import Sight
from reconciler.state.lifecycle import Status
from reconciler.state.record import Run
from reconciler.state.store import Store
from reconciler.vault import Vault

_HEARTBEAT_S = 10.0

OpenStore = Callable[[Path], Store]
OpenClient = Callable[[Project, Mapping[str, Any] | None, Mapping[str, bool], Vault, int], AbstractAsyncContextManager[Client]]


@dataclass(frozen=True)
class Edges:
    """Where an apply meets the outside; what a test replaces."""

    open_store: OpenStore = Store
    open_client: OpenClient = open_scorer
    wait: Wait = asyncio.sleep


@dataclass(frozen=True)
class Manner:
    """How an apply goes about it: how much at once, how long to wait for the lock, what an interrupt does to jobs in flight."""

    limits: Limits = field(default_factory=Limits)
    lock_timeout_s: float = 0.0
    on_interrupt: Literal["detach", "cancel"] = "detach"


def apply_plan(project: Project, plan: Plan, listen: Listener, *, manner: Manner | None = None, edges: Edges | None = None) -> list[Ended]:
    """Do exactly what the plan says. A job that fails is one of the results; what stops everything is raised."""
    manner, edges = manner or Manner(), edges or Edges()
    with edges.open_store(project.state) as store, store.locked("apply", manner.lock_timeout_s, lambda text: listen(Noted(text))) as lock:
        for text in lock.notes:
            listen(Noted(text))
        if (store.snapshot.lineage, store.snapshot.serial - lock.replayed) != (plan.lineage, plan.serial):
            raise PlanStale("The state changed since the plan was made", "Another apply has written to it. Run the command again for a new plan.")
        if not plan.changes:
            return []
        store.reserve(plan.to_score)
        try:
            return asyncio.run(_applied(project, plan, store, listen, manner, edges))
        except KeyboardInterrupt:  # asyncio turns the first one into a cancellation, which `_applied` has met
            raise Interrupted("Interrupted twice", "What was recorded is safe; run apply again to go on.") from None
        except BaseExceptionGroup as group:
            raise _first(group) from None


async def _applied(project: Project, plan: Plan, store: Store, listen: Listener, manner: Manner, edges: Edges) -> list[Ended]:
    # Open runs are served too, wanted or not: the embedded service takes up every job that it was stopped in.
    open_runs = store.snapshot.open_runs(plan.workspace) if plan.endpoint is None else ()
    folders = {*plan.deployments, *(run.model["deployment"] for run in open_runs)}
    with _hurrying(store):
        return await _attended(project, plan, store, listen, manner, edges, {folder: folder in plan.trusted for folder in sorted(folders)})


async def _attended(
    project: Project, plan: Plan, store: Store, listen: Listener, manner: Manner, edges: Edges, folders: Mapping[str, bool]
) -> list[Ended]:
    digests = Digests(project.root, store.snapshot.witnesses())
    pace = NEAR if plan.endpoint is None else FAR
    vault = Vault(plan.openers, project.workspace, project.root)
    async with edges.open_client(project, plan.endpoint, folders, vault, manner.limits.requests) as client, Watch(client, pace, edges.wait) as watch:
        sight = Sight(project.root, digests, None if plan.endpoint is None else client, vault)
        adoption = Adoption(store, client, store.snapshot.open_runs(plan.workspace))
        # The embedded service opens what it is given by itself, when it opens the place.
        opened = dict if plan.endpoint is None else vault.opened
        runner = Runner(project.root, store, client, watch, adoption, sight.has_intake, sight.has_model, listen, sight.delivered, opened)
        try:
            async with _heartbeat(store):
                creator = None if plan.endpoint is None else await client.creator()
                doer = Doer(plan, runner, sight.look, Flight(manner.limits), _terms(project, plan), provenance(project.root), creator)
                ended = await do_all(plan.changes, doer.do, listen)
        except asyncio.CancelledError:
            raise await _stopped(plan, runner, manner) from None
    store.keep_witnesses(digests.learned.values())
    return ended


def _terms(project: Project, plan: Plan) -> Terms:
    if plan.endpoint is not None:
        return Terms(lambda spec: str(spec.get("deployment", "")), lambda spec, staging: endpoint_body(spec))

    def body(spec: Mapping[str, Any], staging: str) -> dict[str, Any]:
        return embedded_body(spec, deployment_id(spec["deployment"]), project.root, project.root / staging)

    return Terms(lambda spec: deployment_id(spec["deployment"]), body)


async def _stopped(plan: Plan, runner: Runner, manner: Manner) -> Stopped:
    """What an interrupt leaves behind, in words; with `cancel`, after the jobs in flight were aborted."""
    runs = runner.store.snapshot.open_runs(plan.workspace)
    if manner.on_interrupt == "cancel":
        ours = {change.address for change in plan.changes}
        # What has scored is paid for: the next apply delivers it.
        await asyncio.gather(*(_cancel(runner, run) for run in runs if run.address in ours and run.status is not Status.SCORED))
        runs = runner.store.snapshot.open_runs(plan.workspace)
    if not runs:
        return Stopped("Interrupted", "No job is in flight. Run apply again to go on with the rest.")
    going = [f"  {run.address} {_left(run)}" for run in runs]
    if plan.endpoint is None:
        said = "These jobs were stopped, and are recorded as such:"
        again = "Run apply again to go on with them."
    else:
        said = "These jobs go on without us:"
        again = "Run apply again to take them up; nothing is submitted twice. To end them instead: apply -on-interrupt=cancel, interrupted once more."
    return Stopped("Interrupted", "\n".join([said, *going, again]))


def _left(run: Run) -> str:
    if run.job_id is None:
        return "(submitted or not: the next apply finds out)"
    return f"[id={run.job_id}]" + (" (ended; rows of it may be in a table: the next apply asks)" if run.is_in_doubt else "")


async def _cancel(runner: Runner, run: Run) -> None:
    with suppress(ServiceError):  # then it is one of those that go on
        await runner.abort(run, "Aborted: apply was interrupted with -on-interrupt=cancel.")


@contextmanager
def _hurrying(store: Store) -> Iterator[None]:
    """From the first Ctrl-C on, a write waits for no other program; then asyncio's own handler cancels what goes on."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def hurry(number: int, frame: FrameType | None) -> None:
        store.hurry()
        before(number, frame)

    signal.signal(signal.SIGINT, hurry)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@asynccontextmanager
async def _heartbeat(store: Store) -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_S)
            store.beat()

    async with asyncio.TaskGroup() as group:
        heart = group.create_task(beat())
        try:
            yield
        finally:
            heart.cancel()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of what several tasks raised, what the user should read: an error of ours, else the first."""
    found: list[BaseException] = []

    def collect(error: BaseException) -> None:
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                collect(inner)
        else:
            found.append(error)

    collect(group)
    return next((error for error in found if isinstance(error, ReconcilerError)), found[0])
