"""What is due, who is asked, and how a collector is woken, written and stopped."""

import json
import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import JournalError
from engine.journal.canonical import canonical_json
from engine.journal.events import decode, encode
from engine.journal.events.inputs import SliceRecord
from engine.journal.journal import Event
from engine.model import Phase, Slice
from feeds.live.collector import Collector
from feeds.live.polling import ConcurrentExecutor
from feeds.live.schedule import Schedule, SliceTrigger
from feeds.live.scheduler import run_scheduler
from feeds.live.settings import Limits
from tests.support.collector_stage import (
    CALENDARS,
    DAY,
    HOUR,
    START,
    Exchange,
    make_bar,
    make_coin,
    make_collector,
    make_item,
    make_stock,
    rows,
)


@settings(max_examples=40, deadline=None)
@given(st.datetimes(datetime(2024, 1, 5), datetime(2024, 12, 20), timezones=st.just(UTC)))
def test_the_schedule_is_what_the_calendars_say(now):
    instruments = {
        "BTC": make_coin("BTC"),
        "AAPL": make_stock("AAPL"),
        "600519": make_stock("600519", "XSHG"),
    }
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
    trigger = SliceTrigger(Schedule({"AAPL": make_stock("AAPL")}, CALENDARS), timedelta(seconds=5))
    opens_at, closes_at = CALENDARS["XNYS"].session(date(2024, 7, 3))  # a half day
    fires = trigger.get_next_fire_time(None, opens_at - HOUR)
    assert fires == opens_at
    fires = trigger.get_next_fire_time(fires, fires)
    assert fires == closes_at + timedelta(seconds=5) == datetime(2024, 7, 3, 17, 0, 5, tzinfo=UTC)
    following = trigger.get_next_fire_time(fires, fires)
    assert following == CALENDARS["XNYS"].session(date(2024, 7, 5))[0]


def test_a_source_that_hangs_holds_up_no_other():
    released = threading.Event()
    ask = ConcurrentExecutor(seconds=0.2)
    started = time.perf_counter()
    first = ask({"hangs": released.wait, "answers": lambda: 1})
    again = ask({"hangs": released.wait, "answers": lambda: 2})
    assert time.perf_counter() - started < 2
    assert isinstance(first["hangs"], TimeoutError)
    assert isinstance(again["hangs"], TimeoutError)
    assert (first["answers"], again["answers"]) == (1, 2)
    released.set()


def test_the_live_run_steps_whenever_it_is_due_until_it_is_stopped(journal):
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
        instruments={"BTC": make_coin("BTC")},
        calendars=CALENDARS,
        sources={"BTC": exchange},
        since=now,
        limits=limits,
        clock=lambda: datetime.now(UTC),
    )
    run_scheduler(collector, clock=clock, stop=stop)
    assert len(rows(journal, "quote")) >= 3


def test_a_journal_that_cannot_be_written_ends_the_live_run(journal):
    exchange = Exchange("BTC")
    collector = make_collector(journal, exchange)

    def refuse(events, recorded_at):
        raise JournalError("the disk is full; make room")

    journal.append = refuse
    with pytest.raises(JournalError, match="disk is full"):
        run_scheduler(collector, clock=exchange.own, stop=threading.Event())


def test_a_slice_reads_back_as_it_was_written():
    bars = {"BTC": make_bar("BTC", 0)}
    for phase, held in ((Phase.CLOSE, bars), (Phase.OPEN, {"BTC": bars["BTC"].at_open()})):
        news = (replace(make_item("one", START), symbols=frozenset({"BTC", "ETH"}), first_seen_at=None),)
        slice_ = Slice(as_of=START + DAY, phase=phase, bars=held, news=news)
        event = encode(SliceRecord(slice=slice_), slice_.as_of)
        kept = json.loads(canonical_json(event.payload))
        assert decode(replace(event, payload=kept)).slice == slice_


def test_a_payload_that_is_no_slice_is_refused_in_one_line():
    with pytest.raises(JournalError, match="cannot be read"):
        decode(Event(kind="slice", as_of=START, payload={"phase": "close", "bars": {"BTC": [1.0]}}))


def test_limits_that_would_make_every_waiting_slice_late_are_refused():
    with pytest.raises(ValueError, match="late_after"):
        Limits(patience=HOUR)
    with pytest.raises(ValueError, match="not above zero"):
        Limits(settle=timedelta(0))
