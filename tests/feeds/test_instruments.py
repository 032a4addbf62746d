"""What a symbol is: by its spelling, and by the days on which it has bars."""

from datetime import date, timedelta

import pytest

from engine.instruments import AssetClass
from feeds.files.bars import find_bar_files, read_first_days
from feeds.instruments import guess_instrument, parse_pair, trades_on_weekends
from tests.support.places import SHARED_CASES, SHARED_DATA, needs_shared_cases, needs_shared_data

MONDAY = date(2024, 1, 1)
EVERY_DAY = [MONDAY + timedelta(days=n) for n in range(30)]
WEEKDAYS = [day for day in EVERY_DAY if day.weekday() < 5]


@pytest.mark.parametrize(
    ("symbol", "base", "quote"),
    [
        ("DOTUSD", "DOT", "USD"),
        ("BNBUSD", "BNB", "USD"),
        ("XBTUSD", "XBT", "USD"),
        ("SHIBUSD", "SHIB", "USD"),
        ("ARBUSD", "ARB", "USD"),  # AR is a coin too
        ("HNTUSD", "HNT", "USD"),
        ("USDTUSD", "USDT", "USD"),
        ("XYZTUSD", "XYZT", "USD"),
        ("BTCTUSD", "BTC", "TUSD"),
        ("ETHBUSD", "ETH", "BUSD"),
        ("XYZBUSD", "XYZ", "BUSD"),
        ("UNI7083-USD", "UNI", "USD"),
        ("BTCUSDT_1d", "BTC", "USDT"),
        ("BTCUSDT-1d-2024-01", "BTC", "USDT"),
        ("Binance_BTCUSDT_d", "BTC", "USDT"),
        ("COINBASE_BTCUSD, 1D_3f2c1", "BTC", "USD"),
        ("XBTUSD_1440", "XBT", "USD"),
        ("BTC_USDT_USDT-1d-futures", "BTC", "USDT"),
        ("BTCUSDT.P", "BTC", "USDT"),
        ("BTC-USDT-SWAP", "BTC", "USDT"),
        ("XXBTZUSD", "XBT", "USD"),
        ("tBTCUSD", "BTC", "USD"),
        ("KRW-BTC", "BTC", "KRW"),
        ("XDGUSD", "XDG", "USD"),
        ("BTCUSD1440", "BTC", "USD"),
        ("BTC-USD (1)", "BTC", "USD"),
    ],
)
def test_a_pair_is_taken_apart_where_its_coin_ends(symbol, base, quote):
    assert parse_pair(symbol) == (base, quote)
    assert guess_instrument(symbol).currency == quote


@pytest.mark.parametrize("symbol", ["BTC", "eth", "BTC-PERP", "BTC-PERPETUAL", "Bitcoin Historical Data"])
def test_a_coin_without_a_quote_currency_is_a_coin_in_dollars(symbol):
    instrument = guess_instrument(symbol)
    assert (instrument.symbol, instrument.asset_class) == (symbol, AssetClass.COIN)
    assert (instrument.calendar, instrument.currency, instrument.lot) == ("24/7", "USD", 0.0)


@pytest.mark.parametrize(
    "symbol", ["600519", "600519.XSHG", "000001.XSHE", "sh.600519", "SHSE.600519", "1.600519", "贵州茅台"]
)
def test_an_a_share_is_known_by_its_code(symbol):
    instrument = guess_instrument(symbol)
    assert (instrument.asset_class, instrument.lot) == (AssetClass.A_SHARE, 100.0)


@pytest.mark.parametrize(
    ("symbol", "calendar", "currency", "lot"),
    [
        ("SAP.DE", "XETR", "EUR", 1.0),
        ("7203.T", "XTKS", "JPY", 100.0),
        ("005930.KS", "XKRX", "KRW", 1.0),
        ("BRK.B", "XNYS", "USD", 1.0),
        ("AAPL_1d", "XNYS", "USD", 1.0),
    ],
)
def test_a_share_trades_where_its_suffix_says_and_in_new_york_without_one(symbol, calendar, currency, lot):
    instrument = guess_instrument(symbol)
    assert instrument.asset_class is AssetClass.STOCK
    assert (instrument.calendar, instrument.currency, instrument.lot) == (calendar, currency, lot)


@pytest.mark.parametrize(
    "symbol", ["AAPL.US", "US.AAPL", "105.AAPL", "AAPL.O", "NASDAQ_AAPL, 1D", "AAPL_2006-01-01_to_2018-01-01"]
)
def test_a_us_share_has_its_names_in_the_spellings_of_vendors(symbol):
    assert "apple" in guess_instrument(symbol).names


@pytest.mark.parametrize("symbol", ["LTC", "STX", "DASH", "HYPE"])
def test_a_ticker_of_a_coin_and_a_share_is_the_one_that_its_days_show(symbol):
    assert guess_instrument(symbol, EVERY_DAY).asset_class is AssetClass.COIN
    assert guess_instrument(symbol, WEEKDAYS).asset_class is AssetClass.STOCK
    assert guess_instrument(symbol).asset_class is AssetClass.STOCK


def test_a_share_with_rows_on_weekends_stays_a_share():
    assert guess_instrument("AAPL", EVERY_DAY).asset_class is AssetClass.STOCK
    assert guess_instrument("BTC", WEEKDAYS).asset_class is AssetClass.STOCK  # a fund of that ticker


def test_a_few_rows_on_weekends_tell_nothing():
    assert trades_on_weekends(EVERY_DAY) is True
    assert trades_on_weekends(WEEKDAYS) is False
    assert trades_on_weekends([*WEEKDAYS, date(2024, 1, 6), date(2024, 1, 7)]) is None
    assert trades_on_weekends(WEEKDAYS[:5]) is None


@needs_shared_data
def test_every_real_file_is_of_the_class_of_its_folder():
    classes = {"coins": AssetClass.COIN, "us": AssetClass.STOCK, "cn": AssetClass.A_SHARE}
    seen = 0
    for folder in SHARED_DATA.glob("*_*"):
        if expected := classes.get(folder.name.split("_")[0]):
            for path in folder.glob("*.csv"):
                if "news" in path.name or "dividend" in path.name:
                    continue
                assert guess_instrument(path.stem, read_first_days(path)).asset_class is expected, path
                seen += 1
    assert seen > 100


@needs_shared_cases
def test_the_files_of_users_are_what_they_are():
    files = find_bar_files([SHARED_CASES / "03-dotusd-is-do-tusd" / "bars"])
    assert {guess_instrument(symbol).currency for symbol in files} == {"USD"}
    coin = SHARED_CASES / "04-btc-csv-is-a-stock" / "ETH.csv"
    assert guess_instrument(coin.stem, read_first_days(coin)).asset_class is AssetClass.COIN
