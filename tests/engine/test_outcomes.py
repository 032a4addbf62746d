from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import closecall
from engine.calendars import RoundTheClock, load_calendar
from engine.errors import DataError
from engine.metrics.accuracy import compute_accuracy
from engine.model import Abstention, Bar, Direction, Forecast
from engine.outcomes import Outcome, OutcomeFinder, match_outcomes
from tests.support.markets import DAY, MONDAY, coin


def call_at(bar_: Bar) -> Forecast:
    return Forecast(
        symbol=bar_.symbol,
        as_of=bar_.closes_at,
        direction=Direction.UP,
        confidence=0.6,
        close=bar_.close * 1.01,
        last_close=bar_.close,
    )


BARS = coin("BTC", (100, 102), (103, 99), (98, 98), (101, 105))


def test_an_outcome_holds_the_next_bar_and_the_open_after_it() -> None:
    [(call, outcome)] = match_outcomes([call_at(BARS[0])], {"BTC": BARS})
    assert call == call_at(BARS[0])
    assert outcome == Outcome(
        symbol="BTC",
        as_of=BARS[0].closes_at,
        last_close=102,
        next_close=99,
        known_at=BARS[1].closes_at,
        fill_open=103,
        exit_open=98,
        open_known_at=BARS[2].opens_at,
    )
    assert outcome.close_return == pytest.approx(99 / 102 - 1)
    assert outcome.open_return == pytest.approx(98 / 103 - 1)
    assert not outcome.tie
    assert not outcome.tie_open


def test_the_open_to_open_return_is_not_known_before_the_open_after_next() -> None:
    [(_, outcome)] = match_outcomes([call_at(BARS[2])], {"BTC": BARS})
    assert outcome is not None
    assert outcome.next_close == 105
    assert (outcome.open_return, outcome.exit_open, outcome.open_known_at) == (None, None, None)
    assert not outcome.tie_open


def test_a_call_on_the_last_bar_has_no_outcome_yet() -> None:
    assert match_outcomes([call_at(BARS[3])], {"BTC": BARS}) == [(call_at(BARS[3]), None)]


def test_an_unchanged_close_is_a_tie_and_an_unchanged_open_a_tie_of_opens() -> None:
    bars = coin("BTC", (100, 102), (103, 102), (103, 104))
    [(_, outcome)] = match_outcomes([call_at(bars[0])], {"BTC": bars})
    assert outcome is not None
    assert outcome.tie
    assert outcome.tie_open
    assert (outcome.close_return, outcome.open_return) == (0.0, 0.0)


@pytest.mark.parametrize("days", [2, 154])
def test_the_close_after_a_suspension_is_no_next_close(days: int) -> None:
    bars = [*coin("BTC", (100, 102)), *coin("BTC", (90, 91), (91, 92), start=MONDAY + days * DAY)]
    calls = [call_at(bar) for bar in bars]
    finder = OutcomeFinder({"BTC": bars}, {"BTC": RoundTheClock()})
    outcomes = [outcome for _, outcome in finder.match(calls)]
    assert outcomes[0] is None
    assert outcomes[1] is not None and outcomes[1].next_close == 92
    assert [finder.is_suspended(call) for call in calls] == [True, False, False]
    scores = compute_accuracy(finder.match(calls))
    assert (scores.n, scores.accuracy) == (1, 1.0)


def test_weekends_and_holidays_of_the_calendar_are_no_suspension() -> None:
    calendar = load_calendar("XNYS", date(2024, 3, 25), date(2024, 4, 3))
    days = [date(2024, 3, day) for day in (26, 27, 28)] + [date(2024, 4, 1)]  # Good Friday is closed
    bars = [
        Bar(symbol="SPY", opens_at=at[0], closes_at=at[1], open=1, high=2, low=1, close=2, volume=0)
        for day in days
        if (at := calendar.session(day))
    ]
    scored = match_outcomes(map(call_at, bars), {"SPY": bars}, {"SPY": calendar})
    assert [outcome is None for _, outcome in scored] == [False, False, False, True]


@pytest.mark.parametrize("folder", ["us_stocks_daily", "coins_binance_daily", "cn_stocks_qfq"])
def test_real_bars_are_suspended_where_their_files_lack_a_session_and_nowhere_else(folder: str) -> None:
    files = sorted(Path("../shared/data", folder).glob("*.csv"))
    if not files:
        pytest.skip(f"needs ../shared/data/{folder}")
    data = closecall.MarketData.from_files(files[:3], start=date(2020, 1, 1), end=date(2022, 12, 31))
    finder = OutcomeFinder(data.bars, data.symbol_calendars)
    assert not any(finder.is_suspended(call_at(bar)) for series in data.bars.values() for bar in series)


def test_without_a_calendar_the_next_bar_there_is_is_the_outcome() -> None:
    bars = [*coin("BTC", (100, 102)), *coin("BTC", (90, 91), start=MONDAY + 4 * DAY)]
    [(_, outcome)] = match_outcomes([call_at(bars[0])], {"BTC": bars})
    assert outcome is not None
    assert (outcome.next_close, outcome.known_at) == (91, bars[1].closes_at)


def test_an_abstention_has_an_outcome_too() -> None:
    silence = Abstention(symbol="BTC", as_of=BARS[0].closes_at, reason="late", last_close=102)
    [(call, outcome)] = match_outcomes([silence], {"BTC": BARS})
    assert call is silence
    assert outcome is not None
    assert outcome.next_close == 99


def test_calls_keep_their_order_and_find_the_bars_of_their_symbol() -> None:
    other = coin("ETH", (10, 11), (12, 13))
    calls = [call_at(BARS[1]), call_at(other[0]), call_at(BARS[0])]
    scored = match_outcomes(iter(calls), {"BTC": BARS, "ETH": other})
    assert [call for call, _ in scored] == calls
    assert [outcome.next_close for _, outcome in scored if outcome] == [98, 13, 99]


@given(st.lists(st.floats(0.01, 1e6), min_size=2, max_size=30), st.integers(1, 29))
@settings(max_examples=60, deadline=None)
def test_bars_after_an_outcome_was_known_do_not_change_it(closes: list[float], cut: int) -> None:
    bars = coin("BTC", *((close, close) for close in closes))
    calls = [call_at(bar_) for bar_ in bars]
    early = match_outcomes(calls[:cut], {"BTC": bars[:cut]})
    for (_, before), (_, after) in zip(early, match_outcomes(calls, {"BTC": bars}), strict=False):
        if before is not None and before.exit_open is not None:
            assert before == after
        elif before is not None and after is not None:
            assert (before.next_close, before.known_at) == (after.next_close, after.known_at)


def test_a_call_without_a_bar_of_its_own_is_refused() -> None:
    with pytest.raises(DataError, match="BTC: no bar closes at 2024-01-02"):
        match_outcomes([call_at(BARS[0])], {"BTC": BARS[1:]})
    with pytest.raises(DataError, match="BTC: no bar closes"):
        match_outcomes([call_at(BARS[0])], {})


def test_a_call_made_on_other_prices_is_refused() -> None:
    with pytest.raises(DataError, match="closes at 102 but the prediction was made at 99"):
        match_outcomes([call_at(coin("BTC", (98, 99))[0])], {"BTC": BARS})


def test_bars_out_of_order_are_refused() -> None:
    with pytest.raises(DataError, match="sort the bars"):
        match_outcomes([call_at(BARS[0])], {"BTC": [BARS[1], BARS[0]]})
    with pytest.raises(DataError, match="remove duplicates"):
        match_outcomes([call_at(BARS[0])], {"BTC": [BARS[0], BARS[0]]})


class CountedBars(list[Bar]):
    looks = 0

    def __getitem__(self, place):
        self.looks += 1
        return super().__getitem__(place)

    def __iter__(self):
        for bar_ in super().__iter__():
            self.looks += 1
            yield bar_


def test_each_call_costs_a_few_looks_at_the_bars_however_many_there_are() -> None:
    bars = CountedBars(coin("BTC", *((100.0, 101.0 + n % 7) for n in range(500))))
    calls = [call_at(bar_) for bar_ in list.__iter__(bars)]
    match_outcomes(calls, {"BTC": bars})
    assert bars.looks < 10 * len(calls)
