"""Which value of a column does not fit. The rule here: it is looked for when all of them together do not, and then there is one."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa


def misfit(values: pa.Array, cast: Callable[[pa.Array], object]) -> tuple[int, Any]:
    """The place of the first value for which `cast` raises a pa.ArrowException, and the value; of no values, 0 and None."""
    start, stop = 0, len(values)
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            cast(values.slice(start, middle - start))
        except pa.ArrowException:
            stop = middle
        else:
            start = middle
    return start, values[start].as_py() if len(values) else None
