"""The tree of errors. The rule here: what is drawn in the docstring is what there is."""

import re
from collections.abc import Iterator

import pytest

from reconciler import errors
from reconciler.diagnostic import Diagnostic
from reconciler.errors import ReconcilerError, SpecInvalid


def tree(kind: type[ReconcilerError], depth: int = 0) -> Iterator[tuple[int, str, int]]:
    yield depth, kind.__name__, kind.exit_code
    for inner in kind.__subclasses__():
        if inner.__module__ == errors.__name__:
            yield from tree(inner, depth + 1)


def drawn() -> list[tuple[int, str, int]]:
    lines = (errors.__doc__ or "").splitlines()
    found = [re.match(r"([│├└─ ]*)(\w+) +(\d+)", line) for line in lines]
    return [(len(line[1]) // 4, line[2], int(line[3])) for line in found if line]


def test_every_error_is_drawn_in_its_place_with_its_exit_code() -> None:
    assert drawn() == list(tree(ReconcilerError))


def test_every_error_of_the_module_is_in_the_tree() -> None:
    raised = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert raised == {name for _, name, _ in drawn()}


@pytest.mark.parametrize("name", [name for _, name, _ in drawn()])
def test_every_error_says_what_it_means(name: str) -> None:
    kind = getattr(errors, name)
    assert kind.__doc__ and kind.__doc__ != kind.__base__.__doc__


def test_error_carries_its_summary_and_detail_as_a_diagnostic() -> None:
    error = errors.StateLocked("The state is locked", "Wait.")
    assert str(error) == "The state is locked"
    assert list(error.diagnostics) == [Diagnostic("The state is locked", "Wait.")]


def test_invalid_spec_carries_every_problem() -> None:
    problems = [Diagnostic("One"), Diagnostic("Two")]
    assert list(SpecInvalid(problems).diagnostics) == problems
