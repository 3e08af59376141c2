"""Values of every type that Arrow has, as text and as numbers: each is a string, and none is an error."""

import uuid
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from reconciler.engine.failure import Fault
from reconciler.engine.features import _numbers, numbers
from reconciler.engine.text import texts

BERLIN = pa.timestamp("us", "Europe/Berlin")
SPAN = pa.MonthDayNano([14, -3, 4_500_000_000])
CASES: list[tuple[pa.Array, str]] = [
    (pa.array([True]), "True"),
    (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
    (pa.array([1.5], pa.float16()), "1.5"),
    (pa.array([0.1], pa.float32()), "0.1"),
    (pa.array([0.1]), "0.1"),
    (pa.array([Decimal("0.12345678901234567890")], pa.decimal128(38, 20)), "0.12345678901234567890"),
    (pa.array([Decimal("1.500")], pa.decimal256(70, 3)), "1.500"),
    (pa.array([date(2024, 2, 29)]), "2024-02-29"),
    (pa.array([date(2024, 2, 29)], pa.date64()), "2024-02-29"),
    (pa.array([5], pa.time32("s")), "00:00:05"),
    (pa.array([5], pa.time64("ns")), "00:00:00.000000005"),
    (pa.array([datetime.fromisoformat("2024-02-29T01:02:03.000456")]), "2024-02-29 01:02:03.000456"),
    (pa.array([datetime.fromisoformat("2024-02-29T01:02:03+00:00")], BERLIN), "2024-02-29 02:02:03.000000+0100"),
    (pa.array([timedelta(seconds=90)], pa.duration("s")), "90"),
    (pa.array([SPAN]), "P14M-3DT4.5S"),
    (pa.array([pa.MonthDayNano([0, 0, -1])]), "P0M0DT-0.000000001S"),
    (pa.array([pa.MonthDayNano([0, 1, 10_000_000_000])]), "P0M1DT10S"),
    (pa.array(["x"]), "x"),
    (pa.array(["x"], pa.large_string()), "x"),
    (pa.array(["x"], pa.string_view()), "x"),
    (pa.array(["x"]).dictionary_encode(), "x"),
    (pa.array([b"x\xff"]), "x\\xff"),
    (pa.array([b"x\xff"], pa.large_binary()), "x\\xff"),
    (pa.array([b"x\xff"], pa.binary_view()), "x\\xff"),
    (pa.array([b"x\xff"], pa.binary(2)), "x\\xff"),
    (pa.array([[1, None]]), "[1, null]"),
    (pa.array([[1, 2]], pa.list_(pa.int64(), 2)), "[1, 2]"),
    (pa.array([["é"]], pa.list_view(pa.string())), '["é"]'),
    (pa.array([{"a": date(2024, 2, 29), "b": None}]), '{"a": "2024-02-29", "b": null}'),
    (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), '[["k", 1]]'),
    (pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=7).bytes], pa.binary(16))), "00000000-0000-0000-0000-000000000007"),
    (pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}'])), '{"a": 1}'),
    (pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "interval", "PostgreSQL"), pa.array(["1 day"])), "1 day"),
    (pa.ExtensionArray.from_storage(pa.opaque(pa.binary(), "point", "PostgreSQL"), pa.array([b"\xff"])), "\\xff"),
]


@pytest.mark.parametrize(("values", "text"), [pytest.param(*case, id=f"{case[0].type} {case[1]}") for case in CASES])
def test_a_value_of_any_type_has_a_text(values: pa.Array, text: str) -> None:
    found = texts(pa.concat_arrays([values, pa.nulls(1, values.type)]))
    assert (found.type, found.to_pylist()) == (pa.string(), [text, None])


def test_a_column_without_a_type_has_no_texts() -> None:
    assert texts(pa.nulls(2)).to_pylist() == [None, None]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_numbers_are_read_from_texts_of_every_kind(kind: Any) -> None:
    assert numbers(pa.array([" 1.5 ", None], kind)).to_pylist() == [1.5, None]
    faults: dict[int, Fault] = {}
    assert _numbers(pa.array(["x", "2"], kind), "c", faults).to_pylist() == [None, 2.0]
    assert list(faults) == [0]
