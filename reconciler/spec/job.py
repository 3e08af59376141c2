"""Jobs as written, with the keys of their instances. The rule here: what instances there are is known before any of them is built."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from reconciler.spec.expression import NAME, Each, Scope, fill, has_expression, references
from reconciler.spec.instance import address_of
from reconciler.spec.model import JOB_KEYS
from reconciler.spec.position import Path
from reconciler.spec.problem import Problems, Spot
from reconciler.spec.secret import sheltered
from reconciler.spec.section import Entry
from reconciler.spec.wording import shown

DEPENDENCY = re.compile(rf"(?:job\.)?({NAME})(?:\[(.*)\])?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Job:
    """`body` is keyed by the names of `model.Job`; `written` says how each key is spelled in the file."""

    name: str
    spot: Spot
    body: dict[str, Any]
    written: dict[str, str]
    instances: dict[str | None, Each | None]

    def spot_of(self, key: str) -> Spot:
        return self.spot / self.written.get(key, key)

    def spot_at(self, path: Path) -> Spot:
        """`path` begins with the name of a key; nothing at all is the job itself."""
        spot = self.spot_of(str(path[0])) if path else self.spot
        return Spot(spot.document, spot.path + path[1:])

    def addresses(self) -> list[str]:
        return [address_of(self.name, key) for key in self.instances]

    def upstream(self) -> set[str]:
        """The names of the jobs it waits for, whether they exist or not."""
        found = {reference.path[0] for reference in references(self.body) if reference.root == "job"} if has_expression(self.body) else set()
        waits = self.body.get("depends_on")
        texts = [text for text in waits if isinstance(text, str)] if isinstance(waits, list) else []
        return found | {match[1] for text in texts if (match := DEPENDENCY.fullmatch(text))}


def read_jobs(entries: Mapping[str, Entry], variables: Mapping[str, Any], problems: Problems) -> dict[str, Job]:
    scope = Scope(variables)
    found = (_job(entry, scope, problems) for entry in entries.values())
    return {job.name: job for job in found if job is not None}


def in_order(jobs: Mapping[str, Job], problems: Problems) -> Iterator[Job]:
    """Every job after those it waits for; nothing when they wait for each other."""
    graph = {name: sorted(job.upstream() & jobs.keys()) for name, job in jobs.items()}
    try:
        names = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        # The sorter's cycle runs from a job to the one that waits for it.
        cycle = error.args[1][::-1]
        first, *others = [f"job.{name}" for name in cycle]
        detail = f"{first} waits for {', which waits for '.join(others)}. One of them must not wait."
        problems.add(jobs[cycle[0]].spot, "Dependency cycle", detail, is_key=True)
        names = []
    return (jobs[name] for name in names)


def _job(entry: Entry, scope: Scope, problems: Problems) -> Job | None:
    if not isinstance(entry.value, dict):
        problems.add(
            entry.spot, "Invalid job", f"A job is a mapping with deployment, intake_settings and output_settings; found {shown(entry.value)}."
        )
        return None
    body: dict[str, Any] = {}
    written: dict[str, str] = {}
    for key, value in entry.value.items():
        name: str = JOB_KEYS.get(str(key), str(key))
        if name in written:
            problems.add(entry.spot / key, "Duplicate key", f'"{key}" and "{written[name]}" are one key. Keep one of the two.', is_key=True)
        elif value is not None or name == "for_each":
            body[name], written[name] = value, key
    instances: dict[str | None, Each | None] = {None: None}
    if "for_each" in body:
        each = entry.spot / written["for_each"]
        instances = _instances(fill(body.pop("for_each"), scope, each, problems), each, problems)
    return Job(entry.name, entry.spot, sheltered(body), written, instances)


def _instances(keys: Any, spot: Spot, problems: Problems) -> dict[str | None, Each | None]:
    if isinstance(keys, dict):
        return {key: Each(key, value) for key, value in keys.items()}
    if not isinstance(keys, list):
        problems.add(spot, "Invalid for_each", f"for_each must be a list of texts, or a mapping of keys to values; found {shown(keys)}.")
        return {}
    found: dict[str | None, Each | None] = {}
    for number, key in enumerate(keys):
        if not isinstance(key, str):
            detail = f"A key of for_each must be a text; found {shown(key)}. Quote it if it is meant as text."
            problems.add(spot / number, "Invalid for_each", detail)
        elif key in found:
            problems.add(spot / number, "Duplicate key", f'"{key}" is already a key of this for_each.')
        else:
            found[key] = Each(key, key)
    return found
