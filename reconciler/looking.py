"""What places elsewhere hold now. The rule here: all at the same time, for a bounded time, and what a system says is never the end of a plan.

Nothing here is imported where no intake or output is a place of another system.
"""

import json
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from reconciler.diagnostic import Diagnostic
from reconciler.engine.connectors.rooms import ROOMS, is_installed
from reconciler.engine.look import look
from reconciler.engine.packages import install
from reconciler.engine.place import Place, intake_place, output_place
from reconciler.errors import Absent, ScoringError, Unreachable
from reconciler.fingerprint import canonical_json, value_digest
from reconciler.plan.remote import Look
from reconciler.templates import Times, filled, filled_query
from reconciler.vault import Vault

_AT_ONCE = 8
_PATIENCE_S = 120.0
# More facts than this tell a reader nothing, and are not kept.
_FACTS_BYTES = 4096


def look_at(places: Iterable[str], vault: Vault, patience_s: float = _PATIENCE_S) -> dict[str, Look]:
    """Each place, as `reconciler.plan.remote.place_of` has made it, looked at once."""
    todo: SimpleQueue[str] = SimpleQueue()
    done: SimpleQueue[tuple[str, Look]] = SimpleQueue()
    wanted = set(places)
    lost: dict[str, Look] = {}  # stores that do not answer: nobody waits for each of thousands of outputs
    for place in sorted(wanted, key=lambda place: (bool(_store(place)), place)):
        todo.put(place)  # intakes first: without them there is no plan, while an output that nobody could look at is taken to be as it was

    def work() -> None:
        while True:
            try:
                place = todo.get_nowait()
            except Empty:
                return
            store = _store(place)
            seen = lost.get(store) or _look(place, vault)
            if store and seen.is_unreachable:
                lost[store] = seen
            done.put((place, seen))

    # Daemons: a system that never answers must not keep the program from ending.
    for _ in range(min(_AT_ONCE, len(wanted))):
        Thread(target=work, name="look", daemon=True).start()
    found: dict[str, Look] = {}
    until = time.monotonic() + patience_s
    while len(found) < len(wanted):
        try:
            place, seen = done.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            break
        found[place] = seen
    return {place: found.get(place) or _silent(place, patience_s) for place in wanted}


def unopened(output: Mapping[str, Any], vault: Vault) -> Diagnostic | None:
    """Why an output (its settings) cannot be opened: no library, or no secret where one is named. Nothing is connected to."""
    kind = output["type"]
    if kind not in ROOMS:
        return None
    if not is_installed(kind):
        return Diagnostic("A package is not installed", f"An output of type {kind} needs it. Run: {install(ROOMS[kind].extra)}")
    try:
        output_place(output, vault, job="")
    except ScoringError as error:
        return Diagnostic(error.summary, error.detail)
    return None


def _look(place: str, vault: Vault) -> Look:
    told = json.loads(place)
    try:
        facts = look(_filled(told, vault) if "settings" in told else output_place(told["output"], vault, job=""))
    except Absent as error:
        return Look(problem=Diagnostic(error.summary, error.detail), is_absent=True)
    except ScoringError as error:
        return Look(problem=Diagnostic(error.summary, error.detail), is_unreachable=isinstance(error, Unreachable))
    except Exception as error:  # a library's own: its words may hold what it was given
        detail = f"Looking at {_name(told)} failed with {type(error).__name__}."
        return Look(problem=Diagnostic("The intake cannot be looked at", detail))
    return Look() if facts is None else Look(value_digest(facts), _few(facts))


def _store(place: str) -> str:
    """Of an output, what else is out of reach when it is; empty for an intake, whose every problem is told."""
    output = json.loads(place).get("output")
    return "" if output is None else f"{output['type']} {output.get('endpointUrl', '')} {urlsplit(output['url']).netloc}"


def _filled(told: Mapping[str, Any], vault: Vault) -> Place:
    """The place as a job would find it that was made now."""
    now = Times(datetime.now(UTC))
    probe = told["probe"] and filled_query(told["probe"], now)
    return intake_place(filled("intakeSettings", told["settings"], now), vault, probe=probe)


def _few(facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return facts if len(canonical_json(facts)) <= _FACTS_BYTES else None


def _silent(place: str, patience_s: float) -> Look:
    detail = f"{_name(json.loads(place))} did not answer for {patience_s:g} s. Try again; or give the job an intake_version."
    return Look(problem=Diagnostic("The intake cannot be looked at", detail))


def _name(told: Mapping[str, Any]) -> str:
    settings = told.get("settings") or told["output"]
    return f"{settings['type']} {settings.get('url') or settings.get('table') or 'query'}"
