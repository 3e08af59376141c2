"""What becomes of the table that scores are written to. The rule here: one table of cases, for every system that has statements."""

import pytest

MISSING, EXISTS = "The table does not exist", "The table exists already"
# Statement, createTableIfNotExists, whether the table is there with one row, and how many rows it has when another one is written: or why none is.
CASES = [
    ("insert", False, True, 2),
    ("insert", True, True, 2),
    ("insert", False, False, MISSING),
    ("insert", True, False, 1),
    ("createTable", False, True, EXISTS),
    ("createTable", True, True, 2),
    ("createTable", False, False, 1),
    ("createTable", True, False, 1),
]
TARGETS = pytest.mark.parametrize(
    ("statement", "if_not_exists", "is_there", "outcome"),
    CASES,
    ids=[f"{statement}{'-if-not-exists' * if_not_exists}-{'there' if is_there else 'not-there'}" for statement, if_not_exists, is_there, _ in CASES],
)
