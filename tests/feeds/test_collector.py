"""What a collector journals of a market's days: slices, gaps, laggards, corrections, downtime."""

from datetime import datetime, timedelta

from engine.journal.events import decode
from engine.model import Phase
from tests.support.collector_stage import (
    DAY,
    HOUR,
    MINUTE,
    START,
    Exchange,
    closes,
    make_bar,
    make_collector,
    make_item,
    rows,
    run,
    slices,
)


def test_each_day_is_a_close_and_then_an_open_of_all_symbols(journal):
    exchange = Exchange("BTC", "ETH")
    run(make_collector(journal, exchange), exchange, START + 2 * DAY + HOUR)
    journaled = [(slice_.as_of, slice_.phase, sorted(slice_.bars)) for slice_, _ in slices(journal)]
    both = ["BTC", "ETH"]
    assert journaled == [
        (START, Phase.OPEN, both),
        (START + DAY, Phase.CLOSE, both),
        (START + DAY, Phase.OPEN, both),
        (START + 2 * DAY, Phase.CLOSE, both),
        (START + 2 * DAY, Phase.OPEN, both),
    ]
    assert closes(journal)["BTC", START][0].bars["BTC"] == make_bar("BTC", 0)
    assert not any(late for _, late in slices(journal))


def test_an_open_carries_the_observed_price_and_beside_it_the_official_one(journal):
    exchange = Exchange("BTC")
    run(make_collector(journal, exchange), exchange, START + HOUR)
    (row,) = rows(journal, "slice")
    assert row.payload["official"] == {"BTC": 100.0}
    assert row.payload["observed"]["BTC"][0] == 100.5
    assert datetime.fromisoformat(row.payload["observed"]["BTC"][1]) >= START
    assert decode(row).slice.bars["BTC"].open == 100.5


def test_a_step_journals_one_slice_so_that_a_close_can_be_decided_before_the_open_is_observed(journal):
    exchange = Exchange("BTC")
    collector = make_collector(journal, exchange)
    run(collector, exchange, START + DAY)
    counts = []
    while not counts or counts[-1] < 3:
        now = exchange.own()
        exchange.now += collector.step(now) - now
        counts.append(len(rows(journal, "slice")))
    assert 2 in counts
    observed = rows(journal, "slice")[-1].payload["observed"]["BTC"][1]
    assert datetime.fromisoformat(observed) > START + DAY + timedelta(seconds=10)


def test_an_unfinished_bar_is_not_taken_for_a_closed_one(journal):
    exchange = Exchange("BTC")
    exchange.unfinished = True
    run(make_collector(journal, exchange), exchange, START + DAY - MINUTE)
    assert closes(journal) == {}


def test_a_value_that_still_changes_is_not_final(journal):
    exchange = Exchange("BTC")
    collector = make_collector(journal, exchange)
    run(collector, exchange, START + DAY)
    for n in range(40):
        exchange.bars["BTC"][0] = make_bar("BTC", 0, close=100.0 + n / 10)
        exchange.now += timedelta(seconds=5)
        collector.step(exchange.own())
    assert closes(journal) == {}
    run(collector, exchange, exchange.now + MINUTE)
    assert closes(journal)["BTC", START][0].bars["BTC"].close == 103.9


def test_a_laggard_is_named_as_a_gap_and_comes_as_a_late_slice_of_its_own(journal):
    exchange = Exchange("BTC", "ETH")
    held = exchange.bars["ETH"].pop(0)
    collector = make_collector(journal, exchange)
    run(collector, exchange, START + DAY + 2 * HOUR)
    assert ("BTC", START) in closes(journal)
    (gap,) = rows(journal, "gap")
    assert gap.payload["symbol"] == "ETH"
    assert (gap.payload["lacks"], gap.payload["reason"]) == ("bar", "the source has no finished bar")
    exchange.bars["ETH"].insert(0, held)
    run(collector, exchange, START + DAY + 4 * HOUR)
    slice_, late = closes(journal)["ETH", START]
    assert late
    assert list(slice_.bars) == ["ETH"]
    assert START + DAY + 2 * HOUR <= slice_.as_of <= START + DAY + 4 * HOUR


def test_a_later_correction_is_journaled_and_the_slice_stays(journal):
    exchange = Exchange("BTC")
    collector = make_collector(journal, exchange)
    run(collector, exchange, START + DAY + HOUR)
    exchange.bars["BTC"][0] = make_bar("BTC", 0, close=105.0)
    run(collector, exchange, START + 2 * DAY + HOUR)
    (row,) = rows(journal, "correction")
    assert (row.payload["was"][3], row.payload["now"][3]) == (101.0, 105.0)
    assert closes(journal)["BTC", START][0].bars["BTC"].close == 101.0


def test_an_official_open_that_is_not_stated_is_a_gap_that_the_close_fills(journal):
    exchange = Exchange("BTC")
    exchange.opens_stated = False
    run(make_collector(journal, exchange), exchange, START + DAY + MINUTE)
    assert rows(journal, "gap")[0].payload["lacks"] == "official"
    assert rows(journal, "slice")[0].payload["official"] == {"BTC": None}
    (row,) = rows(journal, "correction")
    assert (row.payload["phase"], row.payload["was"], row.payload["now"]) == ("open", [None], [100.0])


def test_after_downtime_what_was_missed_is_filled_in_order_and_marked_as_late(journal):
    exchange = Exchange("BTC")
    run(make_collector(journal, exchange), exchange, START + DAY + HOUR)
    before = len(slices(journal))
    exchange.now = START + 4 * DAY + 2 * HOUR
    run(make_collector(journal, exchange), exchange, START + 5 * DAY + HOUR)
    filled = [(slice_.as_of, slice_.phase, late) for slice_, late in slices(journal)[before:]]
    missed = [START + day * DAY for day in (2, 3, 4)]
    expected = [(at, phase, True) for at in missed for phase in (Phase.CLOSE, Phase.OPEN)]
    today = [(START + 5 * DAY, phase, False) for phase in (Phase.CLOSE, Phase.OPEN)]
    assert filled == expected + today
    assert rows(journal, "gap") == []


def test_a_new_collector_goes_on_from_any_step_of_a_killed_one(journal):
    exchange = Exchange("BTC", "ETH")
    exchange.items = [make_item("one", START)]
    for attempt in range(50):
        collector = make_collector(journal, exchange)
        for _ in range(1 + attempt % 5):
            now = exchange.own()
            exchange.now += max(collector.step(now) - now, timedelta(seconds=1))
    journaled = [(slice_.as_of, slice_.phase) for slice_, _ in slices(journal)]
    assert len(journaled) == len(set(journaled)) > 1
    assert sum(len(slice_.news) for slice_, _ in slices(journal)) == 1
    assert rows(journal, "gap") == []
