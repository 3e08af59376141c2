"""How far each n-gram of a text moved a row's prediction. The rule here: its strength is the prediction, less that of the same row without it.

An n-gram is a word, wherever it stands in the text; its strength is in the space of the prediction (a probability for classes). One that changes
nothing is unknown to the model. A word is letters, the marks on them, and digits; where a script puts no space between words, it is all up to
the next one.

Source: the way is DataRobot's (US 2024/0028828 A1: a second prediction "for a second data set that lacks the first n-gram"); the keys are those of
`PredictionExplanations` in the official client.
"""

import json
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reconciler.engine.background import predictions
from reconciler.engine.metadata import FILE, Metadata
from reconciler.engine.models.model import Feature, Model, Scores
from reconciler.engine.signs import signs
from reconciler.errors import ModelError, ScoringError

# The rows of one call of the model, and their bytes: a text of some thousand words is held some thousand times, and an abort shall not wait for all.
_ROWS, _BYTES = 64, 1 << 18
# The joiners stand within words.
_OF_WORDS = frozenset("_\u200c\u200d")
_Span = tuple[int, int]
_Spans = Sequence[Sequence[_Span]]
Places = NDArray[np.intp]
Column = Callable[[Places, Places], pa.Array]


class Ngrams:
    """`features` are those of the rows, in their order; `most` bounds the n-grams of one text.

    Costs one prediction for each different word of a text, and one more in each call.
    """

    def __init__(
        self, model: Model, features: Sequence[Feature], metadata: Metadata, most: int | Literal["all"], is_halted: Callable[[], bool]
    ) -> None:
        """Raises ModelError when what the metadata calls a text is none of the model's."""
        self._model = model
        self._most = None if most == "all" else most
        self._is_halted = is_halted
        texts = [feature.name for feature in features if feature.is_text]
        if strangers := [name for name in metadata.text_features if name not in texts]:
            named = f"textFeatures names {', '.join(strangers)}; the model reads as text {', '.join(texts) or 'nothing'}"
            raise ModelError("The model's metadata is invalid", f"{metadata.artifact.parent / FILE}: {named}.")
        self._places = frozenset(place for place, feature in enumerate(features) if feature.name in metadata.text_features)

    def of(self, rows: pa.RecordBatch) -> Column:
        """For the rows of a piece: which feature, and which output of the model, is told of in each row, into cells; null where it is no text.

        They raise ScoringError.
        """

        @cache
        def moved(row: int, place: int) -> tuple[_Spans, Scores] | None:
            return self._moved(rows.slice(row, 1), place) if place in self._places else None

        def column(places: Places, outputs: Places) -> pa.Array:
            found = [(moved(row, place), output) for row, (place, output) in enumerate(zip(places.tolist(), outputs.tolist(), strict=True))]
            return pa.array([of_row and self._document(of_row[0], of_row[1][:, output]) for of_row, output in found], pa.string())

        return column

    def _moved(self, row: pa.RecordBatch, place: int) -> tuple[_Spans, Scores] | None:
        """The words of one text of one row, and how far each moved each output of the model; None where the text is missing."""
        text = row.column(place)[0].as_py()
        if text is None:
            return None
        words = _words(text)
        at_once = max(min(_ROWS, _BYTES // max(row.nbytes, 1)), 1)
        starts = range(0, len(words) or 1, at_once)
        return words, np.concatenate([self._strengths(row, place, text, words[start : start + at_once]) for start in starts])

    def _strengths(self, row: pa.RecordBatch, place: int, text: str, words: _Spans) -> Scores:
        """(words, outputs)"""
        # A blank and not nothing, which a model of the user's code would be given as a missing value.
        shortened = pa.array([text, *(_without(text, spans) or " " for spans in words)], pa.string())
        rows = row.take(pa.array(np.zeros(len(shortened), np.intp))).set_column(place, row.schema.names[place], shortened)
        found = predictions(self._model, rows, self._is_halted)
        if not np.isfinite(found).all():
            raise ScoringError("A row cannot be explained", f"The model has no prediction for {row.schema.names[place]} without some of its words.")
        strengths: Scores = found[0] - found[1:]
        return strengths

    def _document(self, spans: _Spans, strengths: Scores) -> str:
        order = np.argsort(-np.abs(strengths), kind="stable")
        qualities = [column[0].as_py() for column in signs(strengths[order][None])] if len(order) else []
        return json.dumps(
            [
                {
                    "ngrams": [{"startingIndex": start, "endingIndex": end} for start, end in spans[word]],
                    "isUnknown": bool(strengths[word] == 0),
                    "qualitativeStrength": said,
                    "strength": float(strengths[word]),
                }
                for word, said in list(zip(order, qualities, strict=True))[: self._most]
            ]
        )


def _words(text: str) -> list[list[_Span]]:
    """Where each word stands, in characters, the end behind its last; capitals are no other word."""
    found: dict[str, list[_Span]] = {}
    end = 0
    for is_word, letters in groupby(text, _is_of_word):
        begin, word = end, "".join(letters)
        end += len(word)
        if is_word:
            found.setdefault(word.casefold(), []).append((begin, end))
    return list(found.values())


def _is_of_word(letter: str) -> bool:
    return letter in _OF_WORDS or unicodedata.category(letter)[0] in "LMN"


def _without(text: str, spans: Sequence[_Span]) -> str:
    kept = zip([0, *(end for _, end in spans)], [*(start for start, _ in spans), len(text)], strict=True)
    return "".join(text[start:end] for start, end in kept)
