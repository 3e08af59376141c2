"""A strength as signs, `+++` to `---`. The rule here: the borders are those that DataRobot publishes.

Source: "XEMP qualitative strength" in DataRobot's documentation. A strength is divided by the sum of the ten greatest of its row, sizes without
signs. Where the page prints a trivial strength in grey, a text has `<+` and `<-`.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reconciler.engine.models.model import Scores

_SIGNS = pa.array(["---", "--", "-", "<-", "<+", "+", "++", "+++"])
_GREATEST = 10
_TRIVIAL = 0.001


def signs(strengths: Scores) -> list[pa.Array]:
    """For strengths of (rows, features), greatest first: the cells of each feature."""
    return [_SIGNS.take(pa.array(column)) for column in _places(strengths).T]


def _places(strengths: Scores) -> NDArray[np.intp]:
    total = np.abs(strengths[:, :_GREATEST]).sum(axis=1, keepdims=True)
    shares = strengths / np.where(total == 0, 1, total)
    sizes = np.abs(shares)
    more = np.where(sizes < _TRIVIAL, 0, 1 + np.digitize(sizes, _borders(strengths.shape[1]), right=True))
    return np.where(shares > 0, 4 + more, 3 - more)


def _borders(features: int) -> tuple[float, float]:
    """The shares above which a strength has two signs, and three."""
    if features == 1:
        return _TRIVIAL / 2, _TRIVIAL / 2
    if features == 2:
        return 0.25, 0.75
    if features < 10:
        return 1 / (2 * features), 2 / features
    return 0.05, 0.2
