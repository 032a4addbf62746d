from datetime import UTC, datetime, timedelta

from engine.model import Bar, NewsItem, Precision
from engine.timeline import build_observations

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def bars(symbol, count):
    return [
        Bar(
            symbol=symbol,
            opens_at=START + DAY * n,
            closes_at=START + DAY * (n + 1),
            open=100 + n,
            high=102 + n,
            low=99 + n,
            close=101 + n,
            volume=1.0,
        )
        for n in range(count)
    ]


def news(number, at, symbols=("A",)):
    return NewsItem(
        id=str(number),
        source="s",
        title=f"t{number}",
        text="",
        published_at=at,
        precision=Precision.SECOND,
        zone_known=True,
        first_seen_at=None,
        available_at=at,
        symbols=frozenset(symbols),
    )


def test_an_observation_holds_the_newest_closed_bars_up_to_the_window():
    found = build_observations({"A": bars("A", 12)}, [], window=8, start=START)
    assert [len(one.bars) for one in found] == [6, 7, 8, 8, 8, 8, 8]
    assert all(one.bars[-1].closes_at == one.as_of for one in found)


def test_news_belongs_to_the_first_close_at_or_after_it_became_available():
    at_close, just_after = START + DAY * 8, START + DAY * 8 + timedelta(seconds=1)
    found = build_observations(
        {"A": bars("A", 10)}, [news(1, at_close), news(2, just_after)], window=8, start=START
    )
    seen = {one.as_of: [item.title for item in one.news] for one in found}
    assert seen[at_close] == ["t1"]
    assert seen[at_close + DAY] == ["t2"]


def test_news_on_other_symbols_is_not_shown_and_news_on_the_market_is():
    at = START + DAY * 8
    items = [news(1, at, ("B",)), news(2, at, ()), news(3, at)]
    found = build_observations({"A": bars("A", 9)}, items, window=8, start=at - DAY)
    assert [item.title for item in found[0].news] == ["t2", "t3"]


def test_bars_from_before_the_start_are_seen_but_not_decided_on():
    found = build_observations({"A": bars("A", 12)}, [], window=8, start=START + DAY * 9)
    assert [one.as_of for one in found] == [START + DAY * n for n in (10, 11, 12)]
    assert len(found[0].bars) == 8


def test_observations_come_by_time_and_then_by_symbol():
    found = build_observations({"B": bars("B", 8), "A": bars("A", 8)}, [], window=8, start=START)
    assert [(one.as_of, one.symbol) for one in found] == sorted((one.as_of, one.symbol) for one in found)


def test_what_comes_later_changes_no_earlier_observation():
    items = [news(n, START + DAY * n) for n in range(12)]
    whole = build_observations({"A": bars("A", 12)}, items, window=8, start=START)
    cut = build_observations({"A": bars("A", 9)}, items[:10], window=8, start=START)
    assert whole[: len(cut)] == cut
