"""What a probe answers, which tells one content of a table from another. The rule here: the same rows are the same facts, in whatever order."""

import datetime
import decimal
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.errors import ScoringError

MOST = 1000  # rows


def probed(system: str, rows: Iterable[Sequence[Any]]) -> Mapping[str, Any]:
    """The facts of a look, in plain JSON. `rows` need not be more than MOST + 1. Raises ScoringError when there are more than MOST."""
    found = [[_plain(value) for value in row] for row in rows]
    if len(found) > MOST:
        detail = f"{system}: the probe gives more than {MOST} rows. Let it sum up what changes with the rows."
        raise ScoringError("The probe gives too many rows", detail)
    return {"probe": sorted(found, key=repr)}


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | str | None) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return format(value, "f") if isinstance(value, decimal.Decimal) else str(value)
