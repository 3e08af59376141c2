"""`${…}` in a text. The rule here: an expression names one value; there are no functions, and no value is read twice for expressions."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from reconciler.spec.problem import Problems, Spot, did_you_mean

NAME = r"[^\W\d][\w-]*"

_EXPRESSION = re.compile(r'\$\$\{|\$\{((?:"(?:[^"\\]|\\.)*"|[^"{}])*)\}|\$\{')
_PATH = re.compile(r"(var|each|env)((?:\.[\w-]+)+)")
_JOB = re.compile(rf'job\.({NAME})(?:\[(?:("(?:[^"\\]|\\.)*")|(each\.key))\])?\.output')
_FORMS = (
    "${var.name}, ${each.key}, ${each.value}, ${each.value.field}, ${env.NAME}, "
    '${job.name.output}, ${job.name["key"].output}, ${job.name[each.key].output}'
)


class BadExpression(Exception):
    """An expression that names nothing; `str(error)` is the sentence."""

    def __init__(self, summary: str, detail: str) -> None:
        super().__init__(detail)
        self.summary = summary


@dataclass(frozen=True, slots=True)
class Reference:
    """`root.path` for var, each and env; for a job's output the job is `path[0]`, and `key` its instance's key."""

    text: str
    root: str
    path: tuple[str, ...]
    key: str | None = None
    is_each_key: bool = False


@dataclass(frozen=True, slots=True)
class Each:
    key: str
    value: Any


Outputs = Callable[[str, str | None], str]  # of a job's name and its instance's key; raises BadExpression


@dataclass(frozen=True, slots=True)
class Scope:
    """What expressions can name at one place (variables None: no expressions at all); `keeps_env` leaves `${env.X}` as it is."""

    variables: Mapping[str, Any] | None
    each: Each | None = None
    outputs: Outputs | None = None
    keeps_env: bool = False


def has_expression(value: Any) -> bool:
    """Whether any text in `value` holds `${`."""
    if type(value) is str:
        return "${" in value
    if type(value) is dict:
        return any(has_expression(item) or "${" in key for key, item in value.items())
    return type(value) is list and any(has_expression(item) for item in value)


def fill(value: Any, scope: Scope, spot: Spot, problems: Problems) -> Any:
    """`value` with every expression replaced; problems are noted at the text they are in, which then stays as it is."""
    if not has_expression(value):
        return value
    match value:
        case str():
            try:
                return _filled(value, scope)
            except BadExpression as error:
                problems.add(spot, error.summary, str(error))
                return value
        case dict():
            return {_plain_key(key, spot / key, problems): fill(item, scope, spot / key, problems) for key, item in value.items()}
        case _:
            return [fill(item, scope, spot / number, problems) for number, item in enumerate(value)]


def references(value: Any) -> list[Reference]:
    """Every well-formed reference in `value`; the others are told when they are filled."""
    match value:
        case str() if "${" in value:
            try:
                return [part for part in parts(value) if isinstance(part, Reference)]
            except BadExpression:
                return []
        case dict():
            return [reference for item in value.values() for reference in references(item)]
        case list():
            return [reference for item in value for reference in references(item)]
    return []


@lru_cache(maxsize=1024)
def parts(text: str) -> tuple[str | Reference, ...]:
    """Literal texts and references, in order."""
    found: list[str | Reference] = []
    end = 0
    for match in _EXPRESSION.finditer(text):
        found.append(text[end : match.start()])
        found.append("${" if match[0] == "$${" else _reference(match[1]))
        end = match.end()
    found.append(text[end:])
    return tuple(part for part in found if part != "")


def _reference(inside: str | None) -> Reference:
    if inside is None:
        raise BadExpression("Invalid expression", "An expression is not closed. Write ${var.name}, or $${ for the characters ${ themselves.")
    text = inside.strip()
    if match := _PATH.fullmatch(text):
        return Reference(text, match[1], tuple(match[2][1:].split(".")))
    if match := _JOB.fullmatch(text):
        return Reference(text, "job", (match[1],), _json_text(match[2], text) if match[2] else None, bool(match[3]))
    detail = f"${{{text}}} is none of: {_FORMS}. There are no functions; write $${{ for the characters ${{ themselves."
    raise BadExpression("Invalid expression", detail)


def _json_text(quoted: str, text: str) -> str:
    try:
        return str(json.loads(quoted))
    except json.JSONDecodeError:
        raise BadExpression("Invalid expression", f"The key in ${{{text}}} is not a text in double quotes, as JSON has it.") from None


def _plain_key(key: str, spot: Spot, problems: Problems) -> str:
    if "${" in key:
        problems.add(spot, "Expression in a key", "Expressions are for values; a key is written out.", is_key=True)
    return key


def _filled(text: str, scope: Scope) -> Any:
    found = parts(text)
    if len(found) == 1 and isinstance(found[0], Reference):
        return _value(found[0], scope)
    return "".join(part if isinstance(part, str) else _as_text(_value(part, scope), part) for part in found)


def _as_text(value: Any, reference: Reference) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
    kind = "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else "null"
    raise BadExpression("Invalid expression", f"${{{reference.text}}} is {kind}, which cannot be put into a text.")


def _value(reference: Reference, scope: Scope) -> Any:
    return _ROOTS[reference.root](reference, scope)


def _variable(reference: Reference, scope: Scope) -> Any:
    if scope.variables is None:
        raise BadExpression("Invalid expression", "A variable's default is written out: variables may not refer to each other.")
    name, *rest = reference.path
    if name not in scope.variables:
        detail = f'No variable "{name}" is declared.' + did_you_mean(name, scope.variables, "variable")
        raise BadExpression("Unknown variable", detail)
    return _dig(scope.variables[name], rest, f"var.{name}")


def _each(reference: Reference, scope: Scope) -> Any:
    if scope.each is None:
        raise BadExpression("Invalid expression", f"${{{reference.text}}} has a meaning only inside of a job with for_each.")
    if reference.path == ("key",):
        return scope.each.key
    if reference.path[0] != "value":
        raise BadExpression(
            "Invalid expression", f"${{{reference.text}}}: each has a key and a value." + did_you_mean(reference.path[0], ("key", "value"))
        )
    return _dig(scope.each.value, reference.path[1:], "each.value")


def _env(reference: Reference, scope: Scope) -> str:
    if not scope.keeps_env:
        detail = (
            "Environment variables are read only where nothing is ever stored: in workspaces, credentials and data_stores, "
            "and of a job in headers, in keys and behind the ? of a url. "
        )
        raise BadExpression("Environment variable not allowed", detail + "Use a variable (${var.name}) for what may be stored.")
    return f"${{{reference.text}}}"


def _output(reference: Reference, scope: Scope) -> str:
    if scope.outputs is None:
        raise BadExpression("Invalid expression", f"${{{reference.text}}} has a meaning only in a job's settings and options.")
    if reference.is_each_key and scope.each is None:
        raise BadExpression("Invalid expression", "each.key has a meaning only inside of a job with for_each.")
    key = scope.each.key if reference.is_each_key and scope.each else reference.key
    return scope.outputs(reference.path[0], key)


_ROOTS: dict[str, Callable[[Reference, Scope], Any]] = {"var": _variable, "each": _each, "env": _env, "job": _output}


def _dig(value: Any, path: Any, said: str) -> Any:
    for part in path:
        if not isinstance(value, dict):
            raise BadExpression("Invalid expression", f'{said} has no fields, so there is no "{part}" in it.')
        if part not in value:
            raise BadExpression("Invalid expression", f'{said} has no field "{part}".' + did_you_mean(part, value, "field"))
        value, said = value[part], f"{said}.{part}"
    return value
