"""Expressions: what each names, what stays as it is, what is refused."""

from typing import Any

import pytest

from reconciler.spec.document import parse_document
from reconciler.spec.expression import BadExpression, Each, Scope, fill, references
from reconciler.spec.problem import Problems, Spot

VARIABLES = {"month": "2026-10", "n": 3, "ratio": 0.5, "on": True, "columns": ["id", "name"], "nothing": None, "eu": {"bucket": "lake"}}


def output(name: str, key: str | None) -> str:
    if name != "a":
        raise BadExpression("Unknown job", f'There is no job "{name}".')
    return f"out/{key}.csv" if key else "out.csv"


SCOPE = Scope(VARIABLES, Each('k"1', {"f": {"g": 1.5}}), output)


def filled(value: Any, scope: Scope = SCOPE) -> tuple[Any, list[str]]:
    problems = Problems()
    result = fill(value, scope, Spot(parse_document(b"x: 1", "a.yaml"), ("x",)), problems)
    return result, [diagnostic.summary + ": " + diagnostic.detail for diagnostic in problems.found()]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("plain $ {text}", "plain $ {text}", id="no expression"),
        pytest.param("a/${var.month}/b", "a/2026-10/b", id="a variable in a text"),
        pytest.param("${ var.month }", "2026-10", id="spaces inside"),
        pytest.param("${var.n}", 3, id="an expression alone keeps a number"),
        pytest.param("${var.on}", True, id="an expression alone keeps a boolean"),
        pytest.param("${var.columns}", ["id", "name"], id="an expression alone keeps a list"),
        pytest.param("${var.nothing}", None, id="an expression alone keeps null"),
        pytest.param("${var.n} ${var.on} ${var.ratio}", "3 true 0.5", id="numbers and booleans in a text"),
        pytest.param("${var.eu.bucket}", "lake", id="a field of a variable"),
        pytest.param("${each.key}", 'k"1', id="the key"),
        pytest.param("${each.value.f.g}", 1.5, id="a field of a field"),
        pytest.param("$${var.month}", "${var.month}", id="an escaped expression"),
        pytest.param("$$${var.month}", "$${var.month}", id="an escaped expression after a dollar"),
        pytest.param("a$${b}${var.n}", "a${b}3", id="an escaped one beside a real one"),
        pytest.param("${job.a.output}", "out.csv", id="a job's output"),
        pytest.param('${job.a["x}y"].output}', "out/x}y.csv", id="an instance whose key holds a brace"),
        pytest.param('${job.a["\\"q\\""].output}', 'out/"q".csv', id="an instance whose key holds quotes"),
        pytest.param("${job.a[each.key].output}", 'out/k"1.csv', id="the instance of the same key"),
        pytest.param({"a": ["${var.n}", {"b": "${var.month}"}]}, {"a": [3, {"b": "2026-10"}]}, id="inside of lists and mappings"),
    ],
)
def test_an_expression_has_a_value(text: Any, value: Any) -> None:
    assert filled(text) == (value, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("${var.mnth}", 'Did you mean "month"?', id="an unknown variable"),
        pytest.param("${var}", "none of", id="no name"),
        pytest.param("${}", "none of", id="nothing"),
        pytest.param("${month}", "none of", id="a bare name"),
        pytest.param("${upper(var.month)}", "no functions", id="a function"),
        pytest.param("${var.n + 1}", "no functions", id="a calculation"),
        pytest.param("${var.month", "not closed", id="not closed"),
        pytest.param("${var.${var.month}}", "not closed", id="one in another"),
        pytest.param("${each.valu}", 'Did you mean "value"?', id="an unknown part of each"),
        pytest.param("${each.value.x}", 'no field "x"', id="an unknown field"),
        pytest.param("${each.key.x}", "a key and a value", id="a field of the key"),
        pytest.param("${var.month.x}", "no fields", id="a field of a text"),
        pytest.param("x${var.columns}", "a list", id="a list in a text"),
        pytest.param("x${var.eu}", "a mapping", id="a mapping in a text"),
        pytest.param("x${var.nothing}", "null", id="null in a text"),
        pytest.param("${env.HOME}", "only where nothing is ever stored: in workspaces", id="an environment variable"),
        pytest.param("${job.b.output}", 'no job "b"', id="an unknown job"),
        pytest.param("${job.a}", "none of", id="a job without its output"),
        pytest.param('${job.a["\\x"].output}', "JSON", id="a key that is not JSON"),
        pytest.param({"${var.n}": 1}, "a key is written out", id="in a key"),
    ],
)
def test_what_names_nothing_is_told(text: Any, said: str) -> None:
    _, problems = filled(text)

    assert len(problems) == 1
    assert said in problems[0]


@pytest.mark.parametrize("text", ["${each.key}", "${job.a[each.key].output}"])
def test_each_has_a_meaning_only_with_for_each(text: str) -> None:
    _, problems = filled(text, Scope(VARIABLES, None, output))

    assert "for_each" in problems[0]


def test_the_environment_is_kept_where_it_is_allowed() -> None:
    assert filled("${var.month}-${env.HOME}", Scope(VARIABLES, keeps_env=True)) == ("2026-10-${env.HOME}", [])


def test_a_value_is_not_read_again_for_expressions() -> None:
    assert filled("${var.x}", Scope({"x": "${var.y}"})) == ("${var.y}", [])


def test_a_variable_may_not_refer_to_another() -> None:
    _, problems = filled("${var.month}", Scope(None))

    assert "may not refer to each other" in problems[0]


def test_references_are_found_wherever_they_are() -> None:
    found = references({"a": ["${var.x} $${var.no}", {"b": '${job.j["k"].output}'}], "c": "${each.key}", "d": 1, "e": "${"})

    assert [(reference.root, reference.path, reference.key) for reference in found] == [
        ("var", ("x",), None),
        ("job", ("j",), "k"),
        ("each", ("key",), None),
    ]
