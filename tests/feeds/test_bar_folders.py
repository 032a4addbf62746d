from datetime import date
from pathlib import Path

import pytest

from engine.calendars import load_calendar
from engine.errors import DataError, UsageError
from engine.instruments import AssetClass
from feeds.files.bars import find_bar_files, read_bars
from feeds.files.tables import read_once
from feeds.instruments import guess_instrument
from feeds.quality.checks import check_files
from tests.support.places import SHARED_DATA, needs_shared_data

HEADER = "date,open,high,low,close,volume"
GOOD = "2024-07-03,10,12,9,11,100"
UTC_DAYS = load_calendar("24/7", date(2024, 1, 1), date(2024, 12, 31))


def write_file(folder: Path, *lines: str, name: str = "BTCUSDT.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_file_is_opened_once_however_often_it_is_asked_for(tmp_path, monkeypatch):
    opened = []
    real_open = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, *how, **more: opened.append(path) or real_open(path, *how, **more)
    )
    path = write_file(tmp_path, HEADER, GOOD)
    with read_once():
        (found,) = find_bar_files([tmp_path]).values()
        bars = read_bars(found, guess_instrument("BTCUSDT"), UTC_DAYS)
        path.write_text(f"{HEADER}\n", encoding="utf-8")  # another program writes it meanwhile
        opened.clear()
        assert read_bars(found, guess_instrument("BTCUSDT"), UTC_DAYS) == bars
        assert check_files([tmp_path]) == []
        assert opened == []
    with pytest.raises(DataError, match="no rows"):
        read_bars(found, guess_instrument("BTCUSDT"), UTC_DAYS)


def test_the_symbol_is_the_name_of_the_file_without_its_ending(tmp_path):
    write_file(tmp_path, HEADER, name="BRK.B.csv")
    write_file(tmp_path, HEADER, name="600519.CSV")
    assert sorted(find_bar_files([tmp_path])) == ["600519", "BRK.B"]


def test_a_folder_may_hold_other_tables_and_files(tmp_path):
    bars = write_file(tmp_path, HEADER, GOOD, name="600519.csv")
    write_file(tmp_path, "exDate,dividend", "2024-06-19,3", name="600519_dividend.csv")
    write_file(tmp_path, "where it came from", name="SOURCE.txt")
    (tmp_path / "._600519.csv").write_bytes(b"\0\0\xff")
    (tmp_path / "older.csv").mkdir()
    assert find_bar_files([tmp_path]) == {"600519": bars}


def test_a_damaged_file_in_a_folder_is_refused_rather_than_left_out(tmp_path):
    write_file(tmp_path, HEADER, GOOD)
    (tmp_path / "ETHUSDT.csv").write_bytes(b"")
    with pytest.raises(DataError, match=r"ETHUSDT\.csv: the file is empty"):
        find_bar_files([tmp_path])


def test_a_file_named_on_its_own_must_have_the_bar_columns(tmp_path):
    with pytest.raises(DataError, match="no column open, high, low, volume; found 'date', 'close'"):
        find_bar_files([write_file(tmp_path, "date,close")])


def test_a_folder_without_bars_and_a_missing_path_are_refused(tmp_path):
    with pytest.raises(DataError, match="no bar file in this folder"):
        find_bar_files([tmp_path])
    with pytest.raises(UsageError, match="no such file or folder"):
        find_bar_files([tmp_path / "nowhere"])


def test_a_symbol_that_comes_twice_is_refused(tmp_path):
    (tmp_path / "more").mkdir()
    one, other = write_file(tmp_path, HEADER), write_file(tmp_path / "more", HEADER, name="btcusdt.csv")
    with pytest.raises(DataError, match="leave one of the two out"):
        find_bar_files([one, other])


@pytest.mark.parametrize(
    ("symbol", "asset_class", "calendar", "currency", "lot", "shortable", "name"),
    [
        ("600519", AssetClass.A_SHARE, "XSHG", "CNY", 100, False, "贵州茅台"),
        ("BTCUSDT", AssetClass.COIN, "24/7", "USDT", 0, True, "bitcoin"),
        ("ETH-USD", AssetClass.COIN, "24/7", "USD", 0, True, "ethereum"),
        ("SOL/USDT", AssetClass.COIN, "24/7", "USDT", 0, True, "solana"),
        ("AAPL", AssetClass.STOCK, "XNYS", "USD", 1, True, "apple"),
        ("BRK.B", AssetClass.STOCK, "XNYS", "USD", 1, True, "berkshire hathaway"),
    ],
)
def test_an_instrument_is_guessed_from_its_symbol(
    symbol, asset_class, calendar, currency, lot, shortable, name
):
    found = guess_instrument(symbol)
    assert (found.symbol, found.asset_class, found.calendar) == (symbol, asset_class, calendar)
    assert (found.currency, found.lot, found.shortable) == (currency, lot, shortable)
    assert name in found.names


@pytest.mark.slow
@needs_shared_data
@pytest.mark.parametrize(
    ("folder", "files", "bars"),
    [
        ("coins_binance_daily", 6, 13210),
        ("coins_yahoo_daily", 12, 24187),
        ("us_stocks_daily", 20, 40084),
        ("us_stocks_unadjusted", 6, 37992),
        ("us_stocks_stocknet_2012_2017", 18, 22131),
        ("cn_stocks_raw", 7, 16865),
        ("cn_stocks_qfq", 8, 9696),
        ("cn_stocks_qfq_events_2020_2021", 26, 12608),
        ("cn_stocks_qfq_newsheavy", 19, 22982),
    ],
)
def test_real_bars_are_read_whole(folder, files, bars):
    found = find_bar_files([SHARED_DATA / folder])
    first = guess_instrument(next(iter(found)))
    calendar = load_calendar(first.calendar, date(1999, 11, 1), date(2024, 12, 31))
    read_all = [read_bars(path, guess_instrument(symbol), calendar) for symbol, path in found.items()]
    assert (len(found), sum(map(len, read_all))) == (files, bars)


@needs_shared_data
def test_real_bars_with_an_open_outside_their_range_are_refused_unless_left_out():
    path = SHARED_DATA / "coins_btc_long" / "BTC-USD.csv"
    bitcoin = guess_instrument("BTC-USD")
    with pytest.raises(DataError, match=r"line 1194: open 188\.56 is outside low 188\.95"):
        read_bars(path, bitcoin, UTC_DAYS)
    assert len(read_bars(path, bitcoin, UTC_DAYS, since=date(2017, 5, 1))) == 2802


@needs_shared_data
def test_real_dividend_tables_are_passed_over():
    assert sorted(find_bar_files([SHARED_DATA / "cn_stocks_qfq_dividends"])) == [
        "600036",
        "600519",
        "600900",
        "601138",
    ]
