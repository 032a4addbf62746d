"""Find the symbols whose bars end early or begin late, and say what that means for a position."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from engine.corporate_actions import Delisting
from engine.model import Bar
from strategies.market_data import MarketData

_LATE = timedelta(days=14)
"""No market is closed as long: bars that end or begin so much apart from the others are a listing's own."""

_SHOWN = 6


def find_delistings(market: MarketData, value: float) -> dict[str, Delisting]:
    """Return the symbols whose bars end more than 14 days before the newest, by symbol.

    Each counts as delisted from the first open that its calendar has and its bars lack, which nobody knew
    before.

    Args:
        market: The market data.
        value: The fraction of the last price at which a position is closed.
    """
    last = max(series[-1].closes_at for series in market.bars.values())
    ended = {
        symbol: series[-1].closes_at
        for symbol, series in market.bars.items()
        if series[-1].closes_at < last - _LATE
    }
    return {
        symbol: Delisting(
            at=market.calendars[market.instruments[symbol].calendar].next_open(closed_at), value=value
        )
        for symbol, closed_at in ended.items()
    }


def describe_spans(market: MarketData, delistings: Mapping[str, Delisting]) -> list[str]:
    """Return a sentence about the symbols that end early, and one about those that begin late."""
    traded = {symbol: _traded(series, market.start) for symbol, series in market.bars.items()}
    first = min((series[0].opens_at for series in traded.values() if series), default=market.start)
    last = max((series[-1].opens_at for series in traded.values() if series), default=market.start)
    late = {
        symbol: series[0].opens_at
        for symbol, series in traded.items()
        if series and series[0].opens_at > first + _LATE
    }
    ended = {symbol: traded[symbol][-1].opens_at for symbol in delistings if traded.get(symbol)}
    sentences = []
    if ended:
        value = next(iter(delistings.values())).value
        price = {1.0: "its last price", 0.0: "zero"}.get(value, f"{value:.0%} of its last price")
        sentences.append(
            f"Delisted, as the bars end early: {_list_days(ended, last)}. A position was closed at {price} "
            "at the next open (--delisting-value states another); the symbol's share then stays in cash."
        )
    if late:
        sentences.append(
            f"Listed late: {_list_days(late, first)}. Until then the symbol's share stays in cash."
        )
    return sentences


def _traded(series: Sequence[Bar], start: datetime) -> list[Bar]:
    return [bar for bar in series if bar.closes_at > start]


def _list_days(days: Mapping[str, datetime], others: datetime) -> str:
    by_day = sorted(days.items(), key=lambda item: (item[1], item[0]))
    side = "after" if by_day[0][1] > others else "before"
    listed = [
        f"{symbol} on {at:%Y-%m-%d} ({abs(others - at).days} days {side} others)"
        for symbol, at in by_day[:_SHOWN]
    ]
    return ", ".join(listed) + (f" and {len(days) - _SHOWN} more" if len(days) > _SHOWN else "")
