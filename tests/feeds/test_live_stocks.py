"""Stocks collected live: the real clients on servers that speak Yahoo's and EastMoney's wire formats."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from engine.calendars import load_calendar
from engine.corporate_actions import Dividend, Split
from engine.instruments import Instrument
from engine.journal.journal import Journal
from engine.model import Phase
from feeds.instruments import guess_instrument
from feeds.live.collector import Collector
from feeds.live.protocols import ActionSource
from feeds.live.settings import Limits
from feeds.sources import eastmoney_source, yfinance_source
from feeds.sources.stocks import FINAL_AFTER, SURELY_FINAL_AFTER, LiveStocks
from tests.support.collector_stage import HOUR, MINUTE, rows
from tests.support.servers.bars_on_disk import milliseconds
from tests.support.servers.eastmoney import EastmoneyServer
from tests.support.servers.faults import Loopback, TextRow
from tests.support.servers.tape import Tape
from tests.support.servers.yahoo import YahooServer

SELDOM = Limits(
    poll_every=4 * MINUTE,
    poll_at_most=4 * MINUTE,
    back_off=4 * MINUTE,
    quote_every=4 * HOUR,
    news_every=12 * HOUR,
    clock_every=6 * HOUR,
)

XNYS = load_calendar("XNYS", date(2024, 5, 1), date(2024, 8, 1))
XSHG = load_calendar("XSHG", date(2024, 3, 1), date(2024, 5, 1))

# A whole day, a half day, the Fourth of July, a whole day; then the days of Qingming in Shanghai.
NEW_YORK = [date(2024, 7, day) for day in (1, 2, 3, 5)]
SHANGHAI = [date(2024, 4, day) for day in (1, 2, 3, 8)]


def make_rows(days: list[date], first: float) -> list[TextRow]:
    prices = [first + 2 * number for number in range(len(days))]
    return [
        (
            milliseconds(day),
            f"{p:.2f}",
            f"{p + 3:.2f}",
            f"{p - 2:.2f}",
            f"{p + 1:.2f}",
            f"{100_000 + n * 1000}",
        )
        for n, (day, p) in enumerate(zip(days, prices, strict=True))
    ]


def opens(calendar, day: date) -> datetime:
    return calendar.session(day)[0]


def closes(calendar, day: date) -> datetime:
    return calendar.session(day)[1]


class Service:
    """A server, the real client and the source over it; this machine's clock is `off` from the server's."""

    def __init__(self, server: Loopback, source: LiveStocks, tape: Tape, symbol: str) -> None:
        self.server, self.source, self.tape, self.symbol = server, source, tape, symbol
        self.off = timedelta(0)
        self.collector: Collector | None = None
        self.instrument: Instrument = guess_instrument(symbol)

    def own(self) -> datetime:
        return self.tape.now + self.off

    def collect(self, journal: Journal, until: datetime) -> None:
        """Drive one collector by the tape's time."""
        self.collector = self.collector or Collector(
            journal=journal,
            instruments={self.symbol: self.instrument},
            calendars={self.instrument.calendar: self.tape.calendar},
            sources={self.symbol: self.source},
            since=self.tape.now,
            limits=SELDOM,
            clock=self.own,
        )
        for _ in range(2000):
            if self.tape.now >= until:
                return
            now = self.own()
            wake = self.collector.step(now)
            self.tape.now += max(wake - now, timedelta(milliseconds=1))
        raise AssertionError("the collector does not get on")


@pytest.fixture
def yahoo():
    pytest.importorskip("yfinance", reason="the extra `stocks` is not installed")
    tape = Tape(calendar=XNYS, rows={"AAPL": make_rows(NEW_YORK, 200.0)}, now=opens(XNYS, NEW_YORK[1]))
    with YahooServer(tape.rows, tape=tape) as server:
        client = yfinance_source.create_client(
            "yfinance", clock=lambda: tape.now, url=server.url, timeout_s=5
        )
        yield Service(server, LiveStocks(client, {"AAPL": XNYS}), tape, "AAPL")


@pytest.fixture
def eastmoney():
    pytest.importorskip("akshare", reason="the extra `china` is not installed")
    tape = Tape(calendar=XSHG, rows={"600519": make_rows(SHANGHAI, 1700.0)}, now=opens(XSHG, SHANGHAI[1]))
    with EastmoneyServer({}, tape=tape) as server:
        client = eastmoney_source.create_client(
            "eastmoney", clock=lambda: tape.now, url=server.url, timeout_s=5
        )
        yield Service(server, LiveStocks(client, {"600519": XSHG}), tape, "600519")


@pytest.fixture(params=["yahoo", "eastmoney"])
def service(request):
    return request.getfixturevalue(request.param)


def list_days(service: Service) -> list[date]:
    return NEW_YORK if service.symbol == "AAPL" else SHANGHAI


def cells(row: TextRow) -> list[float]:
    return [float(cell) for cell in row[1:]]


def test_three_sessions_around_a_holiday_are_journaled_by_open_and_close(service, journal):
    days, calendar = list_days(service), service.tape.calendar
    service.collect(journal, closes(calendar, days[-1]) + HOUR)
    slices = [
        (row.as_of, row.payload["phase"], row.payload["late"], list(row.payload["bars"]))
        for row in rows(journal, "slice")
    ]
    expected = []
    for day in days[1:]:
        expected.append((opens(calendar, day), Phase.OPEN, False, [service.symbol]))
        expected.append((closes(calendar, day), Phase.CLOSE, False, [service.symbol]))
    assert slices == expected
    closed = [row.payload["bars"][service.symbol] for row in rows(journal, "slice")[1::2]]
    assert closed == [cells(row) for row in service.tape.rows[service.symbol][1:]]
    official = [row.payload["official"][service.symbol] for row in rows(journal, "slice")[::2]]
    assert official == [float(row[1]) for row in service.tape.rows[service.symbol][1:]]
    assert not {row.kind for row in journal.read()} & {"gap", "correction", "refused", "source", "clock"}


def test_a_half_day_is_closed_by_its_own_hours(yahoo, journal):
    half = closes(XNYS, date(2024, 7, 3))
    assert half == datetime(2024, 7, 3, 17, tzinfo=UTC)
    yahoo.collect(journal, half + FINAL_AFTER - 2 * MINUTE)
    assert [row.as_of for row in rows(journal, "slice") if row.payload["phase"] == "close"] == [
        closes(XNYS, date(2024, 7, 2))
    ]
    yahoo.collect(journal, half + FINAL_AFTER + 3 * MINUTE)
    assert rows(journal, "slice")[-1].as_of == half


@pytest.mark.parametrize(
    ("after", "lag", "final"),
    [
        (-MINUTE, timedelta(0), False),
        (MINUTE, timedelta(0), False),
        (FINAL_AFTER - MINUTE, timedelta(0), False),
        (FINAL_AFTER, timedelta(0), True),
        (FINAL_AFTER, 20 * MINUTE, False),
        (SURELY_FINAL_AFTER, 40 * MINUTE, True),
    ],
)
def test_a_day_is_final_a_quarter_of_an_hour_after_its_close_or_later_behind_a_lag(
    service, after, lag, final
):
    days, calendar = list_days(service), service.tape.calendar
    service.tape.now = closes(calendar, days[1]) + after
    service.tape.lag = lag
    service.source.server_time()
    bars = service.source.closed_bars(service.symbol, opens(calendar, days[0]))
    assert [bar.opens_at for bar in bars] == [opens(calendar, day) for day in days[: 2 if final else 1]]


def test_a_wrong_clock_of_this_machine_ends_no_day_and_is_named(service, journal):
    days, calendar = list_days(service), service.tape.calendar
    service.off = 5 * HOUR
    service.collect(journal, closes(calendar, days[1]) - HOUR)
    assert [row.payload["phase"] for row in rows(journal, "slice")] == ["open"]
    (clock,) = rows(journal, "clock")
    assert clock.payload["offset_seconds"] == pytest.approx(-5 * 3600, abs=1.5)


def test_the_open_is_official_only_once_there_was_a_trade_in_the_session(service):
    days, calendar = list_days(service), service.tape.calendar
    at = opens(calendar, days[2])
    service.tape.now, service.tape.lag = at + MINUTE, 2 * MINUTE
    before = service.source.session_open(service.symbol, at)
    assert before.official is None
    assert before.observed.at < at
    service.tape.lag = timedelta(0)
    after = service.source.session_open(service.symbol, at)
    assert after.official == float(service.tape.rows[service.symbol][2][1])
    assert at <= after.observed.at <= service.tape.now


def test_after_an_outage_what_was_missed_is_filled_in_late_and_the_rest_goes_on(service, journal):
    days, calendar = list_days(service), service.tape.calendar
    service.collect(journal, opens(calendar, days[1]) + HOUR)
    whole: Callable = service.server.answer
    service.server.answer = lambda request: (503, "")
    service.collect(journal, closes(calendar, days[1]) + 2 * HOUR)
    (down,) = [row for row in rows(journal, "source") if row.payload["state"] == "down"]
    (gap,) = rows(journal, "gap")
    assert (gap.payload["lacks"], down.payload["source"]) == ("bar", service.source.name)
    service.server.answer = whole
    service.collect(journal, closes(calendar, days[2]) + HOUR)
    late = [row.payload["late"] for row in rows(journal, "slice") if row.payload["phase"] == "close"]
    assert late == [True, False]
    assert [row.payload["state"] for row in rows(journal, "source")] == ["down", "up"]


def test_a_day_that_is_restated_later_is_a_correction_and_the_slice_stays(service, journal):
    days, calendar = list_days(service), service.tape.calendar
    service.collect(journal, closes(calendar, days[1]) + HOUR)
    bars = service.tape.rows[service.symbol]
    was, start = cells(bars[1]), bars[1][0]
    bars[1] = (start, *bars[1][1:4], repr(was[3] + 0.5), bars[1][5])
    service.collect(journal, closes(calendar, days[2]) + HOUR)
    (correction,) = rows(journal, "correction")
    assert (correction.payload["was"], correction.payload["now"]) == (was, cells(bars[1]))
    assert rows(journal, "slice")[1].payload["bars"][service.symbol] == was


def test_a_row_on_a_holiday_is_refused_by_name(yahoo, journal):
    holiday = date(2024, 7, 4)
    yahoo.tape.extra["AAPL"] = [(milliseconds(holiday), "1.0", "1.0", "1.0", "1.0", "5")]
    yahoo.collect(journal, closes(XNYS, NEW_YORK[-1]) + HOUR)
    assert {row.payload["opens_at"][:10] for row in rows(journal, "refused")} == {"2024-07-04"}
    assert all("no session" in row.payload["reason"] for row in rows(journal, "refused"))


@pytest.mark.parametrize("spoiled", [("nan", 3), ("0.0", 2), ("1.0", 2)])
def test_a_row_that_is_no_bar_becomes_a_named_gap_and_never_a_slice(service, journal, spoiled):
    text, place = spoiled
    bars = service.tape.rows[service.symbol]
    broken = list(bars[1])
    broken[place] = text
    calendar, days = service.tape.calendar, list_days(service)
    service.tape.now = closes(calendar, days[1]) - MINUTE
    bars[1] = tuple(broken)
    service.collect(journal, closes(calendar, days[1]) + HOUR)
    assert [row.payload["phase"] for row in rows(journal, "slice")] == []
    assert {row.payload["lacks"] for row in rows(journal, "gap")} == {"bar"}


def stamp(day: date) -> int:
    return int(opens(XNYS, day).timestamp())


def test_splits_and_dividends_of_yahoo_take_effect_at_the_open_of_their_day(yahoo):
    split = {"date": stamp(NEW_YORK[1]), "numerator": 10, "denominator": 1, "splitRatio": "10:1"}
    paid = {"date": stamp(NEW_YORK[2]), "amount": 0.25}
    yahoo.server.events = {"AAPL": {"splits": {"1": split}, "dividends": {"2": paid}}}
    yahoo.tape.now = closes(XNYS, NEW_YORK[-1])
    stated = yahoo.source.corporate_actions("AAPL", opens(XNYS, NEW_YORK[0]))
    assert stated == [
        Split(at=opens(XNYS, NEW_YORK[1]), symbol="AAPL", ratio=10.0),
        Dividend(at=opens(XNYS, NEW_YORK[2]), symbol="AAPL", amount=0.25),
    ]
    assert yahoo.source.corporate_actions("AAPL", opens(XNYS, NEW_YORK[2])) == stated[1:]


def test_a_source_without_splits_states_none(eastmoney):
    assert isinstance(eastmoney.source, ActionSource)
    assert eastmoney.source.corporate_actions("600519", opens(XSHG, SHANGHAI[0])) == []
