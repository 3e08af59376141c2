"""Which columns the output has, in which order, under which names. The rule here: all of it is settled before the first row is read."""

from collections.abc import Sequence
from dataclasses import replace

from reconciler.engine.csv_text import constant
from reconciler.engine.explanations import explanation_names
from reconciler.engine.metadata import Metadata
from reconciler.engine.predictions import Column, prediction_columns
from reconciler.errors import ScoringError
from reconciler.options import Options


def output_columns(metadata: Metadata, options: Options, header: Sequence[str]) -> list[Column]:
    """Predictions, the status, explanations, the columns passed through; then renamed. Raises ScoringError for what the intake cannot give."""
    columns = prediction_columns(metadata, options)
    if options.include_prediction_status:
        columns.append(Column("prediction_status", lambda scored: constant("OK", scored.rows.num_rows)))
    columns += [_explanation(place, name) for place, name in enumerate(explanation_names(metadata, options))]
    columns += [_passed_through(name) for name in passthrough(options, header)]
    _check_names(columns, "Leave it out of passthrough_columns, or rename it in the intake.")
    columns = _remapped(columns, options)
    _check_names(columns, "Correct column_names_remapping.")
    if not columns:
        raise ScoringError("The output has no columns", "column_names_remapping drops every column; keep one.")
    return columns


def passthrough(options: Options, header: Sequence[str]) -> Sequence[str]:
    if options.passthrough_columns_set == "all":
        return header
    listed = list(dict.fromkeys(options.passthrough_columns or ()))
    if missing := [name for name in listed if name not in header]:
        detail = f"passthrough_columns names {', '.join(missing)}; the intake has {', '.join(header)}."
        raise ScoringError("The intake lacks columns to pass through", detail)
    return listed


def _explanation(place: int, name: str) -> Column:
    return Column(name, lambda scored: scored.explanations[place])


def _passed_through(name: str) -> Column:
    return Column(name, lambda scored: scored.rows.column(name))


def _remapped(columns: Sequence[Column], options: Options) -> list[Column]:
    renamed = [(column, options.column_names_remapping.get(column.name, column.name)) for column in columns]
    return [replace(column, name=name) for column, name in renamed if name is not None]


def _check_names(columns: Sequence[Column], advice: str) -> None:
    names = [column.name for column in columns]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ScoringError("Columns of the output have the same name", f"The output would have {', '.join(repeated)} more than once. {advice}")
