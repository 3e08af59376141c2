"""What is decided for every address: one table, then what reaches beyond one address."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from reconciler.fingerprint import value_digest
from reconciler.plan.action import Action, Reason
from reconciler.plan.planner import Decision, Observed, Wanted, decide
from reconciler.plan.remote import Remote, place_of, remote_of, remote_of_local
from reconciler.state.record import Facts, Recorded

DELIVERED = Facts("good", "delivered", "spec", "intake", "model", "out/a.csv", "output")
OPEN = Facts("open", "running", "spec", "intake", "model", "out/a.csv", None)
FAILED = Facts("bad", "failed", "spec", "intake", "model", "out/a.csv", None)
ABORTED = FAILED._replace(status="aborted")
AS_RECORDED = Observed("intake", "model", "output")
WANTED = Wanted("job.a", "spec", "metadata", "models/a", "data/a.csv", "out/a.csv", ())


def recorded(current: Facts | None, latest: Facts | None = None, metadata: str = "metadata") -> Recorded:
    return Recorded("job.a", current, latest or current, metadata)


class Case(NamedTuple):
    recorded: Recorded | None
    observed: Observed
    wanted: Wanted | None
    action: Action
    reasons: tuple[Reason, ...]
    is_requested: bool = False
    reruns_upstream: bool = False
    is_doubted: bool = False
    is_seen_otherwise: bool = False


GOOD = recorded(DELIVERED)
CHANGED_SPEC = WANTED._replace(spec_digest="spec-2")
CASES = {
    "nothing-changed": Case(GOOD, AS_RECORDED, WANTED, Action.NO_OP, ()),
    "unknown-to-the-state": Case(None, AS_RECORDED, WANTED, Action.SUBMIT, (Reason.NEVER_RUN,)),
    "spec-changed": Case(GOOD, AS_RECORDED, CHANGED_SPEC, Action.RERUN, (Reason.SPEC_CHANGED,)),
    "intake-changed": Case(GOOD, AS_RECORDED._replace(intake_digest="intake-2"), WANTED, Action.RERUN, (Reason.INTAKE_CHANGED,)),
    "intake-looked-at-otherwise": Case(
        GOOD, AS_RECORDED._replace(intake_digest="intake-2"), WANTED, Action.RERUN, (Reason.INTAKE_SEEN_OTHERWISE,), is_seen_otherwise=True
    ),
    "intake-unknown-and-kept": Case(GOOD, Observed(None, "model", "output", "keep"), WANTED, Action.NO_OP, ()),
    "intake-unknown-and-rerun": Case(GOOD, Observed(None, "model", "output", "rerun"), WANTED, Action.RERUN, (Reason.INTAKE_UNKNOWN,)),
    "intake-unknown-and-rerun-but-never-run": Case(None, Observed(None, "model", None, "rerun"), WANTED, Action.SUBMIT, (Reason.NEVER_RUN,)),
    "intake-unknown-and-the-model-replaced": Case(GOOD, Observed(None, "model-2", "output", "keep"), WANTED, Action.RERUN, (Reason.MODEL_REPLACED,)),
    "intake-unknown-rerun-and-the-spec-changed": Case(
        GOOD, Observed(None, "model", "output", "rerun"), CHANGED_SPEC, Action.RERUN, (Reason.SPEC_CHANGED, Reason.INTAKE_UNKNOWN)
    ),
    "intake-unknown-and-the-metadata-changed": Case(
        recorded(DELIVERED, metadata="metadata-1"),
        Observed(None, "model", "output", "keep"),
        WANTED,
        Action.UPDATE,
        (Reason.METADATA_CHANGED,),
    ),
    "intake-unknown-and-the-run-is-open": Case(
        recorded(None, OPEN._replace(intake_digest=None)),
        Observed(None, "model", None, "rerun"),
        WANTED,
        Action.RESUME,
        (Reason.INTERRUPTED,),
    ),
    "intake-got-a-version": Case(recorded(DELIVERED._replace(intake_digest=None)), AS_RECORDED, WANTED, Action.RERUN, (Reason.INTAKE_CHANGED,)),
    "intake-lost-its-version": Case(GOOD, Observed(None, "model", "output", "keep"), WANTED, Action.NO_OP, ()),
    "delivered-where-it-is-not-looked-at": Case(
        recorded(DELIVERED._replace(output_digest=None)), AS_RECORDED._replace(output_digest=None), WANTED, Action.NO_OP, ()
    ),
    "model-replaced": Case(GOOD, AS_RECORDED._replace(model_digest="model-2"), WANTED, Action.RERUN, (Reason.MODEL_REPLACED,)),
    "output-missing": Case(GOOD, AS_RECORDED._replace(output_digest=None), WANTED, Action.RERUN, (Reason.OUTPUT_MISSING,)),
    "output-altered": Case(GOOD, AS_RECORDED._replace(output_digest="output-2"), WANTED, Action.RERUN, (Reason.OUTPUT_ALTERED,)),
    "everything-changed-at-once": Case(
        GOOD,
        Observed("intake-2", "model-2", "output-2"),
        CHANGED_SPEC,
        Action.RERUN,
        (Reason.SPEC_CHANGED, Reason.INTAKE_CHANGED, Reason.MODEL_REPLACED, Reason.OUTPUT_ALTERED),
    ),
    "requested": Case(GOOD, AS_RECORDED, WANTED, Action.RERUN, (Reason.REQUESTED,), is_requested=True),
    "requested-and-changed": Case(GOOD, AS_RECORDED, CHANGED_SPEC, Action.RERUN, (Reason.SPEC_CHANGED, Reason.REQUESTED), is_requested=True),
    "requested-but-never-run": Case(None, AS_RECORDED, WANTED, Action.SUBMIT, (Reason.NEVER_RUN,), is_requested=True),
    "upstream-reruns": Case(GOOD, AS_RECORDED, WANTED, Action.RERUN, (Reason.UPSTREAM_RERUNS,), reruns_upstream=True),
    "upstream-reruns-so-the-intake-now-says-nothing": Case(
        GOOD, AS_RECORDED._replace(intake_digest=None), WANTED, Action.RERUN, (Reason.UPSTREAM_RERUNS,), reruns_upstream=True
    ),
    "upstream-reruns-and-the-spec-changed": Case(
        GOOD, AS_RECORDED, CHANGED_SPEC, Action.RERUN, (Reason.SPEC_CHANGED, Reason.UPSTREAM_RERUNS), reruns_upstream=True
    ),
    "first-run-failed": Case(recorded(None, FAILED), AS_RECORDED, WANTED, Action.SUBMIT, (Reason.LAST_RUN_FAILED,)),
    "first-run-was-aborted": Case(recorded(None, ABORTED), AS_RECORDED, WANTED, Action.SUBMIT, (Reason.LAST_RUN_ABORTED,)),
    "rerun-failed": Case(recorded(DELIVERED, FAILED), AS_RECORDED, CHANGED_SPEC, Action.RERUN, (Reason.SPEC_CHANGED, Reason.LAST_RUN_FAILED)),
    "rerun-was-aborted": Case(recorded(DELIVERED, ABORTED), AS_RECORDED, CHANGED_SPEC, Action.RERUN, (Reason.SPEC_CHANGED, Reason.LAST_RUN_ABORTED)),
    "rerun-failed-and-its-change-was-taken-back": Case(
        recorded(DELIVERED, FAILED._replace(spec_digest="spec-2")), AS_RECORDED, WANTED, Action.NO_OP, ()
    ),
    "first-run-is-open": Case(recorded(None, OPEN), AS_RECORDED, WANTED, Action.RESUME, (Reason.INTERRUPTED,)),
    "rerun-is-open": Case(recorded(DELIVERED, OPEN._replace(spec_digest="spec-2")), AS_RECORDED, CHANGED_SPEC, Action.RESUME, (Reason.INTERRUPTED,)),
    "first-run-is-open-and-the-spec-changed": Case(recorded(None, OPEN), AS_RECORDED, CHANGED_SPEC, Action.SUBMIT, (Reason.INTERRUPTED,)),
    "first-run-is-open-and-the-upstream-reruns": Case(
        recorded(None, OPEN), AS_RECORDED, WANTED, Action.SUBMIT, (Reason.INTERRUPTED, Reason.UPSTREAM_RERUNS), reruns_upstream=True
    ),
    "never-run-and-the-upstream-will-write-its-intake": Case(
        None, AS_RECORDED._replace(intake_digest=None), WANTED, Action.SUBMIT, (Reason.NEVER_RUN, Reason.UPSTREAM_RERUNS), reruns_upstream=True
    ),
    "rerun-is-open-and-the-spec-changed-again": Case(
        recorded(DELIVERED, OPEN._replace(spec_digest="spec-1")), AS_RECORDED, CHANGED_SPEC, Action.RERUN, (Reason.SPEC_CHANGED,)
    ),
    "rerun-is-open-and-its-change-was-taken-back": Case(
        recorded(DELIVERED, OPEN._replace(spec_digest="spec-2")), AS_RECORDED, WANTED, Action.UPDATE, (Reason.INTERRUPTED,)
    ),
    "open-run-is-not-resumed-when-requested": Case(
        recorded(DELIVERED, OPEN), AS_RECORDED, WANTED, Action.RERUN, (Reason.REQUESTED,), is_requested=True
    ),
    "open-run-may-have-left-rows": Case(recorded(None, OPEN), AS_RECORDED, WANTED, Action.RESUME, (Reason.IN_DOUBT,), is_doubted=True),
    "open-run-may-have-left-rows-and-the-spec-changed": Case(
        recorded(DELIVERED, OPEN), AS_RECORDED, CHANGED_SPEC, Action.RERUN, (Reason.SPEC_CHANGED, Reason.IN_DOUBT), is_doubted=True
    ),
    "metadata-changed": Case(recorded(DELIVERED, metadata="metadata-1"), AS_RECORDED, WANTED, Action.UPDATE, (Reason.METADATA_CHANGED,)),
    "metadata-and-spec-changed": Case(recorded(DELIVERED, metadata="metadata-1"), AS_RECORDED, CHANGED_SPEC, Action.RERUN, (Reason.SPEC_CHANGED,)),
    "not-declared": Case(GOOD, AS_RECORDED, None, Action.FORGET, (Reason.NOT_DECLARED,)),
    "not-declared-and-open": Case(recorded(None, OPEN), AS_RECORDED, None, Action.FORGET, (Reason.NOT_DECLARED,)),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_decision(case: Case) -> None:
    wanted = [] if case.wanted is None else [case.wanted]
    state = {} if case.recorded is None else {"job.a": case.recorded}
    world = {"job.a": case.observed}
    if case.reruns_upstream:
        wanted.append(Wanted("job.upstream", "spec", "metadata", "models/u", "data/u.csv", "data/a.csv", ()))
        wanted[0] = wanted[0]._replace(depends_on=("job.upstream",))
        world["job.upstream"] = AS_RECORDED
    requested, doubted, otherwise = ({"job.a"} if is_so else set() for is_so in (case.is_requested, case.is_doubted, case.is_seen_otherwise))
    decided = {decision.address: decision for decision in decide(wanted, state, world, requested, doubted=doubted, otherwise=otherwise)}
    assert decided["job.a"] == Decision("job.a", case.action, case.reasons)


def test_table_has_every_action_and_every_reason() -> None:
    assert {case.action for case in CASES.values()} == set(Action)
    assert {reason for case in CASES.values() for reason in case.reasons} == set(Reason)


def instance(name: str, *upstream: str, reads: str | None = None) -> Wanted:
    depends_on = tuple(f"job.{other}" for other in upstream)
    return Wanted(f"job.{name}", "spec", "metadata", "models/a", f"out/{reads}.csv" if reads else f"data/{name}.csv", f"out/{name}.csv", depends_on)


def delivered(*names: str) -> dict[str, Recorded]:
    facts = {name: DELIVERED._replace(id=name, output_file=f"out/{name}.csv") for name in names}
    return {f"job.{name}": Recorded(f"job.{name}", run, run, "metadata") for name, run in facts.items()}


def world(*names: str) -> Mapping[str, Observed]:
    return {f"job.{name}": AS_RECORDED for name in names}


def test_chain_reruns_from_the_first_job_that_changed() -> None:
    chain = [instance("c", "b", reads="b"), instance("b", "a", reads="a"), instance("a")]
    decided = decide(chain, delivered("a", "b", "c"), {**world("a", "c"), "job.b": Observed("intake", "model-2", "output")})
    assert decided == [
        Decision("job.a", Action.NO_OP, ()),
        Decision("job.b", Action.RERUN, (Reason.MODEL_REPLACED,)),
        Decision("job.c", Action.RERUN, (Reason.UPSTREAM_RERUNS,)),
    ]


def test_new_chain_is_submitted_in_the_order_of_its_dependencies() -> None:
    chain = [instance("c", "b", reads="b"), instance("b", "a", reads="a"), instance("a")]
    assert [decision.address for decision in decide(chain, {}, world("a", "b", "c"))] == ["job.a", "job.b", "job.c"]


@pytest.mark.parametrize(
    ("reads", "actions"),
    [
        pytest.param("s3://lake/a.csv", [Action.RERUN, Action.RERUN], id="what the first one writes"),
        pytest.param("s3://lake/b.csv", [Action.RERUN, Action.NO_OP], id="something else"),
        pytest.param(None, [Action.RERUN, Action.NO_OP], id="what cannot be told"),
    ],
)
def test_job_reruns_with_the_one_that_writes_its_rows_elsewhere(reads: str | None, actions: list[Action]) -> None:
    jobs = [instance("a")._replace(output_file=None), instance("b", "a")._replace(intake_file=None)]
    seen = {"job.a": Observed("intake", "model", "output"), "job.b": Observed(None, "model", "output", "keep")}
    remotes = {"job.a": Remote("d", writes="s3://lake/a.csv"), "job.b": Remote("d", on_unknown="keep", reads=reads)}
    decided = decide(jobs, delivered("a", "b"), seen, {"job.a"}, remotes)
    assert [decision.action for decision in decided] == actions


def test_job_that_only_waits_for_another_does_not_rerun_with_it() -> None:
    jobs = [instance("a"), instance("b", "a")]
    decided = decide(jobs, delivered("a", "b"), world("a", "b"), {"job.a"})
    assert [decision.action for decision in decided] == [Action.RERUN, Action.NO_OP]


def test_job_does_not_rerun_when_its_upstream_is_only_updated() -> None:
    jobs = [instance("a")._replace(metadata_digest="metadata-2"), instance("b", "a", reads="a")]
    decided = decide(jobs, delivered("a", "b"), world("a", "b"))
    assert [decision.action for decision in decided] == [Action.UPDATE, Action.NO_OP]


def test_two_jobs_read_one_output() -> None:
    jobs = [instance("a"), instance("b", "a", reads="a"), instance("c", "a", reads="a")]
    decided = decide(jobs, delivered("a", "b", "c"), world("a", "b", "c"), {"job.a"})
    assert [decision.reasons for decision in decided] == [(Reason.REQUESTED,), (Reason.UPSTREAM_RERUNS,), (Reason.UPSTREAM_RERUNS,)]


def test_dependency_outside_of_the_targets_is_passed_over() -> None:
    assert decide([instance("b", "a", reads="a")], {}, world("b")) == [Decision("job.b", Action.SUBMIT, (Reason.NEVER_RUN,))]


def test_long_chain_is_ordered_without_recursion() -> None:
    names = [f"{number:04d}" for number in range(3000)]
    chain = [instance(name, *([names[place - 1]] if place else [])) for place, name in enumerate(names)]
    assert [decision.address for decision in decide(reversed(chain), {}, world(*names))] == [f"job.{name}" for name in names]


def test_jobs_without_dependencies_stay_in_their_order() -> None:
    decided = decide([instance("b"), instance("a")], delivered("z"), world("a", "b"))
    assert [decision.address for decision in decided] == ["job.b", "job.a", "job.z"]


@pytest.mark.parametrize(
    ("spec", "remote"),
    [
        pytest.param({}, {"deployment": "d"}, id="a local file"),
        pytest.param({"options": {"pinnedModelId": "m"}}, {"model_digest": "m"}, id="a pinned model"),
        pytest.param({"modelId": "m"}, {"model_digest": "m"}, id="a model"),
        pytest.param({"modelPackageId": "m"}, {"model_digest": "p"}, id="a package"),
        pytest.param({"intake": {"type": "dataset", "datasetId": "x"}}, {"deployment": "d", "dataset": "x"}, id="a dataset"),
        pytest.param(
            {"intake": {"type": "dataset", "datasetId": "x", "datasetVersionId": "v"}}, {"deployment": "d", "intake_digest": "v"}, id="its version"
        ),
        pytest.param(
            {"intake": {"type": "s3", "url": "u", "credentialId": "c"}}, {"deployment": "d", "on_unknown": "keep", "reads": "u"}, id="an object"
        ),
        pytest.param(
            {"output": {"type": "jdbc", "dataStoreId": "w", "table": "t"}},
            {"deployment": "d", "writes": "['w', None, None, None, 't']"},
            id="a table",
        ),
    ],
)
def test_what_an_endpoint_is_asked(spec: dict[str, Any], remote: dict[str, str]) -> None:
    whole = {"intake": {"type": "localFile"}, "output": {"type": "localFile"}, "options": {}, **spec}
    if not remote.keys() & {"model_digest"} or "options" in spec:
        whole["deployment"] = "d"
    digests = {"m": {"modelId": "m"}, "p": {"modelPackageId": "m"}, "v": {"datasetVersionId": "v"}}
    expected = {key: value_digest(digests[value]) if key.endswith("digest") else value for key, value in remote.items()}
    assert remote_of(whole, None, "keep") == Remote(**expected)  # type: ignore[arg-type]


def test_an_intake_version_is_all_that_is_known_of_an_intake() -> None:
    spec = {"deployment": "d", "intake": {"type": "s3", "url": "u"}, "output": {"type": "localFile"}, "options": {}}
    first, second = remote_of(spec, "1", "rerun"), remote_of(spec, "2", "rerun")
    assert (first.on_unknown, first.intake_digest) == (None, value_digest({"intakeVersion": "1"}))
    assert first.intake_digest != second.intake_digest


S3 = {"type": "s3", "url": "u", "credentialId": "c"}
JDBC = {"type": "jdbc", "dataStoreId": "w", "credentialId": "c", "table": "t"}


@pytest.mark.parametrize(
    ("intake", "known", "is_looked_at"),
    [
        pytest.param(S3, {"credentials": ["c"]}, True, id="a credential that is known"),
        pytest.param(S3, {"credentials": ["d"]}, False, id="a credential that is only an id"),
        pytest.param({"type": "s3", "url": "u"}, {"credentials": ["c"]}, True, id="a public bucket"),
        pytest.param({"type": "azure", "url": "u"}, {}, True, id="a public container"),
        pytest.param({"type": "bigquery", "dataset": "d", "table": "t"}, {"credentials": ["c"]}, False, id="none named"),
        pytest.param({"type": "http", "url": "u"}, {}, True, id="a web server"),
        pytest.param(JDBC, {"credentials": ["c"], "data_stores": ["w"]}, True, id="a data store with its credential"),
        pytest.param(JDBC, {"credentials": ["c"]}, False, id="a data store that is only an id"),
        pytest.param({"type": "dss", "projectId": "p"}, {}, False, id="what has no room here"),
    ],
)
def test_place_of_an_endpoint_is_looked_at_with_what_is_known(intake: dict[str, Any], known: dict[str, list[str]], is_looked_at: bool) -> None:
    spec = {"deployment": "d", "intake": intake, "output": {"type": "localFile"}, "options": {}}
    openers = {section: {key: {"name": "n"} for key in known.get(section, [])} for section in ("credentials", "data_stores")}
    remote = remote_of(spec, None, "keep", None, openers)
    assert (remote.place, remote.on_unknown) == (place_of(intake, None) if is_looked_at else None, "keep")
    assert remote_of(spec, "1", "keep", None, openers).place is None


def test_local_place_is_looked_at_unless_its_version_is_told() -> None:
    spec = {"deployment": "d", "intake": JDBC, "output": {"type": "localFile"}, "options": {}}
    assert remote_of_local(spec, None, "rerun", "select 1") == Remote(
        on_unknown="rerun", reads="['w', None, None, None, 't']", place=place_of(JDBC, "select 1"), way="probe select 1"
    )
    told = Remote(intake_digest=value_digest({"intakeVersion": "1"}), reads="['w', None, None, None, 't']", way="intake_version")
    assert remote_of_local(spec, "1", "rerun") == told
    assert remote_of_local({**spec, "intake": {"type": "localFile", "file": "a"}}, None, "keep") is None


def test_local_job_reruns_with_the_one_that_writes_its_place() -> None:
    remotes = {"job.a": Remote(writes="s3://b/k"), "job.c": Remote(reads="s3://b/k")}
    first, other = instance("a")._replace(output_file=None), instance("b")
    second = instance("c", "a")._replace(intake_file=None)
    seen = {**world("a", "b", "c"), "job.a": Observed("intake", "model-2", "output")}
    decided = {decision.address: decision.reasons for decision in decide([second, other, first], delivered("a", "b", "c"), seen, (), remotes)}
    assert decided == {"job.a": (Reason.MODEL_REPLACED,), "job.b": (), "job.c": (Reason.UPSTREAM_RERUNS,)}
