"""A long journal of 150 symbols, and the events that a busy session adds, for the dashboard's bench.

    python dash_journal.py JOURNAL

writes 20 events a second into a journal until its input ends; a number on a line of its input has it write
that many as fast as it can, and say so.
"""

import random
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.instruments import AssetClass, Instrument
from engine.journal.events import encode
from engine.journal.events.inputs import Quotes, SliceRecord
from engine.journal.events.sessions import SessionStarted
from engine.journal.journal import Event, Journal
from engine.model import Bar, Phase, Slice
from tests.support.journal_events import NEWS, SETTINGS, stored_payload

SYMBOLS = [f"SYM{number:03}" for number in range(150)]
START = datetime(2020, 1, 1, tzinfo=UTC)
_A_TURN, _TURNS = 4, 5
_PROMPT = "x" * 1200


def long_journal(path, events):
    """Write a session's journal of at least so many events, day by day; what it came to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prices, dice, began = dict.fromkeys(SYMBOLS, 100.0), random.Random(1), time.monotonic()
    with Journal.open(path, path.parent.name, create=True) as journal:
        last, day = journal.append([start_event()], START)[-1], 0
        while last < events:
            batch = [
                event for number in range(day, day + 5) for event in day_events(number, prices, dice, last)
            ]
            day += 5
            last = journal.append(batch, START + timedelta(days=day))[-1]
    size = path.stat().st_size / 1e6
    return {"events": last, "symbols": 150, "mb": round(size), "seconds": round(time.monotonic() - began)}


def start_event():
    """What a session states first."""
    instruments = {
        symbol: Instrument(symbol=symbol, asset_class=AssetClass.COIN, calendar="24/7", currency="USD")
        for symbol in SYMBOLS
    }
    return encode(SessionStarted(**SETTINGS | {"instruments": instruments, "cash": 1e5}), START)


def day_events(number, prices, dice, seen):
    """One day's events: a slice with news, a forecast of each symbol, a third traded, quotes, marks."""
    at = START + timedelta(days=number)
    item = replace(
        NEWS,
        id=str(number),
        title=f"Day {number} brings something",
        text="t" * 500,
        published_at=at,
        available_at=at,
        symbols=frozenset({dice.choice(SYMBOLS)}),
    )
    bars = {symbol: flat_bar(symbol, at, prices[symbol]) for symbol in SYMBOLS}
    yield encode(SliceRecord(slice=Slice(as_of=at, phase=Phase.CLOSE, bars=bars, news=(item,))), at)
    for symbol in SYMBOLS:
        yield forecast(symbol, at, prices[symbol], dice, seen)
        prices[symbol] *= 1 + dice.gauss(0, 0.02)
    for place, symbol in enumerate(SYMBOLS[:50]):
        known = {"symbol": symbol, "number": number * 50 + place, "size": 1.0 if number % 2 else -1.0}
        yield changed("order", at, seen, **known, status="filled")
        yield changed("fill", at, seen, **known, price=prices[symbol])
        yield changed("step", at, seen, symbol=symbol)
    for minute in range(24):
        yield quotes(at + timedelta(minutes=minute), SYMBOLS[:20], prices)
    value = 1e5 * (1 + dice.gauss(0, 0.1))
    yield changed("mark", at, seen, value=value, cash=1e4)
    yield changed("progress", at, seen, value=value, cash=1e4, positions=dict.fromkeys(SYMBOLS, 1.0))


def flat_bar(symbol, at, price):
    """A day at one price."""
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return Bar(symbol=symbol, opens_at=at - timedelta(days=1), closes_at=at, volume=1.0, **prices)


def changed(kind, at, seen, **changes):
    """The example of an output of the input numbered `seen`, with some values changed."""
    return Event(kind=kind, as_of=at, payload=stored_payload(kind, at=at, input=seen, **changes))


def forecast(symbol, at, last, dice, seen):
    """A call with a prompt of some length."""
    direction = dice.choice(("up", "down"))
    close = last * (1.01 if direction == "up" else 0.99)
    confidence = round(dice.uniform(0.5, 0.9), 2)
    stated = {"symbol": symbol, "direction": direction, "confidence": confidence, "prompt": _PROMPT}
    return changed("forecast", at, seen, **stated, close=close, last_close=last)


def quotes(at, symbols, prices):
    """Last prices."""
    return encode(Quotes(quotes={symbol: (prices[symbol], at) for symbol in symbols}), at)


def busy_journal(number, at, dice):
    """Four events of a busy session."""
    symbol, prices = SYMBOLS[number % 150], {one: 100 * dice.random() for one in SYMBOLS}
    return [
        quotes(at, SYMBOLS, prices),
        changed("valuation", at, 1, value=1e5 + dice.random() * 1e4),
        forecast(symbol, at, prices[symbol], dice, 1),
        changed("order", at, 1, symbol=symbol, number=number),
    ]


def write(path, hurried, ended):
    """Write as a busy session does until `ended` is set; `hurried` holds how many to write at once."""
    dice, number = random.Random(2), 0
    with Journal.open(path, path.parent.name) as journal:
        while not ended.is_set():
            wanted = hurried.pop() if hurried else 0
            for _ in range(max(1, wanted // (_A_TURN * _TURNS))):
                now = datetime.now(UTC)
                journal.append(
                    [e for turn in range(_TURNS) for e in busy_journal(number + turn, now, dice)], now
                )
                number += _TURNS
            if wanted:
                sys.stdout.write(f"{wanted}\n")
                sys.stdout.flush()
            ended.wait(1.0)


def main():
    """Write until the input ends."""
    hurried, ended = list[int](), threading.Event()
    writing = threading.Thread(target=write, args=(Path(sys.argv[1]), hurried, ended))
    writing.start()
    for line in sys.stdin:
        hurried.append(int(line))
    ended.set()
    writing.join()


if __name__ == "__main__":
    main()
