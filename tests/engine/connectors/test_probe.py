"""What a probe answers. The rule here: plain JSON, and no order."""

import datetime
import decimal
import json
from typing import Any

import pytest

from reconciler.engine.connectors.probe import MOST, probed
from reconciler.errors import ScoringError

VALUES: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (2**70, 2**70),
    (0.5, 0.5),
    ("ü", "ü"),
    (float("nan"), "nan"),
    (float("-inf"), "-inf"),
    (datetime.datetime(2026, 10, 1, 12, tzinfo=datetime.UTC), "2026-10-01T12:00:00+00:00"),
    (datetime.time(1, 2), "01:02:00"),
    (decimal.Decimal("1E+3"), "1000"),
    (b"\xff", "ff"),
    ({"a": 1}, "{'a': 1}"),
]


@pytest.mark.parametrize(("value", "plain"), VALUES, ids=repr)
def test_a_value_is_plain_json(value: Any, plain: Any) -> None:
    facts = probed("there", [(value, value)])
    assert facts == {"probe": [[plain, plain]]}
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_the_order_of_the_rows_says_nothing() -> None:
    assert probed("there", [(2, "b"), (1, None), (None, "c")]) == probed("there", [(None, "c"), (2, "b"), (1, None)])


def test_too_many_rows_are_refused() -> None:
    assert probed("there", [()] * MOST)
    with pytest.raises(ScoringError, match="too many rows") as caught:
        probed("there", [()] * (MOST + 1))
    assert caught.value.detail.startswith("there: ")
