"""A table of records reads like the list of records that were added to it."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from engine.trading.record_table import RecordTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A record with a column of floats, in which an int may be written, and one of references."""

    price: float
    note: str | None


TRADES = st.lists(
    st.builds(
        Trade,
        price=st.floats(allow_nan=False) | st.integers(-3, 3),
        note=st.none() | st.text(max_size=2),
    )
)


def table_of(trades):
    table = RecordTable(Trade)
    for trade in trades:
        table.append(trade)
    return table


@given(trades=TRADES, start=st.integers(-4, 4), stop=st.integers(-4, 4))
def test_a_table_reads_like_a_list_and_keeps_the_types_of_values(trades, start, stop):
    table = table_of(trades)
    assert (len(table), list(table), table) == (len(trades), trades, trades)
    assert [type(trade.price) for trade in table] == [type(trade.price) for trade in trades]
    assert table[start:stop] == tuple(trades[start:stop])
    assert [table[place] for place in range(-len(trades), len(trades))] == trades * 2


@given(trades=TRADES)
def test_sorting_keeps_the_order_of_equal_records(trades):
    table = table_of(trades)
    table.sort("price")
    assert list(table) == sorted(trades, key=lambda trade: trade.price)
    table.append(Trade(price=0.5, note="last"))
    assert table[-1] == Trade(price=0.5, note="last")


def test_tables_of_other_records_differ():
    table = table_of([Trade(price=1.0, note=None)])
    assert table != table_of([])
    assert table != [Trade(price=2.0, note=None)]
    assert table != "a text"
