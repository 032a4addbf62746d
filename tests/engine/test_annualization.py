"""How many days of a year are marked: counted on a run's bars and calendars, never taken from one symbol."""

from datetime import UTC, date, datetime, timedelta

import pytest

from engine.calendars import load_calendar
from engine.metrics.annualization import count_days_per_year
from engine.model import Bar

START = datetime(2000, 1, 1, tzinfo=UTC)


def bars_of(code: str, first: date, last: date) -> list[Bar]:
    calendar = load_calendar(code, first, last)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return [
        Bar(symbol=code, opens_at=at[0], closes_at=at[1], open=1, high=1, low=1, close=1, volume=0)
        for day in days
        if (at := calendar.session(day))
    ]


def count(*spans: tuple[str, date, date], start: datetime = START) -> int:
    bars = {f"S{number}": bars_of(*span) for number, span in enumerate(spans)}
    return count_days_per_year(bars, {f"S{n}": code for n, (code, *_) in enumerate(spans)}, start)


YEARS = date(2021, 1, 1), date(2023, 12, 31)
WEEKS = date(2022, 3, 1), date(2022, 5, 6)


@pytest.mark.parametrize("span", [YEARS, WEEKS], ids=["years", "weeks"])
@pytest.mark.parametrize(
    ("code", "least", "most"),
    [("24/7", 365, 365), ("XNYS", 251, 253), ("XSHG", 241, 244), ("24/5", 260, 262)],
)
def test_each_market_has_its_own_days_in_a_long_run_and_in_a_short_one(code, least, most, span):
    assert least <= count((code, *span)) <= most


def test_a_coin_that_is_there_for_a_month_adds_a_month_of_weekends():
    month = "24/7", date(2022, 6, 1), date(2022, 6, 30)
    assert count(("XNYS", *YEARS), month) == 255
    # Of 67 days 30 have a coin beside the stock: 37 at 252 and 30 at 365.
    short = "24/7", date(2022, 4, 1), date(2022, 4, 30)
    assert count(("XNYS", *WEEKS), short) == pytest.approx((37 * 252 + 30 * 365) / 67, abs=2)


def test_two_markets_are_marked_on_the_days_that_either_has():
    both = count(("XNYS", *YEARS), ("XSHG", *YEARS))
    assert max(count(("XNYS", *YEARS)), count(("XSHG", *YEARS))) < both < 262
    assert count(("XNYS", *WEEKS), ("XSHG", *WEEKS)) == pytest.approx(both, abs=3)


def test_days_before_the_start_do_not_count():
    start = datetime(2023, 1, 1, tzinfo=UTC)
    coin = "24/7", date(2021, 1, 1), date(2022, 12, 30)
    assert count(("XNYS", *YEARS), coin, start=start) == count(("XNYS", date(2023, 1, 1), YEARS[1]))


def test_a_run_without_a_mark_has_the_days_of_its_calendars():
    assert count(("24/7", *WEEKS), start=datetime(2023, 1, 1, tzinfo=UTC)) == 365
