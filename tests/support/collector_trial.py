"""A collector's trial: years of a known market, shown by failing sources to processes that are killed.

The time is simulated throughout.
"""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from engine.calendars import Calendar, load_calendar
from engine.instruments import Instrument
from engine.journal.journal import Journal
from engine.model import Bar, NewsItem, Phase
from feeds.files.bars import read_bars
from feeds.instruments import guess_instrument
from feeds.live.collector import Collector
from feeds.live.settings import Limits
from feeds.simulated.market import MarketSettings, simulate
from tests.support.collector_audit import Audit
from tests.support.collector_rehearsal import (
    Faults,
    Killed,
    RehearsedNews,
    RehearsedSource,
    World,
    draw_faults,
    periods,
)

_RUN_ON = timedelta(days=8)
_STEPS_A_DAY = 1000
_CLOCK_JITTER = timedelta(seconds=1)

_TRIAL_LIMITS = Limits(
    quote_every=timedelta(hours=12), news_every=timedelta(hours=8), clock_every=timedelta(hours=2)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialMarket:
    """The truth: bars by symbol, calendars by code, and news."""

    instruments: Mapping[str, Instrument]
    calendars: Mapping[str, Calendar]
    bars: Mapping[str, Sequence[Bar]]
    news: Sequence[NewsItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialReport:
    """What was journaled, in numbers; `problems` has a line for everything that was wrong or not named.

    `planted` counts the faults by kind; `kinds` counts the journal's events, and its late slices.
    """

    seed: int
    bars: int
    opens: int
    planted: Mapping[str, int]
    kinds: Mapping[str, int]
    steps: int
    kills: int
    seconds: float
    problems: tuple[str, ...]


def file_market(files: Sequence[Path], start: date, end: date, *, seed: int) -> TrialMarket:
    """The bars of files between two dates, each by its guessed calendar, with simulated news."""
    instruments = {path.stem: guess_instrument(path.stem) for path in files}
    codes = {each.calendar for each in instruments.values()}
    calendars = {code: load_calendar(code, start, end) for code in codes}
    bars = {
        path.stem: read_bars(
            path, instruments[path.stem], calendars[instruments[path.stem].calendar], since=start, until=end
        )
        for path in files
    }
    news = simulated_market(start, end, seed=seed).news
    return TrialMarket(instruments=instruments, calendars=calendars, bars=bars, news=news)


def simulated_market(start: date, end: date, *, seed: int) -> TrialMarket:
    """Three simulated coins and three stocks between two dates."""
    market = simulate(MarketSettings(seed=seed, start=start, days=(end - start).days + 1))
    return TrialMarket(
        instruments=market.instruments, calendars=market.calendars, bars=market.bars, news=market.news
    )


def try_collector(market: TrialMarket, *, seed: int) -> TrialReport:
    """Collect the whole market under the faults of `seed` and check what was journaled.

    The last eight days only bring in what was late. Three years of six symbols took about a minute.
    """
    # Processes are killed here, not the power: a disk in memory, where there is one, spares the waiting.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        trial = _Trial(market, Path(folder) / "journal.db", seed)
        started = time.perf_counter()
        trial.run()
        return trial.report(time.perf_counter() - started)


class _Trial:
    def __init__(self, market: TrialMarket, path: Path, seed: int) -> None:
        from numpy.random import default_rng

        self._market, self._path, self._seed = market, path, seed
        self._since = min(series[0].opens_at for series in market.bars.values())
        self._until = max(series[-1].closes_at for series in market.bars.values())
        rng = default_rng([seed, 0])
        wrong = periods(self._since, self._until, timedelta(days=15), 48, rng)
        ahead = (timedelta(hours=int(rng.choice([-1, 1]))) for _ in wrong)
        self.world = World(
            now=self._since, wrong=[(*period, by) for period, by in zip(wrong, ahead, strict=True)]
        )
        self._kills = periods(self._since, self._until, timedelta(days=12), 60, rng)
        by_calendar: dict[str, dict[str, Sequence[Bar]]] = {}
        for symbol, series in market.bars.items():
            by_calendar.setdefault(market.instruments[symbol].calendar, {})[symbol] = series
        self._sources: dict[str, RehearsedSource] = {}
        self._faults: list[Faults] = []
        for number, (code, bars) in enumerate(sorted(by_calendar.items()), start=1):
            faults = draw_faults(bars, default_rng([seed, number, 0]))
            source = RehearsedSource(
                f"source of {code}", self.world, bars, faults, default_rng([seed, number, 1])
            )
            self._faults.append(faults)
            self._sources |= dict.fromkeys(bars, source)
        self._news = RehearsedNews(self.world, market.news, self._faults[0].outages)
        self._audit = Audit(market.bars, _TRIAL_LIMITS.late_after)
        self._seq = self._steps = self._killed = 0

    def run(self) -> None:
        while self.world.now < self._until:
            away = next((period for period in self._kills if period[0] > self.world.now), None)
            self.world.kill_at = away[0] if away else None
            with Journal.open(self._path, "trial", create=True) as journal:
                try:
                    self._collect(journal)
                except Killed:
                    self._killed += 1
            if away:
                self.world.now = max(self.world.now, away[1])
        with Journal.open(self._path, "trial") as journal:
            journal.verify()
        self._finish()

    def _collect(self, journal: Journal) -> None:
        collector = Collector(
            journal=journal,
            instruments=self._market.instruments,
            calendars=self._market.calendars,
            sources=self._sources,
            news=[self._news],
            since=self._since,
            limits=_TRIAL_LIMITS,
            clock=self.world.own,
            on_journaled=lambda _events: self._read(journal),
        )
        while self.world.now < self._until:
            if self._steps > _STEPS_A_DAY * (self._until - self._since).days:
                raise RuntimeError(f"the collector does not get past {self.world.now}")
            now = self.world.own()
            wake = collector.step(now)
            self._steps += 1
            self.world.now += max(wake - now, timedelta(milliseconds=1))

    def _read(self, journal: Journal) -> None:
        for row in journal.read(self._seq):
            self._audit.apply(row, self.world.now)
            self._seq = row.seq

    def _finish(self) -> None:
        audit, until = self._audit, self._until - _RUN_ON
        audit.compare(self._market.instruments, self._market.calendars, self._since, until)
        missing = {key for faults in self._faults for key in faults.missing}
        wrong = {(*key, Phase.CLOSE) for faults in self._faults for key in faults.wrong}
        for symbol, opens_at, phase in sorted(audit.corrected - wrong):
            if phase == Phase.CLOSE:
                audit.problems.append(f"{symbol} {opens_at}: corrected, though it never stood wrong for long")
        for series in self._market.bars.values():
            for bar in series:
                if bar.closes_at <= until:
                    self._account(bar, missing=(bar.symbol, bar.opens_at) in missing)
        for key, at in self._news.shown_at.items():
            rode = audit.news.get(key)
            if rode is None and at < until:
                audit.problems.append(f"news {key[1]}: never rode on a slice")
            elif rode is not None and rode < at - _CLOCK_JITTER:
                audit.problems.append(f"news {key[1]}: rode at {rode}, first shown at {at}")

    def _account(self, bar: Bar, *, missing: bool) -> None:
        if ((bar.symbol, bar.opens_at) in self._audit.closed) == missing:
            fault = "journaled, but never shown" if missing else "shown, but never journaled"
            self._audit.problems.append(f"{bar.symbol} {bar.opens_at}: {fault}")

    def report(self, seconds: float) -> TrialReport:
        planted: dict[str, int] = {"wrong clock": len(self.world.wrong)}
        for faults in self._faults:
            for name in ("missing", "late", "wrong", "wobbling", "slow_opens", "wrong_opens", "outages"):
                planted[name] = planted.get(name, 0) + len(getattr(faults, name))
        return TrialReport(
            seed=self._seed,
            bars=len(self._audit.closed),
            opens=len(self._audit.opened),
            planted=planted,
            kinds=dict(sorted(self._audit.counts.items())),
            steps=self._steps,
            kills=self._killed,
            seconds=seconds,
            problems=tuple(self._audit.problems),
        )
