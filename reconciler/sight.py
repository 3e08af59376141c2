"""One job's part of the world, looked at before it is submitted and when it has scored. The rule here: what is told was so a second ago."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from reconciler.answers import ask
from reconciler.api.client import Client
from reconciler.apply.change import Seen
from reconciler.apply.request import as_written
from reconciler.digests import Digests
from reconciler.errors import Refused
from reconciler.plan.plan import Change
from reconciler.plan.remote import Answers, Look, Question, remote_of, remote_of_local
from reconciler.refresh import model_digest, seen_output
from reconciler.state.record import Run
from reconciler.vault import Vault

_T = TypeVar("_T")

# Jobs of one deployment that begin or end together share an answer.
_FRESH_S = 1.0


@dataclass
class Sight:
    """Of one apply; `client` is asked where an endpoint scores, None where the embedded service does; `vault` opens other systems."""

    root: Path
    digests: Digests
    client: Client | None
    vault: Vault
    _asked: dict[Question, tuple[float, "asyncio.Task[Answers]"]] = field(default_factory=dict)
    _looks: dict[str, tuple[float, "asyncio.Task[dict[str, Look]]"]] = field(default_factory=dict)

    async def look(self, change: Change) -> Seen:
        """Raises Refused when a file cannot be read or another system will not tell, and ServiceError."""
        remote = change.remote
        files = await asyncio.to_thread(self._files, change.intake_file, change.output_file)
        answers = {} if self.client is None or remote is None else await self._answers(remote.questions())
        if self.client is None or remote is None:
            model: str | None = await self._model(change.after.spec["deployment"] if change.after else "")
        else:
            model = remote.model(answers)
        output = await self._output(change) if change.output_file is None else files[1]
        if change.intake_file is not None or remote is None:
            return Seen(files[0], model, output)
        found = Look(remote.intake(answers)) if remote.place is None else await self._found(remote.place)
        if found.problem is not None:
            raise Refused(found.problem.summary, found.problem.detail)
        return Seen(found.digest, model, output, found.facts)

    async def _output(self, change: Change) -> str | None:
        """Asked for where it counts: when an upstream job has run, it may still have written the same rows as before."""
        if change.is_intake_known or change.before is None or change.before.output_digest is None:
            return None
        place = change.remote.output if change.remote else None
        return None if place is None else seen_output(await self._found(place), change.before.output_digest)

    async def delivered(self, run: Run) -> str | None:
        """The digest of what a job has just written to an object, as later plans compare it; None where it cannot be looked at."""
        spec = run.spec
        remote = remote_of_local(spec, None, "keep") if self.client is None else remote_of(spec, None, "keep", openers=self.vault.bindings)
        if remote is None or remote.output is None:
            return None
        # Not what was found a moment ago: then the job had not written yet.
        self._looks.pop(remote.output, None)
        return (await self._found(remote.output)).digest

    async def has_intake(self, run: Run) -> bool:
        """Whether a local intake is still the one that was fingerprinted.

        No other one is looked at again: if it changed while it was read, the next plan says so.
        """
        file = run.intake.get("file")
        return file is None or (await asyncio.to_thread(self._files, file))[0] == run.intake_digest

    async def has_model(self, run: Run) -> bool:
        if self.client is None:
            return await self._model(run.model["deployment"]) == run.model_digest
        remote = remote_of(run.spec, None, "keep")
        asked = [question for question in remote.questions() if question.kind == "deployment"]
        return remote.model(await self._answers(asked)) == run.model_digest

    async def _answers(self, questions: Iterable[Question]) -> Answers:
        assert self.client is not None
        answers: dict[Question, str | None] = {}
        for question in questions:
            at, task = self._asked.get(question, (float("-inf"), None))
            if task is None or time.monotonic() - at > _FRESH_S or (task.done() and (task.cancelled() or task.exception())):
                task = asyncio.create_task(ask(self.client, [question]))
                self._asked[question] = time.monotonic(), task
            answers |= await asyncio.shield(task)
        return answers

    async def _found(self, place: str) -> Look:
        from reconciler.looking import look_at  # the engine is met only where there are places

        at, task = self._looks.get(place, (float("-inf"), None))
        if task is None or time.monotonic() - at > _FRESH_S:
            task = asyncio.create_task(asyncio.to_thread(look_at, [place], self.vault))
            self._looks[place] = time.monotonic(), task
        return (await asyncio.shield(task))[place]

    async def _model(self, folder: str) -> str:
        return await asyncio.to_thread(self._read, model_digest, self.root, folder, self.digests)

    def _files(self, *files: str | None) -> list[str | None]:
        return [None if file is None else self._read(self.digests.of, file) for file in files]

    def _read(self, read: Callable[..., _T], *what: Any) -> _T:
        try:
            return read(*what)
        except OSError as error:
            detail = f"{error.filename}: {error.strerror}. Check the path and its permissions."
            raise Refused("A file cannot be read", as_written(detail, self.root)) from None
