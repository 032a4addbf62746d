"""A source and a feed that show what a test puts into them, and a collector that is driven by their time."""

from datetime import UTC, date, datetime, timedelta

from engine.calendars import load_calendar
from engine.instruments import AssetClass, Instrument
from engine.journal.events import decode
from engine.journal.journal import Journal
from engine.model import Bar, NewsItem, Phase, Precision, Slice
from feeds.live.collector import Collector
from feeds.live.protocols import Opening, Quote
from feeds.live.settings import Limits

START = datetime(2024, 3, 4, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SELDOM = Limits(quote_every=6 * HOUR, news_every=HOUR, clock_every=HOUR)

CALENDARS = {
    code: load_calendar(code, date(2024, 1, 1), date(2024, 12, 31)) for code in ("24/7", "XNYS", "XSHG")
}


def make_coin(symbol: str) -> Instrument:
    return Instrument(symbol=symbol, asset_class=AssetClass.COIN, calendar="24/7", currency="USD")


def make_stock(symbol: str, calendar: str = "XNYS") -> Instrument:
    return Instrument(symbol=symbol, asset_class=AssetClass.STOCK, calendar=calendar, currency="USD")


def make_bar(symbol: str, day: int, close: float = 101.0) -> Bar:
    opens_at = START + day * DAY
    return Bar(
        symbol=symbol,
        opens_at=opens_at,
        closes_at=opens_at + DAY,
        open=100.0 + day,
        high=120.0,
        low=90.0,
        close=close,
        volume=5.0,
    )


def make_item(name: str, at: datetime) -> NewsItem:
    return NewsItem(
        id=name,
        source="wire",
        title=f"title of {name}",
        text="",
        published_at=at,
        precision=Precision.SECOND,
        zone_known=True,
        first_seen_at=at,
        available_at=at,
        symbols=frozenset(),
    )


class Exchange:
    """A source that shows what the test puts into it; its clock is `now`, this machine's is `own`."""

    def __init__(self, *symbols: str, days: int = 12) -> None:
        self.name = "exchange"
        self.now = START
        self.own_offset = timedelta(0)
        self.bars = {symbol: [make_bar(symbol, day) for day in range(days)] for symbol in symbols}
        self.unfinished = False
        self.down = False
        self.opens_stated = True
        self.items: list[NewsItem] = []

    def own(self) -> datetime:
        return self.now + self.own_offset

    def server_time(self) -> datetime:
        if self.down:
            raise ConnectionError("https://exchange.example/?key=hidden")
        return self.now

    def closed_bars(self, symbol: str, since: datetime) -> list[Bar]:
        seen = self.now + (DAY if self.unfinished else timedelta(0))
        return [bar for bar in self.bars[symbol] if since <= bar.opens_at and bar.closes_at <= seen]

    def session_open(self, symbol: str, session_open: datetime) -> Opening:
        official = 100.0 + (session_open - START) / DAY
        quote = Quote(price=official + 0.5, at=self.now)
        return Opening(official=official if self.opens_stated else None, observed=quote)

    def quote(self, symbol: str) -> Quote:
        return Quote(price=111.0, at=self.now)


class News:
    name = "wire"

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def poll(self) -> list[NewsItem]:
        return self._exchange.items


def make_collector(journal: Journal, exchange: Exchange, **rest) -> Collector:
    return Collector(
        journal=journal,
        instruments={symbol: make_coin(symbol) for symbol in exchange.bars},
        calendars=CALENDARS,
        sources=dict.fromkeys(exchange.bars, exchange),
        since=START,
        news=[News(exchange)],
        limits=SELDOM,
        clock=exchange.own,
        **rest,
    )


def run(collector: Collector, exchange: Exchange, until: datetime) -> None:
    for _ in range(20_000):
        if exchange.now >= until:
            return
        now = exchange.own()
        wake = collector.step(now)
        exchange.now = min(until, exchange.now + max(wake - now, timedelta(milliseconds=1)))
    raise AssertionError("the collector does not get on")


def rows(journal: Journal, kind: str) -> list:
    return list(journal.read(kinds=[kind]))


def slices(journal: Journal) -> list[tuple[Slice, bool]]:
    records = map(decode, rows(journal, "slice"))
    return [(record.slice, record.late) for record in records]


def closes(journal: Journal) -> dict[tuple[str, datetime], tuple[Slice, bool]]:
    return {
        (symbol, bar.opens_at): (slice_, late)
        for slice_, late in slices(journal)
        if slice_.phase is Phase.CLOSE
        for symbol, bar in slice_.bars.items()
    }
