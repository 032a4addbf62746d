from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calendars import load_calendar
from engine.errors import DataError

NEW_YORK = load_calendar("XNYS", date(2023, 12, 1), date(2024, 12, 31))
SHANGHAI = load_calendar("XSHG", date(2023, 12, 1), date(2024, 12, 31))
UTC_DAYS = load_calendar("24/7", date(2023, 12, 1), date(2024, 12, 31))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_coin_trades_every_day_from_midnight_to_midnight_utc():
    assert UTC_DAYS.session(date(2024, 12, 25)) == (at("2024-12-25"), at("2024-12-26"))


def test_days_round_the_clock_may_begin_at_another_midnight():
    hong_kong = load_calendar("24/7+08:00", date(2024, 1, 1), date(2024, 1, 31))
    assert hong_kong.session(date(2024, 1, 5)) == (at("2024-01-04T16:00"), at("2024-01-05T16:00"))
    assert hong_kong.next_open(at("2024-01-04T16:00")) == at("2024-01-04T16:00")
    assert hong_kong.next_open(at("2024-01-04T16:01")) == at("2024-01-05T16:00")
    new_york = load_calendar("24/7-05:00", date(2024, 1, 1), date(2024, 1, 31))
    assert new_york.next_open(at("2024-01-05T04:00")) == at("2024-01-05T05:00")


@pytest.mark.parametrize(
    ("day", "opens_at", "closes_at"),
    [
        (date(2024, 1, 5), "2024-01-05T14:30", "2024-01-05T21:00"),
        (date(2024, 7, 5), "2024-07-05T13:30", "2024-07-05T20:00"),
        (date(2024, 11, 29), "2024-11-29T14:30", "2024-11-29T18:00"),
    ],
    ids=["winter", "summer", "half day"],
)
def test_new_york_keeps_its_own_time_and_its_half_days(day, opens_at, closes_at):
    assert NEW_YORK.session(day) == (at(opens_at), at(closes_at))


def test_shanghai_opens_and_closes_in_china_time():
    assert SHANGHAI.session(date(2024, 7, 5)) == (at("2024-07-05T01:30"), at("2024-07-05T07:00"))


def test_an_exchange_has_no_session_on_weekends_and_holidays():
    assert NEW_YORK.session(date(2024, 7, 4)) is None
    assert NEW_YORK.session(date(2024, 7, 6)) is None
    assert SHANGHAI.session(date(2024, 2, 12)) is None


def test_times_carry_the_one_utc_zone_that_values_require():
    session = NEW_YORK.session(date(2024, 7, 5))
    assert session is not None
    assert all(moment.tzinfo is UTC for moment in session)


def test_the_next_open_skips_a_closed_market():
    assert NEW_YORK.next_open(at("2024-07-03T17:00")) == at("2024-07-05T13:30")
    assert SHANGHAI.next_open(at("2024-02-08T07:00")) == at("2024-02-19T01:30")


def test_an_open_is_its_own_next_open():
    assert NEW_YORK.next_open(at("2024-07-05T13:30")) == at("2024-07-05T13:30")
    assert UTC_DAYS.next_open(at("2024-07-05")) == at("2024-07-05")


@given(st.datetimes(datetime(2024, 1, 1), datetime(2024, 12, 31), timezones=st.just(UTC)))
def test_the_next_open_is_the_earliest_open_not_before(moment):
    for calendar in (NEW_YORK, UTC_DAYS):
        found = calendar.next_open(moment)
        assert found >= moment
        session = calendar.session(found.date())
        assert session is not None and session[0] == found
        days = [moment.date() + timedelta(days=n) for n in range((found.date() - moment.date()).days)]
        assert all((earlier := calendar.session(day)) is None or earlier[0] < moment for day in days)


def test_the_month_after_the_last_day_is_known_so_that_the_next_open_is():
    calendar = load_calendar("XNYS", date(2024, 12, 24), date(2024, 12, 24))
    assert calendar.next_open(at("2024-12-24T18:00")) == at("2024-12-26T14:30")


def test_an_unknown_code_is_refused_with_the_nearest_one():
    with pytest.raises(DataError, match="'XNYZ' is unknown; did you mean XNYS"):
        load_calendar("XNYZ", date(2024, 1, 1), date(2024, 2, 1))


def test_a_code_in_small_letters_is_refused_with_the_right_one():
    with pytest.raises(DataError, match="did you mean XSHG"):
        load_calendar("xshg", date(2024, 1, 1), date(2024, 2, 1))


def test_shanghai_says_where_its_record_ends():
    calendar = load_calendar("XSHG", date(2024, 12, 1), date.max)
    assert calendar.session(date(2024, 12, 31)) is not None
    with pytest.raises(DataError, match=r"XSHG knows the days 2024-12-01 to 20\d\d-12-31, not 2098-01-01"):
        calendar.session(date(2098, 1, 1))
    with pytest.raises(DataError, match="choose dates within them"):
        calendar.next_open(at("2098-01-01"))


def test_a_span_outside_the_record_is_refused_at_once():
    with pytest.raises(DataError, match="XSHG knows the days 1990-12-03 to"):
        load_calendar("XSHG", date(1970, 1, 1), date(1971, 1, 1))


@pytest.mark.parametrize("day", [date.min, date.max])
@pytest.mark.parametrize("code", ["24/7", "XNYS"])
def test_days_at_the_ends_of_time_are_refused(code, day):
    calendar = load_calendar(code, date(2024, 1, 1), date(2024, 12, 31))
    with pytest.raises(DataError, match=f"not {day}"):
        calendar.session(day)
    with pytest.raises(DataError, match=f"not {day}"):
        calendar.next_open(datetime(day.year, day.month, day.day, tzinfo=UTC))


def test_a_next_open_before_the_calendar_begins_is_refused():
    with pytest.raises(DataError, match="XNYS knows the days 2023-12-01"):
        NEW_YORK.next_open(at("2023-11-01"))
