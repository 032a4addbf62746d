"""The check of data finds what was planted in real files, and leaves clean ones alone.

FAULT_SEEDS=40 plants each fault in forty windows of real files and not in five.
"""

import csv
import os
from datetime import UTC, date, datetime, timedelta
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calendars import load_calendar
from engine.errors import DataError, UsageError
from feeds.files.bars import read_bars
from feeds.files.news import read_news
from feeds.instruments import guess_instrument
from feeds.quality.checks import Calendars, check_files, summarize_blocking
from feeds.quality.findings import Kind, find_misplaced
from feeds.quality.news import check_news
from feeds.symbols import NameTable
from tests.support.faults import HARMLESS, HEADER, NEEDS_CLOSED_DAYS, PLANTED
from tests.support.places import SHARED_CASES, SHARED_DATA

DATA = SHARED_DATA
SEEDS = int(os.environ.get("FAULT_SEEDS", "5"))

CLEAN = {
    "coin": ("coins_binance_daily", "coins_yahoo_daily"),
    "stock": ("us_stocks_daily", "us_stocks_stocknet_2012_2017"),
    "a-share": (
        "cn_stocks_qfq",
        "cn_stocks_qfq_dividends",
        "cn_stocks_qfq_events_2020_2021",
        "cn_stocks_qfq_newsheavy",
    ),
}

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs the real bars of ../shared/data")


@cache
def calendars():
    """One calendar of each market for all tests, because building one takes longer than a check."""
    shared = Calendars()
    for code in ("XNYS", "XSHG"):
        shared.covering(code, date(2012, 1, 1), date(2025, 1, 31))
    return shared


@cache
def clean_files(market):
    """Long enough for a window, and without a suspension that a check finds."""
    files = (file for folder in CLEAN[market] for file in sorted((DATA / folder).glob("*.csv")))
    return [file for file in files if not file.stem.endswith("_dividend") and file.stem != "600900"]


@cache
def real(path):
    with path.open() as file:
        return [[row[name] for name in HEADER] for row in csv.DictReader(file)]


def window(path, dice):
    """300 rows of a real file, of which the check finds nothing."""
    rows = real(path)
    start = dice.randrange(0, len(rows) - 300)
    return [list(row) for row in rows[start : start + 300]]


def write(path, rows, header=HEADER):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return path


def bars(tmp_path, *rows, name="BTCUSDT.csv"):
    return write(tmp_path / name, [row.split(",") for row in rows])


def planted():
    return [
        (market, fault)
        for fault in PLANTED
        for market in CLEAN
        if market != "coin" or fault not in NEEDS_CLOSED_DAYS
    ]


@needs_data
@pytest.mark.parametrize(("market", "fault"), planted())
def test_a_fault_planted_in_a_real_file_is_found_where_it_is(market, fault, tmp_path):
    plant, kind = PLANTED[fault]
    places = {}
    for seed in range(SEEDS):
        dice = Random(f"{market} {fault} {seed}")
        path = dice.choice(clean_files(market))
        rows = window(path, dice)
        at = plant(rows, dice)
        folder = tmp_path / str(seed)
        folder.mkdir()
        places[write(folder / path.name, rows)] = at + 2
    findings = check_files(list(places), calendars=calendars())
    missed = 0
    for path, line in places.items():
        here = [finding for finding in findings if finding.file == path and finding.kind is kind]
        at_place = kind is Kind.SHIFTED or {line, None} & {finding.line for finding in here}
        harmless = fault in HARMLESS or (market, fault) == ("a-share", "gap")
        missed += not at_place or any(finding.blocking for finding in here) is harmless
    assert missed <= max(1, SEEDS / 20)


@pytest.mark.slow
@needs_data
def test_clean_real_files_raise_no_more_than_ten_alarms():
    findings = check_files(
        [DATA / folder for folders in CLEAN.values() for folder in folders], calendars=calendars()
    )
    alarms = [f"{finding.place}: {finding.sentence}" for finding in findings if finding.blocking]
    assert len(alarms) <= 10, alarms
    # 600900 has eleven days of suspension without a volume, which a backtest refuses.
    assert [finding for finding in findings if finding.blocking and finding.file.name != "600900.csv"] == []


REAL_SPLITS = {
    "AAPL": ("2000-06-21", "2005-02-28", "2014-06-09", "2020-08-31"),
    "CMCSA": ("2007-02-22", "2017-02-21"),
    "IBM": (),
    "INTC": ("2000-07-31",),
    "SBUX": ("2001-04-30", "2005-10-24", "2015-04-09"),
    "SPY": (),
}


@needs_data
@pytest.mark.parametrize("symbol", REAL_SPLITS)
def test_splits_in_prices_as_they_were_traded_are_found_and_crashes_are_not(symbol):
    findings = check_files([DATA / "us_stocks_unadjusted" / f"{symbol}.csv"], calendars=calendars())
    splits = tuple(str(finding.day) for finding in findings if finding.kind is Kind.SPLIT)
    assert splits == REAL_SPLITS[symbol]


SPLITS = ["SPLIT5TO4", "SPLIT3TO2"]


@pytest.mark.skipif(not SHARED_CASES.is_dir(), reason="needs the small inputs of ../shared/cases")
@pytest.mark.parametrize("name", SPLITS)
def test_a_split_of_less_than_two_shares_for_one_is_found(name):
    (finding,) = check_files([SHARED_CASES / "09-split-5-for-4" / f"{name}.csv"])
    assert (finding.kind, finding.day, finding.blocking) == (Kind.SPLIT, date(2018, 6, 29), True)


def walk(name, change, volume, tmp_path):
    """The findings on a walk whose 60th day opens at `change` times the last close, with `volume`."""
    dice, rows, price, coin = Random(4), [], 100.0, name == "XRPUSDT"
    days = [date(2018, 3, 1) + timedelta(days=number) for number in range(160)]
    calendar = calendars().covering("24/7" if coin else "XNYS", days[0], days[-1])
    for number, day in enumerate([day for day in days if calendar.session(day)][:100]):
        opening = price * (change if number == 60 else 1 if coin else dice.gauss(1, 0.006))
        price = opening * dice.gauss(1, 0.015)
        traded = dice.uniform(0.7, 1.5) * 1e6 * (volume if number == 60 else 1)
        high, low = max(opening, price) * 1.01, min(opening, price) * 0.99
        rows.append([day, *(f"{cell:.4f}" for cell in (opening, high, low, price)), round(traded)])
    return check_files([write(tmp_path / f"{name}.csv", rows)], calendars=calendars())


@pytest.mark.parametrize(
    ("name", "change", "volume", "is_split"),
    [
        ("NVDA", 0.65, 5.0, False),
        ("NVDA", 0.665, 7.0, False),
        ("NVDA", 1.5, 6.0, False),
        ("NVDA", 0.25, 30.0, False),
        ("XRPUSDT", 1.33, 8.0, False),
        ("NVDA", 2 / 3, 1.0, True),
        ("NVDA", 3 / 4, 4 / 3, True),
        ("NVDA", 3 / 5, 1.0, True),
        ("XRPUSDT", 0.001, 1000.0, True),
    ],
)
def test_a_wide_move_with_a_crowd_is_no_split_and_a_quiet_one_is(name, change, volume, is_split, tmp_path):
    assert [finding.kind for finding in walk(name, change, volume, tmp_path)] == [Kind.SPLIT] * is_split


@needs_data
def test_the_odd_opens_and_the_hole_of_an_early_series_are_found_and_nothing_else_harms():
    findings = check_files([DATA / "coins_btc_long"])
    kinds = [finding.kind for finding in findings if finding.blocking]
    assert kinds.count(Kind.OHLC) == 13
    (widened,) = [
        finding.sentence for finding in findings if finding.kind is Kind.OHLC and not finding.blocking
    ]
    assert widened.startswith("19 bars from 2013-10-22 with an open or close outside low and high")
    assert [kind for kind in kinds if kind is not Kind.OHLC] == [Kind.GAP]


@needs_data
def test_a_suspension_of_an_a_share_is_found_and_harms_nothing():
    findings = check_files([DATA / "cn_stocks_raw" / "600232.csv"])
    gaps = [finding for finding in findings if finding.kind is Kind.GAP]
    assert max(int(finding.value.split()[0]) for finding in gaps) > 60
    assert not any(finding.blocking for finding in gaps)


@needs_data
@pytest.mark.parametrize("folder", ["news_stocks_by_ticker", "news_crypto_headlines", "cn_news_astock"])
def test_real_archives_of_news_raise_no_alarm(folder):
    assert summarize_blocking(check_files([DATA / folder])) == ""


def test_all_faults_of_a_file_are_reported_and_not_the_first_alone(tmp_path):
    path = bars(
        tmp_path,
        "2024-01-01,1,2,0.5,1,5",
        "2024-01-02,1,0.4,0.5,1,5",
        "2024-01-02,1,2,0.5,1,6",
        "soon,1,2,0.5,1,5",
        "2024-01-03,x,2,0.5,1,5",
        "2024-01-05,1,2",
        "2024-01-06T04:00,1,1,1,1,0",
    )
    assert {(finding.line, finding.kind.value) for finding in check_files([path])} == {
        (3, "ohlc"),
        (4, "duplicate"),
        (5, "date"),
        (6, "number"),
        (7, "unreadable"),
        (8, "clock"),
        (8, "gap"),
        (8, "zero volume"),
    }


def test_a_bar_whose_session_has_not_closed_is_unfinished(tmp_path):
    path = bars(tmp_path, "2024-01-01,1,2,0.5,1,5", "2024-01-02,1,2,0.5,1,5.5")
    now = datetime(2024, 1, 2, 23, 59, tzinfo=UTC)
    (finding,) = check_files([path], now=now)
    assert (finding.kind, finding.day, finding.blocking) == (Kind.UNFINISHED, date(2024, 1, 2), True)
    assert check_files([path], now=now + timedelta(minutes=1)) == []


def test_the_calendar_is_that_of_the_instrument_and_not_of_the_name(tmp_path):
    path = bars(tmp_path, "2024-01-05,1,2,0.5,1,5", "2024-01-06,1,2,0.5,1,6", name="THING.csv")
    assert [finding.kind for finding in check_files([path])] == [Kind.CLOSED_DAY]
    assert check_files([path], get_instrument=lambda symbol, days=(): guess_instrument("BTCUSDT")) == []


@pytest.mark.parametrize("volume", ["0", "500"])
@pytest.mark.parametrize(
    ("kind", "copied", "blocking"), [("flat", (1, 2, 3), False), ("opens", (1,), False), ("frozen", (), True)]
)
def test_copied_prices_are_found_with_and_without_a_volume(kind, copied, blocking, volume, tmp_path):
    calendar = calendars().covering("XNYS", date(2018, 1, 1), date(2018, 12, 31))
    days = [day for n in range(150) if calendar.session(day := date(2018, 3, 1) + timedelta(days=n))]
    dice, rows, close = Random(3), [], 100.0
    for number, day in enumerate(days):
        opening, last, close = close * dice.gauss(1, 0.01), close, close * dice.gauss(1, 0.02)
        row = [opening, max(opening, close) * 1.01, min(opening, close) * 0.99, close]
        for column in copied:
            row[column - 1] = last if kind == "opens" else close
        if kind == "frozen" and 40 <= number < 50:
            row = rows[39][1:5]
        elif kind == "opens":
            row[1:3] = max(row) * 1.01, min(row) * 0.99
        rows.append([day, *row, str(int(volume) * (number % 7 + 2))])
    findings = check_files([write(tmp_path / "AAPL.csv", rows)], calendars=calendars())
    assert [(each.kind, each.blocking) for each in findings if each.kind is not Kind.ZERO_VOLUME] == [
        (Kind(kind), blocking)
    ]


def test_minutes_are_one_finding_for_the_whole_file(tmp_path):
    start = datetime(2023, 1, 1, tzinfo=UTC)
    lines = (f"{start + timedelta(minutes=number)},1,1,1,1,1" for number in range(50_000))
    path = tmp_path / "BTCUSDT.csv"
    path.write_text("\n".join([",".join(HEADER), *lines]))
    (finding,) = check_files([path])
    assert (finding.kind, finding.line, finding.blocking) == (Kind.UNREADABLE, None, True)


def test_a_file_without_volume_is_noted_once(tmp_path):
    path = bars(tmp_path, *(f"2024-01-{day:02},1,1.1,0.9,1,0" for day in range(1, 20)))
    (finding,) = check_files([path])
    assert (finding.kind, finding.line, finding.blocking) == (Kind.ZERO_VOLUME, 2, False)


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x01", b"date,open\n1,2\n", b'date,open,high,low,close,volume\n"']
)
def test_what_is_no_table_of_bars_is_a_finding_and_no_error(tmp_path, content):
    path = tmp_path / "BTCUSDT.csv"
    path.write_bytes(content)
    (finding,) = check_files([path])
    assert (finding.kind, finding.file, finding.blocking) == (Kind.UNREADABLE, path, True)
    assert "\n" not in finding.sentence and str(path) not in finding.sentence


def test_a_path_that_is_missing_or_holds_no_data_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        check_files([tmp_path / "none"])
    with pytest.raises(DataError, match="no file of bars or news"):
        check_files([tmp_path])


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(
        st.lists(
            st.sampled_from(
                [
                    "2024-01-01",
                    "2024-01-02",
                    "0001-01-01",
                    "9999-12-31",
                    "1",
                    "2",
                    "0",
                    "1e308",
                    "inf",
                    "",
                    "x",
                ]
            ),
            max_size=7,
        ),
        max_size=12,
    ),
    name=st.sampled_from(["BTCUSDT", "AAPL", "600519"]),
)
def test_whatever_the_rows_hold_the_check_ends_with_findings_of_one_line(tmp_path_factory, cells, name):
    path = write(tmp_path_factory.mktemp("any") / f"{name}.csv", cells)
    findings = check_files([path], now=datetime(2024, 1, 3, tzinfo=UTC))
    assert all("\n" not in finding.sentence and finding.sentence for finding in findings)


NEWS = ["published_at", "source", "symbols", "title", "text", "first_seen_at"]


def news(tmp_path, *rows):
    return write(tmp_path / "news.csv", [[*row, ""][:6] for row in rows], NEWS)


def archive(dice, count=200):
    """Items in the order of time, about an hour apart."""
    at, rows = datetime(2023, 1, 1, tzinfo=UTC), []
    for number in range(count):
        at += timedelta(minutes=dice.randrange(1, 120))
        rows.append([at.isoformat(), "Wire", "BTC", f"Headline {number}", "", ""])
    return rows


@pytest.mark.parametrize("seed", range(SEEDS))
def test_an_item_from_the_future_of_its_archive_is_found(tmp_path, seed):
    dice = Random(seed)
    rows = archive(dice)
    at = dice.randrange(20, 180)
    rows[at][0] = (
        datetime.fromisoformat(rows[at][0]) + timedelta(days=dice.choice([4, 30, 800]))
    ).isoformat()
    assert check_news(write(tmp_path / "clean.csv", archive(Random(seed)), NEWS)) == []
    (finding,) = check_news(news(tmp_path, *rows))
    assert (finding.kind, finding.line, finding.blocking, finding.symbol) == (
        Kind.FUTURE_NEWS,
        at + 2,
        True,
        "",
    )


@pytest.mark.parametrize("seed", range(SEEDS))
def test_an_item_published_after_it_was_first_seen_is_found(tmp_path, seed):
    dice = Random(seed)
    rows = archive(dice)
    for row in rows:
        row[5] = (datetime.fromisoformat(row[0]) + timedelta(minutes=dice.randrange(-4, 90))).isoformat()
    at = dice.randrange(len(rows))
    rows[at][5] = (datetime.fromisoformat(rows[at][0]) - timedelta(minutes=dice.choice([6, 600]))).isoformat()
    (finding,) = check_news(news(tmp_path, *rows))
    assert (finding.kind, finding.line) == (Kind.FUTURE_NEWS, at + 2)


def test_an_item_later_than_the_reading_is_found_and_a_time_without_a_zone_gets_half_a_day(tmp_path):
    now = datetime(2024, 1, 1, 12, tzinfo=UTC)
    texts = ("2024-01-01T11:00:00Z", "2024-01-01T23:00:00", "2024-01-02T00:00:00Z")
    path = news(tmp_path, *([text, "Wire", "BTC", text, ""] for text in texts))
    assert [(finding.kind, finding.line) for finding in check_news(path, now=now)] == [(Kind.FUTURE_NEWS, 4)]
    assert check_news(path) == []


def test_an_archive_with_the_newest_first_is_as_good_as_one_with_the_oldest_first(tmp_path):
    rows = archive(Random(1))[::-1]
    assert check_news(news(tmp_path, *rows)) == []
    rows[50][0] = "2024-06-01T00:00:00+00:00"
    assert [(finding.kind, finding.line) for finding in check_news(news(tmp_path, *rows))] == [
        (Kind.FUTURE_NEWS, 52)
    ]


def test_faults_of_news_are_all_reported(tmp_path):
    path = news(
        tmp_path,
        ["2024-01-01", "Wire", "BTC", "One", ""],
        ["2024-01-01", "Wire", "BTC", "One", ""],
        ["some day", "Wire", "BTC", "Two", ""],
        ["2024-01-02", "Wire", "BTC", "", ""],
        ["2024-01-03", "Wire", "BTC", "Three", "", "2024-01-03T10:00"],
    )
    assert {(finding.line, finding.kind.value, finding.blocking) for finding in check_news(path)} == {
        (None, "duplicate", False),
        (4, "date", True),
        (5, "unreadable", False),
        (6, "date", True),
    }


def test_harm_is_one_line_with_the_first_place_and_the_count(tmp_path):
    path = bars(tmp_path, "2024-01-01,1,2,0.5,1,5", "2024-01-03,1,2,0.5,1,6", "2024-01-05,1,2,0.5,1,6.5")
    line = summarize_blocking(check_files([path]))
    assert line.startswith(f"{path}, line 3: 1 session missing from 2024-01-02")
    assert line.endswith("(2 findings in 1 file would harm a backtest)")


@given(st.lists(st.integers(0, 9), max_size=9))
def test_what_is_misplaced_is_the_least_that_must_go(numbers):
    days = [date(2024, 1, 1 + number) for number in numbers]
    odd = find_misplaced(days)
    left = [day for place, day in enumerate(days) if place not in odd]
    longest = 0
    for mask in range(1 << len(days)):
        some = [day for place, day in enumerate(days) if mask >> place & 1]
        if some == sorted(some):
            longest = max(longest, len(some))
    assert left == sorted(left)
    assert len(left) == longest


@pytest.mark.parametrize(
    "time", ["2024-05-31T13Z", "2024-05-31 13:45+0000", "2024-05-31T13:45:10.123456789Z", "2024-05-31"]
)
def test_a_time_that_a_backtest_reads_is_none_that_a_check_refuses(tmp_path, time):
    news, bars = tmp_path / "news.csv", tmp_path / "BTCUSDT.csv"
    news.write_text(f"published_at,source,symbols,title,text\n{time},wire,BTC,Up,\n")
    days = (f"2024-05-{day}T00:00:00+0000,1,1,1,1,{day}" for day in range(10, 31))
    bars.write_text("\n".join(["date,open,high,low,close,volume", *days]) + "\n")
    coin = guess_instrument("BTCUSDT")
    names = NameTable.for_instruments([coin])
    assert len(read_news([news], names, timedelta(0)).items) == 1
    assert not [finding for finding in check_files([news, bars]) if finding.kind is Kind.DATE]
    assert len(read_bars(bars, coin, load_calendar("24/7", date(2024, 5, 1), date(2024, 6, 1)))) == 21


def test_a_market_of_weekends_that_is_taken_for_a_share_is_one_finding_with_the_setting(tmp_path):
    path = tmp_path / "TOKEN.csv"
    days = (date(2024, 1, 1) + timedelta(days=n) for n in range(40))
    rows = [f"{day},{100 + day.day},{102 + day.day},99,{101 + day.day},{1000 + day.day}" for day in days]
    path.write_text("\n".join(["date,open,high,low,close,volume", *rows]) + "\n")
    (finding,) = [finding for finding in check_files([path]) if finding.kind is Kind.CLOSED_DAY]
    assert 'set asset_class = "coin" under [instruments.TOKEN]' in finding.sentence
