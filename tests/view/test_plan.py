"""A plan as terminal text, compared whole with the files of tests/golden/."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from reconciler.plan.action import ACTIONS, Action, Reason
from reconciler.plan.plan import Change, Plan, Side
from reconciler.view.paint import ansi, plain
from reconciler.view.plan import intake_name, no_changes_text, plan_text, reason_text, summary_text

Make = Callable[..., Change]
Sides = Callable[..., Side]


@pytest.fixture
def every_kind(change: Make, side: Sides) -> dict[str, Change]:
    """One change of every kind, by the name of its golden text."""
    renamed = {"columnNamesRemapping": {"qualityScore": "score"}}
    return {
        "submit": change(Action.SUBMIT, Reason.NEVER_RUN, address='job.wine["2026-10"]', after=side(output=None, maxExplanations=3, **renamed)),
        "rerun": change(
            Action.RERUN,
            Reason.SPEC_CHANGED,
            Reason.INTAKE_CHANGED,
            Reason.MODEL_REPLACED,
            Reason.OUTPUT_ALTERED,
            before=side(metadata={"description": "Reds"}, predictionThreshold=0.5, csvSettings={"delimiter": ";"}),
            after=side(spec="1", intake="2", model="3", output="4", metadata={"tags": ["red"]}, predictionThreshold=0.4, maxExplanations=3),
        ),
        "upstream": change(
            Action.RERUN, Reason.UPSTREAM_RERUNS, address="job.downstream", before=side(), after=side(intake="9"), depends_on=("job.wine",)
        ),
        "update": change(
            Action.UPDATE, Reason.METADATA_CHANGED, address="job.updated", before=side(), after=side(metadata={"description": "Red and white"})
        ),
        "forget": change(Action.FORGET, Reason.NOT_DECLARED, address="job.forgotten", before=side()),
        "forget_never_delivered": change(Action.FORGET, Reason.NOT_DECLARED, address="job.never_delivered", output_file=None, open_run="run-1"),
        "resume": change(Action.RESUME, Reason.INTERRUPTED, address="job.resumed", after=side(output=None), open_run="run-2"),
    }


@pytest.mark.parametrize("name", ["submit", "rerun", "upstream", "update", "forget", "forget_never_delivered", "resume"])
def test_plan_of_one_change(name: str, every_kind: dict[str, Change], plan: Callable[..., Plan], golden: Callable[[str, str], None]) -> None:
    golden(f"plan_{name}.txt", plan_text(plan(every_kind[name], unchanged=2), plain))


def test_plan_of_every_kind_of_change(every_kind: dict[str, Change], plan: Callable[..., Plan], golden: Callable[[str, str], None]) -> None:
    golden("plan.txt", plan_text(plan(*every_kind.values(), unchanged=405), plain))


def test_plan_in_colour(every_kind: dict[str, Change], plan: Callable[..., Plan], golden: Callable[[str, str], None]) -> None:
    golden("plan_rerun_colour.txt", plan_text(plan(every_kind["rerun"]), ansi))


def test_every_action_is_drawn(every_kind: dict[str, Change]) -> None:
    assert {change.action for change in every_kind.values()} == set(ACTIONS)


def test_long_plan_is_capped_and_counts_all(change: Make, side: Sides, plan: Callable[..., Plan], golden: Callable[[str, str], None]) -> None:
    changes = [change(Action.SUBMIT, Reason.NEVER_RUN, address=f"job.wine_{number}", after=side(output=None)) for number in range(9)]
    made = plan(*reversed(changes), is_partial=True)
    golden("plan_capped.txt", plan_text(made, plain, limit=2))
    assert "… and 1 more change. Show" in plan_text(made, plain, limit=8)
    whole = plan_text(made, plain, limit=None)
    assert all(f"# job.wine_{number} will be submitted" in whole for number in range(9))
    assert "-verbose" not in whole


@pytest.mark.parametrize(
    ("unchanged", "text"),
    [
        (0, "No changes. The specs name no jobs.\n"),
        (1, "No changes. All 1 job is up to date.\n"),
        (412, "No changes. All 412 jobs are up to date.\n"),
    ],
)
def test_plan_without_changes_is_one_line(plan: Callable[..., Plan], unchanged: int, text: str) -> None:
    assert plan_text(plan(unchanged=unchanged), plain) == no_changes_text(plan(unchanged=unchanged), plain) == text


def test_summary_always_counts_what_is_scored(plan: Callable[..., Plan], change: Make) -> None:
    assert summary_text(plan(unchanged=3), plain) == "Plan: 0 to submit, 0 to rerun, 3 unchanged.\n"
    assert summary_text(plan(change(Action.FORGET), change(Action.FORGET)), plain) == "Plan: 0 to submit, 0 to rerun, 2 to forget, 0 unchanged.\n"


def spoken(reasons: tuple[Reason, ...], change: Change) -> Iterator[str]:
    return (reason_text(reason, change) for reason in reasons)


def test_reason_names_what_it_is_about(change: Make, side: Sides) -> None:
    made = change(Action.RERUN, *Reason, before=side(), after=side(maxExplanations=3, csvSettings={"delimiter": ";"}))
    assert list(spoken(made.reasons, made)) == [
        "never run",
        "spec changed: csv_settings.delimiter, max_explanations",
        "intake changed: data/wine.csv",
        "intake looked at otherwise: data/wine.csv",
        "intake unknown: data/wine.csv",
        "model replaced: wine",
        "output missing: out/wine.csv",
        "output altered: out/wine.csv",
        "last run failed",
        "last run aborted",
        "requested",
        "upstream reruns: data/wine.csv",
        "interrupted",
        "in doubt",
        "metadata changed",
        "not declared",
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"description": "Reds"}, {}, id="description-removed"),
        pytest.param({}, {"description": "Reds"}, id="description-added"),
        pytest.param({"tags": {"team": "a"}}, {"tags": {"team": "b"}}, id="tag-changed"),
    ],
)
def test_metadata_is_no_part_of_what_changed_in_the_spec(change: Make, side: Sides, before: dict[str, object], after: dict[str, object]) -> None:
    made = change(Action.RERUN, Reason.SPEC_CHANGED, before=side(metadata=before), after=side(metadata=after, maxExplanations=3))
    assert reason_text(Reason.SPEC_CHANGED, made) == "spec changed: max_explanations"


def test_moved_intake_with_the_same_content_is_no_change_of_the_spec(change: Make, side: Sides) -> None:
    made = change(Action.RERUN, Reason.SPEC_CHANGED, before=side(), after=side(file="data/other.csv"))
    assert reason_text(Reason.SPEC_CHANGED, made) == "spec changed"


def test_text_from_outside_cannot_move_the_cursor_or_start_a_line(change: Make, side: Sides, plan: Callable[..., Plan]) -> None:
    evil = "\x1b[2Jgone\r\nPlan: 0 to submit\u202e"
    made = change(
        Action.RERUN,
        Reason.INTAKE_CHANGED,
        address=f"job.wine[{evil!r}]",
        intake_file="data/\x1b[1m.csv",
        before=side(),
        after=side(metadata={"description": evil}, passthroughColumns=[evil]),
    )
    text = plan_text(plan(made), plain)
    assert text.isascii()
    assert not set(text) & {"\x1b", "\r"}
    assert not any(line.startswith("Plan: 0 to submit\\u202e") for line in text.splitlines())


def at(url: str, facts: dict[str, object] | None, one: Side) -> Side:
    """The side of a job whose rows are an object."""
    return replace(one, spec={**one.spec, "intake": {"type": "s3", "url": url}}, facts=facts)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"etag": "a"}, {"etag": "b"}, ' (etag "a" → "b")'),
        ({"rows": 10, "at": 1}, {"rows": 11, "at": 1}, " (rows 10 → 11)"),
        ({"objects": 1, "digest": "x"}, {"objects": 2, "digest": "y"}, " (objects 1 → 2)"),
        ({"digest": "x"}, {"digest": "y"}, ' (digest "x" → "y")'),
        ({"each": {"a.csv": {"etag": 1}}}, {"each": {"a.csv": {"etag": 2}}}, " (each.a.csv.etag 1 → 2)"),
        ({}, {"rows": 1}, ""),
        (None, {"rows": 1}, ""),
        ({"a": 1}, {"b": 2}, " (a 1 → nothing, b nothing → 2)"),
        ({"a": "x" * 99}, {"a": 1}, ' (a "' + "x" * 59 + "… → 1)"),
        (dict.fromkeys("abcd", 1), dict.fromkeys("abcd", 2), " (a 1 → 2, b 1 → 2, c 1 → 2, and 1 more)"),
    ],
)
def test_reason_says_what_has_changed_at_a_place(
    change: Make, side: Sides, before: dict[str, object] | None, after: dict[str, object], told: str
) -> None:
    first, second = at("s3://b/k", before, side(intake="1")), at("s3://b/k", after, side(intake="2"))
    made = change(Action.RERUN, Reason.INTAKE_CHANGED, before=first, after=second, intake_file=None)
    assert reason_text(Reason.INTAKE_CHANGED, made) == f"intake changed: s3 s3://b/k{told}"


@pytest.mark.parametrize(
    ("intake", "name"),
    [
        ({"type": "jdbc", "schema": "public", "table": "wines"}, "jdbc public.wines"),
        ({"type": "bigquery", "dataset": "crm", "table": "wines"}, "bigquery crm.wines"),
        ({"type": "jdbc", "query": "select *\n  from wines"}, "jdbc select * from wines"),
    ],
)
def test_table_is_named_as_a_database_does(change: Make, side: Sides, intake: dict[str, str], name: str) -> None:
    one = side()
    made = change(Action.SUBMIT, Reason.NEVER_RUN, after=replace(one, spec={**one.spec, "intake": intake}), intake_file=None)
    assert intake_name(made) == name
