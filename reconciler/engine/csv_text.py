"""Columns as CSV text. The rule here: quotes only where a reader needs them, and a number's text gives back exactly that number."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reconciler.engine.dialect import Dialect
from reconciler.engine.models.model import Scores


def number_text(numbers: Scores) -> pa.Array:
    """The shortest text that is read as the same double; a whole number keeps a decimal (`1.0`)."""
    texts = pc.cast(pa.array(numbers), pa.string())
    whole = numbers == np.floor(numbers)
    if not whole.any():
        return texts
    is_bare = pc.and_(pa.array(whole), pc.match_substring_regex(texts, r"^-?[0-9]+$"))
    return pc.if_else(is_bare, pc.binary_join_element_wise(texts, ".0", ""), texts)


def constant(text: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), rows)


def header_line(names: Sequence[str], dialect: Dialect) -> bytes:
    return lines([pa.array([name]) for name in names], dialect)


def lines(columns: Sequence[pa.Array], dialect: Dialect) -> bytes:
    """The rows in UTF-8, each ended by LF. An empty text is `""`, a null is nothing."""
    cells = [_quoted(column, dialect) for column in columns]
    if len(cells) == 1:
        # A row of one null would be a blank line, which is no row to a reader.
        cells = [pc.fill_null(cells[0], dialect.quotechar * 2)]
    cells[-1] = pc.binary_join_element_wise(cells[-1], "\n", "", null_handling="replace")
    joined = pc.binary_join_element_wise(*cells, dialect.delimiter, null_handling="replace")
    return _content(joined)


def _quoted(texts: pa.Array, dialect: Dialect) -> pa.Array:
    if not _needs_quotes(texts, dialect):
        return texts
    quote = dialect.quotechar
    marked = pc.match_substring_regex(texts, "^$|[" + "".join(f"\\x{ord(mark):02x}" for mark in dialect.special) + "]")
    doubled = pc.replace_substring(texts, quote, quote * 2)
    return pc.if_else(marked, pc.binary_join_element_wise(quote, doubled, quote, ""), texts)


def _needs_quotes(texts: pa.Array, dialect: Dialect) -> bool:
    """Whether any value does: a look at the bytes of all of them, which is far cheaper than a look at each."""
    content = _content(texts)
    has_empty = pc.any(pc.equal(pc.binary_length(texts), 0)).as_py()
    return bool(has_empty) or any(mark.encode() in content for mark in dialect.special)


def _content(texts: pa.Array) -> bytes:
    """The bytes of all values, one after the other."""
    _, offsets, data = texts.buffers()
    if data is None or len(texts) == 0:
        return b""
    bounds = np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4)
    return bytes(memoryview(data)[bounds[0] : bounds[-1]])
