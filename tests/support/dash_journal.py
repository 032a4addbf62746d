"""A long journal of 150 symbols, and the events that a busy session adds, for the dashboard's bench.

    python dash_journal.py JOURNAL

writes 20 events a second into a journal until its input ends; a number on a line of its input has it write
that many as fast as it can, and say so.
"""

import random
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.journal.journal import Event, Journal

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
    instruments = {symbol: {"quote_currency": "USD"} for symbol in SYMBOLS}
    said = {"student": "tiny", "simulated": False, "instruments": instruments, "cash": 1e5, "about": {}}
    return Event(kind="session_started", as_of=START, payload=said)


def day_events(number, prices, dice, seen):
    """One day's events: a slice with news, a forecast of each symbol, a third traded, quotes, marks."""
    at = START + timedelta(days=number)
    item = {"id": str(number), "source": "feed", "title": f"Day {number} brings something", "text": "t" * 500}
    item |= {"published_at": at, "available_at": at, "symbols": [dice.choice(SYMBOLS)]}
    bars = {symbol: [prices[symbol]] * 4 + [1.0] for symbol in SYMBOLS}
    said = {"phase": "close", "bars": bars, "sessions": {}, "news": [item]}
    yield Event(kind="slice", as_of=at, payload=said)
    for symbol in SYMBOLS:
        yield forecast(symbol, at, prices[symbol], dice, seen)
        prices[symbol] *= 1 + dice.gauss(0, 0.02)
    for place, symbol in enumerate(SYMBOLS[:50]):
        order = number * 50 + place
        size, price = 1.0 if number % 2 else -1.0, prices[symbol]
        common = {"at": at, "symbol": symbol, "number": order, "input": seen}
        yield Event(kind="order", as_of=at, payload=common | {"size": size, "status": "filled", "reason": ""})
        yield Event(kind="fill", as_of=at, payload=common | {"size": size, "price": price, "cost": 0.1})
        yield Event(kind="step", as_of=at, payload=common | {"pnl": 1.0, "net_return": 0.001})
    for minute in range(24):
        yield quotes(at + timedelta(minutes=minute), SYMBOLS[:20], prices)
    value = 1e5 * (1 + dice.gauss(0, 0.1))
    yield Event(kind="mark", as_of=at, payload={"at": at, "value": value, "cash": 1e4, "input": seen})
    held = dict.fromkeys(SYMBOLS, 1.0)
    said = {"at": at, "state": "active", "cause": "", "value": value, "cash": 1e4, "positions": held}
    yield Event(kind="progress", as_of=at, payload=said | {"waiting": {}, "input": seen})


def forecast(symbol, at, last, dice, seen):
    """A call with a prompt of some length."""
    said = {
        "symbol": symbol,
        "direction": dice.choice(("up", "down")),
        "close": last * 1.01,
        "last_close": last,
    }
    said |= {"confidence": round(dice.uniform(0.5, 0.9), 2), "abstention": None, "output": "{}"}
    return Event(kind="forecast", as_of=at, payload=said | {"prompt": _PROMPT, "input": seen})


def quotes(at, symbols, prices):
    """Last prices."""
    return Event(
        kind="quote", as_of=at, payload={"quotes": {symbol: [prices[symbol], at] for symbol in symbols}}
    )


def busy_journal(number, at, dice):
    """Four events of a busy session."""
    symbol, prices = SYMBOLS[number % 150], {one: 100 * dice.random() for one in SYMBOLS}
    order = {"at": at, "symbol": symbol, "size": 1.0, "status": "pending", "number": number, "reason": ""}
    worth = {"at": at, "value": 1e5 + dice.random() * 1e4, "input": 1}
    return [
        quotes(at, SYMBOLS, prices),
        Event(kind="valuation", as_of=at, payload=worth),
        forecast(symbol, at, prices[symbol], dice, 1),
        Event(kind="order", as_of=at, payload=order | {"forced": False, "input": 1}),
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
