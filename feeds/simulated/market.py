"""A simulated market whose probabilities are all known: the embedded default, used for pretraining too.

The log return of the next bar is sigma * (mu + e): sigma follows two volatility regimes, e is Student's t
with five degrees of freedom scaled to unit variance, and mu is the sum of the strengths of the news that
became available since the previous close plus a little momentum. The oracle is therefore T5(mu / scale), the
best probability of a rise that can be stated at a close.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from engine.calendars import Calendar, load_calendar
from engine.instruments import ROUND_THE_CLOCK, AssetClass, Instrument
from engine.model import Bar, NewsItem, Precision
from feeds.simulated.headlines import HeadlineSet, draw_headline, list_words

if TYPE_CHECKING:
    from numpy.random import Generator

TRAINING_SEEDS = range(1_000_000, 2_000_000)
"""Seeds that pretraining draws from; the tiny student has never seen a market with any other seed."""

_T_DEGREES = 5
_T_SCALE = math.sqrt((_T_DEGREES - 2) / _T_DEGREES)
_MOMENTUM = 0.25
_MOMENTUM_BARS = 3
_REGIME_SWITCH = 0.03
_TURBULENT = 2.0
_OWN_NEWS_ODDS = (0.35, 0.45, 0.20)
_MARKET_NEWS_ODDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSettings:
    """The parameters of a simulated market; equal settings give equal markets.

    Attributes:
        seed: Zero or more.
        coins: How many coins there are.
        stocks: How many stocks there are.
        start: The first day.
        days: How many calendar days there are, at least two.
        edge: Whether news and momentum move prices.
        reversal: The date from which good news lowers prices and bad news raises them.
        headlines: The set of templates that headlines are drawn from.
    """

    seed: int = 7
    coins: int = 3
    stocks: int = 3
    start: date = date(2023, 1, 1)
    days: int = 500
    edge: bool = True
    reversal: date | None = None
    headlines: HeadlineSet = HeadlineSet.FAMILIAR

    def __post_init__(self) -> None:
        for kind in ("coins", "stocks"):
            if not 0 <= getattr(self, kind) <= len(list_words(kind)):
                raise ValueError(f"{kind} {getattr(self, kind)} is not between 0 and {len(list_words(kind))}")
        if self.coins + self.stocks == 0:
            raise ValueError("a market needs at least one coin or stock")
        if self.days < 2:
            raise ValueError(f"days {self.days} is less than 2")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} is below zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleView:
    """The best forecast possible at one close: the probability of a rise, and the median next close."""

    probability_up: float
    close: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedMarket:
    """Instruments and bars by symbol, calendars by code, news, and the oracle by (symbol, as_of)."""

    instruments: Mapping[str, Instrument]
    calendars: Mapping[str, Calendar]
    bars: Mapping[str, tuple[Bar, ...]]
    news: tuple[NewsItem, ...]
    oracle: Mapping[tuple[str, datetime], OracleView]


def simulate(settings: MarketSettings) -> SimulatedMarket:
    """Simulate a market. A longer one with the same other settings begins with the shorter one."""
    from numpy.random import default_rng

    last = settings.start + timedelta(days=settings.days - 1)
    names = default_rng([settings.seed, 0])
    instruments = _instruments("coins", settings.coins, names) + _instruments(
        "stocks", settings.stocks, names
    )
    codes = {i.calendar for i in instruments}
    calendars = {code: load_calendar(code, settings.start, last) for code in codes}
    market_news = _make_market_news(settings, default_rng([settings.seed, 1]))
    bars: dict[str, tuple[Bar, ...]] = {}
    news = [item for item, _ in market_news]
    oracle: dict[tuple[str, datetime], OracleView] = {}
    for number, instrument in enumerate(instruments):
        sessions = _list_sessions(calendars[instrument.calendar], settings)
        if not sessions:
            continue
        path = _PricePath(instrument, settings, default_rng([settings.seed, 2, number]), market_news)
        path.simulate(sessions)
        bars[instrument.symbol] = tuple(path.bars)
        news += path.news
        oracle |= path.oracle
    news.sort(key=lambda item: (item.available_at, item.id))
    return SimulatedMarket(
        instruments={i.symbol: i for i in instruments},
        calendars=calendars,
        bars=bars,
        news=tuple(news),
        oracle=oracle,
    )


def _instruments(kind: str, count: int, rng: "Generator") -> list[Instrument]:
    coin = kind == "coins"
    picked = rng.permutation(len(list_words(kind)))[:count]
    named = [list_words(kind)[i].split(":") for i in picked]
    return [
        Instrument(
            symbol=ticker,
            names=(name,),
            asset_class=AssetClass.COIN if coin else AssetClass.STOCK,
            calendar=ROUND_THE_CLOCK if coin else "XNYS",
            currency="USD",
            lot=0.0 if coin else 1.0,
            shortable=True,
        )
        for name, ticker in named
    ]


def _list_sessions(calendar: Calendar, settings: MarketSettings) -> list[tuple[datetime, datetime]]:
    days = (settings.start + timedelta(days=n) for n in range(settings.days))
    return [session for day in days if (session := calendar.session(day))]


def _make_item(title: str, at: datetime, symbol: str | None, number: int) -> NewsItem:
    return NewsItem(
        id=f"sim-{symbol or 'market'}-{number}",
        source="simulated",
        title=title,
        text="",
        published_at=at,
        precision=Precision.SECOND,
        zone_known=True,
        first_seen_at=at,
        available_at=at,
        symbols=frozenset([symbol]) if symbol else frozenset(),
    )


def _make_market_news(settings: MarketSettings, rng: "Generator") -> list[tuple[NewsItem, float]]:
    midnight = datetime.combine(settings.start, datetime.min.time(), tzinfo=UTC)
    news = []
    for day in range(settings.days):
        if rng.random() >= _MARKET_NEWS_ODDS:
            continue
        at = midnight + timedelta(days=day, seconds=int(rng.integers(86_400)))
        headline = draw_headline("market", "", settings.headlines, rng)
        news.append((_make_item(headline.title, at, None, day), headline.strength))
    return news


@dataclass(slots=True)
class _PricePath:
    """The random walk of one symbol through its sessions."""

    instrument: Instrument
    settings: MarketSettings
    rng: "Generator"
    market_news: Sequence[tuple[NewsItem, float]]
    bars: list[Bar] = field(default_factory=list)
    news: list[NewsItem] = field(default_factory=list)
    oracle: dict[tuple[str, datetime], OracleView] = field(default_factory=dict)

    def simulate(self, sessions: Sequence[tuple[datetime, datetime]]) -> None:
        market_times = [item.available_at for item, _ in self.market_news]
        rng = self.rng
        coin = self.instrument.asset_class is AssetClass.COIN
        calm = rng.uniform(0.02, 0.035) if coin else rng.uniform(0.01, 0.018)
        sigma, mu, known = calm, 0.0, sessions[0][0]
        close = float(math.exp(rng.uniform(math.log(5), math.log(500))))
        base_volume = float(math.exp(rng.uniform(10, 14)))
        returns: list[float] = []
        for opens_at, closes_at in sessions:
            if rng.random() < _REGIME_SWITCH:
                sigma = calm * _TURBULENT if sigma == calm else calm
            log_return = sigma * (mu + _T_SCALE * float(rng.standard_t(_T_DEGREES)))
            bar = self._bar(opens_at, closes_at, close, log_return, sigma, base_volume)
            self.bars.append(bar)
            close = bar.close
            returns.append(log_return)
            strength = self._own_news(known, closes_at) + sum(
                strength
                for _, strength in self.market_news[
                    bisect_right(market_times, known) : bisect_right(market_times, closes_at)
                ]
            )
            mu = self._mean(strength, returns, sigma, closes_at)
            self.oracle[self.instrument.symbol, closes_at] = OracleView(
                probability_up=student_t_cdf(mu / _T_SCALE), close=close * math.exp(sigma * mu)
            )
            known = closes_at

    def _mean(self, strength: float, returns: Sequence[float], sigma: float, as_of: datetime) -> float:
        if not self.settings.edge:
            return 0.0
        reversed_ = self.settings.reversal is not None and as_of.date() >= self.settings.reversal
        recent = sum(returns[-_MOMENTUM_BARS:]) / (sigma * math.sqrt(_MOMENTUM_BARS))
        return (-strength if reversed_ else strength) + _MOMENTUM * math.tanh(recent)

    def _own_news(self, known: datetime, closes_at: datetime) -> float:
        total = 0.0
        seconds = int((closes_at - known).total_seconds())
        for _ in range(int(self.rng.choice(len(_OWN_NEWS_ODDS), p=_OWN_NEWS_ODDS))):
            at = known + timedelta(seconds=int(self.rng.integers(1, seconds + 1)))
            headline = draw_headline("asset", self.instrument.names[0], self.settings.headlines, self.rng)
            self.news.append(_make_item(headline.title, at, self.instrument.symbol, len(self.news)))
            total += headline.strength
        return total

    def _bar(
        self,
        opens_at: datetime,
        closes_at: datetime,
        previous: float,
        log_return: float,
        sigma: float,
        base_volume: float,
    ) -> Bar:
        rng = self.rng
        coin = self.instrument.asset_class is AssetClass.COIN
        gap = sigma * 0.01 * rng.standard_normal()
        if not coin:
            gap = 0.2 * log_return + 0.2 * sigma * rng.standard_normal()
        opening = _round_price(previous * math.exp(gap))
        close = _round_price(previous * math.exp(log_return))
        reach = 0.5 * sigma * abs(rng.standard_normal(2))
        return Bar(
            symbol=self.instrument.symbol,
            opens_at=opens_at,
            closes_at=closes_at,
            open=opening,
            high=max(opening, close, _round_price(max(opening, close) * math.exp(reach[0]))),
            low=min(opening, close, _round_price(min(opening, close) * math.exp(-reach[1]))),
            close=close,
            volume=float(
                round(base_volume * math.exp(0.3 * rng.standard_normal() + 0.3 * abs(log_return) / sigma))
            ),
        )


def _round_price(value: float) -> float:
    """Round to seven significant digits, as exchanges quote."""
    return float(f"{value:.7g}")


def student_t_cdf(x: float) -> float:
    """Return the CDF of Student's t with five degrees of freedom at `x` (closed form for odd n)."""
    theta = math.atan(x / math.sqrt(_T_DEGREES))
    cosine = math.cos(theta)
    return 0.5 + (theta + math.sin(theta) * (cosine + 2 / 3 * cosine**3)) / math.pi
