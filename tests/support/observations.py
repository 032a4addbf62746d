"""Observations by hand: a bar a day from 2024-01-01, and headlines that became known on the last day."""

from datetime import UTC, datetime, timedelta

from engine.model import Bar, NewsItem, Observation, Precision

START = datetime(2024, 1, 1, tzinfo=UTC)


def make_bars(closes, volume=1.0, symbol="BTC", first=START):
    """Return flat bars with these closes."""
    return tuple(
        Bar(
            symbol=symbol,
            opens_at=first + timedelta(days=n),
            closes_at=first + timedelta(days=n + 1),
            open=close,
            high=close,
            low=close,
            close=close,
            volume=volume,
        )
        for n, close in enumerate(closes)
    )


def make_item(number, title, at, symbols=("BTC",)):
    """Return a news item that became known when it was published."""
    return NewsItem(
        id=str(number),
        source="s",
        title=title,
        text="",
        published_at=at,
        precision=Precision.SECOND,
        zone_known=True,
        first_seen_at=None,
        available_at=at,
        symbols=frozenset(symbols),
    )


def make_observation(closes=(100.0,) * 30, headlines=(), volume=1.0, symbol="BTC"):
    """Return an observation; every second headline, from the first, is about the symbol itself."""
    bars = make_bars(closes, volume, symbol)
    news = tuple(
        make_item(n, title, bars[-1].opens_at, () if n % 2 else (symbol,))
        for n, title in enumerate(headlines)
    )
    return Observation(symbol=symbol, as_of=bars[-1].closes_at, bars=bars, news=news)
