"""A model's features out of the intake's columns. The rule here: by name, never by place; and nothing unreadable becomes a number.

Missing values of a number: an empty field and pandas' words for it. `inf` and numbers beyond a double (`1e400`) are infinity.
A text feature is taken as it stands; only the unquoted empty field is missing.
"""

import difflib
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from reconciler.engine.intake import Intake, Piece
from reconciler.engine.models.model import Feature
from reconciler.errors import ScoringError

_MISSING = ("", "NA", "<NA>", "N/A", "n/a", "#N/A", "#NA", "NaN", "nan", "-nan", "-NaN", "NULL", "null", "None", "none")
# Words that stand for a number; pandas reads these as booleans, and its frames train models with them.
_TRUTH = {"True": "1", "true": "1", "TRUE": "1", "False": "0", "false": "0", "FALSE": "0"}

_WORDS = pa.array([*_MISSING, *_TRUTH])
_MEANINGS = pa.array([*(None for _ in _MISSING), *_TRUTH.values()], pa.string())


class Features:
    """Finds the columns at once (all that are missing are named) and then turns pieces into what the model reads."""

    def __init__(self, wanted: Sequence[Feature], intake: Intake) -> None:
        self._intake = intake
        self._wanted = wanted or [Feature(name, is_text=True) for name in intake.header]
        self.columns = _columns([feature.name for feature in self._wanted], intake)

    def read(self, piece: Piece) -> pa.RecordBatch:
        pairs = zip(self._wanted, self.columns, strict=True)
        arrays = [piece.rows.column(column) if feature.is_text else self._numbers(piece, column) for feature, column in pairs]
        return pa.RecordBatch.from_arrays(arrays, names=[feature.name for feature in self._wanted])

    def _numbers(self, piece: Piece, column: str) -> pa.Array:
        try:
            return numbers(piece.rows.column(column))
        except pa.ArrowInvalid as error:
            row, text = first_unreadable(piece.rows.column(column))
            line = self._intake.position.line(piece.first_row + row)
            detail = f"{self._intake.path}, line {line}, column {column}: {text!r} is not a number. Correct it, or leave it empty if it is missing."
            raise ScoringError("A value is not a number", detail) from error


def numbers(texts: pa.Array) -> pa.Array:
    """float64 with null for missing values. Raises ArrowInvalid."""
    try:
        return pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        return pc.cast(_spelled_out(texts), pa.float64())


def _spelled_out(texts: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(texts)
    word = pc.index_in(trimmed, _WORDS)
    return pc.if_else(pc.is_valid(word), pc.take(_MEANINGS, word), trimmed)


def first_unreadable(texts: pa.Array) -> tuple[int, str]:
    """The first row that keeps `numbers` from reading all of them, and what is written there."""
    return next((row, text) for row, text in enumerate(texts.to_pylist()) if not _is_readable(text))


def _is_readable(text: str | None) -> bool:
    try:
        numbers(pa.array([text], pa.string()))
    except pa.ArrowInvalid:
        return False
    return True


def _columns(names: Sequence[str], intake: Intake) -> list[str]:
    # LightGBM writes a space in a feature's name as an underscore, so that is how such a column is found.
    header = {name.replace(" ", "_"): name for name in intake.header} | {name: name for name in intake.header}
    if missing := [name for name in names if name not in header]:
        listed = ", ".join(_with_neighbour(name, intake.header) for name in missing)
        detail = f"{intake.path} lacks {listed}. The model finds its features by column name; add or rename them."
        raise ScoringError("The intake lacks columns of the model", detail)
    return [header[name] for name in names]


def _with_neighbour(name: str, header: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, header, n=1, cutoff=0.75)
    return f"{name} (it has {near[0]})" if near else name
