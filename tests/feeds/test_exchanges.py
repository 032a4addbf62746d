import pytest
from exchange_calendars.calendar_utils import _default_calendar_factories

from feeds.exchanges import EXCHANGES, split_suffix


@pytest.mark.parametrize(
    ("symbol", "ticker", "calendar", "currency"),
    [
        ("SAP.DE", "SAP", "XETR", "EUR"),
        ("7203.T", "7203", "XTKS", "JPY"),
        ("0700.hk", "0700", "XHKG", "HKD"),
        ("VOD.L", "VOD", "XLON", "GBX"),
        ("MC.PA", "MC", "XPAR", "EUR"),
        ("SHOP.TO", "SHOP", "XTSE", "CAD"),
        ("BRK-B.US", "BRK-B", "XNYS", "USD"),
        ("NOVO-B.CO", "NOVO-B", "XCSE", "DKK"),
        ("600519.XSHG", "600519", "XSHG", "CNY"),
    ],
)
def test_a_suffix_names_the_exchange(symbol, ticker, calendar, currency):
    found, exchange = split_suffix(symbol)
    assert (found, exchange.calendar, exchange.currency) == (ticker, calendar, currency)


@pytest.mark.parametrize("symbol", ["AAPL", "BRK.B", "BF.A", "XYZ.T", "BTC-USD", "BTC/USDT", ".DE", "a.b.de"])
def test_a_symbol_without_a_known_suffix_has_no_exchange(symbol):
    assert split_suffix(symbol) is None


@pytest.mark.parametrize("exchange", {each.calendar: each for each in EXCHANGES.values()}.values())
def test_every_exchange_has_a_calendar_in_its_zone(exchange):
    # For Tel Aviv the library has an older name, and for Bogota the zone by which its close moves.
    named = {"Asia/Tel_Aviv": "Asia/Jerusalem", "XBOG": "America/Bogota"}
    zone = str(_default_calendar_factories[exchange.calendar].tz)
    assert exchange.zone == named.get(exchange.calendar, named.get(zone, zone))
