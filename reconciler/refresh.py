"""What the world looks like now: intakes, deployed models, outputs. The rule here: it looks and never decides."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from reconciler.diagnostic import Diagnostic
from reconciler.digests import Digests
from reconciler.errors import ModelError
from reconciler.fingerprint import folder_files, listing_digest
from reconciler.plan.planner import Observed, Wanted
from reconciler.plan.remote import PROBED, Answers, Look, Looks, OnUnknown, Question, Remote
from reconciler.state.record import Recorded


class World(NamedTuple):
    """What was seen, by address, and what could not be looked at, by address: what another job writes is `awaited`, and need not be there yet."""

    observed: dict[str, Observed]
    problems: dict[str, Diagnostic]
    awaited: dict[str, Diagnostic]


_NO_REMOTES: Mapping[str, Remote] = MappingProxyType({})
_NO_ANSWERS: Answers = MappingProxyType({})
_NO_LOOKS: Looks = MappingProxyType({})


def look(
    instances: Iterable[Wanted],
    recorded: Mapping[str, Recorded],
    root: Path,
    digests: Digests,
    remotes: Mapping[str, Remote] = _NO_REMOTES,
    looks: Looks = _NO_LOOKS,
) -> World:
    """Look at every instance: each file is stat-ed, and read only if it changed; each deployment is looked at once.

    `looks` say what was found at the places of `remotes`, which are no files.
    """
    wanted = list(instances)
    models = {folder: _model(root, folder, digests) for folder in {instance.deployment for instance in wanted}}
    observed: dict[str, Observed] = {}
    problems: dict[str, Diagnostic] = {}
    absent: list[Wanted] = []
    for instance in wanted:
        address, intake, model = instance.address, instance.intake_file, models[instance.deployment]
        if isinstance(model, Diagnostic):
            problems[address] = model
            continue
        try:
            seen_output = _output(recorded.get(address), remotes.get(address), looks, digests)
            if intake is None:
                observed[address] = _observed(remotes[address], _NO_ANSWERS, looks, model, seen_output)
                continue
            observed[address] = Observed(digests.of(intake), model, seen_output)
        except OSError as error:
            problems[address] = _unreadable(error, root)
        else:
            if observed[address].intake_digest is None:
                absent.append(instance)
    missed, awaited = _missed(wanted, remotes, looks)
    return World(observed, problems | _missing(absent, wanted) | missed, awaited)


def look_at_endpoint(
    instances: Iterable[Wanted],
    recorded: Mapping[str, Recorded],
    root: Path,
    digests: Digests,
    remotes: Mapping[str, Remote],
    answers: Answers,
    looks: Looks = _NO_LOOKS,
) -> World:
    """The same where an endpoint scores: its answers for models and datasets, local files as they are."""
    wanted = list(instances)
    observed: dict[str, Observed] = {}
    problems: dict[str, Diagnostic] = {}
    absent: list[Wanted] = []
    for instance in wanted:
        address, remote, file = instance.address, remotes[instance.address], instance.intake_file
        if gone := [question for question in remote.questions() if answers[question] is None]:
            problems[address] = _unknown_to_endpoint(gone[0])
            continue
        try:
            seen_output, model = _output(recorded.get(address), remote, looks, digests), remote.model(answers)
            if file is None:
                observed[address] = _observed(remote, answers, looks, model, seen_output)
                continue
            observed[address] = Observed(digests.of(file), model, seen_output)
        except OSError as error:
            problems[address] = _unreadable(error, root)
        else:
            if observed[address].intake_digest is None:
                absent.append(instance)
    missed, awaited = _missed(wanted, remotes, looks)
    return World(observed, problems | _missing(absent, wanted) | missed, awaited)


def delivered_to(known: Recorded | None, remote: Remote | None) -> str | None:
    """The place to look at for what was delivered elsewhere than to this disk, if it was looked at then, and is still where it is wanted."""
    current = None if known is None else known.current
    is_there = current is not None and current.output_digest is not None and remote is not None and remote.writes == current.output_file
    return remote.output if is_there and remote is not None else None


def _output(known: Recorded | None, remote: Remote | None, looks: Looks, digests: Digests) -> str | None:
    """What is there now of what was delivered. Raises OSError; elsewhere than on this disk, what cannot be looked at is taken to be as it was."""
    current = None if known is None else known.current
    if current is None or current.output_digest is None or current.output_file is None:
        return None
    if "://" not in current.output_file:
        return digests.of(current.output_file)
    place = delivered_to(known, remote)
    return current.output_digest if place is None else seen_output(looks[place], current.output_digest)


def seen_output(found: Look, before: str | None) -> str | None:
    """The digest of an output that is an object, None where it is gone; as before where nobody can tell."""
    return found.digest if found.digest is not None or found.is_absent else before


def _observed(remote: Remote, answers: Answers, looks: Looks, model: str | None, output: str | None) -> Observed:
    """With an intake that is no file."""
    found = Look(remote.intake(answers)) if remote.place is None else looks[remote.place]
    is_unknown = found.digest is None and found.problem is None
    return Observed(found.digest, model, output, remote.on_unknown if is_unknown else None, found.facts)


def note_of_unknown(spec: Mapping[str, Any], on_unknown: OnUnknown) -> Diagnostic:
    """What is said of an intake that cannot be looked at."""
    does = "a run that was delivered is kept" if on_unknown == "keep" else "the job is rerun with every apply"
    other = "; or write on_unknown: rerun, to score it with every apply." if on_unknown == "keep" else "."
    probe = "Give the job a probe, a query whose rows change when those of the table do; or" if spec["intake"]["type"] in PROBED else "Give the job"
    detail = (
        f"Whether the rows of this intake ({spec['intake']['type']}) have changed cannot be seen from here, so {does}. "
        f"{probe} an intake_version, your own word for the version of its rows, and it is scored for each new word{other}"
    )
    return Diagnostic("An intake cannot be looked at", detail, severity="warning")


def _unknown_to_endpoint(question: Question) -> Diagnostic:
    word = question.kind
    return Diagnostic(
        f"There is no such {word}",
        f"There is no {word} {question.id} at the workspace's endpoint, or the token's user may not see it. Correct the id, or share the {word}.",
    )


def _missing(absent: Sequence[Wanted], wanted: Sequence[Wanted]) -> dict[str, Diagnostic]:
    """An intake may be missing when another job will write it."""
    written = {instance.output_file for instance in wanted} if absent else set()
    return {instance.address: _no_intake(instance.intake_file) for instance in absent if instance.intake_file not in written}


def unwritten(
    wanted: Iterable[Wanted], remotes: Mapping[str, Remote], awaited: Mapping[str, Diagnostic], scored: AbstractSet[str]
) -> dict[str, Diagnostic]:
    """Of what is awaited, what no job that is `scored` will write. What writes it is named."""
    writes = {instance.address: remotes[instance.address].writes for instance in wanted if instance.address in remotes}
    found = {address: [writer for writer, place in writes.items() if remotes[address].is_filled_by(place)] for address in awaited}
    return {address: _stale(awaited[address], writers[0]) for address, writers in found.items() if scored.isdisjoint(writers)}


def _stale(problem: Diagnostic, writer: str) -> Diagnostic:
    detail = f"{problem.detail} This is what {writer} writes, which is up to date. To have it written anew: reconciler apply -replace='{writer}'."
    return replace(problem, detail=detail)


def _missed(wanted: Iterable[Wanted], remotes: Mapping[str, Remote], looks: Looks) -> tuple[dict[str, Diagnostic], dict[str, Diagnostic]]:
    """What could not be looked at, and of that what another job writes."""
    if not any(look.problem for look in looks.values()):
        return {}, {}
    found = {instance.address: remotes[instance.address] for instance in wanted if instance.address in remotes}
    written = {remote.writes for remote in found.values()}
    missed: dict[str, Diagnostic] = {}
    awaited: dict[str, Diagnostic] = {}
    for address, remote in found.items():
        if remote.place is not None and (problem := looks[remote.place].problem):
            (awaited if any(remote.is_filled_by(place) for place in written) else missed)[address] = problem
    return missed, awaited


def model_digest(root: Path, folder: str, digests: Digests) -> str:
    """The identity of a deployed model: the names and bytes of the files in its folder. Raises ModelError and OSError."""
    top = root / folder
    if not top.is_dir():
        raise ModelError(
            "The model folder does not exist",
            f"There is no folder {folder}. A local deployment is a folder with model-metadata.yaml and the model's file beside it.",
        )
    prefix = f"{folder.rstrip('/')}/"
    found = {path.relative_to(top).as_posix(): digests.of(prefix + path.relative_to(top).as_posix()) for path in folder_files(top)}
    return listing_digest({name: digest for name, digest in found.items() if digest is not None})


def _model(root: Path, folder: str, digests: Digests) -> str | Diagnostic:
    try:
        return model_digest(root, folder, digests)
    except ModelError as error:
        return Diagnostic(error.summary, error.detail)
    except OSError as error:
        return _unreadable(error, root)


def _unreadable(error: OSError, root: Path) -> Diagnostic:
    file = str(error.filename).removeprefix(f"{root}/")
    return Diagnostic("A file cannot be read", f"{file}: {error.strerror}. Check the path and its permissions.")


def _no_intake(intake: str | None) -> Diagnostic:
    return Diagnostic(
        "The intake file does not exist",
        f"There is no file {intake}. Relative paths start at the folder that holds specs/. Put the file there, or correct `file`.",
    )
