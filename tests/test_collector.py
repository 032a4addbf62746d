import json
import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calendars import calendar_of
from engine.digests import canonical_json
from engine.errors import DataError, JournalError
from engine.instruments import AssetClass, Instrument
from engine.journal import Journal
from engine.payloads import is_late, slice_from_payload, slice_payload
from engine.values import Bar, NewsItem, Phase, Precision, Slice
from feeds.live.alarm import run_live
from feeds.live.collector import Collector
from feeds.live.limits import Limits
from feeds.live.requests import AtOnce
from feeds.live.schedule import Schedule, SliceTrigger
from feeds.live.sources import Opening, Quote

START = datetime(2024, 3, 4, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SELDOM = Limits(quote_every=6 * HOUR, news_every=HOUR, clock_every=HOUR)
CALENDARS = {
    code: calendar_of(code, date(2024, 1, 1), date(2024, 12, 31)) for code in ("24/7", "XNYS", "XSHG")
}


def coin(symbol: str) -> Instrument:
    return Instrument(symbol=symbol, asset_class=AssetClass.COIN, calendar="24/7", currency="USD")


def stock(symbol: str, calendar: str = "XNYS") -> Instrument:
    return Instrument(symbol=symbol, asset_class=AssetClass.STOCK, calendar=calendar, currency="USD")


def bar_of(symbol: str, day: int, close: float = 101.0) -> Bar:
    opens_at = START + day * DAY
    return Bar(
        symbol=symbol,
        opens_at=opens_at,
        closes_at=opens_at + DAY,
        open=100.0 + day,
        high=120.0,
        low=90.0,
        close=close,
        volume=5.0,
    )


def item_of(name: str, at: datetime) -> NewsItem:
    return NewsItem(
        id=name,
        source="wire",
        title=f"title of {name}",
        text="",
        published_at=at,
        precision=Precision.SECOND,
        zone_known=True,
        first_seen_at=at,
        available_at=at,
        symbols=frozenset(),
    )


class Exchange:
    """A source that shows what the test puts into it; its clock is `now`, this machine's is `own`."""

    def __init__(self, *symbols: str, days: int = 12) -> None:
        self.name = "exchange"
        self.now = START
        self.own_offset = timedelta(0)
        self.bars = {symbol: [bar_of(symbol, day) for day in range(days)] for symbol in symbols}
        self.unfinished = False
        self.down = False
        self.opens_stated = True
        self.items: list[NewsItem] = []

    def own(self) -> datetime:
        return self.now + self.own_offset

    def server_time(self) -> datetime:
        if self.down:
            raise ConnectionError("https://exchange.example/?key=hidden")
        return self.now

    def closed_bars(self, symbol: str, since: datetime) -> list[Bar]:
        seen = self.now + (DAY if self.unfinished else timedelta(0))
        return [bar for bar in self.bars[symbol] if since <= bar.opens_at and bar.closes_at <= seen]

    def opening(self, symbol: str, session_open: datetime) -> Opening:
        official = 100.0 + (session_open - START) / DAY
        quote = Quote(price=official + 0.5, at=self.now)
        return Opening(official=official if self.opens_stated else None, observed=quote)

    def quote(self, symbol: str) -> Quote:
        return Quote(price=111.0, at=self.now)


class News:
    name = "wire"

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def poll(self) -> list[NewsItem]:
        return self._exchange.items


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.db", "paper", create=True) as opened:
        yield opened


def collector_of(journal: Journal, exchange: Exchange, **rest) -> Collector:
    return Collector(
        journal=journal,
        instruments={symbol: coin(symbol) for symbol in exchange.bars},
        calendars=CALENDARS,
        sources=dict.fromkeys(exchange.bars, exchange),
        since=START,
        news=[News(exchange)],
        limits=SELDOM,
        clock=exchange.own,
        **rest,
    )


def run(collector: Collector, exchange: Exchange, until: datetime) -> None:
    for _ in range(20_000):
        if exchange.now >= until:
            return
        now = exchange.own()
        wake = collector.step(now)
        exchange.now = min(until, exchange.now + max(wake - now, timedelta(milliseconds=1)))
    raise AssertionError("the collector does not get on")


def rows(journal: Journal, kind: str) -> list:
    return list(journal.read(kinds=[kind]))


def slices(journal: Journal) -> list[tuple[Slice, bool]]:
    return [
        (slice_from_payload(row.as_of, row.payload), is_late(row.payload)) for row in rows(journal, "slice")
    ]


def closes(journal: Journal) -> dict[tuple[str, datetime], tuple[Slice, bool]]:
    return {
        (symbol, bar.opens_at): (slice_, late)
        for slice_, late in slices(journal)
        if slice_.phase is Phase.CLOSE
        for symbol, bar in slice_.bars.items()
    }


def test_each_day_is_told_by_a_close_and_then_an_open_of_all_symbols(journal):
    exchange = Exchange("BTC", "ETH")
    run(collector_of(journal, exchange), exchange, START + 2 * DAY + HOUR)
    told = [(slice_.as_of, slice_.phase, sorted(slice_.bars)) for slice_, _ in slices(journal)]
    both = ["BTC", "ETH"]
    assert told == [
        (START, Phase.OPEN, both),
        (START + DAY, Phase.CLOSE, both),
        (START + DAY, Phase.OPEN, both),
        (START + 2 * DAY, Phase.CLOSE, both),
        (START + 2 * DAY, Phase.OPEN, both),
    ]
    assert closes(journal)["BTC", START][0].bars["BTC"] == bar_of("BTC", 0)
    assert not any(late for _, late in slices(journal))


def test_an_open_carries_the_observed_price_and_beside_it_the_official_one(journal):
    exchange = Exchange("BTC")
    run(collector_of(journal, exchange), exchange, START + HOUR)
    (row,) = rows(journal, "slice")
    assert row.payload["official"] == {"BTC": 100.0}
    assert row.payload["observed"]["BTC"][0] == 100.5
    assert datetime.fromisoformat(row.payload["observed"]["BTC"][1]) >= START
    assert slice_from_payload(row.as_of, row.payload).bars["BTC"].open == 100.5


def test_a_step_journals_one_slice_so_that_a_close_can_be_decided_before_the_open_is_observed(journal):
    exchange = Exchange("BTC")
    collector = collector_of(journal, exchange)
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
    run(collector_of(journal, exchange), exchange, START + DAY - MINUTE)
    assert closes(journal) == {}


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_off_by_an_hour_is_named_and_moves_no_slice(journal, hours):
    exchange = Exchange("BTC")
    exchange.own_offset = hours * HOUR
    exchange.unfinished = True
    run(collector_of(journal, exchange), exchange, START + DAY)
    assert closes(journal) == {}
    run(collector_of(journal, exchange), exchange, START + DAY + MINUTE)
    assert {late for _, late in closes(journal).values()} == {False}
    (told,) = rows(journal, "clock")
    assert told.payload["offset_seconds"] == -hours * 3600
    assert told.payload["agrees"] is False


def test_a_clock_that_is_set_while_the_collector_sleeps_is_noticed_at_once(journal):
    exchange = Exchange("BTC")
    collector = collector_of(journal, exchange)
    run(collector, exchange, START + DAY - 30 * MINUTE)
    exchange.own_offset = HOUR
    run(collector, exchange, START + DAY - MINUTE)
    assert closes(journal) == {}
    assert len(rows(journal, "clock")) == 1
    exchange.own_offset = timedelta(0)
    run(collector, exchange, START + DAY + MINUTE)
    assert [row.payload["agrees"] for row in rows(journal, "clock")] == [False, True]


def test_a_value_that_still_changes_is_not_final(journal):
    exchange = Exchange("BTC")
    collector = collector_of(journal, exchange)
    run(collector, exchange, START + DAY)
    for n in range(40):
        exchange.bars["BTC"][0] = bar_of("BTC", 0, close=100.0 + n / 10)
        exchange.now += timedelta(seconds=5)
        collector.step(exchange.own())
    assert closes(journal) == {}
    run(collector, exchange, exchange.now + MINUTE)
    assert closes(journal)["BTC", START][0].bars["BTC"].close == 103.9


def test_a_laggard_is_named_as_a_gap_and_comes_as_a_late_slice_of_its_own(journal):
    exchange = Exchange("BTC", "ETH")
    held = exchange.bars["ETH"].pop(0)
    collector = collector_of(journal, exchange)
    run(collector, exchange, START + DAY + 2 * HOUR)
    assert ("BTC", START) in closes(journal)
    (gap,) = rows(journal, "gap")
    assert gap.payload["symbol"] == "ETH"
    assert (gap.payload["lacks"], gap.payload["reason"]) == ("bar", "the source has no bar")
    exchange.bars["ETH"].insert(0, held)
    run(collector, exchange, START + DAY + 4 * HOUR)
    slice_, late = closes(journal)["ETH", START]
    assert late
    assert list(slice_.bars) == ["ETH"]
    assert START + DAY + 2 * HOUR <= slice_.as_of <= START + DAY + 4 * HOUR


def test_a_later_correction_is_journaled_and_the_slice_stays(journal):
    exchange = Exchange("BTC")
    collector = collector_of(journal, exchange)
    run(collector, exchange, START + DAY + HOUR)
    exchange.bars["BTC"][0] = bar_of("BTC", 0, close=105.0)
    run(collector, exchange, START + 2 * DAY + HOUR)
    (row,) = rows(journal, "correction")
    assert (row.payload["was"][3], row.payload["now"][3]) == (101.0, 105.0)
    assert closes(journal)["BTC", START][0].bars["BTC"].close == 101.0


def test_an_official_open_that_is_not_stated_is_a_gap_that_the_close_fills(journal):
    exchange = Exchange("BTC")
    exchange.opens_stated = False
    run(collector_of(journal, exchange), exchange, START + DAY + MINUTE)
    assert rows(journal, "gap")[0].payload["lacks"] == "official"
    assert rows(journal, "slice")[0].payload["official"] == {"BTC": None}
    (row,) = rows(journal, "correction")
    assert (row.payload["phase"], row.payload["was"], row.payload["now"]) == ("open", [None], [100.0])


def test_after_downtime_what_was_missed_is_filled_in_order_and_marked_as_late(journal):
    exchange = Exchange("BTC")
    run(collector_of(journal, exchange), exchange, START + DAY + HOUR)
    before = len(slices(journal))
    exchange.now = START + 4 * DAY + 2 * HOUR
    run(collector_of(journal, exchange), exchange, START + 5 * DAY + HOUR)
    filled = [(slice_.as_of, slice_.phase, late) for slice_, late in slices(journal)[before:]]
    missed = [START + day * DAY for day in (2, 3, 4)]
    expected = [(at, phase, True) for at in missed for phase in (Phase.CLOSE, Phase.OPEN)]
    today = [(START + 5 * DAY, phase, False) for phase in (Phase.CLOSE, Phase.OPEN)]
    assert filled == expected + today
    assert rows(journal, "gap") == []


def test_a_new_collector_goes_on_from_any_step_of_a_killed_one(journal):
    exchange = Exchange("BTC", "ETH")
    exchange.items = [item_of("one", START)]
    for lives in range(50):
        collector = collector_of(journal, exchange)
        for _ in range(1 + lives % 5):
            now = exchange.own()
            exchange.now += max(collector.step(now) - now, timedelta(seconds=1))
    told = [(slice_.as_of, slice_.phase) for slice_, _ in slices(journal)]
    assert len(told) == len(set(told)) > 1
    assert sum(len(slice_.news) for slice_, _ in slices(journal)) == 1
    assert rows(journal, "gap") == []


def test_news_rides_once_on_the_first_slice_after_it_was_read(journal):
    exchange = Exchange("BTC")
    collector = collector_of(journal, exchange)
    run(collector, exchange, START + 6 * HOUR)
    # A wrong clock or a careless feed may claim any time; what counts is when it was read here.
    exchange.items = [item_of("one", START - DAY), item_of("one", START - DAY)]
    exchange.items += [replace(item_of("one", START - DAY), title="changed")]
    run(collector, exchange, START + 2 * DAY + HOUR)
    (carrier,) = [slice_ for slice_, _ in slices(journal) if slice_.news]
    assert (carrier.as_of, carrier.phase) == (START + DAY, Phase.CLOSE)
    (item,) = carrier.news
    assert item.title == "title of one"
    assert START + 6 * HOUR <= item.available_at <= START + 7 * HOUR


def test_news_read_after_downtime_rides_on_no_slice_of_the_past(journal):
    exchange = Exchange("BTC")
    run(collector_of(journal, exchange), exchange, START + HOUR)
    exchange.now = START + 3 * DAY + HOUR
    exchange.items = [item_of("one", START + DAY)]
    run(collector_of(journal, exchange), exchange, START + 4 * DAY + HOUR)
    assert [slice_.as_of for slice_, _ in slices(journal) if slice_.news] == [START + 4 * DAY]


def test_a_source_that_fails_is_named_by_the_type_of_its_error_alone(journal):
    exchange = Exchange("BTC")
    collector = collector_of(journal, exchange)
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
    odd = bar_of("BTC", 0)
    exchange.bars["BTC"].append(replace(odd, opens_at=odd.opens_at + HOUR, closes_at=odd.closes_at + HOUR))
    run(collector_of(journal, exchange), exchange, START + 3 * DAY)
    (refused,) = rows(journal, "refused")
    assert refused.payload["reason"] == "a bar of no session in the symbol's calendar"
    assert ("BTC", START) in closes(journal)


def test_a_price_that_is_none_is_never_observed(journal):
    exchange = Exchange("BTC")
    exchange.quote = lambda symbol: Quote(price=float("nan"), at=exchange.now)
    exchange.opening = lambda symbol, at: Opening(official=-1.0, observed=Quote(price=0.0, at=exchange.now))
    run(collector_of(journal, exchange), exchange, START + HOUR)
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
        instruments={"BTC": coin("BTC"), "ETH": stock("ETH", "ENDS")},
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


@settings(max_examples=40, deadline=None)
@given(st.datetimes(datetime(2024, 1, 5), datetime(2024, 12, 20), timezones=st.just(UTC)))
def test_the_schedule_is_what_the_calendars_say(now):
    instruments = {"BTC": coin("BTC"), "AAPL": stock("AAPL"), "600519": stock("600519", "XSHG")}
    schedule = Schedule(instruments, CALENDARS)
    key = now, -1
    days = [now.date() + n * DAY for n in range(-2, 4)]
    expected = set()
    for symbol, instrument in instruments.items():
        sessions = (CALENDARS[instrument.calendar].session(day) for day in days)
        for opens_at, closes_at in filter(None, sessions):
            expected |= {(opens_at, 1, symbol), (closes_at, 0, symbol)}
    for at, rank in sorted({fact[:2] for fact in expected if now <= fact[0] < now + 2 * DAY}):
        due = schedule.next_after(key)
        assert due.key == (at, rank)
        assert set(due.sessions) == {symbol for *found, symbol in expected if tuple(found) == due.key}
        key = due.key


def test_the_trigger_fires_at_opens_and_a_margin_after_closes():
    trigger = SliceTrigger(Schedule({"AAPL": stock("AAPL")}, CALENDARS), timedelta(seconds=5))
    opens_at, closes_at = CALENDARS["XNYS"].session(date(2024, 7, 3))  # a half day
    fires = trigger.get_next_fire_time(None, opens_at - HOUR)
    assert fires == opens_at
    fires = trigger.get_next_fire_time(fires, fires)
    assert fires == closes_at + timedelta(seconds=5) == datetime(2024, 7, 3, 17, 0, 5, tzinfo=UTC)
    following = trigger.get_next_fire_time(fires, fires)
    assert following == CALENDARS["XNYS"].session(date(2024, 7, 5))[0]


def test_a_source_that_hangs_holds_up_no_other():
    released = threading.Event()
    ask = AtOnce(seconds=0.2)
    started = time.perf_counter()
    first = ask({"hangs": released.wait, "answers": lambda: 1})
    again = ask({"hangs": released.wait, "answers": lambda: 2})
    assert time.perf_counter() - started < 2
    assert isinstance(first["hangs"], TimeoutError)
    assert isinstance(again["hangs"], TimeoutError)
    assert (first["answers"], again["answers"]) == (1, 2)
    released.set()


def test_the_live_run_is_woken_by_the_scheduler_until_it_is_stopped(journal):
    stop = threading.Event()
    exchange = Exchange("BTC")

    def clock() -> datetime:
        exchange.now = datetime.now(UTC)
        if len(rows(journal, "quote")) >= 3:
            stop.set()
        return exchange.now

    limits = Limits(quote_every=timedelta(milliseconds=50), poll_every=timedelta(milliseconds=50))
    now = datetime.now(UTC)
    collector = Collector(
        journal=journal,
        instruments={"BTC": coin("BTC")},
        calendars=CALENDARS,
        sources={"BTC": exchange},
        since=now,
        limits=limits,
        clock=lambda: datetime.now(UTC),
    )
    run_live(collector, clock=clock, stop=stop)
    assert len(rows(journal, "quote")) >= 3
    assert not [thread for thread in threading.enumerate() if "APScheduler" in thread.name]


def test_a_journal_that_cannot_be_written_ends_the_live_run(journal):
    exchange = Exchange("BTC")
    collector = collector_of(journal, exchange)

    def refuse(events, recorded_at):
        raise JournalError("the disk is full; make room")

    journal.append = refuse
    with pytest.raises(JournalError, match="disk is full"):
        run_live(collector, clock=exchange.own, stop=threading.Event())


def test_a_slice_reads_back_as_it_was_written():
    bars = {"BTC": bar_of("BTC", 0)}
    for phase, held in ((Phase.CLOSE, bars), (Phase.OPEN, {"BTC": bars["BTC"].opening()})):
        news = (replace(item_of("one", START), symbols=frozenset({"BTC", "ETH"}), first_seen_at=None),)
        slice_ = Slice(as_of=START + DAY, phase=phase, bars=held, news=news)
        kept = json.loads(canonical_json(slice_payload(slice_)))
        assert slice_from_payload(slice_.as_of, kept) == slice_


def test_a_payload_that_is_no_slice_is_refused_in_one_line():
    with pytest.raises(JournalError, match="cannot be read"):
        slice_from_payload(START, {"phase": "close", "bars": {"BTC": [1.0]}})


def test_limits_that_would_make_every_waiting_slice_late_are_refused():
    with pytest.raises(ValueError, match="late_after"):
        Limits(patience=HOUR)
    with pytest.raises(ValueError, match="not above zero"):
        Limits(settle=timedelta(0))
