"""Check and backtest many made-up stocks as a user would: prints bars, seconds and peak memory as JSON.

The stocks have New York's sessions of whole years, drawn from a seed into files of our own form; the
strategy buys after a rise. `check` is `closecall check data` on the folder, `backtest` is `closecall
backtest --strategy`, each a process of its own whose largest resident memory is measured.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from engine.calendars import load_calendar

CLOSECALL = str(Path(sys.executable).with_name("closecall"))
STRATEGY = """import closecall as cc


class BuyAfterRise(cc.Strategy):
    def on_close(self, slice):
        for symbol in slice.bars:
            last = self.bars(symbol, 2)
            if len(last) == 2:
                rose = last[1].close > last[0].close
                self.order_target_percent(symbol, 0.9 / {symbols} if rose else 0.0)
"""


def write_stocks(folder, symbols, years, seed):
    """Write a file of daily bars for each symbol, from 2014 on, and return the number of bars."""
    first, last = date(2014, 1, 1), date(2013 + years, 12, 31)
    days = [day for day in load_calendar("XNYS", first, last).sessions if first <= day <= last]
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(symbols):
        drawn = random.Random(f"{seed} {number}")
        close, lines = drawn.uniform(20, 200), ["date,open,high,low,close,volume\n"]
        for day in days:
            open_ = close * (1 + drawn.gauss(0, 0.005))
            close = open_ * (1 + drawn.gauss(0.0003, 0.012))
            high = max(open_, close) * (1 + abs(drawn.gauss(0, 0.004)))
            low = min(open_, close) * (1 - abs(drawn.gauss(0, 0.004)))
            volume = drawn.randrange(100_000, 900_000)
            lines.append(f"{day},{open_:.4f},{high:.4f},{low:.4f},{close:.4f},{volume}\n")
        (folder / f"S{number:03}.csv").write_text("".join(lines), encoding="utf-8")
    return symbols * len(days)


def measure(*words, folder):
    """Run the command in a process of its own; seconds, seconds of CPU, peak memory and what it printed."""
    report = folder / "stdout.json"
    started = time.monotonic()
    with report.open("wb") as out:
        process = os.posix_spawn(
            sys.executable,
            [sys.executable, CLOSECALL, *words],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1)],
        )
        _, status, used = os.wait4(process, 0)
    if code := os.waitstatus_to_exitcode(status):
        sys.exit(f"closecall {' '.join(words)} ended with {code}")
    figures = {
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
    }
    return figures, json.loads(report.read_text(encoding="utf-8"))


def main():
    """Make the stocks in a temporary folder, check them, run the strategy and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--years", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="only write the files of bars to this folder")
    arguments = parser.parse_args()
    if arguments.write:
        write_stocks(arguments.write, arguments.symbols, arguments.years, arguments.seed)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bars = write_stocks(folder / "bars", arguments.symbols, arguments.years, arguments.seed)
        rule = folder / "rise.py"
        rule.write_text(STRATEGY.format(symbols=arguments.symbols), encoding="utf-8")
        data = ("--data-dir", str(folder / "data"))
        checked, found = measure("check", "data", str(folder / "bars"), "--json", folder=folder)
        traded, result = measure(
            *("backtest", "--bars", str(folder / "bars"), "--strategy", f"{rule}:BuyAfterRise"),
            *(*data, "--json"),
            folder=folder,
        )
    report = {
        "load": os.getloadavg()[0],
        "symbols": arguments.symbols,
        "bars": bars,
        "check": checked | {"findings": len(found["findings"])},
        "backtest": traded | {"fills": result["scores"]["student"]["trades"]},
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
