"""Rows as the pandas frame for a model of Python. The rule here: it is what the model's maker would have read from the same file."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from reconciler.engine.metadata import Metadata
from reconciler.engine.models.categories import NEW, codes_of, recoded, refuse_new


class Column(Protocol):
    """What a column of the frame is made as."""

    @property
    def is_text(self) -> bool:
        """Whether it is made of the text as it stands; of numbers otherwise."""

    @property
    def known(self) -> Sequence[Any]:
        """The values that a model was trained on, if it keeps them."""

    @property
    def refuses_new(self) -> bool:
        """Whether any other value is refused."""

    def made(self, name: str, values: pa.Array) -> Any: ...


@dataclass(frozen=True)
class Numbers:
    is_text: bool = False
    known: Sequence[Any] = ()
    refuses_new: bool = False

    def made(self, name: str, values: pa.Array) -> Any:
        return pd.Series(np.asarray(values.to_numpy(zero_copy_only=False), np.float64))


@dataclass(frozen=True)
class Objects:
    """Texts, those among `words` as written there, or Python's own numbers; `missing` stands where a value is missing.

    One that is not among the texts `known` may be refused.
    """

    missing: float | str | None = np.nan
    is_text: bool = True
    words: Mapping[str, str] = field(default_factory=dict)
    known: Sequence[str] = ()
    refuses_new: bool = False

    def made(self, name: str, values: pa.Array) -> Any:
        if self.refuses_new:
            refuse_new(name, values, recoded(values, codes_of(self.known), NEW))
        objects = np.asarray(values.to_numpy(zero_copy_only=False), object)
        for word, meaning in self.words.items():
            objects[objects == word] = meaning
        objects[np.asarray(values.is_null())] = self.missing
        # Else pandas has its own type for texts, and its own sign for those that are missing.
        return pd.Series(objects, dtype=None if self.is_text and self.missing is not None else object)


class Categories:
    """Of pandas' own kind, with the categories that a model was trained with. One that is new is missing, or is refused."""

    is_text = True

    def __init__(self, values: Any, *, refuses_new: bool = False) -> None:
        self.known = values
        self.refuses_new = refuses_new
        self._codes = codes_of(values)

    def made(self, name: str, values: pa.Array) -> Any:
        codes = recoded(values, self._codes, NEW)
        if self.refuses_new:
            refuse_new(name, values, codes)
        return pd.Series(pd.Categorical.from_codes(np.nan_to_num(codes, nan=NEW).astype(np.intp), self.known))


def typed(rows: pa.RecordBatch, columns: Mapping[str, Column] | None = None) -> pd.DataFrame:
    """Each column as `columns` says; others are numbers or texts, as they come."""
    made = {}
    for name, values in zip(rows.schema.names, rows.columns, strict=True):
        column = (columns or {}).get(name) or (Objects() if pa.types.is_string(values.type) else Numbers())
        made[name] = column.made(name, values)
    return pd.DataFrame(made)


def inferred(rows: pa.RecordBatch, columns: Mapping[str, Column] | None = None) -> pd.DataFrame:
    """As pandas reads a CSV file of these rows, so that a column's type is what its values look like; those made of text as `columns` says.

    `rows` are texts.
    """
    written = io.BytesIO()
    pyarrow.csv.write_csv(rows, written)
    data = pd.read_csv(io.BytesIO(written.getvalue()), skip_blank_lines=False, low_memory=False)
    return data.assign(**{name: column.made(name, rows.column(name)) for name, column in (columns or {}).items() if column.is_text})


def words(metadata: Metadata) -> dict[str, Column]:
    """Columns of texts that the metadata name; one is text whatever its values look like."""
    return {name: Objects() for name in metadata.text_features}
