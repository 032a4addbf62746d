"""Whole fetches from loopback servers for tests and benches: many seeds of faults, many moments of death."""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from feeds.history.download import FetchReport, fetch_bars
from feeds.history.store import BarStore
from feeds.history.stored_bars import StoredBars
from feeds.sources.ccxt_source import CcxtClient, create_client
from tests.support.own_processes import started
from tests.support.servers.bars_on_disk import DATA, DAY_MS, text_rows
from tests.support.servers.binance import BinanceServer
from tests.support.servers.faults import FaultPlan, TextRow

COINS = {"BTC/USDT": "BTCUSDT", "ETH/USDT": "ETHUSDT", "LTC/USDT": "LTCUSDT"}
NOW = datetime(2025, 1, 3, 12, tzinfo=UTC)
FIRST = date(2017, 8, 17)

# Imports once and then forks for each line it reads, because importing ccxt takes longer than a fetch.
_FETCHERS = """
import os, sys
sys.path[:0] = {path!r}
import requests, urllib3, pyarrow.parquet
from tests.stress.fetch_faults import fetch_coins
from feeds.history.store import BarStore
from pathlib import Path
for root in sys.stdin:
    child = os.fork()
    if child == 0:
        fetch_coins({url!r}, BarStore(Path(root.strip())), page={page})
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()
    print(os.waitpid(child, 0)[1], flush=True)
"""


def clock() -> datetime:
    return NOW


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


def coin_rows(since: date = FIRST, until: date = date(2024, 12, 31)) -> dict[str, list[TextRow]]:
    """The stored days of Bitcoin, Ether and Litecoin, by Binance's market id."""
    folder = DATA / "coins_binance_daily"
    return {market: text_rows(folder / f"{market}.csv", since, until) for market in COINS.values()}


def noon_after(rows: Mapping[str, Sequence[TextRow]]) -> int:
    """Twelve hours into the day after the last row, in milliseconds."""
    return max(each[-1][0] for each in rows.values()) + DAY_MS + DAY_MS // 2


def binance(url: str, **settings: Any) -> CcxtClient:
    """The real ccxt class, pointed at a loopback server, that does not wait for real time."""
    quick = {"enableRateLimit": False, "timeout": 400} | settings
    return create_client("ccxt:binance", clock=clock, url=url, settings=quick)


def fetch_coins(
    url: str,
    store: BarStore,
    *,
    symbols: Sequence[str] = tuple(COINS),
    since: date = FIRST,
    until: date | None = None,
    page: int = 1000,
    sleep: Callable[[float], None] = lambda seconds: None,
    **settings: Any,
) -> FetchReport:
    client = binance(url)
    client.page = page
    return fetch_bars(
        client,
        store,
        symbols,
        since,
        until,
        clock=clock,
        sleep=sleep,
        on_progress=ignore_progress,
        **settings,
    )


def cells(stored: StoredBars) -> dict[int, tuple[float, ...]]:
    """Prices and volume by start in milliseconds."""
    return {
        round(candle.starts_at.timestamp() * 1000): (*candle.prices, candle.volume)
        for candle in stored.candles
    }


def parse_rows(rows: Sequence[TextRow]) -> dict[int, tuple[float, ...]]:
    """The same of a server's rows."""
    return {row[0]: tuple(map(float, row[1:])) for row in rows}


def count_differences(
    stored: StoredBars, rows: Sequence[TextRow], since_ms: int, until_ms: int
) -> tuple[int, int, int, int]:
    """Days that are wrong, invented, and missing without and with a named gap."""
    have, want = cells(stored), parse_rows(rows)
    due = range(since_ms, until_ms, DAY_MS)
    named = {
        start
        for gap in stored.gaps
        for start in range(int(gap.first.timestamp() * 1000), int(gap.last.timestamp() * 1000) + 1, DAY_MS)
    }
    wrong = sum(1 for start, each in have.items() if start in want and each != want[start])
    invented = sum(1 for start in have if start not in want)
    absent = [start for start in due if start not in have]
    return wrong, invented, sum(start not in named for start in absent), len(set(absent) & named)


def under_faults(seeds: Sequence[int], rows: Mapping[str, Sequence[TextRow]]) -> Counter[str]:
    """Fetch `rows` once for each seed under its fault plan, and count what came out.

    Odd seeds add three candles to each coin that are wrong or missing in every answer. "lost" are days
    that have a named gap although some answers had them right.
    """
    counts: Counter[str] = Counter()
    now = noon_after(rows)
    since = min(each[0][0] for each in rows.values())
    for seed in seeds:
        plan = FaultPlan(seed=seed, lasting=3 if seed % 2 else 0, stall_s=0.5)
        with BinanceServer(rows, now, plan) as server, tempfile.TemporaryDirectory() as folder:
            store = BarStore(Path(folder))
            fetch_coins(server.url, store, since=datetime.fromtimestamp(since / 1000, UTC).date())
            for symbol, market in COINS.items():
                stored = store.read("ccxt:binance", symbol)
                wrong, invented, silent, named = count_differences(
                    stored, rows[market], since, now // DAY_MS * DAY_MS
                )
                unlisted = (rows[market][0][0] - since) // DAY_MS
                counts.update(
                    days=len(rows[market]),
                    wrong=wrong + sum(start in server.wrong[market] for start in cells(stored)),
                    invented=invented,
                    silent=silent,
                    lost=named - unlisted - len(server.wrong[market]),
                )
            counts.update(requests=len(server.requests), faults=len(plan.done))
            counts.update(f"fault {kind}" for kind in plan.done)
    return counts


def run_with_kills(
    moments: int, seed: int, rows: Mapping[str, Sequence[TextRow]], root: Path
) -> dict[str, int]:
    """Kill a fetch with SIGKILL at random moments, start it again each time, and check its files.

    A fetch that ends before its moment is repeated in an empty folder, so that each kill hits a running
    one. Returns how many kills and ends there were, days that differ at the end, and files left over.
    """
    chance = random.Random(seed)
    with BinanceServer(rows, noon_after(rows)) as server:
        with _Fetchers(server.url, page=100) as fetchers:
            length, kills, folders = fetchers.timed(root / "0"), 0, 0
            while kills < moments:
                folders += 1
                folder = root / str(folders)
                while kills < moments and fetchers.run(folder, chance.uniform(0.0, length)):
                    kills += 1
                    _require_readable(folder)
                fetchers.run(folder, None)
        differ = sum(
            cells(BarStore(folder).read("ccxt:binance", symbol)) != parse_rows(rows[market])
            for folder in root.iterdir()
            for symbol, market in COINS.items()
        )
    left = [path for path in root.rglob("*") if path.is_file() and path.suffix != ".parquet"]
    return {"kills": kills, "histories": folders, "differ": differ, "left": len(left)}


def _require_readable(root: Path) -> None:
    """Whatever the moment, each file that has its name is whole."""
    store = BarStore(root)
    for symbol in store.symbols("ccxt:binance"):
        store.read("ccxt:binance", symbol)


class _Fetchers:
    """A process that forks one fetching process after the other."""

    def __init__(self, url: str, page: int) -> None:
        code = _FETCHERS.format(path=sys.path, url=url, page=page)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._running = started([sys.executable, "-c", code], **pipes)
        self._process = self._running.__enter__()

    def __enter__(self) -> "_Fetchers":
        return self

    def __exit__(self, *_: object) -> None:
        self._running.__exit__(None, None, None)

    def run(self, root: Path, seconds: float | None) -> bool:
        """Let one fetch run, and kill it after `seconds`; whether it was still running."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{root}\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        if seconds is not None:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)  # a child that has ended is kept until it is waited for
        self._process.stdin.write("wait\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return os.WIFSIGNALED(status)

    def timed(self, root: Path) -> float:
        """How long a whole fetch takes, in seconds."""
        started = time.perf_counter()
        self.run(root, None)
        return time.perf_counter() - started


def main() -> None:
    """Print both measurements as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--whole", type=int, default=10, help="seeds of the whole histories")
    parser.add_argument("--kills", type=int, default=50)
    chosen = parser.parse_args()
    rows = coin_rows()
    window = coin_rows(date(2018, 1, 1), date(2018, 12, 31))
    with tempfile.TemporaryDirectory() as folder:
        report = {
            "window": under_faults(range(chosen.seeds), window),
            "whole": under_faults(range(chosen.whole), rows),
            "killed": run_with_kills(chosen.kills, 1, rows, Path(folder)),
        }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
