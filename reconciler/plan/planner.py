"""Deciding what to do for every address. The rule here: values in, values out; no file, clock, network or database."""

from collections.abc import Collection, Iterable, Mapping
from graphlib import TopologicalSorter
from types import MappingProxyType
from typing import Any, NamedTuple

from reconciler.plan.action import SCORES, Action, Reason
from reconciler.plan.remote import OnUnknown, Remote
from reconciler.state.lifecycle import Status
from reconciler.state.record import Facts, Recorded


class Wanted(NamedTuple):
    """One instance as the specs want it; as much as deciding needs. A tuple, because a plan may hold 100,000."""

    address: str
    spec_digest: str
    metadata_digest: str
    deployment: str
    intake_file: str | None
    output_file: str | None
    depends_on: tuple[str, ...]


class Observed(NamedTuple):
    """The world as it is now for one address; None: not there, or cannot be looked at. `on_unknown` is given where the intake cannot."""

    intake_digest: str | None
    model_digest: str | None
    output_digest: str | None
    on_unknown: OnUnknown | None = None
    facts: Mapping[str, Any] | None = None  # behind the digest of an intake that is no file


class Decision(NamedTuple):
    address: str
    action: Action
    reasons: tuple[Reason, ...]


_NOTHING = Recorded("", None, None, None)
_NO_REMOTES: Mapping[str, Remote] = MappingProxyType({})
_AFTER_A_BAD_RUN = {Status.FAILED: Reason.LAST_RUN_FAILED, Status.ABORTED: Reason.LAST_RUN_ABORTED}


def decide(
    wanted: Iterable[Wanted],
    recorded: Mapping[str, Recorded],
    observed: Mapping[str, Observed],
    replace: Collection[str] = (),
    remotes: Mapping[str, Remote] = _NO_REMOTES,
    doubted: Collection[str] = (),
    otherwise: Collection[str] = (),
) -> list[Decision]:
    """A decision for every address wanted or recorded, upstream jobs before those that read their outputs, no-ops included.

    `remotes` are of the instances with a place that is no local file: one job may write it, and another one read it. `doubted` are addresses whose
    open run may have left rows in a table; `otherwise` those whose intake was looked at in another way, when it was scored, than it is now.
    """
    decisions: dict[str, Decision] = {}
    rewritten: set[str] = set()  # places that a job before will write anew
    for instance in _upstream_first(wanted):
        address = instance.address
        remote = remotes.get(address) if remotes else None
        reruns_upstream = instance.intake_file in rewritten or (remote is not None and _is_rewritten(remote, instance.depends_on, rewritten, remotes))
        decision = _decide_one(instance, recorded.get(address, _NOTHING), observed[address], reruns_upstream, address in replace)
        if address in otherwise:
            named = (Reason.INTAKE_SEEN_OTHERWISE if reason is Reason.INTAKE_CHANGED else reason for reason in decision.reasons)
            decision = decision._replace(reasons=tuple(named))
        if address in doubted:
            decision = decision._replace(reasons=(*(reason for reason in decision.reasons if reason is not Reason.INTERRUPTED), Reason.IN_DOUBT))
        decisions[address] = decision
        if decision.action in SCORES:
            rewritten.update(place for place in (instance.output_file, remote and remote.writes) if place is not None)
    for address in recorded:
        if address not in decisions:
            decisions[address] = Decision(address, Action.FORGET, (Reason.NOT_DECLARED,))
    return list(decisions.values())


def _is_rewritten(remote: Remote, upstream: Iterable[str], rewritten: Collection[str], remotes: Mapping[str, Remote]) -> bool:
    """All of the rows, or in a folder those that a job upstream writes."""
    in_folder = (remotes[address].writes for address in upstream if address in remotes)
    return remote.reads in rewritten or any(place in rewritten and remote.is_filled_by(place) for place in in_folder)


def _decide_one(wanted: Wanted, recorded: Recorded, observed: Observed, reruns_upstream: bool, is_requested: bool) -> Decision:
    latest, current = recorded.latest, recorded.current
    is_open = latest is not None and latest.is_open
    if latest is not None and is_open and not is_requested and not _changes(latest, wanted, observed, reruns_upstream):
        return Decision(wanted.address, Action.RESUME, (Reason.INTERRUPTED,))
    if current is None:
        why = Reason.NEVER_RUN if latest is None else _AFTER_A_BAD_RUN.get(Status(latest.status), Reason.INTERRUPTED)
        return Decision(wanted.address, Action.SUBMIT, (why, Reason.UPSTREAM_RERUNS) if reruns_upstream else (why,))
    reasons = _changes(current, wanted, observed, reruns_upstream) + _output_changes(current, observed)
    if observed.on_unknown == "rerun":
        reasons += (Reason.INTAKE_UNKNOWN,)
    if is_requested:
        reasons += (Reason.REQUESTED,)
    if reasons:
        if latest is not None and latest is not current and (bad := _AFTER_A_BAD_RUN.get(Status(latest.status))):
            reasons += (bad,)
        return Decision(wanted.address, Action.RERUN, reasons)
    if is_open:  # of a spec that was taken back: the current run stands, the open one is ended
        return Decision(wanted.address, Action.UPDATE, (Reason.INTERRUPTED,))
    if recorded.metadata_digest != wanted.metadata_digest:
        return Decision(wanted.address, Action.UPDATE, (Reason.METADATA_CHANGED,))
    return Decision(wanted.address, Action.NO_OP, ())


def _changes(run: Facts, wanted: Wanted, observed: Observed, reruns_upstream: bool) -> tuple[Reason, ...]:
    """Which components of the fingerprint differ from those of `run`. An intake that cannot be looked at has not changed, as far as anybody knows."""
    is_other_intake = run.intake_digest != observed.intake_digest and observed.on_unknown is None
    if run.spec_digest == wanted.spec_digest and run.model_digest == observed.model_digest and not reruns_upstream:
        return (Reason.INTAKE_CHANGED,) if is_other_intake else ()
    cases = (
        (run.spec_digest != wanted.spec_digest, Reason.SPEC_CHANGED),
        (is_other_intake and not reruns_upstream, Reason.INTAKE_CHANGED),
        (run.model_digest != observed.model_digest, Reason.MODEL_REPLACED),
        (reruns_upstream, Reason.UPSTREAM_RERUNS),
    )
    return tuple(reason for is_so, reason in cases if is_so)


def _output_changes(run: Facts, observed: Observed) -> tuple[Reason, ...]:
    if observed.output_digest == run.output_digest:
        return ()
    return (Reason.OUTPUT_MISSING,) if observed.output_digest is None else (Reason.OUTPUT_ALTERED,)


def _upstream_first(wanted: Iterable[Wanted]) -> list[Wanted]:
    """A stable order in which every instance comes after those that it depends on; the loader has refused cycles."""
    ordered = list(wanted)
    if not any(instance.depends_on for instance in ordered):
        return ordered
    by_address = {instance.address: instance for instance in ordered}
    graph = {instance.address: [name for name in instance.depends_on if name in by_address] for instance in ordered}
    return [by_address[address] for address in TopologicalSorter(graph).static_order()]
