"""A market with known bars whose sources fail in every way a live one does, by seed.

For trials of the collector. The sources answer from `World.now`, the true time, which the trial moves; what
they show late, wrongly or never is drawn before the start. Knows nothing of the collector.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from engine.model import Bar, NewsItem
from feeds.live.protocols import Opening, Quote

if TYPE_CHECKING:
    from numpy.random import Generator

_SHOWN_NEWS = 25
_HOUR = timedelta(hours=1)


class Killed(BaseException):
    """The process died in the middle of a question."""


Period = tuple[datetime, datetime]


@dataclass(slots=True, kw_only=True)
class World:
    """The true time, this machine's wrong one, and when the process is killed next."""

    now: datetime
    wrong: Sequence[tuple[datetime, datetime, timedelta]] = ()
    kill_at: datetime | None = None

    def own(self) -> datetime:
        """What this machine's clock says."""
        off = next((by for start, end, by in self.wrong if start <= self.now < end), timedelta(0))
        return self.now + off

    def asked(self, outages: Sequence[Period] = ()) -> None:
        """A question reaches a source: it may kill, and it may fail."""
        if self.kill_at is not None and self.now >= self.kill_at:
            self.kill_at = None
            raise Killed
        if any(start <= self.now < end for start, end in outages):
            raise ConnectionResetError("connection reset by peer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What goes wrong with single bars, by (symbol, opens_at), and with whole sources.

    `missing` bars never come, `late` ones only so long after their close; `wrong` ones show another close
    until so long after it; `wobbling` ones change in their first seconds. `slow_opens` are stated only so
    long after the open; `wrong_opens` are misstated by a factor.
    """

    missing: set[tuple[str, datetime]] = field(default_factory=set)
    late: dict[tuple[str, datetime], timedelta] = field(default_factory=dict)
    wrong: dict[tuple[str, datetime], timedelta] = field(default_factory=dict)
    wobbling: set[tuple[str, datetime]] = field(default_factory=set)
    slow_opens: dict[tuple[str, datetime], timedelta] = field(default_factory=dict)
    wrong_opens: dict[tuple[str, datetime], float] = field(default_factory=dict)
    outages: Sequence[Period] = ()


def draw_faults(bars: Mapping[str, Sequence[Bar]], rng: "Generator") -> Faults:
    """Faults for about one bar in ten, one open in twenty, and an outage every ten days."""
    faults = Faults()
    for symbol, series in sorted(bars.items()):
        for bar in series:
            key, dice, hours = (symbol, bar.opens_at), rng.random(), float(rng.uniform(0.01, 60))
            if dice < 0.01:
                faults.missing.add(key)
            elif dice < 0.04:
                faults.late[key] = hours * _HOUR
            elif dice < 0.06:
                faults.wrong[key] = hours * _HOUR
            elif dice < 0.10:
                faults.wobbling.add(key)
            elif dice < 0.13:
                faults.slow_opens[key] = hours / 30 * _HOUR
            elif dice < 0.15:
                faults.wrong_opens[key] = float(rng.uniform(0.99, 1.01))
    opens = sorted(bar.opens_at for series in bars.values() for bar in series)
    return replace(faults, outages=periods(opens[0], opens[-1], timedelta(days=10), 30, rng))


def periods(start: datetime, end: datetime, every: timedelta, hours: float, rng: "Generator") -> list[Period]:
    """Periods of up to `hours`, one in each stretch of `every`."""
    found = []
    while start + every < end:
        begins = start + float(rng.uniform(0, 0.5)) * every
        found.append((begins, begins + float(rng.uniform(0.05, hours)) * _HOUR))
        start += every
    return found


class RehearsedSource:
    """Daily bars of some symbols with `faults`; the last bar that it shows is unfinished."""

    def __init__(
        self, name: str, world: World, bars: Mapping[str, Sequence[Bar]], faults: Faults, rng: "Generator"
    ) -> None:
        self.name = name
        self._world = world
        self._bars = bars
        self._opens = {symbol: [bar.opens_at for bar in series] for symbol, series in bars.items()}
        self._faults = faults
        self._rng = rng

    def server_time(self) -> datetime:
        """The true time, give or take 0.3 s."""
        self._world.asked(self._faults.outages)
        return self._world.now + timedelta(seconds=float(self._rng.uniform(-0.3, 0.3)))

    def closed_bars(self, symbol: str, since: datetime) -> list[Bar]:
        """The bars since then, in no order, some of them twice, the running one among them."""
        self._world.asked(self._faults.outages)
        opens = self._opens[symbol]
        asked = self._bars[symbol][bisect_left(opens, since) : bisect_right(opens, self._world.now)]
        shown = [self._as_shown(bar) for bar in asked if self._has(bar)]
        again = [bar for bar in shown if self._rng.random() < 0.1]
        answer = shown + again
        return [answer[at] for at in self._rng.permutation(len(answer))]

    def session_open(self, symbol: str, session_open: datetime) -> Opening:
        """The official open, if it is stated by now, and the last price."""
        self._world.asked(self._faults.outages)
        bar = self._running(symbol)
        if bar is None or bar.opens_at != session_open:
            return Opening(official=None, observed=None)
        key = symbol, session_open
        stated = self._world.now >= session_open + self._faults.slow_opens.get(key, timedelta(0))
        official = bar.open * self._faults.wrong_opens.get(key, 1.0) if stated else None
        return Opening(official=official, observed=self._last(bar))

    def quote(self, symbol: str) -> Quote:
        """The last price; now and then it is no price at all."""
        self._world.asked(self._faults.outages)
        bar = self._running(symbol)
        if bar is None:
            raise LookupError(symbol)
        last = self._last(bar)
        return replace(last, price=float("nan")) if self._rng.random() < 0.01 else last

    def _running(self, symbol: str) -> Bar | None:
        at = bisect_right(self._opens[symbol], self._world.now)
        bar = self._bars[symbol][at - 1] if at else None
        return bar if bar and self._world.now < bar.closes_at else None

    def _last(self, bar: Bar) -> Quote:
        passed = (self._world.now - bar.opens_at) / (bar.closes_at - bar.opens_at)
        return Quote(price=bar.open + (bar.close - bar.open) * passed, at=self._world.now)

    def _has(self, bar: Bar) -> bool:
        key = bar.symbol, bar.opens_at
        delay = self._faults.late.get(key, timedelta(0))
        return key not in self._faults.missing and not (
            bar.closes_at <= self._world.now < bar.closes_at + delay
        )

    def _as_shown(self, bar: Bar) -> Bar:
        key, now = (bar.symbol, bar.opens_at), self._world.now
        if now < bar.closes_at:
            return _with_close(bar, self._last(bar).price, bar.volume / 2)
        if key in self._faults.wobbling and now < bar.closes_at + timedelta(seconds=8):
            return _with_close(bar, bar.close * 1.001, bar.volume)
        if now < bar.closes_at + self._faults.wrong.get(key, timedelta(0)):
            return _with_close(bar, bar.close * 0.998, bar.volume)
        return bar


def _with_close(bar: Bar, close: float, volume: float) -> Bar:
    return replace(bar, close=close, high=max(bar.high, close), low=min(bar.low, close), volume=volume)


class RehearsedNews:
    """A feed that shows its newest items again and again, some of them changed under the same id."""

    name = "rehearsed news"

    def __init__(self, world: World, items: Sequence[NewsItem], outages: Sequence[Period]) -> None:
        self._world = world
        self._items = sorted(items, key=lambda item: item.published_at)
        self._outages = outages
        self.shown_at: dict[tuple[str, str], datetime] = {}

    def poll(self) -> list[NewsItem]:
        """The newest items, the newest of all twice."""
        self._world.asked(self._outages)
        now, own = self._world.now, self._world.own()
        shown = [item for item in self._items if item.published_at <= now][-_SHOWN_NEWS:]
        for item in shown:
            self.shown_at.setdefault((item.source, item.id), now)
        items = [replace(item, first_seen_at=own, available_at=max(item.published_at, own)) for item in shown]
        return [*items, *(replace(item, title=item.title + " (updated)") for item in items[-1:])]
