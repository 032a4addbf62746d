from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import DataError
from engine.model import NewsItem, Phase, Precision
from engine.timeline import build_slices
from tests.support.markets import DAY, MONDAY, bar, coin, stock


def item(name, hours):
    at = MONDAY + timedelta(hours=hours)
    return NewsItem(
        id=name,
        source="wire",
        title=name,
        text="",
        published_at=at,
        precision=Precision.SECOND,
        zone_known=True,
        first_seen_at=None,
        available_at=at,
        symbols=frozenset(),
    )


def shape(slices):
    return [(slice_.as_of, slice_.phase, tuple(slice_.bars)) for slice_ in slices]


def test_a_bar_becomes_its_open_and_then_the_whole_of_it():
    (day,) = coin("BTC", (10, 12))
    opening, closing = build_slices([day], [])
    assert (opening.as_of, opening.phase) == (MONDAY, Phase.OPEN)
    assert opening.bars["BTC"] == day.at_open()
    assert (closing.as_of, closing.phase, closing.bars["BTC"]) == (MONDAY + DAY, Phase.CLOSE, day)


def test_at_one_instant_the_close_comes_before_the_open():
    slices = list(build_slices(coin("BTC", (10, 12), (12, 11)), []))
    assert [slice_.phase for slice_ in slices] == [Phase.OPEN, Phase.CLOSE, Phase.OPEN, Phase.CLOSE]
    assert slices[1].as_of == slices[2].as_of == MONDAY + DAY


def test_symbols_that_open_or_close_together_share_a_slice():
    slices = build_slices([*coin("ETH", (1, 2)), *coin("BTC", (10, 12)), *stock("AAPL", (5, 6))], [])
    assert shape(slices) == [
        (MONDAY, Phase.OPEN, ("BTC", "ETH")),
        (MONDAY + timedelta(hours=14.5), Phase.OPEN, ("AAPL",)),
        (MONDAY + timedelta(hours=21), Phase.CLOSE, ("AAPL",)),
        (MONDAY + DAY, Phase.CLOSE, ("BTC", "ETH")),
    ]


def test_news_rides_on_the_first_slice_at_or_after_it_is_available():
    news = [item("late", 24), item("before", -5), item("noon", 12), item("dropped", 49)]
    slices = list(build_slices(coin("BTC", (10, 12), (12, 11)), news))
    assert [[each.id for each in slice_.news] for slice_ in slices] == [["before"], ["noon", "late"], [], []]


def test_two_bars_of_one_symbol_that_overlap_are_refused():
    first, second = coin("BTC", (10, 12), (12, 11))
    overlapping = bar("BTC", first.opens_at + timedelta(hours=1), second.closes_at, 10, 11)
    with pytest.raises(DataError, match=r"BTC: the bar that opens at .* remove one"):
        list(build_slices([first, overlapping], []))
    with pytest.raises(DataError, match="remove one"):
        list(build_slices([first, first], []))


def test_one_news_id_with_two_texts_is_refused_and_a_repeat_comes_once():
    with pytest.raises(DataError, match="two different news items have the id a"):
        list(build_slices(coin("BTC", (10, 12)), [item("a", 1), item("a", 2)]))
    (_, closing) = build_slices(coin("BTC", (10, 12)), [item("a", 1), item("a", 1)])
    assert [each.id for each in closing.news] == ["a"]


@settings(max_examples=60)
@given(
    coins=st.lists(st.integers(1, 9), max_size=6),
    stocks=st.lists(st.integers(1, 9), max_size=6),
    hours=st.lists(st.integers(-10, 150), max_size=8, unique=True),
    cut=st.integers(-24, 160),
    shuffler=st.randoms(use_true_random=False),
)
def test_what_comes_later_changes_no_earlier_slice_and_the_order_given_changes_nothing(
    coins, stocks, hours, cut, shuffler
):
    bars = [*coin("BTC", *((p, p + 1) for p in coins)), *stock("AAPL", *((p, p + 1) for p in stocks))]
    news = [item(str(hour), hour) for hour in hours]
    whole = list(build_slices(bars, news))
    until = MONDAY + timedelta(hours=cut)
    known = [
        each if each.closes_at <= until else bar(each.symbol, each.opens_at, each.closes_at, each.open, 99)
        for each in bars
        if each.opens_at <= until
    ]
    other = build_slices(known, [each for each in news if each.available_at <= until])
    assert [s for s in other if s.as_of <= until] == [s for s in whole if s.as_of <= until]
    shuffler.shuffle(bars)
    shuffler.shuffle(news)
    assert list(build_slices(bars, news)) == whole
