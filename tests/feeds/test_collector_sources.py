"""A collector, its clocks, its news, and sources that fail or talk nonsense."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from engine.errors import DataError
from engine.journal.canonical import canonical_json
from engine.model import Phase
from feeds.live.collector import Collector
from feeds.live.protocols import Opening, Quote
from tests.support.collector_stage import (
    CALENDARS,
    DAY,
    HOUR,
    MINUTE,
    SELDOM,
    START,
    Exchange,
    closes,
    make_bar,
    make_coin,
    make_collector,
    make_item,
    make_stock,
    rows,
    run,
    slices,
)


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_off_by_an_hour_is_named_and_moves_no_slice(journal, hours):
    exchange = Exchange("BTC")
    exchange.own_offset = hours * HOUR
    exchange.unfinished = True
    run(make_collector(journal, exchange), exchange, START + DAY)
    assert closes(journal) == {}
    run(make_collector(journal, exchange), exchange, START + DAY + MINUTE)
    assert {late for _, late in closes(journal).values()} == {False}
    (measured,) = rows(journal, "clock")
    assert measured.payload["offset_seconds"] == -hours * 3600
    assert measured.payload["agrees"] is False


def test_a_clock_that_is_set_while_the_collector_sleeps_is_noticed_at_once(journal):
    exchange = Exchange("BTC")
    collector = make_collector(journal, exchange)
    run(collector, exchange, START + DAY - 30 * MINUTE)
    exchange.own_offset = HOUR
    run(collector, exchange, START + DAY - MINUTE)
    assert closes(journal) == {}
    assert len(rows(journal, "clock")) == 1
    exchange.own_offset = timedelta(0)
    run(collector, exchange, START + DAY + MINUTE)
    assert [row.payload["agrees"] for row in rows(journal, "clock")] == [False, True]


def test_news_rides_once_on_the_first_slice_after_it_was_read(journal):
    exchange = Exchange("BTC")
    collector = make_collector(journal, exchange)
    run(collector, exchange, START + 6 * HOUR)
    # A wrong clock or a careless feed may claim any time; what counts is when it was read here.
    exchange.items = [make_item("one", START - DAY), make_item("one", START - DAY)]
    exchange.items += [replace(make_item("one", START - DAY), title="changed")]
    run(collector, exchange, START + 2 * DAY + HOUR)
    (carrier,) = [slice_ for slice_, _ in slices(journal) if slice_.news]
    assert (carrier.as_of, carrier.phase) == (START + DAY, Phase.CLOSE)
    (item,) = carrier.news
    assert item.title == "title of one"
    assert START + 6 * HOUR <= item.available_at <= START + 7 * HOUR


def test_news_read_after_downtime_rides_on_no_slice_of_the_past(journal):
    exchange = Exchange("BTC")
    run(make_collector(journal, exchange), exchange, START + HOUR)
    exchange.now = START + 3 * DAY + HOUR
    exchange.items = [make_item("one", START + DAY)]
    run(make_collector(journal, exchange), exchange, START + 4 * DAY + HOUR)
    assert [slice_.as_of for slice_, _ in slices(journal) if slice_.news] == [START + 4 * DAY]


def test_a_source_that_fails_is_named_by_the_type_of_its_error_alone(journal):
    exchange = Exchange("BTC")
    collector = make_collector(journal, exchange)
    run(collector, exchange, START + HOUR)
    exchange.down = True
    run(collector, exchange, START + 2 * HOUR)
    exchange.down = False
    run(collector, exchange, START + 3 * HOUR)
    down, up = rows(journal, "source")
    assert (down.payload["state"], down.payload["reason"]) == ("down", "ConnectionError")
    assert up.payload["state"] == "up"
    assert "hidden" not in "".join(canonical_json(row.payload) for row in journal.read())


def test_a_bar_of_no_session_is_refused_once_and_the_rest_is_kept(journal):
    exchange = Exchange("BTC")
    odd = make_bar("BTC", 0)
    exchange.bars["BTC"].append(replace(odd, opens_at=odd.opens_at + HOUR, closes_at=odd.closes_at + HOUR))
    run(make_collector(journal, exchange), exchange, START + 3 * DAY)
    (refused,) = rows(journal, "refused")
    assert refused.payload["reason"] == "a bar of no session in the symbol's calendar"
    assert ("BTC", START) in closes(journal)


def test_a_price_that_is_none_is_never_observed(journal):
    exchange = Exchange("BTC")
    exchange.quote = lambda symbol: Quote(price=float("nan"), at=exchange.now)
    exchange.session_open = lambda symbol, at: Opening(
        official=-1.0, observed=Quote(price=0.0, at=exchange.now)
    )
    run(make_collector(journal, exchange), exchange, START + HOUR)
    assert rows(journal, "quote") == rows(journal, "slice") == []
    assert rows(journal, "gap")[0].payload["lacks"] == "open"


def test_a_calendar_that_ends_is_named_and_the_others_go_on(tmp_path, journal):
    ends = datetime(2027, 1, 1, tzinfo=UTC)

    class Ending:
        def session(self, day):
            if day > date(2024, 3, 5):
                raise DataError("the calendar ends")
            return CALENDARS["24/7"].session(day)

        def next_open(self, after):
            return ends

    exchange = Exchange("BTC", "ETH")
    collector = Collector(
        journal=journal,
        instruments={"BTC": make_coin("BTC"), "ETH": make_stock("ETH", "ENDS")},
        calendars={**CALENDARS, "ENDS": Ending()},
        sources=dict.fromkeys(exchange.bars, exchange),
        since=START,
        limits=SELDOM,
        clock=exchange.own,
    )
    run(collector, exchange, START + 4 * DAY)
    (gap,) = [row for row in rows(journal, "gap") if row.payload["lacks"] == "calendar"]
    assert gap.payload["symbol"] == "ETH"
    assert ("BTC", START + 2 * DAY) in closes(journal)
