"""A model's features out of the intake's columns. The rule here: by name, never by place; and nothing unreadable becomes a number.

A row with a value that cannot be read is a fault of that row; the others go on.

Missing values of a number: an empty field and pandas' words for it. `inf` and numbers beyond a double (`1e400`) are infinity.
A text feature is taken as it stands; only the unquoted empty field is missing.
"""

import difflib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconciler.engine.failure import Fault, quoted
from reconciler.engine.intake import Intake
from reconciler.engine.models.model import Feature
from reconciler.engine.text import texts
from reconciler.engine.words import MISSING, TRUTH
from reconciler.errors import ScoringError

_PLAIN = r"^-?[0-9]+(\.[0-9]+)?$"

# pandas reads words of truth as booleans, and its frames train models with them.
_MEANT = {**dict.fromkeys(MISSING), **{word: str(int(truth)) for truth, words in TRUTH.items() for word in words}}
_WORDS, _MEANINGS = pa.array([*_MEANT]), pa.array([*_MEANT.values()], pa.string())


class Features:
    """Finds the columns at once (all that are missing are named) and then turns rows into what the model reads."""

    def __init__(self, wanted: Sequence[Feature], intake: Intake) -> None:
        self.wanted = wanted or [Feature(name, is_text=True) for name in intake.header]
        self.columns = _columns([feature.name for feature in self.wanted], intake)
        _check_types(self.wanted, self.columns, intake)

    def read(self, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[int, Fault]]:
        """The features of every row, and the rows that have none; theirs are null where they are unreadable."""
        faults: dict[int, Fault] = {}
        pairs = zip(self.wanted, self.columns, strict=True)
        arrays = [texts(rows.column(column)) if feature.is_text else _numbers(rows.column(column), column, faults) for feature, column in pairs]
        return pa.RecordBatch.from_arrays(arrays, names=[feature.name for feature in self.wanted]), faults


def _numbers(values: pa.Array, column: str, faults: dict[int, Fault]) -> pa.Array:
    """As `numbers`; where a value is none, it is null, and a fault of its row if that has no other."""
    try:
        return numbers(values)
    except pa.ArrowInvalid:
        values = texts(values)
        bad = _unreadable(values)
    for place in bad:
        faults.setdefault(place, Fault(f"{quoted(values[place].as_py())} is not a number", column))
    is_good = np.ones(len(values), np.bool_)
    is_good[bad] = False
    return numbers(pc.if_else(pa.array(is_good), values, pa.scalar(None, values.type)))


def _unreadable(values: pa.Array) -> list[int]:
    """The places of the values that keep `numbers` from reading all of them."""
    # What looks like a number is one; what does not, such as `NA` or ` 1`, is tried alone.
    is_plain = pc.match_substring_regex(values, _PLAIN)
    places = np.flatnonzero(pc.fill_null(pc.invert(is_plain), False).to_numpy(zero_copy_only=False)).tolist()
    return [place for place in places if not _is_readable(values[place : place + 1])]


def _is_readable(value: pa.Array) -> bool:
    try:
        numbers(value)
    except pa.ArrowInvalid:
        return False
    return True


def numbers(values: pa.Array) -> pa.Array:
    """float64 with null for missing values. Raises ArrowInvalid."""
    if pa.types.is_dictionary(values.type):
        return numbers(values.dictionary_decode())
    if not _is_text(values.type):
        return pc.cast(values, pa.float64(), safe=False)
    try:
        return pc.cast(values, pa.float64())
    except pa.ArrowInvalid:
        return pc.cast(_spelled_out(values.cast(pa.string())), pa.float64())


def _spelled_out(texts: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(texts)
    word = pc.index_in(trimmed, _WORDS)
    return pc.if_else(pc.is_valid(word), pc.take(_MEANINGS, word), trimmed)


def _is_text(kind: pa.DataType) -> bool:
    return any(check(kind) for check in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _holds_numbers(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _holds_numbers(kind.value_type)
    checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean, pa.types.is_null)
    return _is_text(kind) or any(check(kind) for check in checks)


def _check_types(wanted: Sequence[Feature], columns: Sequence[str], intake: Intake) -> None:
    kinds = dict(zip(intake.header, intake.types, strict=True))
    pairs = zip(wanted, columns, strict=True)
    if unfit := [f"{column} ({kinds[column]})" for feature, column in pairs if not feature.is_text and not _holds_numbers(kinds[column])]:
        detail = f"{intake.name}: the model reads numbers from {', '.join(unfit)}. Write these columns as numbers."
        raise ScoringError("Columns of the intake hold no numbers", detail)


def _columns(names: Sequence[str], intake: Intake) -> list[str]:
    # LightGBM writes a space in a feature's name as an underscore, so that is how such a column is found.
    header = {name.replace(" ", "_"): name for name in intake.header} | {name: name for name in intake.header}
    if missing := [name for name in names if name not in header]:
        listed = ", ".join(_with_neighbour(name, intake.header) for name in missing)
        detail = f"{intake.name} lacks {listed}. The model finds its features by column name; add or rename them."
        raise ScoringError("The intake lacks columns of the model", detail)
    return [header[name] for name in names]


def _with_neighbour(name: str, header: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, header, n=1, cutoff=0.75)
    return f"{name} (it has {near[0]})" if near else name
