"""The price chart: what was called, what came of it, what was traded and read."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.corporate_actions import Split
from engine.model import Bar, Phase, Slice
from strategies.monitor.candles import CandleTracker
from strategies.monitor.catalog import JournalPlace, JournalType
from strategies.monitor.views import CallView, EventLine, JournalView, NewsView, Snapshot
from tui.dashboard.chart import draw_chart
from tui.dashboard.screens.price import build_days
from tui.dashboard.view_state import ViewState

START = datetime(2024, 1, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def close_slice(number, open_, high, low, close):
    bar = Bar(
        symbol="A", opens_at=START + (number - 1) * DAY, closes_at=START + number * DAY,
        open=open_, high=high, low=low, close=close, volume=1.0,
    )  # fmt: skip
    return Slice(as_of=START + number * DAY, phase=Phase.CLOSE, bars={"A": bar}, news=())


def call(number, direction, close, last, came=None):
    return CallView(
        seq=number, symbol="A", as_of=START + number * DAY, direction=direction, confidence=0.7,
        close=close, last_close=last, abstention=None, came=came,
    )  # fmt: skip


def journal(tracker, **rest):
    place = JournalPlace(type=JournalType.SESSION, name="s", path=Path("/nowhere"))
    return JournalView(place=place, candles=tracker.view(), **rest)


def four_days():
    tracker = CandleTracker()
    for number, prices in enumerate([(10, 12, 9, 11), (11, 13, 10, 12), (12, 12, 8, 9), (9, 10, 8, 9)]):
        tracker.on_slice(close_slice(number, *map(float, prices)))
    return tracker


def test_a_forecast_stands_at_the_day_whose_close_it_calls_with_what_came_of_it():
    calls = (
        call(0, "up", 12.5, 11.0, 12.0),
        call(1, "up", 13.0, 12.0, 9.0),
        call(2, "up", 9.5, 9.0, 9.0),
        call(3, "down", 8.0, 9.0),
    )
    fill = EventLine(seq=9, at=START + DAY, kind="buy", text="", symbol="A", good=True)
    news = NewsView(at=START + 2 * DAY, title="x", source="s", symbols=("A",), seq=8)
    view = journal(four_days(), calls=calls, fills=(fill,), news=(news,))
    days = build_days(view, "A", calls[1])
    assert [day.mark for day in days] == ["", "✓", "✗", "=", "○"]
    assert [day.called for day in days] == [None, 12.5, 13.0, 9.5, 8.0]
    assert [day.chosen for day in days] == [False, False, True, False, False]
    assert [bool(day.fills) for day in days] == [
        False,
        False,
        True,
        False,
        False,
    ]  # a day opens at the close before
    assert [day.news for day in days] == [0, 0, 1, 0, 0]
    state = ViewState(snapshot=Snapshot(at=START, data_dir="/"))
    text = "\n".join(line.plain for line in draw_chart("A", days, state, 78, 14))
    for mark in ("✓", "✗", "=", "○", "▲", "•", "┃", "█", "13", "8", "2024-01-02"):
        assert mark in text


def test_a_split_restates_the_candles_and_the_called_closes_before_it():
    tracker = four_days()
    tracker.on_split(Split(at=START + 4 * DAY, symbol="A", ratio=2.0))
    assert [candle.close for candle in tracker.view()["A"]] == [5.5, 6.0, 4.5, 4.5]
    view = journal(tracker, calls=(call(0, "up", 12.5, 11.0, 12.0),))
    assert build_days(view, "A", None)[1].called == 6.25


def test_a_narrow_legend_holds_whole_marks_only_and_a_day_without_a_candle_draws():
    days = build_days(journal(four_days(), calls=(call(3, "down", 8.0, 9.0),)), "A", None)
    state = ViewState(snapshot=Snapshot(at=START, data_dir="/"))
    for width in range(12, 90):
        lines = draw_chart("A", days, state, width, 14)
        legend = lines[0].plain.split()
        assert lines[0].cell_len == width
        assert width < 20 or legend[-1] in ("•news", "news")
