"""From specs, state and world to a plan. The rule here: everything that is looked at is looked at once, before anything is decided."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reconciler.collector import collector_paused
from reconciler.diagnostic import Diagnostic, Place
from reconciler.digests import Digests
from reconciler.errors import Refused, SpecInvalid, StateUnwritable
from reconciler.plan.action import SCORES, Action
from reconciler.plan.plan import Change, Fingerprint, Plan, Side
from reconciler.plan.planner import Decision, Observed, Wanted, decide
from reconciler.plan.remote import Answers, Look, Looks, Question, Remote
from reconciler.plan.selection import named, with_upstream
from reconciler.project import Project
from reconciler.proof import Proof, body_of, kept_proof, prove, prove_at_endpoint, stands, with_places
from reconciler.refresh import World, delivered_to, look, look_at_endpoint, note_of_unknown, unwritten
from reconciler.state.record import Recorded, Run
from reconciler.state.snapshot import Snapshot, open_snapshot
from reconciler.wanted import Detail, Specs, configuration_key, read_specs


@dataclass
class Reading:
    """What is open while a plan is made; `specs` and `proof` are what it has found out, kept for the next one."""

    project: Project
    snapshot: Snapshot
    digests: Digests
    key: str
    specs: Specs | None = None
    proof: Proof | None = None
    answers: dict[Question, str | None] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)

    def ask(self, endpoint: Mapping[str, Any], questions: Iterable[Question]) -> Answers:
        """What the endpoint says, each thing asked about once. Raises Refused and ServiceError."""
        if unasked := set(questions) - self.answers.keys():
            from reconciler.answers import answers  # the client is met only where there is an endpoint

            self.answers.update(answers(self.project, endpoint, unasked))
        return self.answers

    def look(self, openers: Mapping[str, Mapping[str, Any]], places: Iterable[str]) -> Looks:
        """What is at these places of other systems, each looked at once."""
        if unseen := set(places) - self.looks.keys():
            from reconciler.looking import look_at  # the engine is met only where there are places
            from reconciler.vault import Vault

            self.looks.update(look_at(unseen, Vault(openers, self.project.workspace, self.project.root)))
        return self.looks


@dataclass(frozen=True)
class Survey:
    """Everything that was looked at, and what was decided about it."""

    snapshot: Snapshot
    root: Path
    workspace: str
    specs: Specs
    recorded: Mapping[str, Recorded]
    world: World
    decisions: Sequence[Decision]


def make_plan(project: Project, *, target: Collection[str] = (), replace: Collection[str] = ()) -> Plan:
    """Compare what is wanted with what is recorded and with the world. Raises SpecInvalid, Refused, StateError and ServiceError."""
    with _reading(project) as reading:
        lineage, serial = reading.snapshot.lineage, reading.snapshot.serial
        is_whole = not target and not replace
        if is_whole and (proof := _standing_proof(reading, serial)):
            return Plan(project.workspace, lineage, serial, (), proof.unchanged, tuple(proof.folders), endpoint=proof.endpoint)
        survey = _survey(reading, target, replace)
        acting = [decision for decision in survey.decisions if decision.action is not Action.NO_OP]
        if unopened := _unopened(project, survey.specs, _scored(acting)):
            raise SpecInvalid(list(_placed(project.root, survey.specs, unopened)))
        changes = tuple(_described(survey, acting))
        notes = (*_notes(survey), *_doubts(survey, changes))
        if is_whole and not acting and not notes:
            reading.proof = _proof(reading, survey, serial)
        return Plan(
            project.workspace,
            lineage,
            serial,
            changes,
            len(survey.decisions) - len(acting),
            survey.specs.folders,
            bool(target),
            survey.specs.endpoint,
            notes,
            survey.specs.trusted,
            survey.specs.openers,
        )


def explain(project: Project, name: str) -> Change:
    """What would be done to one address and why, also when that is nothing. Raises as `make_plan` does."""
    with _reading(project) as reading:
        survey = _survey(reading, [name], (), option="why")
        chosen = named("why", [name], {decision.address for decision in survey.decisions})
        if len(chosen) > 1:
            raise Refused(f"{name} has several instances", "Name one of them: " + ", ".join(sorted(chosen)))
        return next(_described(survey, [decision for decision in survey.decisions if decision.address in chosen]))


@contextmanager
def _reading(project: Project) -> Iterator[Reading]:
    _have_state(project.state)
    with collector_paused():
        with open_snapshot(project.state) as snapshot:
            snapshot.freeze()  # the plan's serial must be that of what it was made from
            digests = Digests(project.root, snapshot.witnesses())
            reading = Reading(project, snapshot, digests, configuration_key(project, digests))
            yield reading
        # After the last read, so that this writer is alone and leaves no write-ahead log behind.
        _keep(reading)


def _standing_proof(reading: Reading, serial: int) -> Proof | None:
    proof = kept_proof(reading.snapshot, reading.project.workspace)
    return proof if proof and stands(proof, reading.key, serial, reading.project.root, reading.digests, reading.ask, reading.look) else None


def _proof(reading: Reading, survey: Survey, serial: int) -> Proof:
    specs, root = survey.specs, reading.project.root
    places = {place for remote in specs.remotes.values() for place in (remote.place, remote.output)}
    looks = {place: look for place, look in reading.looks.items() if place in places}
    if specs.endpoint is None:
        proof = prove(reading.key, serial, specs.folders, specs.instances, root, reading.digests)
    else:
        asked = {question: reading.answers[question] for remote in specs.remotes.values() for question in remote.questions()}
        proof = prove_at_endpoint(reading.key, serial, specs.endpoint, specs.instances, root, reading.digests, asked)
    return with_places(proof, specs.openers, looks) if looks else proof


def _survey(reading: Reading, target: Collection[str], replace: Collection[str], *, option: str = "-target") -> Survey:
    project, snapshot = reading.project, reading.snapshot
    specs = reading.specs = read_specs(project, snapshot, reading.key, reading.digests)
    instances, recorded = _targeted(specs.instances, snapshot.recorded(project.workspace), target, option)
    requested = named("-replace", replace, {instance.address for instance in instances}) if replace else set()
    world = _world(reading, specs, instances, recorded)
    sound = [instance for instance in instances if instance.address not in world.problems] if world.problems else instances
    doubted = {run.address for run in snapshot.open_runs(project.workspace) if run.is_in_doubt}
    otherwise = set(_seen_otherwise(snapshot, recorded, world, specs.remotes))
    decisions = decide(sound, recorded, world.observed, requested, specs.remotes, doubted, otherwise)
    stale = unwritten(instances, specs.remotes, world.awaited, set(_scored(decisions))) if world.awaited else {}
    if problems := world.problems or stale:
        # What was never delivered is scored once its problem is solved; then it should not meet another one.
        new = (address for address in problems if address not in recorded or recorded[address].current is None)
        unopened = _unopened(project, specs, {*_scored(decisions), *new})
        told = [*_placed(project.root, specs, problems), *_placed(project.root, specs, unopened)]
        raise SpecInvalid(list(dict.fromkeys(told)))
    return Survey(snapshot, project.root, project.workspace, specs, recorded, world, decisions)


def _seen_otherwise(snapshot: Snapshot, recorded: Mapping[str, Recorded], world: World, remotes: Mapping[str, Remote]) -> Iterator[str]:
    """Of the intakes with another digest those that were looked at in another way when it was taken, such as by another probe."""
    for address, remote in remotes.items():
        current, seen = recorded[address].current if address in recorded else None, world.observed.get(address)
        if current is None or seen is None or remote.way is None or current.intake_digest == seen.intake_digest:
            continue
        run = snapshot.run(current.id)
        if run is not None and "way" in run.intake and run.intake["way"] != remote.way:
            yield address


def _world(reading: Reading, specs: Specs, instances: Sequence[Wanted], recorded: Mapping[str, Recorded]) -> World:
    root, digests, remotes = reading.project.root, reading.digests, specs.remotes
    ours = [remotes[instance.address] for instance in instances if instance.address in remotes] if remotes else []
    # First, since who asks may be refused for a missing token.
    answers = {} if specs.endpoint is None else reading.ask(specs.endpoint, {question for remote in ours for question in remote.questions()})
    outputs = [delivered_to(recorded.get(instance.address), remotes.get(instance.address)) for instance in instances] if remotes else []
    places = [*(remote.place for remote in ours), *outputs]
    looks = reading.look(specs.openers, (place for place in places if place is not None))
    if specs.endpoint is None:
        return look(instances, recorded, root, digests, remotes, looks)
    return look_at_endpoint(instances, recorded, root, digests, remotes, answers, looks)


def _scored(decisions: Iterable[Decision]) -> Iterator[str]:
    return (decision.address for decision in decisions if decision.action in SCORES)


def _unopened(project: Project, specs: Specs, scored: Iterable[str]) -> dict[str, Diagnostic]:
    """Why outputs that would be written could not be opened, as far as it is known without going there: better now than after other jobs."""
    written = [address for address in scored if address in specs.remotes]
    if specs.endpoint is not None or not written:
        return {}
    from reconciler.looking import unopened  # the engine is met only where there are places
    from reconciler.vault import Vault

    vault = Vault(specs.openers, project.workspace, project.root)
    found = {address: unopened(detail.spec["output"], vault) for address, detail in specs.details(written).items()}
    return {address: problem for address, problem in found.items() if problem is not None}


def _notes(survey: Survey) -> Iterator[Diagnostic]:
    """Of every intake that cannot be looked at, where the spec names its job."""
    remotes, observed = survey.specs.remotes, survey.world.observed
    unknown = {address: seen.on_unknown for address in remotes if (seen := observed.get(address)) is not None and seen.on_unknown is not None}
    if unknown:
        details = survey.specs.details(unknown)
        yield from _placed(survey.root, survey.specs, {name: note_of_unknown(details[name].spec, unknown[name]) for name in unknown})


def _doubts(survey: Survey, changes: Iterable[Change]) -> Iterator[Diagnostic]:
    """What an apply will ask about runs whose jobs may have left rows in a table."""
    for change in changes:
        run = survey.snapshot.run(change.open_run) if change.open_run else None
        if run is not None and run.is_in_doubt:
            yield Diagnostic("Rows may be in the table already", run.status_details or "", address=change.address, severity="warning")


def _have_state(path: Path) -> None:
    """Make the database on the first plan, so that what is read from now on is kept; a folder that cannot be written is no reason to stop."""
    with suppress(StateUnwritable, OSError):  # what cannot even be looked for is told by the one who reads it
        if not path.exists():
            from reconciler.state.store import Store

            Store(path).close()


def _targeted(
    wanted: Sequence[Wanted], recorded: Mapping[str, Recorded], target: Collection[str], option: str
) -> tuple[Sequence[Wanted], Mapping[str, Recorded]]:
    if not target:
        return wanted, recorded
    chosen = with_upstream(named(option, target, {instance.address for instance in wanted} | set(recorded)), wanted)
    return [i for i in wanted if i.address in chosen], {address: recorded[address] for address in recorded if address in chosen}


def _placed(root: Path, specs: Specs, problems: Mapping[str, Diagnostic]) -> Iterator[Diagnostic]:
    """Problems of the world, shown where the spec names the job."""
    files: dict[str, list[str]] = {}
    for address, detail in specs.details(problems).items():
        if detail.file not in files:
            files[detail.file] = (root / detail.file).read_text(encoding="utf-8", errors="replace").splitlines()
        lines = files[detail.file]
        text = lines[detail.line - 1] if 0 < detail.line <= len(lines) else ""
        indent = len(text) - len(text.lstrip())
        place = Place(detail.file, detail.line, indent + 1, text, max(1, len(text.strip())))
        yield replace(problems[address], place=place, address=address)


def _described(survey: Survey, decisions: Sequence[Decision]) -> Iterator[Change]:
    """Decisions with their old and new sides; details are read only for these."""
    acting = {decision.address for decision in decisions}
    instances = {instance.address: instance for instance in survey.specs.instances if instance.address in acting}
    details = survey.specs.details(decision.address for decision in decisions if decision.action is not Action.FORGET)
    for decision in decisions:
        address = decision.address
        change = _recorded(survey, decision)
        if address in details:
            remote = survey.specs.remotes.get(address)
            change = _wanted(change, instances[address], details[address], survey.world.observed[address], remote)
        yield change


def _recorded(survey: Survey, decision: Decision) -> Change:
    known = survey.recorded.get(decision.address)
    latest = None if known is None else known.latest
    run = survey.snapshot.run(known.current.id) if known is not None and known.current is not None else None
    return Change(
        address=decision.address,
        action=decision.action,
        reasons=decision.reasons,
        before=None if run is None else _before(run, survey.snapshot.metadata(survey.workspace, decision.address)),
        deployment="" if run is None else run.deployment,
        output_file=None if run is None else run.output,
        open_run=latest.id if latest is not None and latest.is_open else None,
    )


def _before(run: Run, metadata: dict[str, object]) -> Side:
    return Side(Fingerprint(run.spec_digest, run.intake_digest, run.model_digest), run.spec, metadata, run.output_digest, run.intake.get("facts"))


def _wanted(change: Change, instance: Wanted, detail: Detail, seen: Observed, remote: Remote | None) -> Change:
    return replace(
        change,
        after=Side(
            Fingerprint(instance.spec_digest, seen.intake_digest, seen.model_digest), detail.spec, detail.metadata, seen.output_digest, seen.facts
        ),
        deployment=detail.deployment,
        depends_on=instance.depends_on,
        intake_file=instance.intake_file,
        output_file=instance.output_file,
        file=detail.file,
        line=detail.line,
        remote=remote,
    )


def _keep(reading: Reading) -> None:
    """Keep what was found out for the next plan. It costs time only when it is lost, so a state that cannot be written is no reason to stop."""
    fresh = reading.specs if reading.specs is not None and reading.specs.fresh is not None else None
    if fresh is None and reading.proof is None and not reading.digests.learned:
        return
    from reconciler.state.store import Store

    with suppress(StateUnwritable), Store(reading.project.state, patience_s=0) as store:
        store.keep_witnesses(reading.digests.learned.values())
        if fresh is not None:
            store.keep_configuration(fresh.key, fresh.body(), fresh.detail_rows())
        if reading.proof is not None:
            store.keep_proof(reading.project.workspace, body_of(reading.proof))
