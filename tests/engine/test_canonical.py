import csv
import hashlib
import io
import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum, StrEnum
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.journal.canonical import canonical_json, format_utc, row_digest
from engine.journal.events.inputs import encode_news
from tests.support.observations import make_item

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)

payloads = st.dictionaries(
    st.text(),
    st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6),
)


class Side(StrEnum):
    BUY = "buy"


class Level(Enum):
    HIGH = 2


def test_a_digest_is_the_sha256_of_one_json_line_for_each_row() -> None:
    rows = [
        ("BTC", NOON, 0.1, None, Side.BUY, True),
        ('a "b",\n', date(2024, 3, 1), -2, 1e22, Level.HIGH, False),
    ]
    lines = (
        '["BTC","2024-03-01T12:00:00Z",0.1,null,"buy",true]\n'
        '["a \\"b\\",\\n","2024-03-01",-2,1e+22,2,false]\n'
    )
    assert row_digest(rows) == hashlib.sha256(lines.encode()).hexdigest()


def test_rows_read_back_from_csv_have_the_digest_of_the_rows_written() -> None:
    rows = [("BTC", format_utc(NOON), 0.1 + 0.2, None), ("中,文", format_utc(NOON), 1 / 3, 7.0)]
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    file.seek(0)
    back = [(a, b, float(c), float(d) if d else None) for a, b, c, d in csv.reader(file)]
    assert row_digest(back) == row_digest([("BTC", NOON, 0.1 + 0.2, None), ("中,文", NOON, 1 / 3, 7.0)])


def test_where_a_cell_or_a_row_ends_changes_the_digest() -> None:
    assert (
        len({row_digest(rows) for rows in ([["a", "b"]], [["a,b"]], [["a"], ["b"]], [["ab"]], [], [[]])}) == 6
    )


def test_a_number_and_its_text_are_not_the_same() -> None:
    assert len({row_digest([[cell]]) for cell in (1, 1.0, "1", True, None, "")}) == 6


def test_one_instant_has_one_text_in_every_zone() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=8)))
    assert format_utc(elsewhere) == format_utc(NOON) == "2024-03-01T12:00:00Z"
    assert format_utc(NOON, "microseconds") == "2024-03-01T12:00:00.000000Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        row_digest([[datetime(2024, 3, 1)]])


def test_a_numpy_float_is_written_like_the_float_it_is() -> None:
    assert row_digest([[np.float64(0.1)]]) == row_digest([[0.1]])


@given(payloads)
@settings(max_examples=50, deadline=None)
def test_canonical_json_reads_back_to_what_was_written_and_writes_the_same_again(payload: dict) -> None:
    text = canonical_json(payload)
    assert json.loads(text) == payload
    assert canonical_json(json.loads(text)) == text


def test_canonical_json_sorts_keys_at_every_depth_and_uses_no_spaces() -> None:
    nested = MappingProxyType({"z": {"b": 1, "a": (NOON, Side.BUY)}, "é": None, "a": []})
    assert canonical_json(nested) == '{"a":[],"z":{"a":["2024-03-01T12:00:00Z","buy"],"b":1},"é":null}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(number: float) -> None:
    with pytest.raises(ValueError):
        canonical_json({"a": [number]})


def test_text_that_utf8_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError):
        canonical_json({"title": "half \ud83d"})


def test_a_news_item_keeps_no_half_of_a_pair_so_that_a_journal_can_hold_it() -> None:
    item = make_item(1, "Bitcoin \ud83d falls \U0001f600", NOON, symbols=("BTC\udc00",))
    assert (item.title, item.symbols) == ("Bitcoin  falls \U0001f600", {"BTC"})
    assert "falls" in canonical_json(encode_news(item))


@pytest.mark.parametrize("value", [{1, 2}, b"raw", object(), {1: "a"}])
def test_what_has_no_canonical_text_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        canonical_json({"a": value})
