"""Whether the data of a run, and what its adapter was trained on, are from after the time they are used."""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from pathlib import Path

from engine.model import NewsItem, Precision
from feeds.availability import end_of_period
from feeds.files.day_stamps import Clock, DayStamps
from strategies.lookahead.report import Leak, LeakKind
from strategies.market_data import MarketData

_DAY = timedelta(days=1)
_UNKNOWN_ZONE = timedelta(hours=12)


def find_early_news(market: MarketData) -> Iterator[Leak]:
    """Yield the news items that count as known before they may have been published."""
    stamps = DayStamps()
    archived = [item for item in market.news if item.first_seen_at is None]
    for item in archived:
        if item.precision is not Precision.DAY:
            stamps.add(item.source, item.published_at)
    day_times = stamps.find()
    for item in archived:
        early = item.available_at - item.published_at < _DAY
        if early and Clock.of(item.published_at) in day_times.get(item.source, ()):
            clock = f"{item.published_at:%H:%M}"
            yield _leak(item, LeakKind.MIDNIGHT, f"{clock} stands for a day in the news of {item.source}")
        elif item.available_at < (earliest := _earliest(item)):
            yield _leak(item, LeakKind.NEWS_CLOCK, f"it may be as late as {earliest:%Y-%m-%d %H:%M}")


def _earliest(item: NewsItem) -> datetime:
    """Return the first instant at which an archived item is surely out, by its precision."""
    if item.precision is Precision.DAY:
        # The day is that of its zone, which is not kept: only one that begins at a midnight is surely whole.
        return item.published_at + (_DAY if item.published_at.time() == time() else timedelta(0))
    known = end_of_period(item.published_at, item.precision)
    return known if item.zone_known else known + _UNKNOWN_ZONE


def _leak(item: NewsItem, kind: LeakKind, why: str) -> Leak:
    symbol = ", ".join(sorted(item.symbols))
    what = f"{item.headline[:60]!r} counts as known at {item.available_at:%Y-%m-%d %H:%M}, and {why}"
    return Leak(kind=kind, at=item.available_at, symbol=symbol, what=what)


def find_late_training(adapter: Path, end: datetime | None, market: MarketData) -> Iterator[Leak]:
    """Yield a finding where the training data of an adapter reach beyond the first day that is traded.

    Args:
        adapter: The adapter's folder.
        end: The instant from which nothing is in its training data; None where it is not known.
        market: The market data.
    """
    if end is None or end <= market.start:
        return
    source = " of this market, if it was trained on it" if market.is_simulated else ""
    what = (
        f"adapter {adapter.name}: its training data reach to {end:%Y-%m-%d}, and the run begins on "
        f"{market.start:%Y-%m-%d}: it knows outcomes{source}"
    )
    yield Leak(kind=LeakKind.ADAPTER, at=end, symbol="", what=what)
