"""The whole journey on one page: a plan is made, approved and done. The rule here: it reads from top to bottom.

specs/*.yaml ─ wanted ─┐
state ──── recorded ───┼─ plan (pure) ─► changes ─ apply ─► intend ─► submit ─► track ─► deliver ─► record
the world ─ observed ──┘                          each step durable in the state before the next one begins
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.api.client import Client
from reconciler.apply.change import Doer, Seen
from reconciler.apply.event import Ended, Listener
from reconciler.apply.pool import do_all
from reconciler.apply.provenance import provenance
from reconciler.apply.request import as_written
from reconciler.apply.runner import Runner, Wait, poll_wait
from reconciler.digests import Digests
from reconciler.embedded import deployment_id, embedded_client
from reconciler.errors import Interrupted, ReconcilerError, Refused, Stopped
from reconciler.plan.plan import Plan
from reconciler.project import Project
from reconciler.refresh import model_digest
from reconciler.state.record import Run
from reconciler.state.store import Store

_HEARTBEAT_S = 10.0

OpenStore = Callable[[Path], Store]
OpenClient = Callable[[Path, Path, Mapping[str, bool]], AbstractAsyncContextManager[Client]]


@dataclass(frozen=True)
class Edges:
    """Where an apply meets the outside; what a test replaces."""

    open_store: OpenStore = Store
    open_client: OpenClient = embedded_client
    wait: Wait = poll_wait


def apply_plan(project: Project, plan: Plan, listen: Listener, *, parallelism: int = 10, edges: Edges | None = None) -> list[Ended]:
    """Do exactly what the plan says. A job that fails is one of the results; what stops everything is raised."""
    edges = edges or Edges()
    with edges.open_store(project.state) as store, store.locked("apply"):
        if (store.snapshot.lineage, store.snapshot.serial) != (plan.lineage, plan.serial):
            raise Refused("The state changed since the plan was made", "Another apply has written to it. Run the command again for a new plan.")
        if not plan.changes:
            return []
        try:
            return asyncio.run(_stoppable(_apply(project, plan, store, listen, parallelism, edges)))
        except KeyboardInterrupt:  # asyncio turns the first one into a cancellation, which `_stoppable` has met
            raise Interrupted("Interrupted twice", "What was recorded is safe; run apply again to go on.") from None
        except BaseExceptionGroup as group:
            raise _first(group) from None


async def _stoppable(applying: Coroutine[Any, Any, list[Ended]]) -> list[Ended]:
    try:
        return await applying
    except asyncio.CancelledError:
        raise Stopped("Interrupted", "The runs that were open are recorded as such; run apply again to go on with them.") from None


async def _apply(project: Project, plan: Plan, store: Store, listen: Listener, parallelism: int, edges: Edges) -> list[Ended]:
    digests = Digests(project.root, store.snapshot.witnesses())

    def look(intake: str | None, folder: str, output: str | None) -> Seen:
        try:
            present = digests.of(output) if output else None
            return Seen(digests.of(intake) if intake else None, model_digest(project.root, folder, digests), present)
        except OSError as error:
            detail = f"{error.filename}: {error.strerror}. Check the path and its permissions."
            raise Refused("A file cannot be read", as_written(detail, project.root)) from None

    def is_same(run: Run) -> bool:
        seen = look(run.intake["file"], run.model["deployment"], None)
        return (seen.intake_digest, seen.model_digest) == (run.intake_digest, run.model_digest)

    # Open runs are served too, wanted or not: the service takes up every job that it was stopped in.
    folders = {*plan.deployments, *(run.model["deployment"] for run in store.snapshot.open_runs(plan.workspace))}
    storage = project.state.parent / f"{project.state.stem}.service" / plan.workspace
    trust = {folder: folder in plan.trusted for folder in sorted(folders)}
    async with edges.open_client(project.root, storage, trust) as client, _heartbeat(store):
        runner = Runner(project.root, store, client, is_same, listen, edges.wait)
        doer = Doer(plan.workspace, runner, look, deployment_id, provenance(project.root))
        ended = await do_all(plan.changes, doer.do, parallelism, listen)
    store.keep_witnesses(digests.learned.values())
    return ended


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
