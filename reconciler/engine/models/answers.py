"""What code of the user's answers, as scores. The rule here: classes are met by the label over the column, never by its place."""

from typing import Any

import numpy as np
import pandas as pd

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.labels import places
from reconciler.engine.models.model import Scores
from reconciler.errors import ScoringError

# Of one call. A text takes its model long, and an abort waits for the call that is under way.
_ROWS, _TEXTS = 4096, 16


def rows_at_once(metadata: Metadata) -> int:
    return _TEXTS if metadata.target_type == "TextGeneration" else _ROWS


def scores_of(metadata: Metadata, answer: Any) -> Scores:
    """Raises ScoringError for an answer that the target type cannot have."""
    table = _table(metadata, answer)
    if metadata.target_type == "TextGeneration":
        return np.array([None if pd.isna(text) else str(text) for text in _one_column(metadata, table)], object)
    if not metadata.class_labels:
        return _numbers(metadata, _one_column(metadata, table))
    matched = places(metadata, table.columns)
    wanted = list(range(len(metadata.class_labels)))
    if sorted(place for place in matched if place >= 0) == wanted:
        found = _numbers(metadata, table.iloc[:, [matched.index(place) for place in wanted]])
        return found[:, 0] if metadata.target_type == "Binary" else found
    if metadata.target_type == "Binary" and table.shape[1] == 1:
        return _numbers(metadata, table.iloc[:, 0])
    alone = ", or one column with the probability of the positive class" if metadata.target_type == "Binary" else ""
    raise _wrong(metadata, f"a column for each of {', '.join(metadata.class_labels)}{alone}", table)


def _table(metadata: Metadata, answer: Any) -> pd.DataFrame:
    try:
        return answer if isinstance(answer, pd.DataFrame) else pd.DataFrame(answer)
    except (ValueError, TypeError) as error:
        raise _failed(metadata, f"it gave {type(answer).__name__}, which is no table") from error


def _one_column(metadata: Metadata, table: pd.DataFrame) -> Any:
    if table.shape[1] == 1:
        return table.iloc[:, 0]
    if metadata.target_name in table.columns:
        return table[metadata.target_name]
    raise _wrong(metadata, f"one column, or one named {metadata.target_name}", table)


def _numbers(metadata: Metadata, values: Any) -> Scores:
    try:
        return np.asarray(values, np.float64)
    except (ValueError, TypeError) as error:
        raise _failed(metadata, f"it gave something else than numbers: {error}") from error


def _wrong(metadata: Metadata, wanted: str, table: pd.DataFrame) -> ScoringError:
    given = ", ".join(map(str, table.columns)) or "none"
    return _failed(metadata, f"for targetType {metadata.target_type} it must give {wanted}; its columns are {given}")


def _failed(metadata: Metadata, why: str) -> ScoringError:
    return ScoringError("The model failed", f"{metadata.artifact}: {why}.")
