"""Which columns the output has, in which order, under which names. The rule here: all of it is settled before the first row is read.

A row that failed has what is passed through and its status, and nothing else. A column of the intake that a folder is partitioned by is passed
through for that alone: its values are the folders' names.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.engine.explanations import explanation_names
from reconciler.engine.metadata import Metadata
from reconciler.engine.predictions import Column, prediction_columns
from reconciler.errors import ScoringError
from reconciler.options import Options

# The explanations' columns whose cells are numbers. A qualitative strength is none.
_NUMBERS = re.compile(r"_\d+_STRENGTH$|SHAP_(BASE_VALUE|REMAINING_TOTAL)$")


@dataclass(frozen=True)
class Status:
    """`OK`, or why the row failed."""

    name: str = "prediction_status"


@dataclass(frozen=True)
class Passed:
    """A column of the intake, as the intake has it."""

    name: str
    source: str


AnyColumn = Column | Status | Passed


def output_columns(metadata: Metadata, options: Options, header: Sequence[str], partitions: Sequence[str] = ()) -> list[AnyColumn]:
    """Predictions, the status, explanations, the columns passed through; then renamed; then what else it is partitioned by.

    Raises ScoringError for what the intake cannot give.
    """
    columns: list[AnyColumn] = [*prediction_columns(metadata, options)]
    if options.include_prediction_status:
        columns.append(Status())
    columns += [_explanation(place, name) for place, name in enumerate(explanation_names(metadata, options))]
    columns += [Passed(name, source=name) for name in _passthrough(options, header)]
    _check_names(columns, "Leave it out of passthrough_columns, or rename it in the intake.")
    columns = _remapped(columns, options)
    _check_names(columns, "Correct column_names_remapping.")
    if not columns:
        raise ScoringError("The output has no columns", "column_names_remapping drops every column; keep one.")
    there = {column.name for column in columns} | {column.source for column in columns if isinstance(column, Passed)}
    return columns + [Passed(name, source=name) for name in dict.fromkeys(partitions) if name in header and name not in there]


def partition_names(columns: Sequence[AnyColumn], partitions: Sequence[str]) -> list[str]:
    """What the output calls the columns that it is partitioned by, which are named as the intake has them, or as the output does."""
    renamed = {column.source: column.name for column in columns if isinstance(column, Passed)}
    return [renamed.get(name, name) for name in partitions]


def _passthrough(options: Options, header: Sequence[str]) -> Sequence[str]:
    if options.passthrough_columns_set == "all":
        return header
    listed = list(dict.fromkeys(options.passthrough_columns or ()))
    if missing := [name for name in listed if name not in header]:
        detail = f"passthrough_columns names {', '.join(missing)}; the intake has {', '.join(header)}."
        raise ScoringError("The intake lacks columns to pass through", detail)
    return listed


def _explanation(place: int, name: str) -> Column:
    return Column(name, lambda scored: scored.explanations[place], is_number=bool(_NUMBERS.search(name)))


def _remapped(columns: Sequence[AnyColumn], options: Options) -> list[AnyColumn]:
    renamed = [(column, options.column_names_remapping.get(column.name, column.name)) for column in columns]
    return [replace(column, name=name) for column, name in renamed if name is not None]


def _check_names(columns: Sequence[AnyColumn], advice: str) -> None:
    names = [column.name for column in columns]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ScoringError("Columns of the output have the same name", f"The output would have {', '.join(repeated)} more than once. {advice}")
