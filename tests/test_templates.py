"""Templates in queries and tables: one row for each form, and what is no template variable."""

from datetime import UTC, datetime

import pytest

from reconciler.templates import VARIABLES, Times, filled, filled_name, filled_query, problems

NOW = datetime(2026, 10, 1, 9, 12, 0, 750_000, tzinfo=UTC)
TIMES = Times(
    NOW,
    last_completed=datetime(2026, 9, 30, 1, 2, 3, tzinfo=UTC),
    last_scheduled=datetime(2026, 9, 29, 1, tzinfo=UTC),
    next_scheduled=datetime(2026, 10, 2, 1, tzinfo=UTC),
)
STAMP = int(NOW.timestamp())

QUERIES = {
    "no template": ("SELECT 1", "SELECT 1"),
    "a number": ("SELECT {{ current_run_timestamp }}", f"SELECT {STAMP}"),
    "a number in quotes": ("SELECT '{{current_run_timestamp}}'", f"SELECT '{STAMP}'"),
    "a time": ("WHERE t < {{ current_run_time }}", "WHERE t < '2026-10-01T09:12:00'"),
    "a time in quotes": ("WHERE t < '{{ current_run_time }}'", "WHERE t < '2026-10-01T09:12:00'"),
    "a time within a text": ("'until {{ current_run_time }}'", "'until 2026-10-01T09:12:00'"),
    "after a quote in a text": ("'it''s' || {{ current_run_time }}", "'it''s' || '2026-10-01T09:12:00'"),
    "after a name with a quote": ('"it\'s" < {{ current_run_time }}', "\"it's\" < '2026-10-01T09:12:00'"),
    "in a name": ('"t {{ current_run_time }}"', '"t 2026-10-01T09:12:00"'),
    "in a name of BigQuery's": ("`t_{{ current_run_timestamp }}`", f"`t_{STAMP}`"),
    "in a name of T-SQL's": ("[t {{ current_run_time }}]", "[t 2026-10-01T09:12:00]"),
    "after a comment": ("-- it's\n{{ current_run_time }}", "-- it's\n'2026-10-01T09:12:00'"),
    "after a long comment": ("/* it's */ {{ current_run_time }}", "/* it's */ '2026-10-01T09:12:00'"),
    "on two lines": ("{{\n current_run_time\n}}", "'2026-10-01T09:12:00'"),
    "last completed": ("{{ last_completed_run_time }}", "'2026-09-30T01:02:03'"),
    "last scheduled": ("{{ last_scheduled_run_time }}", "'2026-09-29T01:00:00'"),
    "next scheduled": ("{{ next_scheduled_run_time }}", "'2026-10-02T01:00:00'"),
    "two": ("{{ last_completed_run_time }} < t AND t <= {{ current_run_time }}", "'2026-09-30T01:02:03' < t AND t <= '2026-10-01T09:12:00'"),
    "an open quote": ("'{{ current_run_timestamp }}", f"'{STAMP}"),
}
NAMES = {
    "scores": "scores",
    "scores_{{ current_run_timestamp }}": f"scores_{STAMP}",
    "scores_{{ current_run_time }}": "scores_20261001_091200",
    "{{last_completed_run_time}}{{next_scheduled_run_time}}": "20260930_01020320261002_010000",
    "it's {{ current_run_timestamp }}": f"it's {STAMP}",
}


@pytest.mark.parametrize(("query", "text"), QUERIES.values(), ids=list(QUERIES))
def test_a_query_is_filled_in(query, text):
    assert filled_query(query, TIMES) == text


@pytest.mark.parametrize(("name", "text"), NAMES.items(), ids=list(NAMES))
def test_the_name_of_a_table_is_filled_in(name, text):
    assert filled_name(name, TIMES) == text


def test_what_never_was_is_1900():
    assert filled_query("{{ last_completed_run_time }} {{ last_scheduled_run_time }}", Times(NOW)) == "'1900-01-01T00:00:00' '1900-01-01T00:00:00'"


def test_the_times_of_a_job_are_stored_whole():
    assert Times.restored(TIMES.stored()) == TIMES
    assert Times.restored(Times(NOW).stored()) == Times(NOW)


def test_only_the_query_of_the_intake_and_the_table_of_the_output_are_templates():
    settings = {"type": "jdbc", "query": "{{ current_run_timestamp }}", "table": "{{ current_run_timestamp }}"}
    assert filled("intakeSettings", settings, TIMES) == settings | {"query": str(STAMP)}
    assert filled("outputSettings", settings, TIMES) == settings | {"table": str(STAMP)}
    assert filled("intakeSettings", {"type": "jdbc", "table": "t"}, TIMES) == {"type": "jdbc", "table": "t"}


def test_every_unknown_variable_is_a_problem():
    spec = {"intakeSettings": {"query": "{{ now }} {{ current_run_time }} {{ x.y }}"}, "outputSettings": {"table": "{{}}"}}
    assert [(where, "there is no template variable" in said) for where, said in problems(spec)] == [
        (("intakeSettings", "query"), True),
        (("intakeSettings", "query"), True),
        (("outputSettings", "table"), True),
    ]


def test_the_next_run_of_a_job_without_a_schedule_is_a_problem():
    spec = {"intakeSettings": {"query": " ".join(f"{{{{ {name} }}}}" for name in VARIABLES)}, "outputSettings": {}}
    assert list(problems(spec)) == list(problems(spec, TIMES)) == []
    ((where, said),) = problems(spec, Times(NOW))
    assert where == ("intakeSettings", "query")
    assert "next_scheduled_run_time" in said
